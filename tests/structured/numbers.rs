//! Where the choices of a case come from.

/// A sequence of choices: from a seed, without end, or from the bytes of a fuzzer, zeros behind their end.
#[derive(Clone, Debug)]
pub struct Numbers<'b>(From<'b>);

#[derive(Clone, Debug)]
enum From<'b> {
    Seed(u64),
    Bytes(&'b [u8]),
}

impl<'b> Numbers<'b> {
    /// Choices that look random, the same for the same seed: SplitMix64 (Steele et al. 2014,
    /// doi:10.1145/2660193.2660195).
    pub fn seeded(seed: u64) -> Self {
        Numbers(From::Seed(seed))
    }

    /// The choices that these bytes stand for.
    pub fn of_bytes(bytes: &'b [u8]) -> Self {
        Numbers(From::Bytes(bytes))
    }

    /// `count` bytes of a choice.
    fn take(&mut self, count: usize) -> u64 {
        match &mut self.0 {
            From::Seed(state) => {
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let z = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
                z ^ z >> 31
            }
            From::Bytes(bytes) => {
                let (here, rest) = bytes.split_at(count.min(bytes.len()));
                *bytes = rest;
                here.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
            }
        }
    }

    /// Below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bytes = if bound <= 1 << 8 { 1 } else { 4 };
        (self.take(bytes) % bound as u64) as usize
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub(super) fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    pub(super) fn pick_one<'v, T>(&mut self, values: &'v [T]) -> &'v T {
        &values[self.below(values.len())]
    }

    /// Any 32 bits.
    pub(super) fn bits(&mut self) -> u32 {
        self.take(4) as u32
    }
}

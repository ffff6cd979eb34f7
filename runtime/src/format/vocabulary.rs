//! How a packed file keeps what raw values mean: a record for each field, a static function from tokens to indices
//! without the tokens' text, and thresholds of numbers (`docs/format.md`, "Raw values").
//!
//! The function is a perfect hash of one level with pilots, after PTHash (Pibiri and Trani 2021, arXiv:2104.10402): a
//! token's hash chooses a bucket, whose pilot chooses the slots of all its tokens so that no two share one. A slot has
//! a few bits of another hash, its fingerprint, by which most unseen tokens are told, and the index.
//!
//! Integers that lie close together have a bit each instead, and the index is the number of bits up to theirs (rank of
//! a bit vector, Jacobson 1989): fewer bytes, and every unseen integer is told.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::xxh64::xxh64;

/// Longest separator of a bag, in bytes.
pub const MAX_SEPARATOR: usize = 7;
/// Most bits of a fingerprint.
pub const MAX_FINGERPRINT_BITS: u8 = 24;
/// Zeros after the last slot, so that a slot is read as eight bytes wherever it lies.
pub const SLOTS_SLACK: usize = 8;

/// Tokens whose texts lie one after another from an offset on, where texts are kept.
pub const TEXTS_PER_OFFSET: u32 = 8;

/// Where the weights of a field's indices come from, as a number in [`EncoderRecord::weights`].
pub mod weights {
    /// They have none.
    pub const NONE: u16 = 0;
    /// Bags: each is 1 over the number of the bag's indices.
    pub const MEAN: u16 = 1;
    /// Bags: the data say one for each token.
    pub const GIVEN: u16 = 2;
    /// Numbers: the index 1 has the number's distance from a centre, in widths.
    pub const VALUE: u16 = 3;
    /// Numbers: each bound has an index, and a number between two of them is their weighted mean.
    pub const INTERPOLATED: u16 = 4;
}

/// What a field's raw values are, as a number in [`EncoderRecord::kind`].
pub mod kind {
    /// One token.
    pub const TOKEN: u8 = 0;
    /// Several tokens.
    pub const BAG: u8 = 1;
    /// A number, whose index is that of the last threshold that is not above it.
    pub const NUMBER: u8 = 2;
    /// One token, whose index is by its hash alone.
    pub const HASHED: u8 = 3;
    /// Several tokens of that sort.
    pub const HASHED_BAG: u8 = 4;
    /// One token, an [integer](super::plain_integer), whose index is its place among those of the vocabulary.
    pub const INTEGER: u8 = 5;
    /// Several tokens of that sort.
    pub const INTEGER_BAG: u8 = 6;
}

/// Integers with a bit in a block, after the number of those that the blocks before have.
pub const INTEGERS_PER_BLOCK: u32 = 512;
/// Bytes of a whole block.
pub const BLOCK_BYTES: usize = size_of::<u32>() + INTEGERS_PER_BLOCK as usize / 8;

/// How one field's raw values become indices: 64 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EncoderRecord {
    /// One of [`kind`].
    pub kind: u8,
    /// Bags: 1 where the last tokens of a longer one are kept, 0 for the first.
    pub keep_last: u8,
    /// Bits of a slot's fingerprint, at most [`MAX_FINGERPRINT_BITS`].
    pub fingerprint_bits: u8,
    /// Bits of a slot's index, at most 32; 0 where the slot is the index, less 1, as tables were numbered anew. Slots
    /// beyond the field's tokens have their index, an u32, after the field's slots.
    pub index_bits: u8,
    /// Bags: the most tokens that are kept.
    pub max_bag: U16,
    /// One of [`weights`].
    pub weights: U16,
    /// Text: the first byte that is taken.
    pub cut_from: U32,
    /// Text: the end of what is taken; 0 where all of it is.
    pub cut_to: U32,
    /// Bags: bytes of the separator, then the separator itself, then zeros.
    pub separator: [u8; 1 + MAX_SEPARATOR],
    /// Numbers: the index of a missing one.
    pub missing: U32,
    /// What the tokens' hash begins with; of integers the least.
    pub seed: U32,
    /// Number of buckets, each with a pilot; 0 where there are no tokens.
    pub buckets: U32,
    /// Number of slots; of integers how many have a bit, from the least on.
    pub slots: U32,
    /// The field's first pilot.
    pub pilots_offset: U32,
    /// The field's first byte of slots.
    pub slots_offset: U32,
    /// Numbers: how many thresholds there are.
    pub steps: U32,
    /// The field's first threshold.
    pub steps_offset: U32,
    /// Tokens: buckets of those that are not in the vocabulary; their indices are the field's last.
    pub oov_buckets: U32,
    /// What the hash that chooses one of these buckets begins with.
    pub oov_seed: U32,
}

/// Numbers from a threshold on have an index; or a bound, a centre or a width of weights: 12 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Step {
    /// The threshold, by [`order`].
    pub from: U64,
    /// The index up to the next one.
    pub index: U32,
}

impl EncoderRecord {
    /// Bytes of the field's slots, without slack.
    pub fn slot_bytes(&self) -> u64 {
        if self.is_integer() {
            let (blocks, rest) = (self.slots.get() / INTEGERS_PER_BLOCK, self.slots.get() % INTEGERS_PER_BLOCK);
            let of_rest = if rest == 0 { 0 } else { 4 + 4 * u64::from(rest.div_ceil(u32::BITS)) };
            return u64::from(blocks) * BLOCK_BYTES as u64 + of_rest;
        }
        (u64::from(self.slots.get()) * self.slot_bits()).div_ceil(8)
    }

    /// Slots beyond the tokens, whose indices are written out: of a field that was numbered anew.
    pub fn moved(&self, features: u32) -> u32 {
        if self.is_numbered_anew() && !self.is_integer() {
            self.slots.get().saturating_sub(self.tokens(features))
        } else {
            0
        }
    }

    /// Whether the field has a vocabulary, and a token in it.
    pub fn has_tokens(&self) -> bool {
        self.buckets.get() > 0 || self.is_integer()
    }

    /// Whether a vocabulary has other indices than those of the training data.
    pub fn is_numbered_anew(&self) -> bool {
        self.has_tokens() && self.index_bits == 0
    }

    /// Tokens with an index of their own in a field of so many features: all but index 0 and the buckets.
    pub fn tokens(&self, features: u32) -> u32 {
        features.saturating_sub(1).saturating_sub(self.oov_buckets.get())
    }

    /// Bits of one slot: fingerprint, then index.
    pub fn slot_bits(&self) -> u64 {
        u64::from(self.fingerprint_bits) + u64::from(self.index_bits)
    }

    /// Whether a value may be several tokens.
    pub fn is_bag(&self) -> bool {
        matches!(self.kind, kind::BAG | kind::HASHED_BAG | kind::INTEGER_BAG)
    }

    /// Whether indices have weights.
    pub fn is_weighted(&self) -> bool {
        self.weights.get() != weights::NONE
    }

    /// Whether they are those of numbers.
    pub fn is_weighted_number(&self) -> bool {
        matches!(self.weights.get(), weights::VALUE | weights::INTERPOLATED)
    }

    /// Room for the indices of any value, and for their weights.
    pub fn most_words(&self) -> usize {
        let bag: usize = self.max_bag.get().into();
        match self.weights.get() {
            weights::NONE => {
                if self.is_bag() {
                    bag
                } else {
                    1
                }
            }
            weights::VALUE => 2,
            weights::INTERPOLATED => 4,
            _ => 2 * bag,
        }
    }

    /// Whether tokens have indices by their hash, and no vocabulary.
    pub fn is_hashed(&self) -> bool {
        matches!(self.kind, kind::HASHED | kind::HASHED_BAG)
    }

    /// Whether tokens are integers, which have a bit each.
    pub fn is_integer(&self) -> bool {
        matches!(self.kind, kind::INTEGER | kind::INTEGER_BAG)
    }

    /// Where a token would be.
    pub fn hash(&self, token: &[u8]) -> TokenHash {
        TokenHash(xxh64(token, self.seed.get().into()))
    }
}

/// XXH64 of a token: bucket, slot and fingerprint are parts of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub u64);

impl TokenHash {
    /// Which of `buckets` has the token's pilot.
    pub fn bucket(self, buckets: u32) -> u32 {
        reduce((self.0 >> 32) as u32, buckets)
    }

    /// Which of `slots` is the token's, given its pilot.
    pub fn slot(self, pilot: u8, slots: u32) -> u32 {
        let mixed = self.0 as u32 ^ u32::from(pilot).wrapping_mul(0x9E37_79B1);
        reduce(mixed.wrapping_mul(0x85EB_CA6B), slots)
    }

    /// So many bits, which say nothing of bucket and slot.
    pub fn fingerprint(self, bits: u8) -> u32 {
        let mixed = (self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
        mixed.checked_shr(32 - u32::from(bits)).unwrap_or(0)
    }
}

/// The index of a token that has a bucket by its hash, behind those of `tokens` others: 0 for the empty one, which is a
/// missing value.
pub fn hashed(token: &[u8], seed: u32, tokens: u32, buckets: u32) -> u32 {
    match token {
        [] => 0,
        token => tokens.wrapping_add(1).wrapping_add(TokenHash(xxh64(token, seed.into())).bucket(buckets)),
    }
}

/// The integer that a text is, as [`str::parse`] has it, in less code.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut magnitude = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        // From 2^60 on, another digit makes more than any integer; below, it fits.
        if digit > 9 || magnitude >> 60 != 0 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    let most = u64::from(is_negative) + i64::MAX.unsigned_abs();
    let integer = if is_negative { magnitude.wrapping_neg() } else { magnitude };
    (!digits.is_empty() && magnitude <= most).then_some(integer.cast_signed())
}

/// The number of a token that is written as integers are: digits, the first of them no 0 but of 0 itself.
pub fn plain_integer(token: &[u8]) -> Option<u32> {
    let is_plain = matches!(token, [b'0'] | [b'1'..=b'9', ..]);
    integer(token).filter(|_| is_plain).and_then(|number| u32::try_from(number).ok())
}

/// A number below `count` (Lemire 2019, arXiv:1805.10941).
fn reduce(hash: u32, count: u32) -> u32 {
    ((u64::from(hash) * u64::from(count)) >> 32) as u32
}

/// The bits of a number, in the order of numbers: compared as integers, without floating point. -0 is 0.
pub fn order(number: f64) -> u64 {
    match number.to_bits() {
        NEGATIVE => NEGATIVE,
        bits if bits & NEGATIVE == 0 => bits | NEGATIVE,
        bits => !bits,
    }
}

/// The number of an [`order`].
pub fn of_order(order: u64) -> f64 {
    f64::from_bits(if order & NEGATIVE == 0 { !order } else { order ^ NEGATIVE })
}

/// [`order`] of the number nearest to an integer, ties to even, as `as f64` has it: without a library of floats.
pub fn order_of_integer(integer: i64) -> u64 {
    let magnitude = integer.unsigned_abs();
    if magnitude == 0 {
        return NEGATIVE;
    }
    let zeros = magnitude.leading_zeros();
    let shifted = magnitude << zeros;
    let (mantissa, rest) = (shifted >> 11, shifted & 0x7FF);
    let is_up = rest > 0x400 || (rest == 0x400 && mantissa & 1 == 1);
    // The mantissa's own 1 adds to the exponent, as does one that rounding carries.
    let bits = (u64::from(1023 + 62 - zeros) << 52) + mantissa + u64::from(is_up);
    if integer < 0 { !(bits | NEGATIVE) } else { bits | NEGATIVE }
}

const NEGATIVE: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::{of_order, order, order_of_integer, plain_integer};

    #[test]
    fn integers_have_one_text() {
        for (text, number) in [("0", 0), ("9", 9), ("10", 10), ("65536", 65_536), ("4294967295", u32::MAX)] {
            assert_eq!(plain_integer(text.as_bytes()), Some(number));
        }
        for other in ["", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "4294967296", "99999999999", "1a", "\u{661}"] {
            assert_eq!(plain_integer(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn bits_are_in_the_order_of_numbers() {
        let numbers = [f64::MIN, -1e9, -2.5, -2.0, -1e-310, 0.0, 1e-310, 0.5, 1.0, 2.0, 2.0_f64.next_up(), 1e300];
        assert!(numbers.map(order).is_sorted_by(|a, b| a < b));
        assert_eq!(order(-0.0), order(0.0));
        assert_eq!(numbers.map(|number| of_order(order(number))), numbers);
        let near = |n: i64| [n.wrapping_sub(1), n, n.wrapping_add(1), -n];
        for n in (0..63).flat_map(|bit| near(1 << bit)).chain(near(i64::MAX)).chain(near((1 << 53) + 1)).chain(near(9))
        {
            assert_eq!(order_of_integer(n), order(n as f64), "{n}");
        }
        let mut n = 1_i64;
        for _ in 0..100_000 {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let n = n >> (n as u32 % 60);
            assert_eq!(order_of_integer(n), order(n as f64), "{n}");
        }
        assert_eq!(order_of_integer(i64::MIN), order(i64::MIN as f64));
    }
}

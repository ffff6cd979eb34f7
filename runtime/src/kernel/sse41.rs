//! x86-64 with SSE4.1: sixteen lanes in four registers. The baseline, SSE2, can neither widen nor multiply i8 well.

#![allow(unsafe_code, reason = "the instructions of one CPU extension")]

use core::arch::x86_64::*;

use super::vector::{LANES, Quad, Task, Vector, WeightQuads, both};

/// An instruction of the extension. SAFETY, once for all uses: the token `self` proves that the CPU has it, and it
/// touches no memory but that of the references it is given.
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: see the macro.
        unsafe { $call }
    };
}

/// Exists only where the CPU has SSE4.1 (and SSSE3 before it).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sse41(());

impl Sse41 {
    pub(crate) fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::is_x86_feature_detected!("sse4.1") && std::is_x86_feature_detected!("ssse3");
        #[cfg(not(feature = "std"))]
        let found = cfg!(all(target_feature = "sse4.1", target_feature = "ssse3"));
        found.then_some(Sse41(()))
    }
}

#[target_feature(enable = "sse4.1,ssse3")]
fn run_sse41<T: Task>(v: Sse41, task: T) -> T::Output {
    task.run(v)
}

impl Vector for Sse41 {
    type I32 = [__m128i; 4];
    type F32 = [__m128; 4];
    /// Two outputs in each, two sums of each output.
    type Dot = [__m128i; 8];
    type Reals = Self;
    type Pairs = [__m128i; 4];

    const UNSIGNED: bool = false;
    const REGISTER_TILE: (usize, usize) = (1, 1);

    #[inline]
    fn run<T: Task>(self, task: T) -> T::Output {
        instruction!(run_sse41(self, task))
    }

    #[inline(always)]
    fn reals(self) -> Self {
        self
    }

    #[inline(always)]
    fn prefetch<T>(self, numbers: &[T]) {
        instruction!(_mm_prefetch::<_MM_HINT_T0>(numbers.as_ptr().cast()))
    }

    #[inline(always)]
    fn bytes(self, a: Self::I32) -> [u8; LANES] {
        let mut values = [0; LANES];
        let low = each!(i => _mm_and_si128(a[i], _mm_set1_epi32(0xFF)));
        instruction!({
            let (first, second) = (_mm_packus_epi32(low[0], low[1]), _mm_packus_epi32(low[2], low[3]));
            _mm_storeu_si128(values.as_mut_ptr().cast(), _mm_packus_epi16(first, second));
        });
        values
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::Pairs, to: &mut [i16; 2 * LANES]) {
        let (quarters, _) = to.as_chunks_mut::<8>();
        for (quarter, pairs) in quarters.iter_mut().zip(pairs) {
            instruction!(_mm_storeu_si128(quarter.as_mut_ptr().cast(), pairs));
        }
    }

    #[inline(always)]
    fn dot(self, acc: Self::Dot, w: &WeightQuads, x: Quad) -> Self::Dot {
        // Both sides widened to i16, products of neighbours added.
        let (w, _) = w.as_chunks::<8>();
        instruction!({
            let x = _mm_cvtepi8_epi16(_mm_set1_epi32(i32::from_ne_bytes(x)));
            let mut sums = acc;
            for (sum, w) in sums.iter_mut().zip(w) {
                let w = _mm_cvtepi8_epi16(_mm_loadl_epi64(w.as_ptr().cast()));
                *sum = _mm_add_epi32(*sum, _mm_madd_epi16(w, x));
            }
            sums
        })
    }

    loads! { [0 1 2 3] =>
        load([i32; LANES], 4) -> Self::I32 = at => _mm_loadu_si128(at);
        widen_i16([i16; LANES], 4) -> Self::I32 = at => _mm_cvtepi16_epi32(_mm_loadl_epi64(at));
        load_pairs([i16; 2 * LANES], 8) -> Self::Pairs = at => _mm_loadu_si128(at);
        load_f32([f32; LANES], 4) -> Self::F32 = at => _mm_loadu_ps(at);
    }

    stores! { [0 1 2 3] =>
        store(Self::I32) -> [i32; LANES], 4 = _mm_storeu_si128;
        store_f32(Self::F32) -> [f32; LANES], 4 = _mm_storeu_ps;
    }

    operations! { self =>
        pairs(a: &[i8; LANES], b: &[i8; LANES]) -> Self::Pairs = {
            let (a, b) = (self.widen_i8(a), self.widen_i8(b));
            each!(i => _mm_blend_epi16::<0xAA>(a[i], _mm_slli_epi32::<16>(b[i])))
        };
        splat(value: i32) -> Self::I32 = instruction!([_mm_set1_epi32(value); 4]);
        widen_i8(values: &[i8; LANES]) -> Self::I32 = instruction!({
            let all = _mm_loadu_si128(values.as_ptr().cast());
            [
                _mm_cvtepi8_epi32(all),
                _mm_cvtepi8_epi32(_mm_srli_si128::<4>(all)),
                _mm_cvtepi8_epi32(_mm_srli_si128::<8>(all)),
                _mm_cvtepi8_epi32(_mm_srli_si128::<12>(all)),
            ]
        });
        requantize(acc: Self::I32, multiplier: Self::I32) -> Self::I32 = each!(i => {
            let half = _mm_set1_epi64x(1 << 31);
            let even = _mm_add_epi64(_mm_mul_epi32(acc[i], multiplier[i]), half);
            let odd = _mm_mul_epi32(_mm_srli_epi64::<32>(acc[i]), _mm_srli_epi64::<32>(multiplier[i]));
            let odd = _mm_add_epi64(odd, half);
            _mm_blend_epi16::<0b1100_1100>(_mm_srli_epi64::<32>(even), odd)
        });
        dot_pairs(acc: Self::I32, pairs: Self::Pairs, r: [i16; 2]) -> Self::I32 =
            each!(i => _mm_add_epi32(acc[i], _mm_madd_epi16(pairs[i], _mm_set1_epi32(both(r)))));
        dot_zero() -> Self::Dot = instruction!([_mm_setzero_si128(); 8]);
        splat_f32(value: f32) -> Self::F32 = instruction!([_mm_set1_ps(value); 4]);
        add(a: Self::I32, b: Self::I32) -> Self::I32 = each!(i => _mm_add_epi32(a[i], b[i]));
        mul(a: Self::I32, b: Self::I32) -> Self::I32 = each!(i => _mm_mullo_epi32(a[i], b[i]));
        clamp(a: Self::I32, least: i32, most: i32) -> Self::I32 =
            each!(i => _mm_min_epi32(_mm_max_epi32(a[i], _mm_set1_epi32(least)), _mm_set1_epi32(most)));
        first_of(pairs: Self::Pairs) -> Self::I32 = each!(i => _mm_srai_epi32::<16>(_mm_slli_epi32::<16>(pairs[i])));
        second_of(pairs: Self::Pairs) -> Self::I32 = each!(i => _mm_srai_epi32::<16>(pairs[i]));
        dot_sum(acc: Self::Dot) -> Self::I32 = each!(i => _mm_hadd_epi32(acc[2 * i], acc[2 * i + 1]));
        add_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => _mm_add_ps(a[i], b[i]));
        mul_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => _mm_mul_ps(a[i], b[i]));
        mul_add_f32(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 =
            each!(i => _mm_add_ps(_mm_mul_ps(a[i], b[i]), c[i]));
        // `maxps` gives its second operand where one is not a number.
        at_least(a: Self::F32, least: f32) -> Self::F32 = each!(i => _mm_max_ps(_mm_set1_ps(least), a[i]));
        max_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => _mm_max_ps(a[i], b[i]));
        min_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => _mm_min_ps(a[i], b[i]));
        to_f32(a: Self::I32) -> Self::F32 = each!(i => _mm_cvtepi32_ps(a[i]));
        truncate(a: Self::F32) -> Self::I32 = each!(i => _mm_cvttps_epi32(a[i]));
    }
}

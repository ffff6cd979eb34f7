//! x86-64 with AVX-512 and VNNI: sixteen lanes in one register. Where there is AMX, layers of rows in groups are left
//! to it.

#![allow(unsafe_code, reason = "the instructions of one CPU extension")]

use core::arch::x86_64::*;

use super::amx::Amx;
use super::vector::{FEW, LANES, Quad, Task, Vector, WeightQuads, both};

/// Exists only where the CPU has AVX-512 F, BW, DQ, VL and VNNI. `AMX`: it has that too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512<const AMX: bool>(Option<Amx>);

impl<const AMX: bool> Avx512<AMX> {
    pub(crate) fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vnni")
            && std::is_x86_feature_detected!("fma");
        #[cfg(not(feature = "std"))]
        let found = cfg!(all(
            target_feature = "avx512f",
            target_feature = "avx512bw",
            target_feature = "avx512dq",
            target_feature = "avx512vl",
            target_feature = "avx512vnni",
            target_feature = "fma"
        ));
        match (found, AMX) {
            (false, _) => None,
            (true, false) => Some(Avx512(None)),
            (true, true) => Some(Avx512(Some(Amx::new()?))),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
fn run_avx512<const AMX: bool, T: Task>(v: Avx512<AMX>, task: T) -> T::Output {
    task.run(v)
}

impl<const AMX: bool> Vector for Avx512<AMX> {
    type I32 = __m512i;
    type F32 = __m512;
    type Dot = __m512i;
    type Reals = Avx512<false>;
    type Pairs = __m512i;

    const UNSIGNED: bool = true;
    const REGISTER_TILE: (usize, usize) = (8, 2);
    const MATRIX: bool = AMX;

    #[inline]
    fn run<T: Task>(self, task: T) -> T::Output {
        instruction!(run_avx512(self, task))
    }

    #[inline(always)]
    fn reals(self) -> Avx512<false> {
        Avx512(None)
    }

    #[inline(always)]
    fn prefetch<T>(self, numbers: &[T]) {
        instruction!(_mm_prefetch::<_MM_HINT_T0>(numbers.as_ptr().cast()))
    }

    #[inline(always)]
    fn requantize(self, acc: __m512i, multiplier: __m512i) -> __m512i {
        // Two halves of 64-bit products; the wanted 32 bits are the upper half of each.
        instruction!({
            let half = _mm512_set1_epi64(1 << 31);
            let even = _mm512_add_epi64(_mm512_mul_epi32(acc, multiplier), half);
            let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(acc), _mm512_srli_epi64::<32>(multiplier));
            let odd = _mm512_add_epi64(odd, half);
            _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64::<32>(even), odd)
        })
    }

    #[inline(always)]
    fn store_pairs(self, pairs: __m512i, to: &mut [i16; 2 * LANES]) {
        instruction!(_mm512_storeu_si512(to.as_mut_ptr().cast(), pairs))
    }

    /// Four chains: one alone would wait four cycles for each product.
    #[inline(always)]
    fn dot_run(self, w: &[WeightQuads], x: &[Quad]) -> __m512i {
        let mut acc = [self.dot_zero(); 4];
        let ((w_fours, w_rest), (x_fours, x_rest)) = (w.as_chunks::<4>(), x.as_chunks::<4>());
        for (w, x) in w_fours.iter().zip(x_fours) {
            for (i, acc) in acc.iter_mut().enumerate() {
                *acc = self.dot(*acc, &w[i], x[i]);
            }
        }
        for (i, (w, &x)) in w_rest.iter().zip(x_rest).enumerate() {
            acc[i] = self.dot(acc[i], w, x);
        }
        self.add(self.add(acc[0], acc[1]), self.add(acc[2], acc[3]))
    }

    #[inline(always)]
    fn matrix<const R: usize>(
        self,
        w: &[WeightQuads],
        depth: usize,
        x: &[[Quad; R]],
        each: impl FnMut(usize, &[[i32; LANES]; R]),
    ) {
        if let (Some(amx), true) = (self.0, AMX) {
            amx.layer(w, depth, x, each);
        }
    }

    #[inline(always)]
    fn columns(self, rows: [__m512; FEW]) -> [[f32; FEW]; LANES] {
        // Quarters of a register stay where they are: `fours[l]` has lanes l, 4 + l, 8 + l and 12 + l of the four rows.
        let fours = instruction!({
            let [a, b, c, d] = rows;
            let low = (_mm512_castps_pd(_mm512_unpacklo_ps(a, b)), _mm512_castps_pd(_mm512_unpacklo_ps(c, d)));
            let high = (_mm512_castps_pd(_mm512_unpackhi_ps(a, b)), _mm512_castps_pd(_mm512_unpackhi_ps(c, d)));
            [
                _mm512_unpacklo_pd(low.0, low.1),
                _mm512_unpackhi_pd(low.0, low.1),
                _mm512_unpacklo_pd(high.0, high.1),
                _mm512_unpackhi_pd(high.0, high.1),
            ]
        });
        let mut columns = [[0.0; FEW]; LANES];
        for (l, four) in fours.into_iter().enumerate() {
            instruction!({
                let four = _mm512_castpd_ps(four);
                _mm_storeu_ps(columns[l].as_mut_ptr(), _mm512_extractf32x4_ps::<0>(four));
                _mm_storeu_ps(columns[4 + l].as_mut_ptr(), _mm512_extractf32x4_ps::<1>(four));
                _mm_storeu_ps(columns[8 + l].as_mut_ptr(), _mm512_extractf32x4_ps::<2>(four));
                _mm_storeu_ps(columns[12 + l].as_mut_ptr(), _mm512_extractf32x4_ps::<3>(four));
            });
        }
        columns
    }

    operations! { self =>
        store(lanes: __m512i) -> [i32; LANES] = {
            let mut values = [0; LANES];
            instruction!(_mm512_storeu_si512(values.as_mut_ptr().cast(), lanes));
            values
        };
        bytes(a: __m512i) -> [u8; LANES] = {
            let mut values = [0; LANES];
            instruction!(_mm_storeu_si128(values.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(a)));
            values
        };
        pairs(a: &[i8; LANES], b: &[i8; LANES]) -> __m512i = {
            let (a, b) = (self.widen_i8(a), self.widen_i8(b));
            instruction!(_mm512_mask_blend_epi16(0xAAAA_AAAA, a, _mm512_slli_epi32::<16>(b)))
        };
        store_f32(lanes: __m512) -> [f32; LANES] = {
            let mut values = [0.0; LANES];
            instruction!(_mm512_storeu_ps(values.as_mut_ptr(), lanes));
            values
        };
        dot_pairs(acc: __m512i, pairs: __m512i, r: [i16; 2]) -> __m512i =
            instruction!(_mm512_dpwssd_epi32(acc, pairs, _mm512_set1_epi32(both(r))));
        dot_zero() -> __m512i = instruction!(_mm512_setzero_si512());
        dot(acc: __m512i, w: &WeightQuads, x: Quad) -> __m512i = instruction!({
            let w = _mm512_loadu_si512(w.as_ptr().cast());
            _mm512_dpbusd_epi32(acc, _mm512_set1_epi32(i32::from_ne_bytes(x)), w)
        });
        splat(value: i32) -> __m512i = instruction!(_mm512_set1_epi32(value));
        load(values: &[i32; LANES]) -> __m512i = instruction!(_mm512_loadu_si512(values.as_ptr().cast()));
        widen_i8(values: &[i8; LANES]) -> __m512i =
            instruction!(_mm512_cvtepi8_epi32(_mm_loadu_si128(values.as_ptr().cast())));
        widen_i16(values: &[i16; LANES]) -> __m512i =
            instruction!(_mm512_cvtepi16_epi32(_mm256_loadu_si256(values.as_ptr().cast())));
        add(a: __m512i, b: __m512i) -> __m512i = instruction!(_mm512_add_epi32(a, b));
        mul(a: __m512i, b: __m512i) -> __m512i = instruction!(_mm512_mullo_epi32(a, b));
        clamp(a: __m512i, least: i32, most: i32) -> __m512i =
            instruction!(_mm512_min_epi32(_mm512_max_epi32(a, _mm512_set1_epi32(least)), _mm512_set1_epi32(most)));
        load_pairs(from: &[i16; 2 * LANES]) -> __m512i = instruction!(_mm512_loadu_si512(from.as_ptr().cast()));
        first_of(pairs: __m512i) -> __m512i = instruction!(_mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs)));
        second_of(pairs: __m512i) -> __m512i = instruction!(_mm512_srai_epi32::<16>(pairs));
        dot_sum(acc: __m512i) -> __m512i = acc;
        splat_f32(value: f32) -> __m512 = instruction!(_mm512_set1_ps(value));
        load_f32(values: &[f32; LANES]) -> __m512 = instruction!(_mm512_loadu_ps(values.as_ptr()));
        add_f32(a: __m512, b: __m512) -> __m512 = instruction!(_mm512_add_ps(a, b));
        mul_f32(a: __m512, b: __m512) -> __m512 = instruction!(_mm512_mul_ps(a, b));
        mul_add_f32(a: __m512, b: __m512, c: __m512) -> __m512 = instruction!(_mm512_fmadd_ps(a, b, c));
        // `maxps` gives its second operand where one is not a number.
        at_least(a: __m512, least: f32) -> __m512 = instruction!(_mm512_max_ps(_mm512_set1_ps(least), a));
        max_f32(a: __m512, b: __m512) -> __m512 = instruction!(_mm512_max_ps(a, b));
        min_f32(a: __m512, b: __m512) -> __m512 = instruction!(_mm512_min_ps(a, b));
        to_f32(a: __m512i) -> __m512 = instruction!(_mm512_cvtepi32_ps(a));
        truncate(a: __m512) -> __m512i = instruction!(_mm512_cvttps_epi32(a));
    }
}

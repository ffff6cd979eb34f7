//! x86-64 with AVX2 and FMA, with VNNI or without: sixteen lanes in two registers.

#![allow(unsafe_code, reason = "the instructions of one CPU extension")]

use core::arch::x86_64::*;

use super::vector::{FEW, LANES, Quad, Task, Vector, WeightQuads, both};

/// Exists only where the CPU has AVX2 and FMA, and AVX-VNNI too where `VNNI` says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2<const VNNI: bool>(());

impl<const VNNI: bool> Avx2<VNNI> {
    pub(crate) fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let (avx2, vnni) = (
            std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma"),
            std::is_x86_feature_detected!("avxvnni"),
        );
        #[cfg(not(feature = "std"))]
        let (avx2, vnni) =
            (cfg!(all(target_feature = "avx2", target_feature = "fma")), cfg!(target_feature = "avxvnni"));
        (avx2 && (vnni || !VNNI)).then_some(Avx2(()))
    }
}

#[target_feature(enable = "avx2,fma")]
fn run<T: Task>(v: Avx2<false>, task: T) -> T::Output {
    task.run(v)
}

#[target_feature(enable = "avx2,fma,avxvnni")]
fn run_vnni<T: Task>(v: Avx2<true>, task: T) -> T::Output {
    task.run(v)
}

/// `requantize` of eight lanes.
macro_rules! requantize {
    ($acc:expr, $multiplier:expr) => {{
        let (acc, multiplier) = ($acc, $multiplier);
        let half = _mm256_set1_epi64x(1 << 31);
        let even = _mm256_add_epi64(_mm256_mul_epi32(acc, multiplier), half);
        let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(acc), _mm256_srli_epi64::<32>(multiplier));
        let odd = _mm256_add_epi64(odd, half);
        _mm256_blend_epi32::<0xAA>(_mm256_srli_epi64::<32>(even), odd)
    }};
}

impl<const VNNI: bool> Vector for Avx2<VNNI> {
    type I32 = [__m256i; 2];
    type F32 = [__m256; 2];
    /// With VNNI, eight outputs in each of the first two; without it, four outputs in each, two sums of each output.
    type Dot = [__m256i; 4];
    type Reals = Avx2<false>;
    type Pairs = [__m256i; 2];

    const UNSIGNED: bool = VNNI;
    const REGISTER_TILE: (usize, usize) = if VNNI { (4, 1) } else { (2, 1) };

    #[inline]
    fn run<T: Task>(self, task: T) -> T::Output {
        if VNNI { instruction!(run_vnni(Avx2(()), task)) } else { instruction!(run(Avx2(()), task)) }
    }

    #[inline(always)]
    fn reals(self) -> Avx2<false> {
        Avx2(())
    }

    #[inline(always)]
    fn prefetch<T>(self, numbers: &[T]) {
        instruction!(_mm_prefetch::<_MM_HINT_T0>(numbers.as_ptr().cast()))
    }

    #[inline(always)]
    fn bytes(self, a: Self::I32) -> [u8; LANES] {
        let mut values = [0; LANES];
        instruction!({
            // The low byte of each lane to the first four bytes of each half, then these side by side.
            let low = _mm256_set1_epi32(0xFF);
            let words = _mm256_packus_epi32(_mm256_and_si256(a[0], low), _mm256_and_si256(a[1], low));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(values.as_mut_ptr().cast(), bytes);
        });
        values
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::Pairs, to: &mut [i16; 2 * LANES]) {
        let (halves, _) = to.as_chunks_mut::<LANES>();
        instruction!({
            _mm256_storeu_si256(halves[0].as_mut_ptr().cast(), pairs[0]);
            _mm256_storeu_si256(halves[1].as_mut_ptr().cast(), pairs[1]);
        })
    }

    #[inline(always)]
    fn dot(self, acc: Self::Dot, w: &WeightQuads, x: Quad) -> Self::Dot {
        if VNNI {
            let (w, _) = w.as_chunks::<32>();
            return instruction!({
                let x = _mm256_set1_epi32(i32::from_ne_bytes(x));
                [
                    _mm256_dpbusd_avx_epi32(acc[0], x, _mm256_loadu_si256(w[0].as_ptr().cast())),
                    _mm256_dpbusd_avx_epi32(acc[1], x, _mm256_loadu_si256(w[1].as_ptr().cast())),
                    acc[2],
                    acc[3],
                ]
            });
        }
        // `vpmaddubsw` would saturate: both sides are widened to i16 instead, and products of neighbours are added.
        let (w, _) = w.as_chunks::<16>();
        instruction!({
            let x = _mm256_cvtepi8_epi16(_mm_set1_epi32(i32::from_ne_bytes(x)));
            let mut sums = acc;
            for (sum, w) in sums.iter_mut().zip(w) {
                let w = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.as_ptr().cast()));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(w, x));
            }
            sums
        })
    }

    #[inline(always)]
    fn dot_sum(self, acc: Self::Dot) -> Self::I32 {
        if VNNI {
            return [acc[0], acc[1]];
        }
        instruction!({
            // `hadd` works within halves of 128 bits: outputs 0 1 4 5 | 2 3 6 7.
            let first = _mm256_hadd_epi32(acc[0], acc[1]);
            let second = _mm256_hadd_epi32(acc[2], acc[3]);
            [_mm256_permute4x64_epi64::<0b11_01_10_00>(first), _mm256_permute4x64_epi64::<0b11_01_10_00>(second)]
        })
    }

    #[inline(always)]
    fn columns(self, rows: [Self::F32; FEW]) -> [[f32; FEW]; LANES] {
        let mut columns = [[0.0; FEW]; LANES];
        let [a, b, c, d] = rows;
        for (half, columns) in columns.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // Quarters of a row stay where they are: `fours[l]` has lanes l and 4 + l of the four rows.
            let fours = instruction!({
                let (a, b, c, d) = (a[half], b[half], c[half], d[half]);
                let low = (_mm256_castps_pd(_mm256_unpacklo_ps(a, b)), _mm256_castps_pd(_mm256_unpacklo_ps(c, d)));
                let high = (_mm256_castps_pd(_mm256_unpackhi_ps(a, b)), _mm256_castps_pd(_mm256_unpackhi_ps(c, d)));
                [
                    _mm256_unpacklo_pd(low.0, low.1),
                    _mm256_unpackhi_pd(low.0, low.1),
                    _mm256_unpacklo_pd(high.0, high.1),
                    _mm256_unpackhi_pd(high.0, high.1),
                ]
            });
            for (l, four) in fours.into_iter().enumerate() {
                instruction!({
                    let four = _mm256_castpd_ps(four);
                    _mm_storeu_ps(columns[l].as_mut_ptr(), _mm256_castps256_ps128(four));
                    _mm_storeu_ps(columns[4 + l].as_mut_ptr(), _mm256_extractf128_ps::<1>(four));
                });
            }
        }
        columns
    }

    loads! { [0 1] =>
        load([i32; LANES], 8) -> Self::I32 = at => _mm256_loadu_si256(at);
        widen_i16([i16; LANES], 8) -> Self::I32 = at => _mm256_cvtepi16_epi32(_mm_loadu_si128(at));
        load_pairs([i16; 2 * LANES], 16) -> Self::Pairs = at => _mm256_loadu_si256(at);
        load_f32([f32; LANES], 8) -> Self::F32 = at => _mm256_loadu_ps(at);
    }

    stores! { [0 1] =>
        store(Self::I32) -> [i32; LANES], 8 = _mm256_storeu_si256;
        store_f32(Self::F32) -> [f32; LANES], 8 = _mm256_storeu_ps;
    }

    operations! { self =>
        pairs(a: &[i8; LANES], b: &[i8; LANES]) -> Self::Pairs = {
            let (a, b) = (self.widen_i8(a), self.widen_i8(b));
            each!(i in [0 1] => _mm256_blend_epi16::<0xAA>(a[i], _mm256_slli_epi32::<16>(b[i])))
        };
        splat(value: i32) -> Self::I32 = instruction!([_mm256_set1_epi32(value); 2]);
        widen_i8(values: &[i8; LANES]) -> Self::I32 = instruction!({
            let all = _mm_loadu_si128(values.as_ptr().cast());
            [_mm256_cvtepi8_epi32(all), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(all, all))]
        });
        dot_pairs(acc: Self::I32, pairs: Self::Pairs, r: [i16; 2]) -> Self::I32 =
            each!(i in [0 1] => _mm256_add_epi32(acc[i], _mm256_madd_epi16(pairs[i], _mm256_set1_epi32(both(r)))));
        dot_zero() -> Self::Dot = instruction!([_mm256_setzero_si256(); 4]);
        splat_f32(value: f32) -> Self::F32 = instruction!([_mm256_set1_ps(value); 2]);
        add(a: Self::I32, b: Self::I32) -> Self::I32 = each!(i in [0 1] => _mm256_add_epi32(a[i], b[i]));
        mul(a: Self::I32, b: Self::I32) -> Self::I32 = each!(i in [0 1] => _mm256_mullo_epi32(a[i], b[i]));
        requantize(acc: Self::I32, multiplier: Self::I32) -> Self::I32 =
            each!(i in [0 1] => requantize!(acc[i], multiplier[i]));
        clamp(a: Self::I32, least: i32, most: i32) -> Self::I32 =
            each!(i in [0 1] =>
                _mm256_min_epi32(_mm256_max_epi32(a[i], _mm256_set1_epi32(least)), _mm256_set1_epi32(most)));
        first_of(pairs: Self::Pairs) -> Self::I32 =
            each!(i in [0 1] => _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs[i])));
        second_of(pairs: Self::Pairs) -> Self::I32 = each!(i in [0 1] => _mm256_srai_epi32::<16>(pairs[i]));
        add_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i in [0 1] => _mm256_add_ps(a[i], b[i]));
        mul_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i in [0 1] => _mm256_mul_ps(a[i], b[i]));
        mul_add_f32(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 =
            each!(i in [0 1] => _mm256_fmadd_ps(a[i], b[i], c[i]));
        // `maxps` gives its second operand where one is not a number.
        at_least(a: Self::F32, least: f32) -> Self::F32 =
            each!(i in [0 1] => _mm256_max_ps(_mm256_set1_ps(least), a[i]));
        max_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i in [0 1] => _mm256_max_ps(a[i], b[i]));
        min_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i in [0 1] => _mm256_min_ps(a[i], b[i]));
        to_f32(a: Self::I32) -> Self::F32 = each!(i in [0 1] => _mm256_cvtepi32_ps(a[i]));
        truncate(a: Self::F32) -> Self::I32 = each!(i in [0 1] => _mm256_cvttps_epi32(a[i]));
    }
}

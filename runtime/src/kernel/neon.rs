//! AArch64 NEON: sixteen lanes in four registers. Three levels: plain, with `sdot`, and with `smmla` for rows in
//! groups.
//!
//! `sdot` and `smmla` are written as `asm!`, each in a module: their intrinsics are not stable. The compiler cannot
//! schedule around an `asm!` of one instruction, and each costs the moves to its operands: the loops are therefore
//! inside.

#![allow(unsafe_code, reason = "the instructions of one CPU extension")]

use core::arch::aarch64::*;
use core::arch::asm;

use super::vector::{self, LANES, Quad, Task, Vector, WeightQuads, both};

/// An instruction of the extension. SAFETY, once for all uses: the token `self` proves that the CPU has it, and it
/// touches no memory but that of the references it is given.
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: see the macro.
        unsafe { $call }
    };
}

/// No more than every AArch64 CPU has.
pub(crate) const BASE: u8 = 0;
/// With `sdot`: four products for each of four sums.
pub(crate) const DOTPROD: u8 = 1;
/// With `smmla` too: eight products for each of two by two sums.
pub(crate) const I8MM: u8 = 2;

/// Exists only where the CPU has NEON, the dot product from [`DOTPROD`] on, and i8mm at [`I8MM`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon<const LEVEL: u8>(());

impl<const LEVEL: u8> Neon<LEVEL> {
    pub(crate) fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let (neon, dotprod, i8mm) = (
            std::arch::is_aarch64_feature_detected!("neon"),
            std::arch::is_aarch64_feature_detected!("dotprod"),
            std::arch::is_aarch64_feature_detected!("i8mm"),
        );
        #[cfg(not(feature = "std"))]
        let (neon, dotprod, i8mm) =
            (cfg!(target_feature = "neon"), cfg!(target_feature = "dotprod"), cfg!(target_feature = "i8mm"));
        (neon && (dotprod || LEVEL < DOTPROD) && (i8mm || LEVEL < I8MM)).then_some(Neon(()))
    }
}

#[target_feature(enable = "neon")]
fn run<T: Task>(v: Neon<BASE>, task: T) -> T::Output {
    task.run(v)
}

#[target_feature(enable = "neon,dotprod")]
fn run_dotprod<T: Task>(v: Neon<DOTPROD>, task: T) -> T::Output {
    task.run(v)
}

#[target_feature(enable = "neon,dotprod,i8mm")]
fn run_i8mm<T: Task>(v: Neon<I8MM>, task: T) -> T::Output {
    task.run(v)
}

/// The sums of a tile's sixteen outputs for four rows.
type FourRows = [[int32x4_t; 4]; 4];

// Behind the macros, which they use.
mod sdot;
mod smmla;

impl<const LEVEL: u8> Vector for Neon<LEVEL> {
    type I32 = [int32x4_t; 4];
    type F32 = [float32x4_t; 4];
    /// From [`DOTPROD`] on, four outputs in each of the first four; before, two outputs in each, two sums of each
    /// output.
    type Dot = [int32x4_t; 8];
    type Reals = Neon<BASE>;
    /// All of a, then all of b.
    type Pairs = [int16x8_t; 4];

    const UNSIGNED: bool = false;
    const REGISTER_TILE: (usize, usize) = if LEVEL == BASE { (2, 1) } else { (4, 1) };

    #[inline]
    fn run<T: Task>(self, task: T) -> T::Output {
        match LEVEL {
            BASE => instruction!(run(Neon(()), task)),
            DOTPROD => instruction!(run_dotprod(Neon(()), task)),
            _ => instruction!(run_i8mm(Neon(()), task)),
        }
    }

    #[inline(always)]
    fn reals(self) -> Neon<BASE> {
        Neon(())
    }

    #[inline(always)]
    fn prefetch<T>(self, numbers: &[T]) {
        // The intrinsic is not stable.
        instruction!(asm!(
            "prfm pldl1keep, [{at}]",
            at = in(reg) numbers.as_ptr(),
            options(readonly, nostack, preserves_flags),
        ))
    }

    #[inline(always)]
    fn requantize(self, acc: Self::I32, multiplier: Self::I32) -> Self::I32 {
        // A shift with rounding is the rule itself.
        each!(i => {
            let low = vmull_s32(vget_low_s32(acc[i]), vget_low_s32(multiplier[i]));
            let high = vmull_high_s32(acc[i], multiplier[i]);
            vrshrn_high_n_s64::<32>(vrshrn_n_s64::<32>(low), high)
        })
    }

    #[inline(always)]
    fn bytes(self, a: Self::I32) -> [u8; LANES] {
        let mut values = [0; LANES];
        let a = each!(i => vreinterpretq_u16_s32(a[i]));
        instruction!({
            let (low, high) = (vuzp1q_u16(a[0], a[1]), vuzp1q_u16(a[2], a[3]));
            vst1q_u8(values.as_mut_ptr(), vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)));
        });
        values
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::Pairs, to: &mut [i16; 2 * LANES]) {
        let (halves, _) = to.as_chunks_mut::<LANES>();
        instruction!({
            vst2q_s16(halves[0].as_mut_ptr(), int16x8x2_t(pairs[0], pairs[2]));
            vst2q_s16(halves[1].as_mut_ptr(), int16x8x2_t(pairs[1], pairs[3]));
        })
    }

    #[inline(always)]
    fn load_pairs(self, from: &[i16; 2 * LANES]) -> Self::Pairs {
        let (halves, _) = from.as_chunks::<LANES>();
        instruction!({
            let (low, high) = (vld2q_s16(halves[0].as_ptr()), vld2q_s16(halves[1].as_ptr()));
            [low.0, high.0, low.1, high.1]
        })
    }

    #[inline(always)]
    fn dot(self, acc: Self::Dot, w: &WeightQuads, x: Quad) -> Self::Dot {
        let [a, b, c, d, e, f, g, h] = acc;
        if LEVEL >= DOTPROD {
            let [a, b, c, d] = Neon(()).sdot([a, b, c, d], w, x);
            return [a, b, c, d, e, f, g, h];
        }
        // A product has at most 128 * 128 and fits an i16, two do not: they are added two by two to 32 bits.
        let (w, _) = w.as_chunks::<16>();
        let mut sums = acc;
        instruction!({
            let mut x = vreinterpretq_s8_s32(vdupq_n_s32(i32::from_ne_bytes(x)));
            // Nothing; but a compiler that knows both halves to be equal multiplies by the low one, after moving the
            // high half of `w` down.
            asm!("/* {x:v} */", x = inout(vreg) x, options(pure, nomem, nostack, preserves_flags));
            for (two, w) in sums.as_chunks_mut::<2>().0.iter_mut().zip(w) {
                let w = vld1q_s8(w.as_ptr());
                two[0] = vpadalq_s16(two[0], vmull_s8(vget_low_s8(w), vget_low_s8(x)));
                two[1] = vpadalq_s16(two[1], vmull_high_s8(w, x));
            }
        });
        sums
    }

    #[inline(always)]
    fn dot_sum(self, acc: Self::Dot) -> Self::I32 {
        if LEVEL >= DOTPROD {
            [acc[0], acc[1], acc[2], acc[3]]
        } else {
            each!(i => vpaddq_s32(acc[2 * i], acc[2 * i + 1]))
        }
    }

    #[inline(always)]
    fn dot_rows<const R: usize, const FIRST: usize, const N: usize>(
        self,
        w: &[WeightQuads],
        x: &[[Quad; R]],
    ) -> [Self::Dot; N] {
        let mut acc = [self.dot_zero(); N];
        let (mut w_rest, mut x_rest) = (w, x);
        if LEVEL >= DOTPROD && N == 4 && FIRST + 4 <= R {
            let (w_twos, x_twos);
            ((w_twos, w_rest), (x_twos, x_rest)) = (w.as_chunks::<2>(), x.as_chunks::<2>());
            let sums = if LEVEL == I8MM {
                Neon(()).rows_of_smmla::<R, FIRST>(w_twos, x_twos)
            } else {
                Neon(()).rows_of_sdot::<R, FIRST>(w_twos, x_twos)
            };
            for (acc, sums) in acc.iter_mut().zip(sums) {
                acc[..4].copy_from_slice(&sums);
            }
        }
        vector::dot_rows(self, acc, w_rest, x_rest, FIRST)
    }

    loads! { [0 1 2 3] =>
        load([i32; LANES], 4) -> Self::I32 = at => vld1q_s32(at);
        widen_i16([i16; LANES], 4) -> Self::I32 = at => vmovl_s16(vld1_s16(at));
        load_f32([f32; LANES], 4) -> Self::F32 = at => vld1q_f32(at);
    }

    stores! { [0 1 2 3] =>
        store(Self::I32) -> [i32; LANES], 4 = vst1q_s32;
        store_f32(Self::F32) -> [f32; LANES], 4 = vst1q_f32;
    }

    operations! { self =>
        dot_run(w: &[WeightQuads], x: &[Quad]) -> Self::I32 = {
            if LEVEL >= DOTPROD {
                return Neon(()).run_of_sdot(w, x);
            }
            vector::dot_run(self, w, x)
        };
        splat(value: i32) -> Self::I32 = instruction!([vdupq_n_s32(value); 4]);
        widen_i8(values: &[i8; LANES]) -> Self::I32 = instruction!({
            let all = vld1q_s8(values.as_ptr());
            let (low, high) = (vmovl_s8(vget_low_s8(all)), vmovl_high_s8(all));
            [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
        });
        pairs(a: &[i8; LANES], b: &[i8; LANES]) -> Self::Pairs = instruction!({
            let (a, b) = (vld1q_s8(a.as_ptr()), vld1q_s8(b.as_ptr()));
            [vmovl_s8(vget_low_s8(a)), vmovl_high_s8(a), vmovl_s8(vget_low_s8(b)), vmovl_high_s8(b)]
        });
        dot_pairs(acc: Self::I32, pairs: Self::Pairs, r: [i16; 2]) -> Self::I32 = instruction!({
            let r = vreinterpret_s16_s32(vdup_n_s32(both(r)));
            let sums = [
                vmlal_lane_s16::<0>(acc[0], vget_low_s16(pairs[0]), r),
                vmlal_high_lane_s16::<0>(acc[1], pairs[0], r),
                vmlal_lane_s16::<0>(acc[2], vget_low_s16(pairs[1]), r),
                vmlal_high_lane_s16::<0>(acc[3], pairs[1], r),
            ];
            [
                vmlal_lane_s16::<1>(sums[0], vget_low_s16(pairs[2]), r),
                vmlal_high_lane_s16::<1>(sums[1], pairs[2], r),
                vmlal_lane_s16::<1>(sums[2], vget_low_s16(pairs[3]), r),
                vmlal_high_lane_s16::<1>(sums[3], pairs[3], r),
            ]
        });
        first_of(pairs: Self::Pairs) -> Self::I32 = instruction!([
            vmovl_s16(vget_low_s16(pairs[0])),
            vmovl_high_s16(pairs[0]),
            vmovl_s16(vget_low_s16(pairs[1])),
            vmovl_high_s16(pairs[1]),
        ]);
        second_of(pairs: Self::Pairs) -> Self::I32 = instruction!([
            vmovl_s16(vget_low_s16(pairs[2])),
            vmovl_high_s16(pairs[2]),
            vmovl_s16(vget_low_s16(pairs[3])),
            vmovl_high_s16(pairs[3]),
        ]);
        dot_zero() -> Self::Dot = instruction!([vdupq_n_s32(0); 8]);
        splat_f32(value: f32) -> Self::F32 = instruction!([vdupq_n_f32(value); 4]);
        add(a: Self::I32, b: Self::I32) -> Self::I32 = each!(i => vaddq_s32(a[i], b[i]));
        mul(a: Self::I32, b: Self::I32) -> Self::I32 = each!(i => vmulq_s32(a[i], b[i]));
        clamp(a: Self::I32, least: i32, most: i32) -> Self::I32 =
            each!(i => vminq_s32(vmaxq_s32(a[i], vdupq_n_s32(least)), vdupq_n_s32(most)));
        add_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => vaddq_f32(a[i], b[i]));
        mul_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => vmulq_f32(a[i], b[i]));
        mul_add_f32(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 = each!(i => vfmaq_f32(c[i], a[i], b[i]));
        // `fmax` gives what is not a number where either is not.
        at_least(a: Self::F32, least: f32) -> Self::F32 = each!(i => vmaxq_f32(a[i], vdupq_n_f32(least)));
        max_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => vmaxq_f32(a[i], b[i]));
        min_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => vminq_f32(a[i], b[i]));
        to_f32(a: Self::I32) -> Self::F32 = each!(i => vcvtq_f32_s32(a[i]));
        truncate(a: Self::F32) -> Self::I32 = each!(i => vcvtq_s32_f32(a[i]));
    }
}

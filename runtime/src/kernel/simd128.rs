//! WebAssembly with SIMD128: sixteen lanes in four registers. Nobody can ask for it while a module runs: a module that
//! has one such instruction is refused whole where there are none. So this back end is in programs that were compiled
//! with `-C target-feature=+simd128`, and in no others.

#![allow(unsafe_code, reason = "the instructions of one CPU extension")]
#![allow(unused_unsafe, reason = "most instructions are safe here; the macros are those of CPUs where none is")]

use core::arch::wasm32::*;

use super::vector::{LANES, Quad, Task, Vector, WeightQuads, both};

/// An instruction of the extension. SAFETY, once for all uses: it touches no memory but that of the references it is
/// given, and an engine that lacks the instruction has refused the module.
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: see the macro.
        unsafe { $call }
    };
}

/// Exists only in programs that were compiled for SIMD128.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simd128(());

impl Simd128 {
    pub(crate) const ALWAYS: Self = Simd128(());

    pub(crate) fn new() -> Option<Self> {
        Some(Self::ALWAYS)
    }

    /// Eight i8 as i16.
    #[inline(always)]
    fn eight(self, from: &[i8; 8]) -> v128 {
        instruction!(i16x8_load_extend_i8x8(from.as_ptr()))
    }

    /// Four inputs twice, as i16.
    #[inline(always)]
    fn inputs(self, x: Quad) -> v128 {
        instruction!(i16x8_extend_low_i8x16(i32x4_splat(i32::from_ne_bytes(x))))
    }
}

/// Out of line: a task of a task is in the module once.
#[inline(never)]
fn run<T: Task>(v: Simd128, task: T) -> T::Output {
    task.run(v)
}

impl Vector for Simd128 {
    type I32 = [v128; 4];
    type F32 = [v128; 4];
    /// Two outputs in each, two sums of each output.
    type Dot = [v128; 8];
    type Reals = Self;
    type Pairs = [v128; 4];

    /// With layers of 64 groups are a tenth faster in int8 mode, and no faster elsewhere; they would be a third of a
    /// module, which a page loads.
    const GROUPED: bool = false;
    const UNSIGNED: bool = false;
    const REGISTER_TILE: (usize, usize) = (1, 1);

    #[inline]
    fn run<T: Task>(self, task: T) -> T::Output {
        run(self, task)
    }

    // Inside of what calls them: a page has rows alone, and none of what layers do for items.
    #[inline(always)]
    fn run_layers<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }

    #[inline(always)]
    fn reals(self) -> Self {
        self
    }

    #[inline(always)]
    fn bytes(self, a: Self::I32) -> [u8; LANES] {
        let mut values = [0; LANES];
        let low = each!(i => v128_and(a[i], u32x4_splat(0xFF)));
        instruction!({
            let (first, second) = (i16x8_narrow_i32x4(low[0], low[1]), i16x8_narrow_i32x4(low[2], low[3]));
            v128_store(values.as_mut_ptr().cast(), u8x16_narrow_i16x8(first, second));
        });
        values
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::Pairs, to: &mut [i16; 2 * LANES]) {
        let (quarters, _) = to.as_chunks_mut::<8>();
        for (quarter, pairs) in quarters.iter_mut().zip(pairs) {
            instruction!(v128_store(quarter.as_mut_ptr().cast(), pairs));
        }
    }

    #[inline(always)]
    fn dot(self, acc: Self::Dot, w: &WeightQuads, x: Quad) -> Self::Dot {
        // Both sides widened to i16, products of neighbours added.
        let (w, _) = w.as_chunks::<8>();
        let x = self.inputs(x);
        let mut sums = acc;
        for (sum, w) in sums.iter_mut().zip(w) {
            *sum = instruction!(i32x4_add(*sum, i32x4_dot_i16x8(self.eight(w), x)));
        }
        sums
    }

    loads! { [0 1 2 3] =>
        load([i32; LANES], 4) -> Self::I32 = at => v128_load(at);
        widen_i16([i16; LANES], 4) -> Self::I32 = at => i32x4_load_extend_i16x4(at);
        load_pairs([i16; 2 * LANES], 8) -> Self::Pairs = at => v128_load(at);
        load_f32([f32; LANES], 4) -> Self::F32 = at => v128_load(at);
    }

    stores! { [0 1 2 3] =>
        store(Self::I32) -> [i32; LANES], 4 = v128_store;
        store_f32(Self::F32) -> [f32; LANES], 4 = v128_store;
    }

    operations! { self =>
        pairs(a: &[i8; LANES], b: &[i8; LANES]) -> Self::Pairs = {
            let (a, b) = (a.as_chunks().0, b.as_chunks().0);
            let (a0, a1, b0, b1) = (self.eight(&a[0]), self.eight(&a[1]), self.eight(&b[0]), self.eight(&b[1]));
            [
                i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a0, b0),
                i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a0, b0),
                i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a1, b1),
                i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a1, b1),
            ]
        };
        widen_i8(values: &[i8; LANES]) -> Self::I32 = {
            let (halves, _) = values.as_chunks();
            let (low, high) = (self.eight(&halves[0]), self.eight(&halves[1]));
            [
                i32x4_extend_low_i16x8(low),
                i32x4_extend_high_i16x8(low),
                i32x4_extend_low_i16x8(high),
                i32x4_extend_high_i16x8(high),
            ]
        };
        splat(value: i32) -> Self::I32 = [i32x4_splat(value); 4];
        requantize(acc: Self::I32, multiplier: Self::I32) -> Self::I32 = each!(i => {
            let half = i64x2_splat(1 << 31);
            let low = i64x2_add(i64x2_extmul_low_i32x4(acc[i], multiplier[i]), half);
            let high = i64x2_add(i64x2_extmul_high_i32x4(acc[i], multiplier[i]), half);
            i32x4_shuffle::<1, 3, 5, 7>(low, high)
        });
        dot_pairs(acc: Self::I32, pairs: Self::Pairs, r: [i16; 2]) -> Self::I32 =
            each!(i => i32x4_add(acc[i], i32x4_dot_i16x8(pairs[i], i32x4_splat(both(r)))));
        dot_zero() -> Self::Dot = [i32x4_splat(0); 8];
        splat_f32(value: f32) -> Self::F32 = [f32x4_splat(value); 4];
        add(a: Self::I32, b: Self::I32) -> Self::I32 = each!(i => i32x4_add(a[i], b[i]));
        mul(a: Self::I32, b: Self::I32) -> Self::I32 = each!(i => i32x4_mul(a[i], b[i]));
        clamp(a: Self::I32, least: i32, most: i32) -> Self::I32 =
            each!(i => i32x4_min(i32x4_max(a[i], i32x4_splat(least)), i32x4_splat(most)));
        first_of(pairs: Self::Pairs) -> Self::I32 = each!(i => i32x4_shr(i32x4_shl(pairs[i], 16), 16));
        second_of(pairs: Self::Pairs) -> Self::I32 = each!(i => i32x4_shr(pairs[i], 16));
        dot_sum(acc: Self::Dot) -> Self::I32 = each!(i => i32x4_add(
            i32x4_shuffle::<0, 2, 4, 6>(acc[2 * i], acc[2 * i + 1]),
            i32x4_shuffle::<1, 3, 5, 7>(acc[2 * i], acc[2 * i + 1]),
        ));
        add_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => f32x4_add(a[i], b[i]));
        mul_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => f32x4_mul(a[i], b[i]));
        mul_add_f32(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 =
            each!(i => f32x4_add(f32x4_mul(a[i], b[i]), c[i]));
        // `pmax` and `pmin` give their first operand where the second is not larger, or smaller.
        at_least(a: Self::F32, least: f32) -> Self::F32 = each!(i => f32x4_pmax(a[i], f32x4_splat(least)));
        max_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => f32x4_pmax(b[i], a[i]));
        min_f32(a: Self::F32, b: Self::F32) -> Self::F32 = each!(i => f32x4_pmin(b[i], a[i]));
        to_f32(a: Self::I32) -> Self::F32 = each!(i => f32x4_convert_i32x4(a[i]));
        truncate(a: Self::F32) -> Self::I32 = each!(i => i32x4_trunc_sat_f32x4(a[i]));
    }
}

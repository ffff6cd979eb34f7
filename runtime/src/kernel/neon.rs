//! AArch64 NEON: sixteen lanes in four registers. Three levels: plain, with `sdot`, and with `smmla` for rows in groups.
//!
//! `sdot` and `smmla` are written as `asm!`: their intrinsics are not stable. The compiler cannot schedule around an `asm!` of
//! one instruction, and each costs the moves to its operands: the loops are therefore inside.

#![allow(unsafe_code, reason = "the instructions of one CPU extension")]

use core::arch::aarch64::*;
use core::arch::asm;

use super::Task;
use super::vector::{LANES, Quad, Vector, WeightQuads};

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

/// An instruction of the extension. SAFETY, once for all uses: the token `self` proves that the CPU has it, and it touches no
/// memory but that of the references it is given.
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: see the macro.
        unsafe { $call }
    };
}

/// The same instruction for each of the four registers. Written out: `array::map` is not always inlined, and then the closure
/// is compiled without the extension.
macro_rules! each {
    ($i:ident => $call:expr) => {
        [each!($i = 0 => $call), each!($i = 1 => $call), each!($i = 2 => $call), each!($i = 3 => $call)]
    };
    ($i:ident = $n:literal => $call:expr) => {{
        let $i = $n;
        instruction!($call)
    }};
}

/// The low halves of two registers.
macro_rules! low_halves {
    ($a:expr, $b:expr) => {
        vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32($a), vreinterpretq_s64_s32($b)))
    };
}

/// The high halves of two registers.
macro_rules! high_halves {
    ($a:expr, $b:expr) => {
        vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32($a), vreinterpretq_s64_s32($b)))
    };
}

/// The sums of a tile's sixteen outputs for four rows.
type FourRows = [[int32x4_t; 4]; 4];

impl Neon<DOTPROD> {
    /// acc\[o\] += sum_d w\[o\]\[d\] x\[d\]
    #[inline(always)]
    fn sdot(self, mut acc: [int32x4_t; 4], w: &WeightQuads, x: Quad) -> [int32x4_t; 4] {
        let (w, _) = w.as_chunks::<16>();
        instruction!({
            let x = vreinterpretq_s8_s32(vdupq_n_s32(i32::from_ne_bytes(x)));
            let [a, b, c, d] = &mut acc;
            asm!(
                ".arch_extension dotprod",
                "sdot {a:v}.4s, {w0:v}.16b, {x:v}.16b",
                "sdot {b:v}.4s, {w1:v}.16b, {x:v}.16b",
                "sdot {c:v}.4s, {w2:v}.16b, {x:v}.16b",
                "sdot {d:v}.4s, {w3:v}.16b, {x:v}.16b",
                a = inout(vreg) *a, b = inout(vreg) *b, c = inout(vreg) *c, d = inout(vreg) *d,
                w0 = in(vreg) vld1q_s8(w[0].as_ptr()), w1 = in(vreg) vld1q_s8(w[1].as_ptr()),
                w2 = in(vreg) vld1q_s8(w[2].as_ptr()), w3 = in(vreg) vld1q_s8(w[3].as_ptr()),
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags),
            );
        });
        acc
    }

    /// w \[depth\], x \[depth\]: the sums of one tile for one row
    ///
    /// Four quads at a time, those beyond the last four one by one. Two chains for each sum: products of even and of odd quads.
    #[inline(always)]
    fn run_of_sdot(self, w: &[WeightQuads], x: &[Quad]) -> [int32x4_t; 4] {
        let depth = w.len().min(x.len());
        let zero = instruction!(vdupq_n_s32(0));
        let (mut even, mut odd) = ([zero; 4], [zero; 4]);
        let ([a, b, c, d], [e, f, g, h]) = (&mut even, &mut odd);
        // SAFETY: the token `self` proves that the CPU has `sdot`; 64 bytes of `w` and four of `x` are read for each of `depth`
        // quads, of which both slices have as many.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "cbz {fours}, 3f",
                "2:",
                "ldr {x:q}, [{xs}], #16",
                "ldp {w0:q}, {w1:q}, [{ws}]",
                "ldp {w2:q}, {w3:q}, [{ws}, #32]",
                "ldp {w4:q}, {w5:q}, [{ws}, #64]",
                "ldp {w6:q}, {w7:q}, [{ws}, #96]",
                "subs {fours}, {fours}, #1",
                "sdot {a:v}.4s, {w0:v}.16b, {x:v}.4b[0]",
                "sdot {b:v}.4s, {w1:v}.16b, {x:v}.4b[0]",
                "sdot {c:v}.4s, {w2:v}.16b, {x:v}.4b[0]",
                "sdot {d:v}.4s, {w3:v}.16b, {x:v}.4b[0]",
                "ldp {w0:q}, {w1:q}, [{ws}, #128]",
                "ldp {w2:q}, {w3:q}, [{ws}, #160]",
                "sdot {e:v}.4s, {w4:v}.16b, {x:v}.4b[1]",
                "sdot {f:v}.4s, {w5:v}.16b, {x:v}.4b[1]",
                "sdot {g:v}.4s, {w6:v}.16b, {x:v}.4b[1]",
                "sdot {h:v}.4s, {w7:v}.16b, {x:v}.4b[1]",
                "ldp {w6:q}, {w7:q}, [{ws}, #224]",
                "ldp {w4:q}, {w5:q}, [{ws}, #192]",
                "add {ws}, {ws}, #256",
                "sdot {a:v}.4s, {w0:v}.16b, {x:v}.4b[2]",
                "sdot {b:v}.4s, {w1:v}.16b, {x:v}.4b[2]",
                "sdot {c:v}.4s, {w2:v}.16b, {x:v}.4b[2]",
                "sdot {d:v}.4s, {w3:v}.16b, {x:v}.4b[2]",
                "sdot {e:v}.4s, {w4:v}.16b, {x:v}.4b[3]",
                "sdot {f:v}.4s, {w5:v}.16b, {x:v}.4b[3]",
                "sdot {g:v}.4s, {w6:v}.16b, {x:v}.4b[3]",
                "sdot {h:v}.4s, {w7:v}.16b, {x:v}.4b[3]",
                "b.ne 2b",
                "3:",
                "cbz {rest}, 5f",
                "4:",
                "ldr {x:s}, [{xs}], #4",
                "ldp {w2:q}, {w3:q}, [{ws}, #32]",
                "ldp {w0:q}, {w1:q}, [{ws}], #64",
                "subs {rest}, {rest}, #1",
                "sdot {a:v}.4s, {w0:v}.16b, {x:v}.4b[0]",
                "sdot {b:v}.4s, {w1:v}.16b, {x:v}.4b[0]",
                "sdot {c:v}.4s, {w2:v}.16b, {x:v}.4b[0]",
                "sdot {d:v}.4s, {w3:v}.16b, {x:v}.4b[0]",
                "b.ne 4b",
                "5:",
                a = inout(vreg) *a, b = inout(vreg) *b, c = inout(vreg) *c, d = inout(vreg) *d,
                e = inout(vreg) *e, f = inout(vreg) *f, g = inout(vreg) *g, h = inout(vreg) *h,
                ws = inout(reg) w.as_ptr() => _,
                xs = inout(reg) x.as_ptr() => _,
                fours = inout(reg) depth / 4 => _, rest = inout(reg) depth % 4 => _,
                x = out(vreg) _,
                w0 = out(vreg) _, w1 = out(vreg) _, w2 = out(vreg) _, w3 = out(vreg) _,
                w4 = out(vreg) _, w5 = out(vreg) _, w6 = out(vreg) _, w7 = out(vreg) _,
                options(pure, readonly, nostack),
            );
        }
        each!(i => vaddq_s32(even[i], odd[i]))
    }

    /// w \[2 pairs\], x \[2 pairs, R\]: the sums of one tile for rows FIRST to FIRST + 3
    #[inline(always)]
    fn rows_of_sdot<const R: usize, const FIRST: usize>(
        self,
        w: &[[WeightQuads; 2]],
        x: &[[[Quad; R]; 2]],
    ) -> FourRows {
        assert!(FIRST + 4 <= R, "four rows of those that there are");
        let pairs = w.len().min(x.len());
        let mut rows = [[instruction!(vdupq_n_s32(0)); 4]; 4];
        if pairs == 0 {
            return rows;
        }
        let [[a0, b0, c0, d0], [a1, b1, c1, d1], [a2, b2, c2, d2], [a3, b3, c3, d3]] = &mut rows;
        // SAFETY: the token `self` proves that the CPU has `sdot`; for each of `pairs`, of which both slices have as many, 128
        // bytes of `w` are read and, from row FIRST on, 16 bytes of both quads of `x`, which have R rows.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "2:",
                "ldr {x0:q}, [{xs}]",
                "ldp {w0:q}, {w1:q}, [{ws}]",
                "ldp {w2:q}, {w3:q}, [{ws}, #32]",
                "ldr {x1:q}, [{xs}, #{quad}]",
                "add {xs}, {xs}, #2 * {quad}",
                "subs {pairs}, {pairs}, #1",
                "sdot {a0:v}.4s, {w0:v}.16b, {x0:v}.4b[0]",
                "sdot {a1:v}.4s, {w0:v}.16b, {x0:v}.4b[1]",
                "sdot {a2:v}.4s, {w0:v}.16b, {x0:v}.4b[2]",
                "sdot {a3:v}.4s, {w0:v}.16b, {x0:v}.4b[3]",
                "ldp {w4:q}, {w5:q}, [{ws}, #64]",
                "sdot {b0:v}.4s, {w1:v}.16b, {x0:v}.4b[0]",
                "sdot {b1:v}.4s, {w1:v}.16b, {x0:v}.4b[1]",
                "sdot {b2:v}.4s, {w1:v}.16b, {x0:v}.4b[2]",
                "sdot {b3:v}.4s, {w1:v}.16b, {x0:v}.4b[3]",
                "ldp {w6:q}, {w7:q}, [{ws}, #96]",
                "sdot {c0:v}.4s, {w2:v}.16b, {x0:v}.4b[0]",
                "sdot {c1:v}.4s, {w2:v}.16b, {x0:v}.4b[1]",
                "sdot {c2:v}.4s, {w2:v}.16b, {x0:v}.4b[2]",
                "sdot {c3:v}.4s, {w2:v}.16b, {x0:v}.4b[3]",
                "add {ws}, {ws}, #128",
                "sdot {d0:v}.4s, {w3:v}.16b, {x0:v}.4b[0]",
                "sdot {d1:v}.4s, {w3:v}.16b, {x0:v}.4b[1]",
                "sdot {d2:v}.4s, {w3:v}.16b, {x0:v}.4b[2]",
                "sdot {d3:v}.4s, {w3:v}.16b, {x0:v}.4b[3]",
                "sdot {a0:v}.4s, {w4:v}.16b, {x1:v}.4b[0]",
                "sdot {a1:v}.4s, {w4:v}.16b, {x1:v}.4b[1]",
                "sdot {a2:v}.4s, {w4:v}.16b, {x1:v}.4b[2]",
                "sdot {a3:v}.4s, {w4:v}.16b, {x1:v}.4b[3]",
                "sdot {b0:v}.4s, {w5:v}.16b, {x1:v}.4b[0]",
                "sdot {b1:v}.4s, {w5:v}.16b, {x1:v}.4b[1]",
                "sdot {b2:v}.4s, {w5:v}.16b, {x1:v}.4b[2]",
                "sdot {b3:v}.4s, {w5:v}.16b, {x1:v}.4b[3]",
                "sdot {c0:v}.4s, {w6:v}.16b, {x1:v}.4b[0]",
                "sdot {c1:v}.4s, {w6:v}.16b, {x1:v}.4b[1]",
                "sdot {c2:v}.4s, {w6:v}.16b, {x1:v}.4b[2]",
                "sdot {c3:v}.4s, {w6:v}.16b, {x1:v}.4b[3]",
                "sdot {d0:v}.4s, {w7:v}.16b, {x1:v}.4b[0]",
                "sdot {d1:v}.4s, {w7:v}.16b, {x1:v}.4b[1]",
                "sdot {d2:v}.4s, {w7:v}.16b, {x1:v}.4b[2]",
                "sdot {d3:v}.4s, {w7:v}.16b, {x1:v}.4b[3]",
                "b.ne 2b",
                a0 = inout(vreg) *a0, b0 = inout(vreg) *b0, c0 = inout(vreg) *c0, d0 = inout(vreg) *d0,
                a1 = inout(vreg) *a1, b1 = inout(vreg) *b1, c1 = inout(vreg) *c1, d1 = inout(vreg) *d1,
                a2 = inout(vreg) *a2, b2 = inout(vreg) *b2, c2 = inout(vreg) *c2, d2 = inout(vreg) *d2,
                a3 = inout(vreg) *a3, b3 = inout(vreg) *b3, c3 = inout(vreg) *c3, d3 = inout(vreg) *d3,
                ws = inout(reg) w.as_ptr() => _,
                xs = inout(reg) x.as_flattened().as_ptr().cast::<Quad>().wrapping_add(FIRST) => _,
                pairs = inout(reg) pairs => _,
                quad = const R * size_of::<Quad>(),
                x0 = out(vreg) _, x1 = out(vreg) _,
                w0 = out(vreg) _, w1 = out(vreg) _, w2 = out(vreg) _, w3 = out(vreg) _,
                w4 = out(vreg) _, w5 = out(vreg) _, w6 = out(vreg) _, w7 = out(vreg) _,
                options(pure, readonly, nostack),
            );
        }
        rows
    }
}

/// sum\[p\]\[q\] += for rows 2 p and 2 p + 1 and outputs 2 q and 2 q + 1, as text of an `asm!`.
macro_rules! smmla_rows {
    ($q:literal, $w:literal) => {
        concat!(
            "smmla {a",
            $q,
            ":v}.4s, {x2:v}.16b, {",
            $w,
            ":v}.16b\n",
            "smmla {b",
            $q,
            ":v}.4s, {x1:v}.16b, {",
            $w,
            ":v}.16b\n",
        )
    };
}

impl Neon<I8MM> {
    /// w \[2 pairs\], x \[2 pairs, R\]: the sums of one tile for rows FIRST to FIRST + 3
    ///
    /// `smmla` takes eight inputs of two rows and of two outputs: two consecutive quads, side by side.
    #[inline(always)]
    fn rows_of_smmla<const R: usize, const FIRST: usize>(
        self,
        w: &[[WeightQuads; 2]],
        x: &[[[Quad; R]; 2]],
    ) -> FourRows {
        assert!(FIRST + 4 <= R, "four rows of those that there are");
        let pairs = w.len().min(x.len());
        let zero = instruction!(vdupq_n_s32(0));
        if pairs == 0 {
            return [[zero; 4]; 4];
        }
        // Of rows 0 and 1, and of rows 2 and 3.
        let (mut first, mut second) = ([zero; 8], [zero; 8]);
        let ([a0, a1, a2, a3, a4, a5, a6, a7], [b0, b1, b2, b3, b4, b5, b6, b7]) = (&mut first, &mut second);
        // SAFETY: the token `self` proves that the CPU has `smmla`; for each of `pairs`, of which both slices have as many, 128
        // bytes of `w` are read and, from row FIRST on, 16 bytes of both quads of `x`, which have R rows.
        unsafe {
            asm!(
                ".arch_extension i8mm",
                "2:",
                "ldr {x0:q}, [{xs}]",
                "ldr {x1:q}, [{xs}, #{quad}]",
                "ldp {w0:q}, {w1:q}, [{ws}]",
                "ldp {w4:q}, {w5:q}, [{ws}, #64]",
                "ldp {w2:q}, {w3:q}, [{ws}, #32]",
                "ldp {w6:q}, {w7:q}, [{ws}, #96]",
                "add {xs}, {xs}, #2 * {quad}",
                "add {ws}, {ws}, #128",
                "subs {pairs}, {pairs}, #1",
                "zip1 {x2:v}.4s, {x0:v}.4s, {x1:v}.4s",
                "zip2 {x1:v}.4s, {x0:v}.4s, {x1:v}.4s",
                "zip1 {x0:v}.4s, {w0:v}.4s, {w4:v}.4s",
                "zip2 {w4:v}.4s, {w0:v}.4s, {w4:v}.4s",
                smmla_rows!("0", "x0"),
                smmla_rows!("1", "w4"),
                "zip1 {w0:v}.4s, {w1:v}.4s, {w5:v}.4s",
                "zip2 {w5:v}.4s, {w1:v}.4s, {w5:v}.4s",
                smmla_rows!("2", "w0"),
                smmla_rows!("3", "w5"),
                "zip1 {w1:v}.4s, {w2:v}.4s, {w6:v}.4s",
                "zip2 {w6:v}.4s, {w2:v}.4s, {w6:v}.4s",
                smmla_rows!("4", "w1"),
                smmla_rows!("5", "w6"),
                "zip1 {w2:v}.4s, {w3:v}.4s, {w7:v}.4s",
                "zip2 {w7:v}.4s, {w3:v}.4s, {w7:v}.4s",
                smmla_rows!("6", "w2"),
                smmla_rows!("7", "w7"),
                "b.ne 2b",
                a0 = inout(vreg) *a0, a1 = inout(vreg) *a1, a2 = inout(vreg) *a2, a3 = inout(vreg) *a3,
                a4 = inout(vreg) *a4, a5 = inout(vreg) *a5, a6 = inout(vreg) *a6, a7 = inout(vreg) *a7,
                b0 = inout(vreg) *b0, b1 = inout(vreg) *b1, b2 = inout(vreg) *b2, b3 = inout(vreg) *b3,
                b4 = inout(vreg) *b4, b5 = inout(vreg) *b5, b6 = inout(vreg) *b6, b7 = inout(vreg) *b7,
                ws = inout(reg) w.as_ptr() => _,
                xs = inout(reg) x.as_flattened().as_ptr().cast::<Quad>().wrapping_add(FIRST) => _,
                pairs = inout(reg) pairs => _,
                quad = const R * size_of::<Quad>(),
                x0 = out(vreg) _, x1 = out(vreg) _, x2 = out(vreg) _,
                w0 = out(vreg) _, w1 = out(vreg) _, w2 = out(vreg) _, w3 = out(vreg) _,
                w4 = out(vreg) _, w5 = out(vreg) _, w6 = out(vreg) _, w7 = out(vreg) _,
                options(pure, readonly, nostack),
            );
        }
        [
            each!(i => low_halves!(first[2 * i], first[2 * i + 1])),
            each!(i => high_halves!(first[2 * i], first[2 * i + 1])),
            each!(i => low_halves!(second[2 * i], second[2 * i + 1])),
            each!(i => high_halves!(second[2 * i], second[2 * i + 1])),
        ]
    }
}

impl<const LEVEL: u8> Vector for Neon<LEVEL> {
    type I32 = [int32x4_t; 4];
    type F32 = [float32x4_t; 4];
    /// From [`DOTPROD`] on, four outputs in each of the first four; before, two outputs in each, two sums of each output.
    type Dot = [int32x4_t; 8];
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
    fn prefetch<T>(self, numbers: &[T]) {
        // The intrinsic is not stable.
        instruction!(asm!(
            "prfm pldl1keep, [{at}]",
            at = in(reg) numbers.as_ptr(),
            options(readonly, nostack, preserves_flags),
        ))
    }

    #[inline(always)]
    fn splat(self, value: i32) -> Self::I32 {
        instruction!([vdupq_n_s32(value); 4])
    }

    #[inline(always)]
    fn load(self, values: &[i32; LANES]) -> Self::I32 {
        let (quarters, _) = values.as_chunks::<4>();
        each!(i => vld1q_s32(quarters[i].as_ptr()))
    }

    #[inline(always)]
    fn store(self, lanes: Self::I32) -> [i32; LANES] {
        let mut values = [0; LANES];
        let (quarters, _) = values.as_chunks_mut::<4>();
        for (quarter, lanes) in quarters.iter_mut().zip(lanes) {
            instruction!(vst1q_s32(quarter.as_mut_ptr(), lanes));
        }
        values
    }

    #[inline(always)]
    fn widen_i8(self, values: &[i8; LANES]) -> Self::I32 {
        instruction!({
            let all = vld1q_s8(values.as_ptr());
            let (low, high) = (vmovl_s8(vget_low_s8(all)), vmovl_high_s8(all));
            [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
        })
    }

    #[inline(always)]
    fn widen_i16(self, values: &[i16; LANES]) -> Self::I32 {
        let (quarters, _) = values.as_chunks::<4>();
        each!(i => vmovl_s16(vld1_s16(quarters[i].as_ptr())))
    }

    #[inline(always)]
    fn add(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        each!(i => vaddq_s32(a[i], b[i]))
    }

    #[inline(always)]
    fn mul(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        each!(i => vmulq_s32(a[i], b[i]))
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
    fn clamp(self, a: Self::I32, least: i32, most: i32) -> Self::I32 {
        each!(i => vminq_s32(vmaxq_s32(a[i], vdupq_n_s32(least)), vdupq_n_s32(most)))
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
    fn pairs(self, a: &[i8; LANES], b: &[i8; LANES]) -> Self::Pairs {
        instruction!({
            let (a, b) = (vld1q_s8(a.as_ptr()), vld1q_s8(b.as_ptr()));
            [vmovl_s8(vget_low_s8(a)), vmovl_high_s8(a), vmovl_s8(vget_low_s8(b)), vmovl_high_s8(b)]
        })
    }

    #[inline(always)]
    fn dot_pairs(self, acc: Self::I32, pairs: Self::Pairs, r: [i16; 2]) -> Self::I32 {
        let r = i32::from(r[0].cast_unsigned()) | i32::from(r[1]) << 16;
        instruction!({
            let r = vreinterpret_s16_s32(vdup_n_s32(r));
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
        })
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
    fn first_of(self, pairs: Self::Pairs) -> Self::I32 {
        instruction!([
            vmovl_s16(vget_low_s16(pairs[0])),
            vmovl_high_s16(pairs[0]),
            vmovl_s16(vget_low_s16(pairs[1])),
            vmovl_high_s16(pairs[1]),
        ])
    }

    #[inline(always)]
    fn second_of(self, pairs: Self::Pairs) -> Self::I32 {
        instruction!([
            vmovl_s16(vget_low_s16(pairs[2])),
            vmovl_high_s16(pairs[2]),
            vmovl_s16(vget_low_s16(pairs[3])),
            vmovl_high_s16(pairs[3]),
        ])
    }

    #[inline(always)]
    fn dot_zero(self) -> Self::Dot {
        instruction!([vdupq_n_s32(0); 8])
    }

    #[inline(always)]
    fn dot(self, acc: Self::Dot, w: &WeightQuads, x: Quad) -> Self::Dot {
        let [a, b, c, d, e, f, g, h] = acc;
        if LEVEL >= DOTPROD {
            let [a, b, c, d] = Neon(()).sdot([a, b, c, d], w, x);
            return [a, b, c, d, e, f, g, h];
        }
        // A product has at most 128 * 128 and fits an i16, two do not: they are added in pairs to 32 bits.
        let (w, _) = w.as_chunks::<16>();
        let mut sums = acc;
        instruction!({
            let mut x = vreinterpretq_s8_s32(vdupq_n_s32(i32::from_ne_bytes(x)));
            // Nothing; but a compiler that knows both halves to be equal multiplies by the low one, after moving the high half of
            // `w` down.
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
    fn dot_run(self, w: &[WeightQuads], x: &[Quad]) -> Self::I32 {
        if LEVEL >= DOTPROD {
            return Neon(()).run_of_sdot(w, x);
        }
        let mut acc = self.dot_zero();
        for (w, &x) in w.iter().zip(x) {
            acc = self.dot(acc, w, x);
        }
        self.dot_sum(acc)
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
            let (w_pairs, x_pairs);
            ((w_pairs, w_rest), (x_pairs, x_rest)) = (w.as_chunks::<2>(), x.as_chunks::<2>());
            let sums = if LEVEL == I8MM {
                Neon(()).rows_of_smmla::<R, FIRST>(w_pairs, x_pairs)
            } else {
                Neon(()).rows_of_sdot::<R, FIRST>(w_pairs, x_pairs)
            };
            for (acc, sums) in acc.iter_mut().zip(sums) {
                acc[..4].copy_from_slice(&sums);
            }
        }
        for (w, x) in w_rest.iter().zip(x_rest) {
            for (row, acc) in acc.iter_mut().enumerate() {
                *acc = self.dot(*acc, w, x[FIRST + row]);
            }
        }
        acc
    }

    #[inline(always)]
    fn splat_f32(self, value: f32) -> Self::F32 {
        instruction!([vdupq_n_f32(value); 4])
    }

    #[inline(always)]
    fn load_f32(self, values: &[f32; LANES]) -> Self::F32 {
        let (quarters, _) = values.as_chunks::<4>();
        each!(i => vld1q_f32(quarters[i].as_ptr()))
    }

    #[inline(always)]
    fn store_f32(self, lanes: Self::F32) -> [f32; LANES] {
        let mut values = [0.0; LANES];
        let (quarters, _) = values.as_chunks_mut::<4>();
        for (quarter, lanes) in quarters.iter_mut().zip(lanes) {
            instruction!(vst1q_f32(quarter.as_mut_ptr(), lanes));
        }
        values
    }

    #[inline(always)]
    fn add_f32(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i => vaddq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn mul_f32(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i => vmulq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn mul_add_f32(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        each!(i => vfmaq_f32(c[i], a[i], b[i]))
    }

    #[inline(always)]
    fn at_least(self, a: Self::F32, least: f32) -> Self::F32 {
        // `fmax` gives what is not a number where either is not.
        each!(i => vmaxq_f32(a[i], vdupq_n_f32(least)))
    }

    #[inline(always)]
    fn max_f32(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i => vmaxq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn min_f32(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i => vminq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn to_f32(self, a: Self::I32) -> Self::F32 {
        each!(i => vcvtq_f32_s32(a[i]))
    }

    #[inline(always)]
    fn truncate(self, a: Self::F32) -> Self::I32 {
        each!(i => vcvtq_s32_f32(a[i]))
    }
}

//! The loop of `smmla`.

#![allow(unsafe_code, reason = "instructions whose intrinsics are not stable")]

use core::arch::aarch64::*;
use core::arch::asm;

use super::{FourRows, I8MM, Neon};
use crate::kernel::vector::{Quad, WeightQuads};

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
    /// w \[2 twos\], x \[2 twos, R\]: the sums of one tile for rows FIRST to FIRST + 3
    ///
    /// `smmla` takes eight inputs of two rows and of two outputs: two consecutive quads, side by side.
    #[inline(always)]
    pub(super) fn rows_of_smmla<const R: usize, const FIRST: usize>(
        self,
        w: &[[WeightQuads; 2]],
        x: &[[[Quad; R]; 2]],
    ) -> FourRows {
        assert!(FIRST + 4 <= R, "four rows of those that there are");
        let twos = w.len().min(x.len());
        let zero = instruction!(vdupq_n_s32(0));
        if twos == 0 {
            return [[zero; 4]; 4];
        }
        // Of rows 0 and 1, and of rows 2 and 3.
        let (mut first, mut second) = ([zero; 8], [zero; 8]);
        let ([a0, a1, a2, a3, a4, a5, a6, a7], [b0, b1, b2, b3, b4, b5, b6, b7]) = (&mut first, &mut second);
        // SAFETY: the token `self` proves that the CPU has `smmla`; for each of `twos`, of which both slices have as
        // many, 128 bytes of `w` are read and, from row FIRST on, 16 bytes of both quads of `x`, which have R rows.
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
                "subs {twos}, {twos}, #1",
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
                twos = inout(reg) twos => _,
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

//! The loops of `sdot`.

#![allow(unsafe_code, reason = "instructions whose intrinsics are not stable")]

use core::arch::aarch64::*;
use core::arch::asm;

use super::{DOTPROD, FourRows, Neon};
use crate::kernel::vector::{Quad, WeightQuads};

/// Sums, each with its weights and its lane of `$x`, as text of an `asm!`.
macro_rules! sdots {
    ($x:literal: $($sum:literal $w:literal $lane:literal),*) => {
        concat!($("sdot {", $sum, ":v}.4s, {", $w, ":v}.16b, {", $x, ":v}.4b[", $lane, "]\n"),*)
    };
}

impl Neon<DOTPROD> {
    /// acc\[o\] += sum_d w\[o\]\[d\] x\[d\]
    #[inline(always)]
    pub(super) fn sdot(self, mut acc: [int32x4_t; 4], w: &WeightQuads, x: Quad) -> [int32x4_t; 4] {
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
    /// Four quads at a time, those beyond the last four one by one. Two chains for each sum: products of even and of
    /// odd quads.
    #[inline(always)]
    pub(super) fn run_of_sdot(self, w: &[WeightQuads], x: &[Quad]) -> [int32x4_t; 4] {
        let depth = w.len().min(x.len());
        let zero = instruction!(vdupq_n_s32(0));
        let (mut even, mut odd) = ([zero; 4], [zero; 4]);
        let ([a, b, c, d], [e, f, g, h]) = (&mut even, &mut odd);
        // SAFETY: the token `self` proves that the CPU has `sdot`; 64 bytes of `w` and four of `x` are read for each of
        // `depth` quads, of which both slices have as many.
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
                sdots!("x": "a" "w0" "0", "b" "w1" "0", "c" "w2" "0", "d" "w3" "0"),
                "ldp {w0:q}, {w1:q}, [{ws}, #128]",
                "ldp {w2:q}, {w3:q}, [{ws}, #160]",
                sdots!("x": "e" "w4" "1", "f" "w5" "1", "g" "w6" "1", "h" "w7" "1"),
                "ldp {w6:q}, {w7:q}, [{ws}, #224]",
                "ldp {w4:q}, {w5:q}, [{ws}, #192]",
                "add {ws}, {ws}, #256",
                sdots!("x": "a" "w0" "2", "b" "w1" "2", "c" "w2" "2", "d" "w3" "2"),
                sdots!("x": "e" "w4" "3", "f" "w5" "3", "g" "w6" "3", "h" "w7" "3"),
                "b.ne 2b",
                "3:",
                "cbz {rest}, 5f",
                "4:",
                "ldr {x:s}, [{xs}], #4",
                "ldp {w2:q}, {w3:q}, [{ws}, #32]",
                "ldp {w0:q}, {w1:q}, [{ws}], #64",
                "subs {rest}, {rest}, #1",
                sdots!("x": "a" "w0" "0", "b" "w1" "0", "c" "w2" "0", "d" "w3" "0"),
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

    /// w \[2 twos\], x \[2 twos, R\]: the sums of one tile for rows FIRST to FIRST + 3
    #[inline(always)]
    pub(super) fn rows_of_sdot<const R: usize, const FIRST: usize>(
        self,
        w: &[[WeightQuads; 2]],
        x: &[[[Quad; R]; 2]],
    ) -> FourRows {
        assert!(FIRST + 4 <= R, "four rows of those that there are");
        let twos = w.len().min(x.len());
        let mut rows = [[instruction!(vdupq_n_s32(0)); 4]; 4];
        if twos == 0 {
            return rows;
        }
        let [[a0, b0, c0, d0], [a1, b1, c1, d1], [a2, b2, c2, d2], [a3, b3, c3, d3]] = &mut rows;
        // SAFETY: the token `self` proves that the CPU has `sdot`; for each of `twos`, of which both slices have as
        // many, 128 bytes of `w` are read and, from row FIRST on, 16 bytes of both quads of `x`, which have R rows.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "2:",
                "ldr {x0:q}, [{xs}]",
                "ldp {w0:q}, {w1:q}, [{ws}]",
                "ldp {w2:q}, {w3:q}, [{ws}, #32]",
                "ldr {x1:q}, [{xs}, #{quad}]",
                "add {xs}, {xs}, #2 * {quad}",
                "subs {twos}, {twos}, #1",
                sdots!("x0": "a0" "w0" "0", "a1" "w0" "1", "a2" "w0" "2", "a3" "w0" "3"),
                "ldp {w4:q}, {w5:q}, [{ws}, #64]",
                sdots!("x0": "b0" "w1" "0", "b1" "w1" "1", "b2" "w1" "2", "b3" "w1" "3"),
                "ldp {w6:q}, {w7:q}, [{ws}, #96]",
                sdots!("x0": "c0" "w2" "0", "c1" "w2" "1", "c2" "w2" "2", "c3" "w2" "3"),
                "add {ws}, {ws}, #128",
                sdots!("x0": "d0" "w3" "0", "d1" "w3" "1", "d2" "w3" "2", "d3" "w3" "3"),
                sdots!("x1": "a0" "w4" "0", "a1" "w4" "1", "a2" "w4" "2", "a3" "w4" "3"),
                sdots!("x1": "b0" "w5" "0", "b1" "w5" "1", "b2" "w5" "2", "b3" "w5" "3"),
                sdots!("x1": "c0" "w6" "0", "c1" "w6" "1", "c2" "w6" "2", "c3" "w6" "3"),
                sdots!("x1": "d0" "w7" "0", "d1" "w7" "1", "d2" "w7" "2", "d3" "w7" "3"),
                "b.ne 2b",
                a0 = inout(vreg) *a0, b0 = inout(vreg) *b0, c0 = inout(vreg) *c0, d0 = inout(vreg) *d0,
                a1 = inout(vreg) *a1, b1 = inout(vreg) *b1, c1 = inout(vreg) *c1, d1 = inout(vreg) *d1,
                a2 = inout(vreg) *a2, b2 = inout(vreg) *b2, c2 = inout(vreg) *c2, d2 = inout(vreg) *d2,
                a3 = inout(vreg) *a3, b3 = inout(vreg) *b3, c3 = inout(vreg) *c3, d3 = inout(vreg) *d3,
                ws = inout(reg) w.as_ptr() => _,
                xs = inout(reg) x.as_flattened().as_ptr().cast::<Quad>().wrapping_add(FIRST) => _,
                twos = inout(reg) twos => _,
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

//! The loops of `sdot`.

#![allow(unsafe_code, reason = "instructions whose intrinsics are not stable")]

use core::arch::aarch64::*;
use core::arch::asm;

use super::{DOTPROD, FourRows, Neon};
use crate::kernel::vector::{Quad, WeightQuads};

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

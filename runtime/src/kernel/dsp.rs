//! Cortex-M with the DSP extension: SMLAD multiplies two 16-bit halves and adds both products.
//!
//! Weights a, b, c, d of four inputs lie in a word whose halves are `a - 256 b` and `c - 256 d` ([`Layout::Dsp`]). With
//! inputs x in 0..=255, the even ones less 128, `x'`:
//!
//! ```text
//! SMLAD(word, (-x_b, -x_d))                                  -a x_b + 256 b x_b - c x_d + 256 d x_d
//! SMLAD(SXTB16 word, (256 x'_a + x_b, 256 x'_c + x_d))        256 a x'_a + a x_b + 256 c x'_c + c x_d
//! ```
//!
//! The sum is 256 times what is wanted: three instructions for four products, where sign-extending all four weights
//! takes four. `256 x' + x` fills an i16 exactly. 256 inputs stay under `128 * (128 * 255 + 128 * 128) * 256 < 2^31`.
//!
//! Tried and lost: weights as plain bytes, both halves sign-extended (a quarter more instructions).
//!
//! [`Layout::Dsp`]: crate::format::Layout::Dsp
#![allow(unsafe_code, reason = "a back end: instructions that Rust has no name for")]

use core::arch::asm;

use crate::quant::requantize;
use crate::run::rows;

/// Quads of inputs whose sums, times 256, stay in an i32.
const RUN: usize = 64;

/// x \[inputs / 4\]: the halves `-x_b, -x_d` and `256 x'_a + x_b, 256 x'_c + x_d` of four inputs. w \[inputs /
/// 4\]\[4\]: the sums of a strip, of at most [`RUN`] quads.
///
/// Quads are taken two at a time: the layout pads inputs to a multiple of eight.
#[inline(always)]
fn sums_of_run(x: &[Quad<1>], w: &[[u32; 4]]) -> [i32; 4] {
    let twos = x.len().min(w.len()) / 2;
    if twos == 0 {
        return [0; 4];
    }
    let [mut a0, mut a1, mut a2, mut a3] = [0_i32; 4];
    // SAFETY: both pointers start at the first of `2 * twos` elements of a slice and advance by one element for each
    // that is read, `2 * twos` in all (`twos` is at least 1, and at most half of either length). The elements are
    // words, so LDRD's addresses are multiples of 4. Nothing is written; flags are clobbered as an `asm!` block says by
    // default.
    unsafe {
        asm!(
            "2:",
            // Twice the same: a turn of the loop is dear.
            ".rept 2",
            "ldrd {odd}, {both}, [{x}], #8",
            "ldrd {w0}, {w1}, [{w}], #8",
            "smlad {a0}, {w0}, {odd}, {a0}",
            "smlad {a1}, {w1}, {odd}, {a1}",
            "sxtb16 {w0}, {w0}",
            "sxtb16 {w1}, {w1}",
            "smlad {a0}, {w0}, {both}, {a0}",
            "smlad {a1}, {w1}, {both}, {a1}",
            "ldrd {w0}, {w1}, [{w}], #8",
            "smlad {a2}, {w0}, {odd}, {a2}",
            "smlad {a3}, {w1}, {odd}, {a3}",
            "sxtb16 {w0}, {w0}",
            "sxtb16 {w1}, {w1}",
            "smlad {a2}, {w0}, {both}, {a2}",
            "smlad {a3}, {w1}, {both}, {a3}",
            ".endr",
            "subs {n}, {n}, #1",
            "bne 2b",
            x = inout(reg) x.as_ptr() => _, w = inout(reg) w.as_ptr() => _, n = inout(reg) twos => _,
            odd = out(reg) _, both = out(reg) _, w0 = out(reg) _, w1 = out(reg) _,
            a0 = inout(reg) a0, a1 = inout(reg) a1, a2 = inout(reg) a2, a3 = inout(reg) a3,
            options(nostack, readonly),
        );
    }
    [a0 >> 8, a1 >> 8, a2 >> 8, a3 >> 8]
}

/// The same of any number of quads. Out of line: the layers of most models have one run.
#[inline(never)]
fn sums_of_runs(x: &[Quad<1>], w: &[[u32; 4]]) -> [i32; 4] {
    let mut sums = [0; 4];
    for (x, w) in x.chunks(RUN).zip(w.chunks(RUN)) {
        add_each(&mut sums, &sums_of_run(x, w));
    }
    sums
}

/// Whichever of the two it is.
#[inline(always)]
fn sums(x: &[Quad<1>], w: &[[u32; 4]]) -> [i32; 4] {
    if x.len() <= RUN { sums_of_run(x, w) } else { sums_of_runs(x, w) }
}

#[inline(always)]
fn add_each(sums: &mut [i32], more: &[i32]) {
    for (sum, &more) in sums.iter_mut().zip(more) {
        *sum = sum.wrapping_add(more);
    }
}

/// x as [`sums`] reads it, w \[outputs / 4\]\[inputs / 4\]\[4\], b and m \[outputs / 4\]: y_o = clamp(requantize(acc_o
/// + b_o, m_o), 0, 255)
///
/// Out of line: among the whole score's variables the loop would keep its own in memory.
#[inline(never)]
pub(crate) fn layer(x: &[Quad<1>], w: &[[u32; 4]], b: &[[i32; 4]], m: &[[i32; 4]], y: &mut [[u8; 4]]) {
    for (((w, b), m), y) in rows(w, x.len()).zip(b).zip(m).zip(y) {
        let sums = sums(x, w);
        for (((y, &sum), &b), &m) in y.iter_mut().zip(&sums).zip(b).zip(m) {
            *y = requantize(sum.wrapping_add(b), m).clamp(0, 255) as u8;
        }
    }
}

/// The same sums: start_o += acc_o
pub(crate) fn add(x: &[Quad<1>], w: &[[u32; 4]], start: &mut [[i32; 4]]) {
    for (w, start) in rows(w, x.len()).zip(start) {
        for (start, &sum) in start.iter_mut().zip(&sums(x, w)) {
            *start = start.wrapping_add(sum);
        }
    }
}

/// The sums of two rows and two outputs of a strip, from `half` on, of at most [`RUN`] quads: a weight that was read
/// and sign-extended serves both rows.
#[cfg(not(xsfm_mve))]
#[inline(always)]
fn sums_of_twins(x: &[Quad<2>], w: &[[u32; 4]], half: usize) -> [[i32; 2]; 2] {
    let twos = x.len().min(w.len()) / 2;
    let Some(w) = w.as_flattened().get(half..).filter(|_| twos > 0) else { return [[0; 2]; 2] };
    let [mut a0, mut a1, mut b0, mut b1] = [0_i32; 4];
    // SAFETY: `x` has at least `2 * twos` elements. So had `w`, of four words each, of which `half` (0 or 2) were left
    // out: two words are there at each multiple of four. Both pointers advance by what is read or passed over,
    // `2 * twos` elements in all, and `twos` is at least 1. The elements are words, so LDRD's addresses are multiples
    // of 4. Nothing is written; flags are clobbered as an `asm!` block says by default.
    unsafe {
        asm!(
            "2:",
            ".rept 2",
            "ldrd {w0}, {w1}, [{w}], #16",
            "ldrd {x0}, {x1}, [{x}], #8",
            "smlad {a0}, {w0}, {x0}, {a0}",
            "smlad {a1}, {w1}, {x0}, {a1}",
            "smlad {b0}, {w0}, {x1}, {b0}",
            "smlad {b1}, {w1}, {x1}, {b1}",
            "sxtb16 {w0}, {w0}",
            "sxtb16 {w1}, {w1}",
            "ldrd {x0}, {x1}, [{x}], #8",
            "smlad {a0}, {w0}, {x0}, {a0}",
            "smlad {a1}, {w1}, {x0}, {a1}",
            "smlad {b0}, {w0}, {x1}, {b0}",
            "smlad {b1}, {w1}, {x1}, {b1}",
            ".endr",
            "subs {n}, {n}, #1",
            "bne 2b",
            x = inout(reg) x.as_ptr() => _, w = inout(reg) w.as_ptr() => _, n = inout(reg) twos => _,
            w0 = out(reg) _, w1 = out(reg) _, x0 = out(reg) _, x1 = out(reg) _,
            a0 = inout(reg) a0, a1 = inout(reg) a1, b0 = inout(reg) b0, b1 = inout(reg) b1,
            options(nostack, readonly),
        );
    }
    [[a0 >> 8, a1 >> 8], [b0 >> 8, b1 >> 8]]
}

/// [`sums_of_twins`] of any number of quads.
#[cfg(not(xsfm_mve))]
#[inline(never)]
fn sums_of_twins_in_runs(x: &[Quad<2>], w: &[[u32; 4]], half: usize) -> [[i32; 2]; 2] {
    let mut sums = [[0; 2]; 2];
    for (x, w) in x.chunks(RUN).zip(w.chunks(RUN)) {
        add_each(sums.as_flattened_mut(), sums_of_twins(x, w, half).as_flattened());
    }
    sums
}

/// As [`layer`], of two rows.
#[cfg(not(xsfm_mve))]
#[inline(never)]
pub(crate) fn layer_of_twins(
    x: &[Quad<2>],
    w: &[[u32; 4]],
    b: &[[i32; 4]],
    m: &[[i32; 4]],
    [y0, y1]: [&mut [[u8; 4]]; 2],
) {
    let finish = |y: &mut [u8; 4], half: usize, sums: [i32; 2], b: &[i32; 4], m: &[i32; 4]| {
        for (d, sum) in (half..half + 2).zip(sums) {
            y[d] = requantize(sum.wrapping_add(b[d]), m[d]).clamp(0, 255) as u8;
        }
    };
    for ((((w, b), m), y0), y1) in rows(w, x.len()).zip(b).zip(m).zip(y0).zip(y1) {
        for half in [0, 2] {
            let [sums0, sums1] =
                if x.len() <= RUN { sums_of_twins(x, w, half) } else { sums_of_twins_in_runs(x, w, half) };
            finish(y0, half, sums0, b, m);
            finish(y1, half, sums1, b, m);
        }
    }
}

/// Four inputs of R rows: the halves `-x_b, -x_d` of each row, and the halves `256 x'_a + x_b, 256 x'_c + x_d`.
pub(crate) type Quad<const R: usize> = [[u32; R]; 2];

/// x \[R, inputs\] as u8 to \[inputs / 4\]: what a layer reads. `flip` is xored to each byte first.
#[inline(always)]
pub(crate) fn read<const R: usize>(x: [&[u8]; R], flip: u32, to: &mut [Quad<R>]) {
    for (r, x) in x.into_iter().enumerate() {
        for (&x, [negatives, boths]) in x.as_chunks().0.iter().zip(&mut *to) {
            let x = u32::from_le_bytes(x) ^ flip;
            let odd = x >> 8 & 0x00FF_00FF;
            // No half borrows from the other: 0x8000 less at most 255.
            negatives[r] = (0x8000_8000 - odd) ^ 0x8000_8000;
            boths[r] = ((x << 8 & 0xFF00_FF00) | odd) ^ 0x8000_8000;
        }
    }
}

//! Cortex-M with the DSP extension: SMLAD multiplies two 16-bit halves and adds both products.
//!
//! Weights a, b, c, d of four inputs lie in a word whose halves are `a - 256 b` and `c - 256 d` ([`Layout::Dsp`]). With inputs x in 0..=255,
//! the even ones less 128, `x'`:
//!
//! ```text
//! SMLAD(word, (-x_b, -x_d))                                  -a x_b + 256 b x_b - c x_d + 256 d x_d
//! SMLAD(SXTB16 word, (256 x'_a + x_b, 256 x'_c + x_d))        256 a x'_a + a x_b + 256 c x'_c + c x_d
//! ```
//!
//! The sum is 256 times what is wanted: three instructions for four products, where sign-extending all four weights takes four.
//! `256 x' + x` fills an i16 exactly. 256 inputs stay under `128 * (128 * 255 + 128 * 128) * 256 < 2^31`.
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

/// x \[inputs / 4\]: the halves `-x_b, -x_d` and `256 x'_a + x_b, 256 x'_c + x_d` of four inputs. w \[inputs / 4\]\[4\]: the sums of a strip,
/// of at most [`RUN`] quads.
///
/// Quads are taken two at a time: the layout pads inputs to a multiple of eight.
#[inline(always)]
fn sums_of_run(x: &[[u32; 2]], w: &[[u32; 4]]) -> [i32; 4] {
    let twos = x.len().min(w.len()) / 2;
    if twos == 0 {
        return [0; 4];
    }
    let [mut a0, mut a1, mut a2, mut a3] = [0_i32; 4];
    // SAFETY: both pointers start at the first of `2 * twos` elements of a slice and advance by one element for each that is
    // read, `2 * twos` in all (`twos` is at least 1, and at most half of either length). The elements are words, so LDRD's
    // addresses are multiples of 4. Nothing is written; flags are clobbered as an `asm!` block says by default.
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
            x = inout(reg) x.as_ptr() => _,
            w = inout(reg) w.as_ptr() => _,
            n = inout(reg) twos => _,
            odd = out(reg) _,
            both = out(reg) _,
            w0 = out(reg) _,
            w1 = out(reg) _,
            a0 = inout(reg) a0,
            a1 = inout(reg) a1,
            a2 = inout(reg) a2,
            a3 = inout(reg) a3,
            options(nostack, readonly),
        );
    }
    [a0 >> 8, a1 >> 8, a2 >> 8, a3 >> 8]
}

/// The same of any number of quads.
#[inline(always)]
fn sums(x: &[[u32; 2]], w: &[[u32; 4]]) -> [i32; 4] {
    let mut sums = [0_i32; 4];
    for (x, w) in x.chunks(RUN).zip(w.chunks(RUN)) {
        for (sum, of_run) in sums.iter_mut().zip(sums_of_run(x, w)) {
            *sum = sum.wrapping_add(of_run);
        }
    }
    sums
}

/// x as [`sums`] reads it, w \[outputs / 4\]\[inputs / 4\]\[4\], b and m \[outputs / 4\]: y_o = clamp(requantize(acc_o + b_o, m_o), 0, 255)
///
/// Out of line: among the whole score's variables the loop would keep its own in memory.
#[inline(never)]
pub(crate) fn layer(x: &[[u32; 2]], w: &[[u32; 4]], b: &[[i32; 4]], m: &[[i32; 4]], y: &mut [[u8; 4]]) {
    let strips = rows(w, x.len()).zip(b).zip(m).zip(y);
    let finish = |y: &mut [u8; 4], sums: [i32; 4], b: &[i32; 4], m: &[i32; 4]| {
        for (((y, &sum), &b), &m) in y.iter_mut().zip(&sums).zip(b).zip(m) {
            *y = requantize(sum.wrapping_add(b), m).clamp(0, 255) as u8;
        }
    };
    if x.len() <= RUN {
        strips.for_each(|(((w, b), m), y)| finish(y, sums_of_run(x, w), b, m));
    } else {
        strips.for_each(|(((w, b), m), y)| finish(y, sums(x, w), b, m));
    }
}

/// The same sums: start_o += acc_o
pub(crate) fn add(x: &[[u32; 2]], w: &[[u32; 4]], start: &mut [[i32; 4]]) {
    for (w, start) in rows(w, x.len()).zip(start) {
        for (start, &sum) in start.iter_mut().zip(&sums(x, w)) {
            *start = start.wrapping_add(sum);
        }
    }
}

/// x \[inputs\] as u8 to \[inputs / 4\]: what [`layer`] and [`add`] read. `flip` is xored to each byte first.
#[inline(always)]
pub(crate) fn read(x: &[[u8; 4]], flip: u32, to: &mut [[u32; 2]]) {
    for (&x, to) in x.iter().zip(to) {
        let x = u32::from_le_bytes(x) ^ flip;
        let odd = x >> 8 & 0x00FF_00FF;
        // No half borrows from the other: 0x8000 less at most 255.
        let negative = (0x8000_8000 - odd) ^ 0x8000_8000;
        let both = ((x << 8 & 0xFF00_FF00) | odd) ^ 0x8000_8000;
        *to = [negative, both];
    }
}

//! Cortex-M with the DSP extension: dot products of short rows, two products to an SMLAD.
#![allow(unsafe_code, reason = "a back end: instructions that Rust has no name for")]

use core::arch::asm;

use super::portable;
use crate::run::run;

/// Bytes 0 and 2 as signed halves of a word.
#[inline(always)]
pub(super) fn even_halves(bytes: u32) -> u32 {
    let halves;
    // SAFETY: registers alone.
    unsafe {
        asm!("sxtb16 {0}, {1}", lateout(reg) halves, in(reg) bytes, options(pure, nomem, nostack, preserves_flags));
    }
    halves
}

/// Bytes 1 and 3 as signed halves of a word.
#[inline(always)]
pub(super) fn odd_halves(bytes: u32) -> u32 {
    let halves;
    // SAFETY: registers alone.
    unsafe {
        asm!(
            "sxtb16 {0}, {1}, ror #8", lateout(reg) halves, in(reg) bytes,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    halves
}

/// sum + a_0 b_0 + a_1 b_1 of signed halves; it wraps
#[inline(always)]
fn smlad(a: u32, b: u32, sum: i32) -> i32 {
    let to;
    // SAFETY: registers alone, and the flag that tells of an overflow.
    unsafe {
        asm!(
            "smlad {0}, {1}, {2}, {3}", lateout(reg) to, in(reg) a, in(reg) b, in(reg) sum,
            options(pure, nomem, nostack),
        );
    }
    to
}

/// As [`portable::dot_coefficients_int8`]; `e` may go on behind the last of `u`.
#[inline(never)]
pub(crate) fn dot_coefficients_int8(e: &[i8], u: &[i16]) -> i32 {
    let ((fours, rest), (u_fours, u_rest)) = (run(e, 0, u.len()).as_chunks::<4>(), u.as_chunks::<4>());
    let mut sum = 0;
    for (e, &[u0, u1, u2, u3]) in fours.iter().zip(u_fours) {
        let e = u32::from_le_bytes(e.map(i8::cast_unsigned));
        let halves = |low: i16, high: i16| u32::from(low.cast_unsigned()) | u32::from(high.cast_unsigned()) << 16;
        sum = smlad(even_halves(e), halves(u0, u2), sum);
        sum = smlad(odd_halves(e), halves(u1, u3), sum);
    }
    sum + portable::dot_coefficients_int8(rest, u_rest)
}

/// As [`portable::dot_int8`], of a hidden layer's outputs.
#[inline(never)]
pub(crate) fn dot_int8(x: &[u8], w: &[i8]) -> i32 {
    let ((fours, rest), (w_fours, w_rest)) = (x.as_chunks::<4>(), w.as_chunks::<4>());
    let mut sum = 0;
    for (x, w) in fours.iter().zip(w_fours) {
        let (x, w) = (u32::from_le_bytes(*x), u32::from_le_bytes(w.map(i8::cast_unsigned)));
        sum = smlad(x & 0x00FF_00FF, even_halves(w), sum);
        sum = smlad(x >> 8 & 0x00FF_00FF, odd_halves(w), sum);
    }
    sum + portable::dot_int8(rest, w_rest)
}

//! Cortex-M with the DSP extension: pairs, two fields to an SMLAD.
#![allow(unsafe_code, reason = "a back end: instructions that Rust has no name for")]

use core::arch::asm;

use zerocopy::{FromBytes, IntoBytes};

use crate::interaction::{Couples, FieldPair, QUAD, couples};
use crate::run::{rows, run, run_mut};

/// e \[fields, dim\] and four bytes more, r upper triangle row by row, scratch for [`couples`]: sum_{i<j} r_ij <e_i, e_j>, as
/// sum_i <e_i, sum_{j>i} r_ij e_j>
///
/// Two j together: an SMLAD for a dimension. Lanes beyond `dim` wrap and are left out of the total.
///
/// Tried and lost: dot products <e_i, e_j> with e_i in registers, which are too few (16 instructions more for each pair).
#[inline(never)]
pub(crate) fn pairs(e: &[i8], r: &[i16], num_fields: usize, dim: usize, scratch: &mut [FieldPair]) -> i64 {
    let of_quad = num_fields.div_ceil(2);
    let scratch = <[Couples]>::mut_from_bytes(scratch.as_mut_bytes()).unwrap_or_default();
    let scratch = run_mut(scratch, 0, couples(num_fields, dim));
    for quad in 0..dim.div_ceil(QUAD) {
        let four = |field: usize| -> [i8; QUAD] {
            let four = if field < num_fields { e.get(field * dim + quad * QUAD..) } else { None };
            four.and_then(<[i8]>::first_chunk).copied().unwrap_or_default()
        };
        for (m, couple) in run_mut(scratch, quad * of_quad, of_quad).iter_mut().enumerate() {
            let (a, b) = (four(2 * m), four(2 * m + 1));
            for ((couple, &a), &b) in couple.iter_mut().zip(&a).zip(&b) {
                *couple = u32::from(i16::from(a).cast_unsigned()) | u32::from(i16::from(b).cast_unsigned()) << 16;
            }
        }
    }
    let mut total = 0;
    for (quad, couples) in rows(scratch, of_quad).enumerate() {
        let (mut sums, mut own_on, mut rest) = ([0_i32; QUAD], couples, r);
        let mut behind = num_fields;
        // The fields of a couple, and all behind them.
        while let ([own, after @ ..], [of_both, of_first @ ..], true) = (own_on, rest, behind > 1) {
            let of_second = rest.get(behind - 1..).unwrap_or_default();
            let t_a = weighted(after, of_first, own.map(|own| i32::from(*of_both) * second(own)));
            let t_b = weighted(after, of_second, [0; QUAD]);
            for (((sum, &own), &t_a), &t_b) in sums.iter_mut().zip(own).zip(&t_a).zip(&t_b) {
                *sum = sum.wrapping_add(first(own).wrapping_mul(t_a)).wrapping_add(second(own).wrapping_mul(t_b));
            }
            own_on = after;
            rest = of_second.get(behind - 2..).unwrap_or_default();
            behind = behind.saturating_sub(2);
        }
        // The last pair of an odd number of fields: no weight is behind its own.
        if let ([.., a, b], [.., r], false) = (couples, r, num_fields.is_multiple_of(2)) {
            for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                *sum = sum.wrapping_add(i32::from(*r) * second(a) * first(b));
            }
        }
        // What lies behind `dim` are other fields' numbers.
        let lanes = QUAD.min(dim - quad * QUAD);
        total += run(&sums, 0, lanes).iter().map(|&sum| i64::from(sum)).sum::<i64>();
    }
    total
}

#[inline(always)]
fn first(couple: u32) -> i32 {
    i32::from(couple as i16)
}

#[inline(always)]
fn second(couple: u32) -> i32 {
    couple.cast_signed() >> 16
}

/// t_d + sum_m (r_m0 e_d + r_m1 e'_d), without couples for which there are no two weights
///
/// Weights go on behind those of the couples: that beside a last field without another is multiplied by 0.
#[inline(always)]
fn weighted(couples: &[Couples], r: &[i16], t: [i32; QUAD]) -> [i32; QUAD] {
    let count = couples.len().min(r.len() / 2);
    if count == 0 {
        return t;
    }
    let [mut t0, mut t1, mut t2, mut t3] = t;
    // SAFETY: both pointers start at the first of `count` elements of a slice (of weights: `count` twos), at least one, and advance by
    // one in each of the loop's `count` turns. Couples are words, so LDM's address is a multiple of 4; LDR needs no alignment on these
    // CPUs. Nothing is written. LDM wants its registers in ascending order.
    unsafe {
        asm!(
            "2:",
            "ldmia {couples}!, {{r0, r1, r2, r3}}",
            "ldr {two}, [{r}], #4",
            "smlad {t0}, {two}, r0, {t0}",
            "smlad {t1}, {two}, r1, {t1}",
            "smlad {t2}, {two}, r2, {t2}",
            "smlad {t3}, {two}, r3, {t3}",
            "subs {n}, {n}, #1",
            "bne 2b",
            couples = inout(reg) couples.as_ptr() => _,
            r = inout(reg) r.as_ptr() => _,
            n = inout(reg) count => _,
            two = out(reg) _,
            t0 = inout(reg) t0,
            t1 = inout(reg) t1,
            t2 = inout(reg) t2,
            t3 = inout(reg) t3,
            out("r0") _,
            out("r1") _,
            out("r2") _,
            out("r3") _,
            options(nostack, readonly),
        );
    }
    [t0, t1, t2, t3]
}

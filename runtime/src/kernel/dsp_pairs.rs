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
    let scratch = scratch.get_mut(..couples(num_fields, dim)).unwrap_or_default();
    for quad in 0..dim.div_ceil(QUAD) {
        let couples = run_mut(scratch, quad * of_quad, of_quad);
        for (m, couple) in couples.iter_mut().enumerate() {
            let four = |f: usize| -> [i8; QUAD] {
                let four = if f < num_fields { e.get(f * dim + quad * QUAD..) } else { None };
                four.and_then(|four| four.first_chunk()).copied().unwrap_or_default()
            };
            let (a, b) = (four(2 * m), four(2 * m + 1));
            for (couple, (a, b)) in couple.iter_mut().zip(a.into_iter().zip(b)) {
                *couple = u32::from(i16::from(a).cast_unsigned()) | u32::from(i16::from(b).cast_unsigned()) << 16;
            }
        }
    }
    let mut total = 0;
    for (quad, mut couples) in rows(scratch, of_quad).enumerate() {
        let (mut sums, mut rest) = ([0_i32; QUAD], r);
        let mut behind = num_fields;
        // The fields of a couple, and all behind them.
        while let ([own, after @ ..], true) = (couples, behind > 1) {
            couples = after;
            let Some(([first, of_first @ ..], after_first)) = rest.split_at_checked(behind - 1) else { break };
            let Some((of_second, after_second)) = after_first.split_at_checked(behind - 2) else { break };
            (rest, behind) = (after_second, behind.saturating_sub(2));
            let (a, b) = (own.map(|word| i32::from(word as i16)), own.map(|word| word.cast_signed() >> 16));
            let t_a = weighted(couples, of_first, b.map(|b| i32::from(*first) * b));
            let t_b = weighted(couples, of_second, [0; QUAD]);
            for d in 0..QUAD {
                sums[d] = sums[d].wrapping_add(a[d].wrapping_mul(t_a[d])).wrapping_add(b[d].wrapping_mul(t_b[d]));
            }
        }
        // What lies behind `dim` are other fields' numbers.
        let lanes = QUAD.min(dim - quad * QUAD);
        total += run(&sums, 0, lanes).iter().map(|&sum| i64::from(sum)).sum::<i64>();
    }
    total
}

/// t_d + sum_m (r_m0 e_d + r_m1 e'_d)
#[inline(always)]
fn weighted(couples: &[Couples], r: &[i16], t: [i32; QUAD]) -> [i32; QUAD] {
    let (twos, last) = r.as_chunks::<2>();
    let count = couples.len().min(twos.len());
    let [mut t0, mut t1, mut t2, mut t3] = t;
    if let (&[r], Some(&[e0, e1, e2, e3])) = (last, couples.last()) {
        let last = |e: u32| i32::from(r) * i32::from(e as i16);
        (t0, t1, t2, t3) = (t0 + last(e0), t1 + last(e1), t2 + last(e2), t3 + last(e3));
    }
    if count == 0 {
        return [t0, t1, t2, t3];
    }
    // SAFETY: both pointers start at the first of `count` elements of a slice, at least one, and advance by one element in each of
    // the loop's `count` turns. Couples are words, so LDM's address is a multiple of 4; LDR needs no alignment on these CPUs.
    // Nothing is written. LDM wants its registers in ascending order.
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
            r = inout(reg) twos.as_ptr() => _,
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

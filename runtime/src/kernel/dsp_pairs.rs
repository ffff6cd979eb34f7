//! Cortex-M with the DSP extension: pairs, two dimensions to an SMLAD.
#![allow(unsafe_code, reason = "a back end: instructions that Rust has no name for")]

use core::arch::asm;

use zerocopy::{FromBytes, IntoBytes};

use super::dsp_dots::{even_halves, odd_halves};
use super::vector::{FieldPair, Spread};
use crate::run::{run, run_mut};

/// e \[fields, dim\] and at least eight bytes more, r upper triangle row by row, scratch \[fields\] of [`Spread`]:
/// sum_{i<j} r_ij <e_i, e_j>, eight dimensions at a time
///
/// Tried and lost: sum_i <e_i, sum_{j>i} r_ij e_j> with two j to an SMLAD. It is as short for many fields, but a turn
/// for every field costs more, and lanes beyond `dim` are computed: 3,251 instructions for 7 fields of 16 dimensions
/// instead of 1,544.
#[inline(never)]
pub(crate) fn pairs(e: &[i8], r: &[i16], num_fields: usize, dim: usize, scratch: &mut [FieldPair]) -> i64 {
    let spread = <[Spread]>::mut_from_bytes(scratch.as_mut_bytes()).unwrap_or_default();
    let spread = run_mut(spread, 0, num_fields);
    let mut total = 0;
    for first in (0..dim).step_by(8) {
        let lanes = dim - first;
        let masks = [mask(lanes), mask(lanes.saturating_sub(4))];
        for (field, to) in spread.iter_mut().enumerate() {
            let eight: [i8; 8] =
                e.get(field * dim + first..).and_then(<[i8]>::first_chunk).copied().unwrap_or_default();
            let [a, b] = *eight.as_chunks().0 else { break };
            let [a, b] = [a, b].map(|four: [i8; 4]| u32::from_le_bytes(four.map(i8::cast_unsigned)));
            let (a, b) = (a & masks[0], b & masks[1]);
            *to = [even_halves(a), odd_halves(a), even_halves(b), odd_halves(b)];
        }
        let (mut fields, mut rest) = (&*spread, r);
        while let [own, after @ ..] = fields {
            let of_own = run(rest, 0, after.len());
            total = if lanes > 4 {
                weighted::<true>(own, after, of_own, total)
            } else {
                weighted::<false>(own, after, of_own, total)
            };
            (fields, rest) = (after, rest.get(after.len()..).unwrap_or_default());
        }
    }
    total
}

/// The first `lanes` bytes of a word.
const fn mask(lanes: usize) -> u32 {
    if lanes < 4 { !(u32::MAX << (8 * lanes)) } else { u32::MAX }
}

/// total + sum_j r_j <own, e_j> over the first four dimensions, or all eight
#[inline(always)]
fn weighted<const EIGHT: bool>(own: &Spread, after: &[Spread], r: &[i16], total: i64) -> i64 {
    let count = after.len().min(r.len());
    if count == 0 {
        return total;
    }
    let [a0, a1, a2, a3] = *own;
    let (mut low, mut high) = (total as u32, (total >> 32) as u32);
    // SAFETY: both pointers start at the first of `count` elements of a slice, at least one, and advance by one in each
    // of the loop's `count` turns; LDRD reads halves of an element, whose words are at multiples of 4. Nothing is
    // written.
    unsafe {
        asm!(
            "2:",
            ".if {eight}",
            "ldrd {b0}, {b1}, [{after}], #8",
            "smuad {dot}, {a0}, {b0}",
            "smlad {dot}, {a1}, {b1}, {dot}",
            "ldrd {b0}, {b1}, [{after}], #8",
            "smlad {dot}, {a2}, {b0}, {dot}",
            "smlad {dot}, {a3}, {b1}, {dot}",
            ".else",
            "ldrd {b0}, {b1}, [{after}], #16",
            "smuad {dot}, {a0}, {b0}",
            "smlad {dot}, {a1}, {b1}, {dot}",
            ".endif",
            "ldrsh {b0}, [{r}], #2",
            "smlal {low}, {high}, {dot}, {b0}",
            "subs {n}, {n}, #1",
            "bne 2b",
            eight = const EIGHT as u32,
            after = inout(reg) after.as_ptr() => _, r = inout(reg) r.as_ptr() => _, n = inout(reg) count => _,
            a0 = in(reg) a0, a1 = in(reg) a1, a2 = in(reg) a2, a3 = in(reg) a3,
            b0 = out(reg) _, b1 = out(reg) _, dot = out(reg) _, low = inout(reg) low, high = inout(reg) high,
            options(nostack, readonly),
        );
    }
    i64::from(high.cast_signed()) << 32 | i64::from(low)
}

//! Tables of four bits: two numbers in a byte, the first in its low half.
//!
//! A number q stands for the i8 `16 q`, so that what reads vectors cannot tell. Every row starts with a byte of its
//! own.

use crate::format::FieldRecord;
use crate::kernel::portable::requantize_row;
use crate::run::run_mut;

use super::table::{Composition, Embedding};

/// The four numbers of two bytes.
#[inline(always)]
fn four([a, b]: [i8; 2]) -> [i8; 4] {
    let apart = u32::from(a.cast_unsigned()) | u32::from(b.cast_unsigned()) << 16;
    let numbers = (apart & 0x000F_000F) << 4 | (apart & 0x00F0_00F0) << 8;
    numbers.to_le_bytes().map(u8::cast_signed)
}

/// The numbers behind the first `quads` fours of a row, zeros where there are none.
#[inline(always)]
fn rest(row: &[i8], quads: usize) -> [i8; 4] {
    let byte = |n: usize| row.get(2 * quads + n).copied().unwrap_or(0);
    four([byte(0), byte(1)])
}

/// to\[d\] = number d; up to three zeros behind the last. Out of line, as the others: among the variables of a whole
/// score these loops would keep their own in memory.
#[inline(never)]
fn unpack(row: &[i8], to: &mut [i8]) {
    let twos = row.as_chunks().0;
    for (to, &two) in to.as_chunks_mut().0.iter_mut().zip(twos) {
        *to = four(two);
    }
    let to = to.get_mut(4 * twos.len()..).unwrap_or_default();
    if let (Some(to), [_]) = (to.first_chunk_mut(), row.as_chunks::<2>().1) {
        *to = rest(row, twos.len());
    }
}

/// acc\[d\] += 128 * number d, of `columns` numbers: a last half without one adds nothing to what lies behind.
#[inline(never)]
fn add_row(acc: &mut [i32], row: &[i8], columns: usize) {
    let acc = run_mut(acc, 0, columns);
    let (whole, twos) = (acc.as_chunks_mut::<4>().0, row.as_chunks().0);
    let quads = whole.len().min(twos.len());
    for (acc, &two) in whole.iter_mut().zip(twos) {
        let q = four(two);
        for (acc, &q) in acc.iter_mut().zip(&q) {
            *acc += i32::from(q) << 7;
        }
    }
    if let (Some(acc), true) = (acc.get_mut(4 * quads..), row.len() > 2 * quads) {
        for (acc, &q) in acc.iter_mut().zip(&rest(row, quads)) {
            *acc += i32::from(q) << 7;
        }
    }
}

/// acc\[d\] += number d of `q` * number d of `r`
#[inline(never)]
fn add_product(acc: &mut [i32], q: &[i8], r: &[i8]) {
    let (whole, q_twos, r_twos) = (acc.as_chunks_mut::<4>().0, q.as_chunks().0, r.as_chunks().0);
    let quads = whole.len().min(q_twos.len());
    for ((acc, &q), &r) in whole.iter_mut().zip(q_twos).zip(r_twos) {
        let (q, r) = (four(q), four(r));
        for ((acc, &q), &r) in acc.iter_mut().zip(&q).zip(&r) {
            *acc += i32::from(q) * i32::from(r);
        }
    }
    if let (Some(acc), true) = (acc.get_mut(4 * quads..), q.len() > 2 * quads) {
        for ((acc, &q), &r) in acc.iter_mut().zip(&rest(q, quads)).zip(&rest(r, quads)) {
            *acc += i32::from(q) * i32::from(r);
        }
    }
}

/// Number `d` of a row; 0 where there is none.
#[inline(always)]
pub(super) fn number(row: &[i8], d: usize) -> i8 {
    let two = row.get(d / 2).copied().unwrap_or(0);
    if d.is_multiple_of(2) { two << 4 } else { two & !0x0F }
}

impl Embedding<'_, i8> {
    /// acc \[dim\] scratch, out \[dim + SLACK\]: the i8 vector of one field, as from i8 tables. What is behind it may
    /// be zeros then. `small`: whether fewer instructions in the program count for more than a shorter way.
    #[inline(always)]
    pub(super) fn nibbles(&self, record: &FieldRecord, indices: &[u32], acc: &mut [i32], out: &mut [i8], small: bool) {
        let composition = Composition::of(record);
        let (_, _, columns) = composition.tables(record.features.get(), self.dim);
        // Where the second row's numbers go: behind the first's, or to the same place.
        let behind = if let Composition::Concat { .. } = composition { columns } else { 0 };
        if let (&[index], 0, true) = (indices, record.bag, composition.is_copy()) {
            let (first, second) = self.slices(record, composition, index);
            if small {
                for (row, to, count) in [(first, 0, columns), (second, columns, behind)] {
                    run_mut(out, to, count).iter_mut().enumerate().for_each(|(d, out)| *out = number(row, d));
                }
                return;
            }
            unpack(first, out);
            if behind > 0 {
                unpack(second, out.get_mut(behind..).unwrap_or_default());
            }
            return;
        }
        acc.fill(0);
        for &index in indices {
            let (first, second) = self.slices(record, composition, index);
            if small {
                for d in 0..columns {
                    let (q, r) = (i32::from(number(first, d)), i32::from(number(second, d)));
                    let (here, there) =
                        if let Composition::Mult { .. } = composition { (q * r, 0) } else { (q << 7, r << 7) };
                    for (at, sum) in [(d, here), (behind + d, there)] {
                        if let Some(acc) = acc.get_mut(at) {
                            *acc += sum;
                        }
                    }
                }
            } else if let Composition::Mult { .. } = composition {
                add_product(acc, first, second);
            } else {
                add_row(acc, first, columns);
                if !second.is_empty() {
                    add_row(acc.get_mut(behind..).unwrap_or_default(), second, columns);
                }
            }
        }
        requantize_row(acc, record.multiplier.get(), out);
    }
}

//! Tables of four bits: two numbers in a byte, the first in its low half. A number q stands for the i8 `16 q`, so that what reads
//! vectors cannot tell; every row starts with a byte of its own.

use crate::format::FieldRecord;
use crate::kernel::portable::requantize_row;
use crate::run::run_mut;

use super::{Composition, Embedding};

/// Bytes of a row of `columns` numbers.
pub(crate) const fn row_len(columns: usize) -> usize {
    columns.div_ceil(2)
}

/// Number `d` of a row; 0 in one that is not there.
#[inline(always)]
fn number(row: &[i8], d: usize) -> i8 {
    let two = row.get(d / 2).copied().unwrap_or(0);
    if d.is_multiple_of(2) { two << 4 } else { two & !0x0F }
}

impl Embedding<'_, i8> {
    /// acc \[dim\] scratch, out \[dim\] and more: the i8 vector of one field, as from i8 tables.
    #[inline(always)]
    pub(super) fn gather_nibbles(&self, record: &FieldRecord, indices: &[u32], acc: &mut [i32], out: &mut [i8]) {
        let composition = Composition::of(record);
        let (_, _, columns) = composition.tables(record.features.get(), self.dim);
        // Where the second row's numbers go: behind the first's, or to the same place.
        let behind = if let Composition::Concat { .. } = composition { columns } else { 0 };
        if let (&[index], 0, true) = (indices, record.bag, composition.is_copy()) {
            let (first, second) = self.slices(record, composition, index);
            for (row, to, count) in [(first, 0, columns), (second, columns, behind)] {
                run_mut(out, to, count).iter_mut().enumerate().for_each(|(d, out)| *out = number(row, d));
            }
            return;
        }
        acc.fill(0);
        for &index in indices {
            let (first, second) = self.slices(record, composition, index);
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
        }
        requantize_row(acc, record.multiplier.get(), out);
    }
}

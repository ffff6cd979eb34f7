//! Tables of four bits: two numbers in a byte, the first in its low half. A number q stands for the i8 `16 q`, so that what reads
//! vectors cannot tell; every row starts with a byte of its own.

use crate::format::FieldRecord;
use crate::kernel::portable::requantize_row;
use crate::run::{run, run_mut};

use super::Composition;

/// Bytes of a row of `columns` numbers.
pub(crate) const fn row_len(columns: usize) -> usize {
    columns.div_ceil(2)
}

/// The numbers of a row, one more where their count is odd.
#[inline(always)]
fn numbers(row: &[u8]) -> impl Iterator<Item = i8> {
    row.iter().flat_map(|&two| [(two << 4).cast_signed(), (two & 0xF0).cast_signed()])
}

/// tables \[of all fields\], acc \[dim\] scratch, out \[dim\] and more: the i8 vector of one field, as from i8 tables.
#[inline(always)]
pub(super) fn gather(
    tables: &[i8],
    record: &FieldRecord,
    indices: &[u32],
    dim: usize,
    acc: &mut [i32],
    out: &mut [i8],
) {
    let composition = Composition::of(record);
    let (firsts, _, columns) = composition.tables(record.features.get(), dim);
    let bytes: &[u8] =
        zerocopy::IntoBytes::as_bytes(tables.get(record.table_offset.get() as usize..).unwrap_or_default());
    let row = |number: usize| run(bytes, number * row_len(columns), row_len(columns));
    let rows = |index: u32| match composition {
        Composition::Full => (row(index as usize), &[][..]),
        Composition::Mult { collisions } | Composition::Add { collisions } | Composition::Concat { collisions } => {
            let quotient = index.checked_div(collisions).unwrap_or(0);
            (row(quotient as usize), row(firsts + (index - quotient * collisions) as usize))
        }
    };
    if let (&[index], 0, true) = (indices, record.bag, composition.is_copy()) {
        let (first, second) = rows(index);
        run_mut(out, 0, columns).iter_mut().zip(numbers(first)).for_each(|(out, q)| *out = q);
        run_mut(out, columns, dim - columns).iter_mut().zip(numbers(second)).for_each(|(out, r)| *out = r);
        return;
    }
    acc.fill(0);
    for &index in indices {
        let (first, second) = rows(index);
        let (first, second) = (numbers(first), numbers(second));
        match composition {
            Composition::Full => acc.iter_mut().zip(first).for_each(|(acc, q)| *acc += i32::from(q) << 7),
            Composition::Mult { .. } => {
                let both = first.zip(second);
                acc.iter_mut().zip(both).for_each(|(acc, (q, r))| *acc += i32::from(q) * i32::from(r));
            }
            Composition::Add { .. } => {
                let both = first.zip(second);
                acc.iter_mut().zip(both).for_each(|(acc, (q, r))| *acc += (i32::from(q) + i32::from(r)) << 7);
            }
            Composition::Concat { .. } => {
                run_mut(acc, 0, columns).iter_mut().zip(first).for_each(|(acc, q)| *acc += i32::from(q) << 7);
                let acc = run_mut(acc, columns, dim - columns);
                acc.iter_mut().zip(second).for_each(|(acc, r)| *acc += i32::from(r) << 7);
            }
        }
    }
    requantize_row(acc, record.multiplier.get(), out);
}

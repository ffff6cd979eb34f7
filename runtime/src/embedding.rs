//! Embedding tables: from the indices of a field to its vector.

mod ahead;
mod nibbles;
mod table;
mod weighted;

use crate::error::ScoreError;
use crate::format::{FieldRecord, composition, limit};
use crate::kernel::portable;
use crate::kernel::vector::{self, LANES, Vector, widen_i8};
use crate::run::run;

pub(crate) use ahead::Ahead;
pub use table::Composition;
use table::TableRow;
pub(crate) use table::{Embedding, SLACK, Vectors};
pub(crate) use weighted::check as check_weighted;

impl<W: Copy> Embedding<'_, W> {
    /// e \[num_fields, dim\] and slack: the vectors of a row of single indices, where all fields are full tables and a
    /// vector fits a register; `None` where that is not so, or an index is not what its field allows.
    ///
    /// So few instructions for each field that the loads of many tables are under way at once.
    #[inline(always)]
    pub(crate) fn gather_plain(&self, indices: &[u32], e: &mut [W]) -> Option<()> {
        if !self.plain || self.dim > LANES {
            return None;
        }
        let mut to = 0;
        for (record, &index) in self.fields.iter().zip(indices) {
            if index >= record.features.get() {
                return None;
            }
            let at = record.table_offset.get() as usize + index as usize * self.dim;
            match (vector::sixteen(self.tables, at), e.get_mut(to..).and_then(<[W]>::first_chunk_mut::<LANES>)) {
                (Some(row), Some(e)) => *e = *row,
                // The last rows of the last table.
                _ => self.copy_last(at, e, to),
            }
            to += self.dim;
        }
        Some(())
    }

    /// The vector at `at` to `e[to..]`, without reading behind it. Out of the loop's way.
    #[cold]
    #[inline(never)]
    fn copy_last(&self, at: usize, e: &mut [W], to: usize) {
        copy_each(run(self.tables, at, self.dim), e.get_mut(to..).unwrap_or_default());
    }
}

/// Whether the indices of field `field` are what its record allows, which has no features where they have weights.
#[inline(always)]
pub(crate) fn check(record: &FieldRecord, field: usize, indices: &[u32]) -> Result<(), ScoreError> {
    if let &[index] = indices
        && index < record.features.get()
    {
        return Ok(());
    }
    let most = if record.bag == 0 { 1 } else { limit::BAG };
    if indices.is_empty() || indices.len() > most {
        return Err(ScoreError::IndexCount { field, most, found: indices.len() });
    }
    let features = record.features.get();
    match indices.iter().find(|&&index| index >= features) {
        Some(&index) => Err(ScoreError::IndexOutOfRange { field, index, features }),
        None => Ok(()),
    }
}

impl Embedding<'_, i8> {
    /// acc \[dim\] scratch, out \[dim + SLACK\]: the i8 vector of one field (`docs/quantization.md`, "Tables and field
    /// vectors").
    #[inline(always)]
    pub(crate) fn gather<V: Vector>(
        &self,
        v: V,
        record: &FieldRecord,
        indices: &[u32],
        acc: &mut [i32],
        out: &mut [i8],
        small: bool,
    ) {
        if let (&[index], composition::FULL, 0, 0) = (indices, record.composition, record.bag, record.bits) {
            let at = record.table_offset.get() as usize + index as usize * self.dim;
            return copy(v, self.tables, TableRow { at, len: self.dim }, out);
        }
        if record.bits != 0 {
            return self.nibbles(record, indices, acc, out, small);
        }
        let composition = Composition::of(record);
        if let (&[index], 0) = (indices, record.bag) {
            if V::WIDE {
                let rows = self.rows(record, composition, index);
                if composition.is_copy() {
                    copy(v, self.tables, rows.first, out);
                    if rows.second.len > 0 {
                        copy(v, self.tables, rows.second, out.get_mut(rows.first.len..).unwrap_or_default());
                    }
                    return;
                }
                let multiplier = v.splat(record.multiplier.get());
                for at in (0..self.dim).step_by(LANES) {
                    let first = widen_i8(v, self.tables, rows.first.at + at);
                    let second = widen_i8(v, self.tables, rows.second.at + at);
                    let sum = match composition {
                        Composition::Mult { .. } => v.mul(first, second),
                        _ => v.mul(v.add(first, second), v.splat(128)),
                    };
                    let bytes = v.bytes(v.clamp(v.requantize(sum, multiplier), -127, 127));
                    out[at..at + LANES].copy_from_slice(&bytes.map(u8::cast_signed));
                }
                return;
            }
            let (first, second) = self.slices(record, composition, index);
            if composition.is_copy() {
                copy_each(first, out);
                return copy_each(second, out.get_mut(first.len()..).unwrap_or_default());
            }
            let is_product = matches!(composition, Composition::Mult { .. });
            return portable::compose(first, second, is_product, record.multiplier.get(), out);
        }
        acc.fill(0);
        for &index in indices {
            let (first, second) = self.slices(record, composition, index);
            match composition {
                Composition::Full => portable::add_row(acc, first),
                Composition::Mult { .. } => portable::add_product(acc, first, second),
                Composition::Add { .. } => {
                    portable::add_row(acc, first);
                    portable::add_row(acc, second);
                }
                Composition::Concat { .. } => {
                    portable::add_row(acc, first);
                    portable::add_row(acc.get_mut(first.len()..).unwrap_or_default(), second);
                }
            }
        }
        portable::requantize_row(acc, record.multiplier.get(), out);
    }
}

impl Embedding<'_, f32> {
    /// out \[dim + SLACK\]: the vector of one field, summed over a bag.
    #[inline(always)]
    pub(crate) fn gather<V: Vector>(&self, v: V, record: &FieldRecord, indices: &[u32], out: &mut [f32]) {
        let composition = Composition::of(record);
        if let (&[index], 0, true) = (indices, record.bag, composition.is_copy()) {
            let rows = self.rows(record, composition, index);
            copy(v, self.tables, rows.first, out);
            if rows.second.len > 0 {
                copy(v, self.tables, rows.second, &mut out[rows.first.len..]);
            }
            return;
        }
        let out = &mut out[..self.dim];
        out.fill(0.0);
        let add = |out: &mut [f32], row: &[f32]| out.iter_mut().zip(row).for_each(|(o, v)| *o += v);
        for &index in indices {
            let (first, second) = self.slices(record, composition, index);
            match composition {
                Composition::Full => add(out, first),
                Composition::Mult { .. } => {
                    for ((o, q), r) in out.iter_mut().zip(first).zip(second) {
                        *o += q * r;
                    }
                }
                Composition::Add { .. } => {
                    for ((o, q), r) in out.iter_mut().zip(first).zip(second) {
                        *o += q + r;
                    }
                }
                Composition::Concat { .. } => {
                    let (out_first, out_second) = out.split_at_mut(first.len());
                    add(out_first, first);
                    add(out_second, second);
                }
            }
        }
    }
}

/// The numbers to the start of `to`: out of line, because a compiler makes much of a short loop.
#[inline(never)]
fn copy_each<W: Copy>(from: &[W], to: &mut [W]) {
    for (to, &number) in to.iter_mut().zip(from) {
        *to = number;
    }
}

/// A row to the start of `out`, which is longer; whole vectors where the back end has them.
#[inline(always)]
fn copy<V: Vector, W: Copy>(_: V, tables: &[W], row: TableRow, out: &mut [W]) {
    if V::WIDE {
        vector::copy(tables, row.at, row.len, out);
    } else {
        copy_each(row.of(tables), out);
    }
}

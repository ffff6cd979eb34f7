//! Embedding tables: from the indices of a field to its vector.

pub(crate) mod nibbles;

use crate::error::ScoreError;
use crate::format::{FieldRecord, composition, limit};
use crate::kernel::portable;
use crate::kernel::vector::{self, LANES, Vector, widen_i8};
use crate::row::Row;
use crate::run::run;

/// How the rows of a field become its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Composition {
    /// One row per feature.
    Full,
    /// Row `i / collisions` times row `i % collisions` of a second table (Shi et al. 2019, arXiv:1909.02107).
    Mult {
        /// Features that share a quotient row.
        collisions: u32,
    },
    /// The same rows, added.
    Add {
        /// Features that share a quotient row.
        collisions: u32,
    },
    /// The same rows, half as long, one after the other.
    Concat {
        /// Features that share a quotient row.
        collisions: u32,
    },
}

impl Composition {
    /// What the record says; the loader has refused all but these four.
    #[inline]
    pub(crate) fn of(record: &FieldRecord) -> Self {
        let collisions = record.collisions.get();
        match record.composition {
            composition::FULL => Composition::Full,
            composition::MULT => Composition::Mult { collisions },
            composition::ADD => Composition::Add { collisions },
            _ => Composition::Concat { collisions },
        }
    }

    /// Shapes of the tables: rows of the first, rows of the second, columns of both.
    #[inline]
    pub(crate) fn tables(self, features: u32, dim: usize) -> (usize, usize, usize) {
        let (collisions, columns) = match self {
            Composition::Full => return (features as usize, 0, dim),
            Composition::Mult { collisions } | Composition::Add { collisions } => (collisions, dim),
            Composition::Concat { collisions } => (collisions, dim / 2),
        };
        // The loader has refused 0 collisions; the quotient is rounded up, and there is at least one feature.
        let quotients = (features - 1).checked_div(collisions).map_or(0, |last| last as usize + 1);
        (quotients, collisions.min(features) as usize, columns)
    }

    /// Whether a single row pair is already the vector, so that nothing need be brought back to i8.
    pub(crate) fn is_copy(self) -> bool {
        matches!(self, Composition::Full | Composition::Concat { .. })
    }
}

/// The tables of all fields; `W` is i8 or f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Embedding<'a, W> {
    pub(crate) fields: &'a [FieldRecord],
    pub(crate) tables: &'a [W],
    pub(crate) dim: usize,
    /// Whether every field is a full table of whole bytes, and none a bag: see [`Embedding::new`].
    plain: bool,
}

/// Where a row of a table is.
#[derive(Clone, Copy)]
struct TableRow {
    at: usize,
    len: usize,
}

impl TableRow {
    #[inline(always)]
    fn of<W>(self, tables: &[W]) -> &[W] {
        run(tables, self.at, self.len)
    }
}

/// The rows of one index: `first` alone, or composed with `second`.
struct Rows {
    first: TableRow,
    second: TableRow,
}

impl<'a, W> Embedding<'a, W> {
    pub(crate) fn new(fields: &'a [FieldRecord], tables: &'a [W], dim: usize) -> Self {
        let is_plain =
            |record: &FieldRecord| record.composition == composition::FULL && record.bag == 0 && record.bits == 0;
        let plain = fields.iter().all(is_plain);
        Embedding { fields, tables, dim, plain }
    }
}

impl<W: Copy> Embedding<'_, W> {
    /// e \[num_fields, dim\] and [`SLACK`]: the vectors of a row of single indices, where all fields are full tables and a vector
    /// fits a register; `None` where that is not so, or an index is not what its field allows.
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

impl<W> Embedding<'_, W> {
    /// Numbers in all tables.
    pub(crate) fn numbers(&self) -> usize {
        let of_field = |record: &FieldRecord| {
            let (first, second, columns) = Composition::of(record).tables(record.features.get(), self.dim);
            (first + second) * columns
        };
        self.fields.iter().map(of_field).sum()
    }

    /// The rows of feature `index`, which [`check`] has found in range.
    #[inline]
    fn rows(&self, record: &FieldRecord, composition: Composition, index: u32) -> Rows {
        let (quotients, _, columns) = composition.tables(record.features.get(), self.dim);
        let len = if record.bits == 0 { columns } else { nibbles::row_len(columns) };
        let row = |number: usize| TableRow { at: record.table_offset.get() as usize + number * len, len };
        match composition {
            Composition::Full => Rows { first: row(index as usize), second: TableRow { at: 0, len: 0 } },
            Composition::Mult { collisions } | Composition::Add { collisions } | Composition::Concat { collisions } => {
                let quotient = index.checked_div(collisions).unwrap_or(0);
                let remainder = index - quotient * collisions;
                Rows { first: row(quotient as usize), second: row(quotients + remainder as usize) }
            }
        }
    }

    /// The same rows: numbers, or bytes where two numbers share one. The second is empty where there is none.
    #[inline]
    fn slices(&self, record: &FieldRecord, composition: Composition, index: u32) -> (&[W], &[W]) {
        let Rows { first, second } = self.rows(record, composition, index);
        (first.of(self.tables), second.of(self.tables))
    }
}

/// Table rows that will be needed soon, asked for a few at a time: all at once would wait for each other.
pub(crate) struct Ahead<'t, 'r, W> {
    embedding: &'t Embedding<'t, W>,
    rows: &'t [Row<'r>],
    field: usize,
    /// How many are asked for at a time.
    step: usize,
}

impl<'t, 'r, W> Ahead<'t, 'r, W> {
    /// For `rows`, in `steps` steps.
    #[inline(always)]
    pub(crate) fn new(embedding: &'t Embedding<'t, W>, rows: &'t [Row<'r>], steps: usize) -> Self {
        let step = (rows.len() * embedding.fields.len()).div_ceil(steps.max(1));
        Ahead { embedding, rows, field: 0, step }
    }

    /// The next few.
    #[inline(always)]
    pub(crate) fn step<V: Vector>(&mut self, v: V) {
        let Some(&row) = self.rows.first() else { return };
        let to = (self.field + self.step).min(self.embedding.fields.len());
        self.ask(v, row, to);
    }

    /// All that are left.
    #[inline(always)]
    pub(crate) fn finish<V: Vector>(mut self, v: V) {
        while let Some(&row) = self.rows.first() {
            self.ask(v, row, self.embedding.fields.len());
        }
    }

    /// The fields of `row` before `to`; indices that are out of range ask for nothing of use.
    #[inline(always)]
    fn ask<V: Vector>(&mut self, v: V, row: Row<'_>, to: usize) {
        let Embedding { fields, tables, dim, .. } = *self.embedding;
        for (field, record) in fields.iter().enumerate().take(to).skip(self.field) {
            if let (0, Some(&index)) = (record.collisions.get(), row.field(field).and_then(<[u32]>::first)) {
                let row_len = if record.bits == 0 { dim } else { nibbles::row_len(dim) };
                let at = (record.table_offset.get() as usize).wrapping_add((index as usize).wrapping_mul(row_len));
                if let Some(row) = tables.get(at..) {
                    v.prefetch(row);
                    // A row may reach into a second line; only long ones often do.
                    if size_of::<W>() * dim > 32 {
                        v.prefetch(row.get(dim - 1..).unwrap_or(row));
                    }
                }
            }
        }
        self.field = to;
        if to == fields.len() {
            (self.field, self.rows) = (0, &self.rows[1..]);
        }
    }
}

/// Whether the indices of field `field` are what its record allows.
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

/// Room that every row of vectors has behind its last number: whole vectors are stored, the next field's over the rest.
pub(crate) const SLACK: usize = LANES;

impl Embedding<'_, i8> {
    /// acc \[dim\] scratch, out \[dim + SLACK\]: the i8 vector of one field (`docs/quantization.md`, "Tables and field vectors").
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
            return self.gather_nibbles(record, indices, acc, out, small);
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

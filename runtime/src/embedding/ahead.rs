//! Asks for the table rows of a batch before they are gathered.

use crate::kernel::vector::{Prefetch, Vector};
use crate::row::Row;

use super::table::Embedding;

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
                let first = (index as usize).wrapping_mul(record.row_len(dim));
                let at = (record.table_offset.get() as usize).wrapping_add(first);
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

impl<W> Prefetch for Ahead<'_, '_, W> {
    /// The next few.
    #[inline(always)]
    fn step<V: Vector>(&mut self, v: V) {
        let Some(&row) = self.rows.first() else { return };
        let to = (self.field + self.step).min(self.embedding.fields.len());
        self.ask(v, row, to);
    }
}

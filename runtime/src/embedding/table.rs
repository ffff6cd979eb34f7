//! Where the rows of a feature lie in its field's tables.

use crate::format::{FieldRecord, composition};
use crate::kernel::vector::LANES;
use crate::run::run;
use crate::scratch::ScratchBlock;

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

    /// Whether the rows of a single index are already the vector, so that nothing need be brought back to i8.
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
    pub(super) plain: bool,
}

/// Room that every row of vectors has behind its last number: whole vectors are stored, the next field's over the rest.
pub(crate) const SLACK: usize = LANES;

/// The field vectors of a row, or of several.
#[derive(Clone, Copy)]
pub(crate) struct Vectors<'e, W> {
    /// \[rows, stride\], a row being \[num_fields, dim\] and [`SLACK`].
    pub(crate) numbers: &'e [W],
    /// From the vectors of a row to those of the next.
    pub(crate) stride: usize,
    pub(crate) num_fields: usize,
    pub(crate) dim: usize,
}

impl<'e, W> Vectors<'e, W> {
    /// The numbers of so many rows at a time.
    #[inline(always)]
    pub(crate) fn groups_of(&self, rows: usize) -> std::slice::ChunksExact<'e, W> {
        self.numbers.chunks_exact(rows * self.stride)
    }
}

/// Where a row of a table is.
#[derive(Clone, Copy)]
pub(super) struct TableRow {
    pub(super) at: usize,
    pub(super) len: usize,
}

impl TableRow {
    #[inline(always)]
    pub(super) fn of<W>(self, tables: &[W]) -> &[W] {
        run(tables, self.at, self.len)
    }
}

/// The rows of one index: `first` alone, or composed with `second`.
pub(super) struct Rows {
    pub(super) first: TableRow,
    pub(super) second: TableRow,
}

impl<'a, W> Embedding<'a, W> {
    pub(crate) fn new(fields: &'a [FieldRecord], tables: &'a [W], dim: usize) -> Self {
        let is_plain =
            |record: &FieldRecord| record.composition == composition::FULL && record.bag == 0 && record.bits == 0;
        let plain = fields.iter().all(is_plain);
        Embedding { fields, tables, dim, plain }
    }
}

impl<W> Embedding<'_, W> {
    /// Numbers of a row's vectors.
    #[inline(always)]
    pub(crate) fn inputs(&self) -> usize {
        self.fields.len() * self.dim
    }

    /// Numbers from the vectors of a row to those of the next.
    #[inline(always)]
    pub(crate) fn stride(&self) -> usize {
        (self.inputs() + SLACK).next_multiple_of(ScratchBlock::LEN / size_of::<W>())
    }

    /// What was gathered in `numbers`, one row or more.
    #[inline(always)]
    pub(crate) fn vectors<'e>(&self, numbers: &'e [W]) -> Vectors<'e, W> {
        Vectors { numbers, stride: self.stride(), num_fields: self.fields.len(), dim: self.dim }
    }

    /// Numbers in all tables.
    pub(crate) fn numbers(&self) -> usize {
        let of_field = |record: &FieldRecord| {
            let (first, second, columns) = Composition::of(record).tables(record.num_features(), self.dim);
            (first + second) * columns
        };
        self.fields.iter().map(of_field).sum()
    }

    /// The rows of feature `index`, which [`check`](super::check) has found in range.
    #[inline]
    pub(super) fn rows(&self, record: &FieldRecord, composition: Composition, index: u32) -> Rows {
        self.rows_among(record.features.get(), record, composition, index)
    }

    /// The rows of one of so many features.
    #[inline(always)]
    fn rows_among(&self, features: u32, record: &FieldRecord, composition: Composition, index: u32) -> Rows {
        let (quotients, _, columns) = composition.tables(features, self.dim);
        let len = record.row_len(columns);
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
    pub(super) fn slices(&self, record: &FieldRecord, composition: Composition, index: u32) -> (&[W], &[W]) {
        let Rows { first, second } = self.rows(record, composition, index);
        (first.of(self.tables), second.of(self.tables))
    }

    /// The same in a field whose indices have weights.
    #[inline]
    pub(super) fn weighted_slices(&self, record: &FieldRecord, composition: Composition, index: u32) -> (&[W], &[W]) {
        let Rows { first, second } = self.rows_among(record.weighted_features.get(), record, composition, index);
        (first.of(self.tables), second.of(self.tables))
    }
}

//! Embedding tables: from the indices of a field to its vector.

use crate::error::ScoreError;
use crate::format::{FieldRecord, composition, limit};
use crate::kernel::imp as kernel;

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
    pub(crate) fn tables(self, features: u32, dim: usize) -> (usize, usize, usize) {
        let (collisions, columns) = match self {
            Composition::Full => return (features as usize, 0, dim),
            Composition::Mult { collisions } | Composition::Add { collisions } => (collisions, dim),
            Composition::Concat { collisions } => (collisions, dim / 2),
        };
        (features.div_ceil(collisions) as usize, collisions.min(features) as usize, columns)
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
}

/// The rows of one index: `first` alone, or composed with `second`.
struct Rows<'a, W> {
    first: &'a [W],
    second: &'a [W],
}

impl<'a, W> Embedding<'a, W> {
    /// The rows of feature `index`, which [`check`] has found in range.
    fn rows(&self, record: &FieldRecord, composition: Composition, index: u32) -> Rows<'a, W> {
        let (rows, _, columns) = composition.tables(record.features.get(), self.dim);
        let tables = &self.tables[record.table_offset.get() as usize..];
        let row = |number: usize| &tables[number * columns..][..columns];
        match composition {
            Composition::Full => Rows { first: row(index as usize), second: &[] },
            Composition::Mult { collisions } | Composition::Add { collisions } | Composition::Concat { collisions } => {
                Rows { first: row((index / collisions) as usize), second: row(rows + (index % collisions) as usize) }
            }
        }
    }
}

/// Whether the indices of field `field` are what its record allows.
pub(crate) fn check(record: &FieldRecord, field: usize, indices: &[u32]) -> Result<(), ScoreError> {
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
    /// acc \[dim\] scratch, out \[dim\]: the i8 vector of one field (`docs/quantization.md`, "Tables and field vectors").
    pub(crate) fn gather(&self, record: &FieldRecord, indices: &[u32], acc: &mut [i32], out: &mut [i8]) {
        let composition = Composition::of(record);
        if let (&[index], 0, true) = (indices, record.bag, composition.is_copy()) {
            let rows = self.rows(record, composition, index);
            let (first, second) = out.split_at_mut(rows.first.len());
            first.copy_from_slice(rows.first);
            second.copy_from_slice(rows.second);
            return;
        }
        acc.fill(0);
        for &index in indices {
            let rows = self.rows(record, composition, index);
            match composition {
                Composition::Full => kernel::add_row(acc, rows.first),
                Composition::Mult { .. } => kernel::add_product(acc, rows.first, rows.second),
                Composition::Add { .. } => {
                    kernel::add_row(acc, rows.first);
                    kernel::add_row(acc, rows.second);
                }
                Composition::Concat { .. } => {
                    let (first, second) = acc.split_at_mut(rows.first.len());
                    kernel::add_row(first, rows.first);
                    kernel::add_row(second, rows.second);
                }
            }
        }
        kernel::requantize_row(acc, record.multiplier.get(), out);
    }
}

impl Embedding<'_, f32> {
    /// out \[dim\]: the vector of one field, summed over a bag.
    pub(crate) fn gather(&self, record: &FieldRecord, indices: &[u32], out: &mut [f32]) {
        let composition = Composition::of(record);
        out.fill(0.0);
        let add = |out: &mut [f32], row: &[f32]| out.iter_mut().zip(row).for_each(|(o, v)| *o += v);
        for &index in indices {
            let rows = self.rows(record, composition, index);
            match composition {
                Composition::Full => add(out, rows.first),
                Composition::Mult { .. } => {
                    for ((o, q), r) in out.iter_mut().zip(rows.first).zip(rows.second) {
                        *o += q * r;
                    }
                }
                Composition::Add { .. } => {
                    for ((o, q), r) in out.iter_mut().zip(rows.first).zip(rows.second) {
                        *o += q + r;
                    }
                }
                Composition::Concat { .. } => {
                    let (first, second) = out.split_at_mut(rows.first.len());
                    add(first, rows.first);
                    add(second, rows.second);
                }
            }
        }
    }
}

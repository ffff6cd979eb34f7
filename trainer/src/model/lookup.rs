//! A batch as rows of the tables: first in plain numbers, which a thread of its own makes ahead, then as tensors.
//!
//! Training gathers each row of a table that a batch uses once, and the batch's vectors from those: the gradient is then that of a
//! few thousand rows, not of a whole table with a million. A row's is the sum over its entries, which are listed for it.

use anyhow::{Result, bail};
use tch::{Device, Tensor, no_grad};
use xsfm_interchange::config::{EmbeddingConfig, Operation};
use xsfm_interchange::rows::RowBlock;

use crate::tensors::size;

/// Where a field's rows lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldLayout {
    pub(super) features: u32,
    pub(super) embedding: EmbeddingConfig,
    pub(super) first: i64,
    /// Row 0 of the second tensor is neutral: that of fields with a full table.
    pub(super) second: i64,
    pub(super) feature: i64,
}

impl FieldLayout {
    pub(super) fn operation(&self) -> Option<Operation> {
        match self.embedding {
            EmbeddingConfig::QuotientRemainder { operation, .. } => Some(operation),
            EmbeddingConfig::Full | EmbeddingConfig::Hashed { .. } => None,
        }
    }

    /// A feature's row in the field's first table, and in its second or the neutral row.
    fn rows_of(&self, index: u32) -> (u32, u32) {
        match self.embedding {
            EmbeddingConfig::Full => (index, 0),
            EmbeddingConfig::QuotientRemainder { collisions, .. } => (index / collisions, index % collisions),
            EmbeddingConfig::Hashed { rows } => (index % rows, 0),
        }
    }
}

/// From indices to rows. It holds no tensor, so that another thread may use a clone.
#[derive(Clone, Debug)]
pub struct Indexer {
    pub(super) fields: Vec<FieldLayout>,
    pub(super) has_bag: bool,
    pub(super) has_second: bool,
    /// Whether features have weights of their own.
    pub(super) with_features: bool,
}

/// A batch as rows of whole tables; one entry per index, E in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    samples: usize,
    /// `[E]`: row of the first tensor.
    first: Vec<i64>,
    /// `[E]`: row of the second tensor; empty where no field is quotient-remainder.
    second: Vec<i64>,
    /// `[E]`: number of the feature over all fields; empty where features have no weights.
    feature: Vec<i64>,
    /// `[E]`: the entry's field.
    field: Vec<i64>,
    /// `[E]`: sample * num_fields + field; empty where no field is a bag.
    segment: Vec<i64>,
}

impl Indexer {
    /// Rows of a batch, checked.
    ///
    /// # Errors
    /// A row with another number of fields, an empty bag, an index outside its table.
    pub fn rows(&self, block: &RowBlock) -> Result<Rows> {
        let num_fields = self.fields.len();
        if block.num_fields != num_fields {
            bail!("rows have {} fields, the model has {num_fields}", block.num_fields);
        }
        let room = |wanted: bool| Vec::with_capacity(if wanted { block.indices.len() } else { 0 });
        let mut rows = Rows {
            samples: block.len(),
            first: room(true),
            second: room(self.has_second),
            feature: room(self.with_features),
            field: room(true),
            segment: room(self.has_bag),
        };
        for i in 0..block.len() {
            let row = block.row(i);
            for (f, field) in self.fields.iter().enumerate() {
                let indices = row.field(f).unwrap_or_default();
                if indices.is_empty() || (!self.has_bag && indices.len() != 1) {
                    bail!("row {i} of a batch has {} indices in field {f}", indices.len());
                }
                for &index in indices {
                    if index >= field.features {
                        bail!("row {i} of a batch: field {f} has index {index}, valid are 0..{}", field.features);
                    }
                    let (row, remainder) = field.rows_of(index);
                    rows.first.push(field.first + i64::from(row));
                    rows.field.push(size(f));
                    if self.has_second {
                        rows.second.push(field.second + i64::from(remainder));
                    }
                    if self.with_features {
                        rows.feature.push(field.feature + i64::from(index));
                    }
                    if self.has_bag {
                        rows.segment.push(size(i * num_fields + f));
                    }
                }
            }
        }
        Ok(rows)
    }
}

/// Numbers the rows of a table that a batch uses, in the order in which it first names them.
///
/// A sparse set (Briggs and Torczon 1993, doi:10.1145/176454.176484): a place that was never written, or for another batch, is known by
/// the row that it leads to, so nothing is cleared, and nothing sorted.
#[derive(Debug, Default)]
struct Numbering {
    place_of: Vec<u32>,
}

impl Numbering {
    /// `[E]` rows of a table -> `[U]` rows, each once; `[E]` places in those
    fn distinct(&mut self, rows: &mut [i64]) -> Vec<i64> {
        let mut distinct = Vec::new();
        for row in rows {
            let r = *row as usize;
            if r >= self.place_of.len() {
                self.place_of.resize(r + 1, 0);
            }
            let place = &mut self.place_of[r];
            if distinct.get(*place as usize) != Some(row) {
                // A batch has fewer than 2^32 entries.
                *place = u32::try_from(distinct.len()).unwrap_or(u32::MAX);
                distinct.push(*row);
            }
            *row = i64::from(*place);
        }
        distinct
    }
}

/// Finds the rows that batches use; it remembers where it saw a row, so that the next batch takes no new memory.
#[derive(Debug, Default)]
pub struct Numberings([Numbering; 3]);

/// A batch as places among the distinct rows of tables that it uses.
#[derive(Clone, Debug)]
pub struct DistinctRows {
    /// The places.
    at: Rows,
    /// Of the first tensor, of the second, and of the features' weights.
    tables: [Uses; 3],
}

/// The rows of a table that a batch uses, and which entries use them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Uses {
    /// `[U]`: the rows, each once.
    rows: Vec<i64>,
    /// `[E]`: the entries of the first row, then those of the next, each in their order.
    entries: Vec<i64>,
    /// `[U]`: where a row's entries begin.
    begins: Vec<i64>,
}

impl Uses {
    /// `at` `[E]`: the entries' places in `rows`.
    fn new(rows: Vec<i64>, at: &[i64]) -> Self {
        let mut begins = vec![0; rows.len()];
        at.iter().for_each(|&place| begins[place as usize] += 1);
        let mut total = 0;
        for begin in &mut begins {
            total += std::mem::replace(begin, total);
        }
        let (mut entries, mut next) = (vec![0; at.len()], begins.clone());
        for (entry, &place) in (0..).zip(at) {
            let next = &mut next[place as usize];
            entries[*next as usize] = entry;
            *next += 1;
        }
        Uses { rows, entries, begins }
    }
}

impl Numberings {
    /// Each row once, and the batch's places among them.
    pub fn distinct(&mut self, mut rows: Rows) -> DistinctRows {
        let [first, second, feature] = &mut self.0;
        let uses = |numbering: &mut Numbering, rows: &mut [i64]| Uses::new(numbering.distinct(rows), rows);
        let tables = [uses(first, &mut rows.first), uses(second, &mut rows.second), uses(feature, &mut rows.feature)];
        DistinctRows { at: rows, tables }
    }
}

/// A batch in tensors; one entry per index, E in all.
#[derive(Debug)]
pub struct Entries {
    /// Number of samples.
    pub samples: i64,
    /// In the first tensor.
    pub first: Lookup,
    /// In the second tensor, where a field is quotient-remainder.
    pub second: Option<Lookup>,
    /// In the features' weights, where they have some.
    pub feature: Option<Lookup>,
    /// `[E]`: the entry's field.
    pub field: Tensor,
    /// `[E]`: sample * num_fields + field, where a field is a bag; otherwise entry e has segment e.
    pub segment: Option<Tensor>,
}

/// Where a batch's entries lie in a table.
#[derive(Debug)]
pub struct Lookup {
    /// `[E]`: rows of the table, or places among those gathered.
    pub at: Tensor,
    /// What was gathered to be trained.
    pub gathered: Option<Gathered>,
}

/// Rows of a table, each once, and the entries that were gathered from them.
#[derive(Debug)]
pub struct Gathered {
    /// `[U]`: the rows' numbers in the table.
    pub rows: Tensor,
    /// `[U, columns]` or `[U]`: a copy of the rows.
    pub values: Tensor,
    /// `[E, columns]` or `[E]`: a leaf, which has the gradient.
    pub entries: Tensor,
    /// `[E]`: the entries of the first row, then those of the next.
    order: Tensor,
    /// `[U]`: where a row's entries begin in that order.
    begins: Tensor,
}

impl Gathered {
    fn new(table: &Tensor, uses: &Uses, at: &Tensor, device: Device) -> Self {
        let [rows, order, begins] =
            [&uses.rows, &uses.entries, &uses.begins].map(|numbers| Tensor::from_slice(numbers).to_device(device));
        no_grad(|| {
            let values = table.index_select(0, &rows);
            let entries = values.index_select(0, at).set_requires_grad(true);
            Gathered { rows, values, entries, order, begins }
        })
    }

    /// `[U, columns]` or `[U]`: the sum of the gradients of a row's entries; not defined where nothing used them.
    pub fn gradient(&self) -> Tensor {
        let entries = self.entries.grad();
        if !entries.defined() {
            return entries;
        }
        let columns = entries.view([entries.size()[0], -1]);
        let sum = 0;
        let (sums, ..) =
            Tensor::embedding_bag(&columns, &self.order, &self.begins, false, sum, false, None::<&Tensor>, false);
        sums.view_as(&self.values)
    }
}

impl Lookup {
    /// table `[rows, columns]` or `[rows]` -> `[E, columns]` or `[E]`
    pub fn gather(&self, table: &Tensor) -> Tensor {
        match &self.gathered {
            None => table.index_select(0, &self.at),
            Some(gathered) => gathered.entries.shallow_clone(),
        }
    }
}

impl Rows {
    /// The tensors of a batch that reads whole tables.
    pub fn entries(&self, device: Device) -> Entries {
        self.tensors(device, |_, _| None)
    }

    /// `gather`: from a table, by its number, what the entries at these places need.
    fn tensors(&self, device: Device, gather: impl Fn(usize, &Tensor) -> Option<Gathered>) -> Entries {
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        let lookup = |n: usize, at: &[i64]| {
            let at = tensor(at);
            Lookup { gathered: gather(n, &at), at }
        };
        let optional = |n: usize, at: &[i64]| (!at.is_empty()).then(|| lookup(n, at));
        Entries {
            samples: size(self.samples),
            first: lookup(0, &self.first),
            second: optional(1, &self.second),
            feature: optional(2, &self.feature),
            field: tensor(&self.field),
            segment: (!self.segment.is_empty()).then(|| tensor(&self.segment)),
        }
    }
}

impl DistinctRows {
    /// The tensors of a batch that trains: `tables` are the first tensor, the second and the features' weights.
    pub fn entries(&self, tables: [Option<&Tensor>; 3], device: Device) -> Entries {
        self.at.tensors(device, |n, at| Some(Gathered::new(tables[n]?, &self.tables[n], at, device)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_in_the_order_in_which_a_batch_names_them() {
        let mut numbering = Numbering::default();
        for (batch, distinct, places) in [
            (vec![7, 2, 7, 0, 2], vec![7, 2, 0], [0, 1, 0, 2, 1]),
            // Places of the batch before mean nothing.
            (vec![0, 2, 9, 9, 0], vec![0, 2, 9], [0, 1, 2, 2, 0]),
            (vec![9, 9, 9, 9, 7], vec![9, 7], [0, 0, 0, 0, 1]),
        ] {
            let mut rows = batch;
            assert_eq!(numbering.distinct(&mut rows), distinct);
            assert_eq!(rows, places);
        }
        assert!(numbering.distinct(&mut []).is_empty());
    }

    #[test]
    fn a_row_has_its_entries_in_their_order() {
        let uses = Uses::new(vec![7, 2, 0], &[0, 1, 0, 2, 1]);
        assert_eq!((uses.entries, uses.begins), (vec![0, 2, 1, 4, 3], vec![0, 2, 4]));
        assert!(Uses::new(Vec::new(), &[]).entries.is_empty());
    }
}

//! A batch as rows of the tables: first in plain numbers, which a thread of its own makes ahead, then as tensors.
//!
//! Training gathers each row of a table that a batch uses once, and the batch's vectors from those: the gradient is
//! then that of a few thousand rows, not of a whole table with a million. A row's is the sum over its entries, which
//! are listed for it.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tch::{Device, Kind, Tensor, no_grad};
use xsfm_interchange::config::{EmbeddingConfig, Operation};
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::weight::{self, FRACTION_BITS, Weight};

use crate::cuda::upload;
use crate::tensors::size;

/// Where a field's rows lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldLayout {
    pub(super) features: u32,
    /// Whether each index has a weight.
    pub(super) weighted: bool,
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
    /// Whether the indices of some field have weights.
    pub(super) has_weights: bool,
    pub(super) has_second: bool,
    /// Whether features have weights of their own.
    pub(super) with_features: bool,
}

/// A batch as rows of whole tables; one entry per index, E in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    samples: usize,
    num_fields: usize,
    /// `[E]`: row of the first tensor.
    first: Vec<i64>,
    /// `[E]`: row of the second tensor; empty where no field is quotient-remainder.
    second: Vec<i64>,
    /// `[E]`: number of the feature over all fields; empty where features have no weights.
    feature: Vec<i64>,
    /// `[E]`: sample * num_fields + field; empty where no field is a bag.
    segment: Vec<i64>,
    /// `[E]`: steps of the weights, those of 1 in fields without weights; empty where no field has them.
    weight: Vec<i16>,
}

impl Indexer {
    /// Rows of a batch, checked.
    ///
    /// # Errors
    /// A row with another number of fields, an empty bag, an index outside its table.
    pub fn rows(&self, block: &RowBlock) -> Result<Rows> {
        let num_fields = self.fields.len();
        if i32::try_from(block.indices.len()).is_err() {
            bail!("a batch of {} indices; at most {} are trained together", block.indices.len(), i32::MAX);
        }
        if block.num_fields != num_fields {
            bail!("rows have {} fields, the model has {num_fields}", block.num_fields);
        }
        let room = |wanted: bool| Vec::with_capacity(if wanted { block.indices.len() } else { 0 });
        let mut rows = Rows {
            samples: block.len(),
            num_fields,
            first: room(true),
            second: room(self.has_second),
            feature: room(self.with_features),
            segment: room(self.has_bag),
            weight: Vec::with_capacity(if self.has_weights { block.indices.len() } else { 0 }),
        };
        for i in 0..block.len() {
            let row = block.row(i);
            for (f, field) in self.fields.iter().enumerate() {
                let words = row.field(f).unwrap_or_default();
                if words.is_empty() || (!self.has_bag && words.len() != 1) {
                    bail!("row {i} of a batch has {} indices in field {f}", words.len());
                }
                if field.weighted && weight::pairs(words).any(|pair| pair.is_none()) {
                    bail!("row {i} of a batch: field {f} has {words:?}, each index needs its weight behind it");
                }
                for (index, weight) in weight::entries(words, field.weighted) {
                    if index >= field.features {
                        bail!("row {i} of a batch: field {f} has index {index}, valid are 0..{}", field.features);
                    }
                    let (row, remainder) = field.rows_of(index);
                    rows.first.push(field.first + i64::from(row));
                    if self.has_second {
                        rows.second.push(field.second + i64::from(remainder));
                    }
                    if self.with_features {
                        rows.feature.push(field.feature + i64::from(index));
                    }
                    if self.has_bag {
                        rows.segment.push(size(i * num_fields + f));
                    }
                    if self.has_weights {
                        rows.weight.push(weight.steps());
                    }
                }
            }
        }
        Ok(rows)
    }
}

/// Numbers the rows of a table that batches use, in the order in which a batch first names them.
///
/// A sparse set (Briggs and Torczon 1993, doi:10.1145/176454.176484): a place that was never written, or for another
/// batch, is known by the row that it leads to, so nothing is cleared, and nothing sorted.
#[derive(Debug, Default)]
struct Numbering {
    place_of: Vec<u32>,
}

/// Finds the rows that batches use; it remembers where it saw a row, so that the next batch takes no new memory.
#[derive(Debug, Default)]
pub struct Numberings([Numbering; 3]);

/// One for each thread that finds rows.
#[derive(Debug, Default)]
pub struct NumberingPool(Mutex<Vec<Numberings>>);

impl NumberingPool {
    /// As [`Numberings::distinct`], by one that no other thread uses.
    pub fn distinct(&self, rows: Rows) -> DistinctRows {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numberings = lock().pop().unwrap_or_default();
        let distinct = numberings.distinct(rows);
        lock().push(numberings);
        distinct
    }
}

/// A batch as places among the distinct rows of tables that it uses.
#[derive(Clone, Debug)]
pub struct DistinctRows {
    samples: usize,
    num_fields: usize,
    segment: Vec<i64>,
    weight: Vec<i16>,
    /// Of the first tensor, of the second, and of the features' weights.
    tables: [Option<Arc<Uses>>; 3],
}

/// The rows of a table that a batch uses, and which entries use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uses {
    /// `[U]`: the rows, each once.
    rows: Vec<i64>,
    /// `[E]`: each entry's place among those.
    at: Vec<i32>,
    /// `[E]`: the entries of the first row, then those of the next, each in their order.
    entries: Vec<i32>,
    /// `[U + 1]`: where a row's entries begin, and where they end.
    begins: Vec<i32>,
}

/// Places that are fetched before they are used.
const AHEAD: usize = 64;

impl Numbering {
    /// `all` `[E]`: rows of a table.
    fn uses(&mut self, all: &[i64]) -> Uses {
        if let Some(&last) = all.iter().max()
            && last as usize >= self.place_of.len()
        {
            self.place_of.resize(last as usize + 1, 0);
        }
        let (mut rows, mut at) = (Vec::new(), Vec::with_capacity(all.len()));
        // First how many entries each row has, one place late.
        let mut begins = vec![0, 0];
        for block in all.chunks(AHEAD) {
            // All are fetched at once: below, the core would wait for each before it knew whether the row is new.
            let fetched = block.iter().fold(0, |fetched, &row| fetched ^ self.place_of[row as usize]);
            std::hint::black_box(fetched);
            for &row in block {
                let place = &mut self.place_of[row as usize];
                if rows.get(*place as usize) != Some(&row) {
                    *place = rows.len() as u32;
                    rows.push(row);
                    begins.push(0);
                }
                at.push(place.cast_signed());
                begins[*place as usize + 2] += 1;
            }
        }
        // Then where a row's begin, one place late; each that is listed moves it on, in the end to where the next row's
        // begin.
        let mut total = 0;
        for begin in &mut begins {
            total += *begin;
            *begin = total;
        }
        let mut entries = vec![0; at.len()];
        for (entry, &place) in (0..).zip(&at) {
            let next: &mut i32 = &mut begins[place as usize + 1];
            entries[*next as usize] = entry;
            *next += 1;
        }
        begins.pop();
        Uses { rows, at, entries, begins }
    }
}

impl Uses {
    /// `[U]`: numbers of rows in their table, no two of which are the same.
    pub(crate) fn rows(&self) -> &[i64] {
        &self.rows
    }

    /// The entries that use the n-th of those.
    pub(crate) fn entries(&self, n: usize) -> &[i32] {
        &self.entries[self.begins[n] as usize..self.begins[n + 1] as usize]
    }

    /// `[E]` and `[U]`: the entries of each row in turn, and where those of a row begin.
    fn lists(&self) -> [&[i32]; 2] {
        [&self.entries, &self.begins[..self.rows.len()]]
    }

    /// The rows in `count` ranges, which have about as many entries each.
    pub(crate) fn shares(&self, count: usize) -> impl Iterator<Item = Range<usize>> {
        let bound = move |n: usize| {
            let entries = self.entries.len() * n / count;
            self.begins.partition_point(|&begin| (begin as usize) < entries)
        };
        (0..count).map(move |n| bound(n)..bound(n + 1))
    }
}

impl Numberings {
    /// Each row once, and the batch's places among them.
    pub fn distinct(&mut self, rows: Rows) -> DistinctRows {
        let Rows { samples, num_fields, first, second, feature, segment, weight } = rows;
        let [of_first, of_second, of_feature] = &mut self.0;
        let uses = |numbering: &mut Numbering, rows: &[i64]| (!rows.is_empty()).then(|| Arc::new(numbering.uses(rows)));
        let tables = [uses(of_first, &first), uses(of_second, &second), uses(of_feature, &feature)];
        DistinctRows { samples, num_fields, segment, weight, tables }
    }
}

/// A batch in tensors; one entry per index, E in all.
#[derive(Debug)]
pub struct Entries {
    /// Number of samples.
    pub samples: i64,
    /// Number of fields.
    pub num_fields: i64,
    /// In the first tensor.
    pub first: Lookup,
    /// In the second tensor, where a field is quotient-remainder.
    pub second: Option<Lookup>,
    /// In the features' weights, where they have some.
    pub feature: Option<Lookup>,
    /// `[E]`: sample * num_fields + field, where a field is a bag; otherwise entry e has segment e.
    pub segment: Option<Tensor>,
    /// `[E, 1]`, f32: what each entry's vector is multiplied by, where a field has weights. Exact: steps of 2^-12.
    pub weight: Option<Tensor>,
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
    pub(crate) uses: Arc<Uses>,
    /// `[U]`: the rows' numbers in the table.
    pub rows: Tensor,
    lists: Option<[Tensor; 2]>,
    /// `[E, columns]` or `[E]`: a leaf, which has the gradient.
    pub entries: Tensor,
}

impl Gathered {
    fn new(table: &Tensor, places: Places) -> Self {
        let Places { uses, at, rows, lists } = places;
        let entries = no_grad(|| table.index_select(0, &rows).index_select(0, &at)).set_requires_grad(true);
        Gathered { uses, rows, lists, entries }
    }

    /// By the gradient of the entries: `[U, columns]` or `[U]`, the sum of the gradients of a row's entries.
    pub(crate) fn gradient(&self, entries: &Tensor) -> Tensor {
        let columns = entries.reshape([entries.size()[0], -1]);
        let here = || self.uses.lists().map(Tensor::from_slice);
        let [order, begins] =
            &self.lists.as_ref().map_or_else(here, |lists| lists.each_ref().map(Tensor::shallow_clone));
        let sum = 0;
        let (sums, ..) = Tensor::embedding_bag(&columns, order, begins, false, sum, false, None::<&Tensor>, false);
        if entries.dim() == 1 { sums.squeeze_dim(1) } else { sums }
    }
}

impl Entries {
    /// `[E]`: each entry's field.
    pub fn field(&self) -> Tensor {
        let device = self.first.at.device();
        let all = Tensor::arange(self.first.at.size()[0], (Kind::Int64, device));
        self.segment.as_ref().unwrap_or(&all).remainder(self.num_fields)
    }

    /// `[E, 1]`, int64: steps of the weights, where a field has some.
    pub fn weight_steps(&self) -> Option<Tensor> {
        self.weight.as_ref().map(|weight| (weight * f64::from(1 << FRACTION_BITS)).to_kind(Kind::Int64))
    }

    /// v `[E, columns]` -> `[E, columns]`: each times its weight
    pub fn weigh(&self, v: &Tensor) -> Tensor {
        self.weight.as_ref().map_or_else(|| v.shallow_clone(), |weight| v * weight.to_kind(v.kind()))
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
    /// The tensors of a batch that reads whole tables. A GPU copies them while the caller goes on.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn entries(&self, device: Device) -> Result<Entries> {
        let lookup = |at: &[i64]| Ok::<_, anyhow::Error>(Lookup { at: upload(at, device)?, gathered: None });
        let optional = |at: &[i64]| (!at.is_empty()).then(|| lookup(at)).transpose();
        Ok(Entries {
            samples: size(self.samples),
            num_fields: size(self.num_fields),
            first: lookup(&self.first)?,
            second: optional(&self.second)?,
            feature: optional(&self.feature)?,
            segment: segment(&self.segment, device)?,
            weight: weights(&self.weight, device)?,
        })
    }
}

fn segment(numbers: &[i64], device: Device) -> Result<Option<Tensor>> {
    (!numbers.is_empty()).then(|| upload(numbers, device)).transpose()
}

fn weights(steps: &[i16], device: Device) -> Result<Option<Tensor>> {
    let numbers = || steps.iter().filter_map(|&steps| Weight::of_steps(steps)).map(Weight::to_f32);
    (!steps.is_empty()).then(|| Ok(upload(&numbers().collect::<Vec<f32>>(), device)?.view([-1, 1]))).transpose()
}

/// A batch's places among the distinct rows that it uses, on the device that trains.
#[derive(Debug)]
pub struct Uploaded {
    samples: i64,
    num_fields: i64,
    segment: Option<Tensor>,
    weight: Option<Tensor>,
    tables: [Option<Places>; 3],
}

/// [`Uses`] in tensors.
#[derive(Debug)]
struct Places {
    uses: Arc<Uses>,
    at: Tensor,
    rows: Tensor,
    /// [`Uses::lists`], which CPUs read where they are.
    lists: Option<[Tensor; 2]>,
}

impl Places {
    fn new(uses: &Arc<Uses>, device: Device) -> Result<Self> {
        let [order, begins] = uses.lists();
        let lists = || Ok::<_, anyhow::Error>([upload(order, device)?, upload(begins, device)?]);
        let lists = (device != Device::Cpu).then(lists).transpose()?;
        let (at, rows) = (upload(&uses.at, device)?, upload(&uses.rows, device)?);
        Ok(Places { uses: uses.clone(), at, rows, lists })
    }
}

impl Uploaded {
    /// The tensors of a batch that trains: `tables` are the first tensor, the second and the features' weights.
    pub fn entries(self, tables: [Option<&Tensor>; 3]) -> Result<Entries> {
        let mut lookups = self.tables.into_iter().zip(tables).map(|(places, table)| {
            let (places, table) = (places?, table?);
            let at = places.at.shallow_clone();
            Some(Lookup { at, gathered: Some(Gathered::new(table, places)) })
        });
        let first = lookups.next().flatten();
        Ok(Entries {
            samples: self.samples,
            num_fields: self.num_fields,
            first: first.context("a batch without a row")?,
            second: lookups.next().flatten(),
            feature: lookups.next().flatten(),
            segment: self.segment,
            weight: self.weight,
        })
    }
}

impl DistinctRows {
    /// Its tensors on a device. A GPU copies them while the caller goes on.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn upload(&self, device: Device) -> Result<Uploaded> {
        let [first, second, feature] = &self.tables;
        let places = |uses: &Option<Arc<Uses>>| uses.as_ref().map(|uses| Places::new(uses, device)).transpose();
        Ok(Uploaded {
            samples: size(self.samples),
            num_fields: size(self.num_fields),
            segment: segment(&self.segment, device)?,
            weight: weights(&self.weight, device)?,
            tables: [places(first)?, places(second)?, places(feature)?],
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
impl Gathered {
    /// As a batch with these rows.
    pub(crate) fn of(table: &Tensor, rows: &[i64]) -> Self {
        let uses = Arc::new(Numbering::default().uses(rows));
        Gathered::new(table, Places::new(&uses, Device::Cpu).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_in_the_order_in_which_a_batch_names_them() {
        let mut numbering = Numbering::default();
        for (batch, rows, at) in [
            (&[7, 2, 7, 0, 2], vec![7, 2, 0], vec![0, 1, 0, 2, 1]),
            // Places of the batch before mean nothing.
            (&[0, 2, 9, 9, 0], vec![0, 2, 9], vec![0, 1, 2, 2, 0]),
            (&[9, 9, 9, 9, 7], vec![9, 7], vec![0, 0, 0, 0, 1]),
        ] {
            let uses = numbering.uses(batch);
            assert_eq!((uses.rows, uses.at), (rows, at));
        }
    }

    #[test]
    fn a_row_has_its_entries_in_their_order() {
        let uses = Numbering::default().uses(&[7, 2, 7, 0, 2]);
        assert_eq!([0, 1, 2].map(|n| uses.entries(n)), [&[0, 2][..], &[1, 4], &[3]]);
        assert!(Numbering::default().uses(&[]).rows().is_empty());
    }

    #[test]
    fn shares_have_all_rows_once() {
        for batch in [vec![], vec![5], vec![7, 2, 7, 0, 2, 7, 7, 7], (0..100).collect()] {
            let uses = Numbering::default().uses(&batch);
            for count in [1, 3, 8] {
                let all: Vec<usize> = uses.shares(count).flatten().collect();
                assert_eq!(all, (0..uses.rows().len()).collect::<Vec<_>>(), "{batch:?} in {count} shares");
            }
        }
    }
}

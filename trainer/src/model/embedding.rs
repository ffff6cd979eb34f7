//! All fields' vectors in one gather: the tables of all fields lie one after another in one tensor, and an index becomes a row
//! of it by adding the field's offset. Quotient-remainder fields (Shi et al. 2019, arXiv:1909.02107) gather a second row from a
//! second tensor, and the two are composed.
//!
//! `concat` is a sum here: the quotient row fills the first half of the columns, the remainder row the second, zeros the rest.

use anyhow::{Result, bail};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::config::{EmbeddingConfig, ModelConfig, Operation};
use xsfm_interchange::rows::RowBlock;

use crate::tensors::size;

/// Where each field's tables lie, and how its rows are composed.
#[derive(Debug)]
pub struct Layout {
    fields: Vec<FieldLayout>,
    embed_dim: i64,
    first_rows: i64,
    second_rows: i64,
    num_features: i64,
    has_bag: bool,
    /// `[num_fields, 1]`, bool: the second row is a factor.
    is_product: Tensor,
    /// `[num_fields, 1]`, bool: the second row is added.
    is_sum: Tensor,
    /// `[num_fields, embed_dim]`, 0 or 1, where a field is `concat`: the columns that each row fills.
    concat: Option<[Tensor; 2]>,
}

#[derive(Clone, Copy, Debug)]
struct FieldLayout {
    features: u32,
    embedding: EmbeddingConfig,
    first: i64,
    /// Row 0 of the second tensor is neutral: that of fields with a full table.
    second: i64,
    feature: i64,
}

impl FieldLayout {
    fn operation(&self) -> Option<Operation> {
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

/// A table's place in one of the two tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name in a checkpoint.
    pub name: String,
    /// Its field.
    pub field: usize,
    /// Whether it lies in the second tensor.
    pub is_second: bool,
    /// Its first row there.
    pub from: i64,
    /// Number of rows.
    pub rows: i64,
    /// First column and number of columns that it fills.
    pub columns: (i64, i64),
}

/// A batch as rows of the two tensors; one entry per index, E in all.
#[derive(Debug)]
pub struct Entries {
    /// Number of samples.
    pub samples: i64,
    /// `[E]`: row of the first tensor.
    pub first: Tensor,
    /// `[E]`: row of the second tensor, where a field is quotient-remainder.
    pub second: Option<Tensor>,
    /// `[E]`: number of the feature over all fields, where features have weights of their own.
    pub feature: Option<Tensor>,
    /// `[E]`: the entry's field.
    pub field: Tensor,
    /// `[E]`: sample * num_fields + field, where a field is a bag; otherwise entry e has segment e.
    pub segment: Option<Tensor>,
}

impl Layout {
    /// The layout of a model on a device.
    pub fn new(config: &ModelConfig, device: Device) -> Self {
        let dim = size(config.embed_dim);
        let (mut first, mut second, mut feature) = (0, 1, 0);
        let mut fields = Vec::with_capacity(config.fields.len());
        for field in &config.fields {
            let rows = field.embedding.table_shapes(field.features, config.embed_dim);
            let has_second = rows.len() == 2;
            fields.push(FieldLayout {
                features: field.features,
                embedding: field.embedding,
                first,
                second: if has_second { second } else { 0 },
                feature,
            });
            first += size(rows[0].0);
            second += rows.get(1).map_or(0, |r| size(r.0));
            feature += i64::from(field.features);
        }
        let flags = |is: fn(Option<Operation>) -> bool| {
            let flags: Vec<bool> = fields.iter().map(|f| is(f.operation())).collect();
            Tensor::from_slice(&flags).view([-1, 1]).to_device(device)
        };
        let is_concat = |o| o == Some(Operation::Concat);
        let concat = fields.iter().any(|f| is_concat(f.operation())).then(|| {
            [0, dim / 2].map(|from| {
                let mask = Tensor::ones([size(fields.len()), dim], (Kind::Float, Device::Cpu));
                for (f, _) in (0..).zip(&fields).filter(|(_, field)| is_concat(field.operation())) {
                    let _ = mask.get(f).zero_();
                    let _ = mask.get(f).narrow(0, from, dim / 2).fill_(1.0);
                }
                mask.to_device(device)
            })
        });
        Layout {
            embed_dim: dim,
            first_rows: first,
            second_rows: if second > 1 { second } else { 0 },
            num_features: feature,
            has_bag: config.fields.iter().any(|f| f.bag),
            is_product: flags(|o| o == Some(Operation::Mult)),
            is_sum: flags(|o| matches!(o, Some(Operation::Add | Operation::Concat))),
            concat,
            fields,
        }
    }

    /// Rows of the first tensor.
    pub fn first_rows(&self) -> i64 {
        self.first_rows
    }

    /// Rows of the second tensor, 0 where there is none.
    pub fn second_rows(&self) -> i64 {
        self.second_rows
    }

    /// Number of features of all fields.
    pub fn num_features(&self) -> i64 {
        self.num_features
    }

    /// The first feature and the number of features of each field.
    pub fn features(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.fields.iter().map(|f| (f.feature, i64::from(f.features)))
    }

    /// Every table of every field, in the order of the fields, quotient before remainder.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for (f, field) in self.fields.iter().enumerate() {
            let (dim, features) = (self.embed_dim, i64::from(field.features));
            let table = |part: &str, is_second, from, rows, columns| Table {
                name: format!("embedding.{f}.{part}"),
                field: f,
                is_second,
                from,
                rows,
                columns,
            };
            let (collisions, operation) = match field.embedding {
                EmbeddingConfig::Full => {
                    tables.push(table("full", false, field.first, features, (0, dim)));
                    continue;
                }
                EmbeddingConfig::Hashed { rows } => {
                    tables.push(table("hashed", false, field.first, features.min(i64::from(rows)), (0, dim)));
                    continue;
                }
                EmbeddingConfig::QuotientRemainder { collisions, operation } => (collisions, operation),
            };
            let (quotient, remainder) = match operation {
                Operation::Concat => ((0, dim / 2), (dim / 2, dim / 2)),
                Operation::Mult | Operation::Add => ((0, dim), (0, dim)),
            };
            let quotients = i64::from(field.features.div_ceil(collisions));
            let collisions = i64::from(collisions);
            tables.push(table("quotient", false, field.first, quotients, quotient));
            tables.push(table("remainder", true, field.second, collisions.min(features), remainder));
        }
        tables
    }

    /// Rows of a batch, checked.
    ///
    /// # Errors
    /// A row with another number of fields, an empty bag, an index outside its table.
    pub fn entries(&self, block: &RowBlock, with_features: bool, device: Device) -> Result<Entries> {
        let num_fields = self.fields.len();
        if block.num_fields != num_fields {
            bail!("rows have {} fields, the model has {num_fields}", block.num_fields);
        }
        let capacity = block.indices.len();
        let (mut first, mut second) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        let (mut feature, mut field_of) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        let mut segment = Vec::with_capacity(capacity);
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
                    first.push(field.first + i64::from(row));
                    second.push(field.second + i64::from(remainder));
                    feature.push(field.feature + i64::from(index));
                    field_of.push(size(f));
                    segment.push(size(i * num_fields + f));
                }
            }
        }
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        Ok(Entries {
            samples: size(block.len()),
            first: tensor(&first),
            second: (self.second_rows > 0).then(|| tensor(&second)),
            feature: with_features.then(|| tensor(&feature)),
            field: tensor(&field_of),
            segment: self.has_bag.then(|| tensor(&segment)),
        })
    }

    /// a, b `[E, embed_dim]` -> `[E, embed_dim]`: each entry's vector, from its row or its two rows, in units of `1 / unit`
    ///
    /// `a * b` for a product, `unit * (a + b)` for a sum, `unit * a` for a full table. `unit` is 1 for real numbers and 128 for
    /// the accumulators of `docs/quantization.md`.
    pub fn compose(&self, a: &Tensor, b: Option<&Tensor>, field: &Tensor, unit: f64) -> Tensor {
        let Some(b) = b else {
            return if unit == 1.0 { a.shallow_clone() } else { a * unit };
        };
        let (a, b) = match &self.concat {
            None => (a.shallow_clone(), b.shallow_clone()),
            Some([first, second]) => {
                let mask = |m: &Tensor| m.to_kind(a.kind()).index_select(0, field);
                (a * mask(first), b * mask(second))
            }
        };
        let factor = b.where_scalarother(&self.is_product.index_select(0, field), unit);
        let summand = (b * unit).where_scalarother(&self.is_sum.index_select(0, field), 0.0);
        a * factor + summand
    }

    /// v `[E, columns]` -> `[samples, num_fields, columns]`: the vectors of each bag summed
    pub fn sum_bags(&self, v: &Tensor, entries: &Entries) -> Tensor {
        let (num_fields, columns) = (size(self.fields.len()), v.size()[1]);
        let summed = match &entries.segment {
            None => v.shallow_clone(),
            Some(segment) => {
                Tensor::zeros([entries.samples * num_fields, columns], (v.kind(), v.device())).index_add(0, segment, v)
            }
        };
        summed.view([entries.samples, num_fields, columns])
    }
}

//! All fields' vectors in one gather: the tables of all fields lie one after another in one tensor, and an index
//! becomes a row of it by adding the field's offset. Quotient-remainder fields (Shi et al. 2019, arXiv:1909.02107)
//! gather a second row from a second tensor, and the two are composed.
//!
//! `concat` is a sum here: the quotient row fills the first half of the columns, the remainder row the second, zeros
//! the rest.

use tch::{Device, Kind, Tensor};
use xsfm_interchange::config::{EmbeddingConfig, ModelConfig, Operation};

use super::lookup::{Entries, FieldLayout, Indexer};
use crate::tensors::size;

/// Where each field's tables lie, and how its rows are composed.
#[derive(Debug)]
pub struct Layout {
    indexer: Indexer,
    embed_dim: i64,
    first_rows: i64,
    second_rows: i64,
    num_features: i64,
    /// `[num_fields, 1]`, bool: the second row is a factor.
    is_product: Tensor,
    /// `[num_fields, 1]`, bool: the second row is added.
    is_sum: Tensor,
    /// `[num_fields, embed_dim]`, 0 or 1, where a field is `concat`: the columns that each row fills.
    concat: Option<[Tensor; 2]>,
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
                weighted: field.weighted,
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
            is_product: flags(|o| o == Some(Operation::Mult)),
            is_sum: flags(|o| matches!(o, Some(Operation::Add | Operation::Concat))),
            concat,
            indexer: Indexer {
                has_bag: config.fields.iter().any(|f| f.bag),
                has_weights: config.fields.iter().any(|f| f.weighted),
                has_second: second > 1,
                with_features: config.feature_weight,
                fields,
            },
        }
    }

    /// What turns indices into rows of the tensors.
    pub fn indexer(&self) -> &Indexer {
        &self.indexer
    }

    /// Columns of either tensor.
    pub fn embed_dim(&self) -> i64 {
        self.embed_dim
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
        self.indexer.fields.iter().map(|f| (f.feature, i64::from(f.features)))
    }

    /// Every table of every field, in the order of the fields, quotient before remainder.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for (f, field) in self.indexer.fields.iter().enumerate() {
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

    /// a, b `[E, embed_dim]` -> `[E, embed_dim]`: each entry's vector, from its row or its two rows, in units of `1 /
    /// unit`
    ///
    /// `a * b` for a product, `unit * (a + b)` for a sum, `unit * a` for a full table. `unit` is 1 for real numbers and
    /// 128 for the accumulators of `docs/quantization.md`.
    pub fn compose(&self, a: &Tensor, b: Option<&Tensor>, entries: &Entries, unit: f64) -> Tensor {
        let Some(b) = b else {
            return if unit == 1.0 { a.shallow_clone() } else { a * unit };
        };
        let field = &entries.field();
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
        let (num_fields, columns) = (size(self.indexer.fields.len()), v.size()[1]);
        let summed = match &entries.segment {
            None => v.shallow_clone(),
            Some(segment) => {
                Tensor::zeros([entries.samples * num_fields, columns], (v.kind(), v.device())).index_add(0, segment, v)
            }
        };
        summed.view([entries.samples, num_fields, columns])
    }
}

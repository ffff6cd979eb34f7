//! From the tokens of a raw row to indices, by a schema.

use serde::{Deserialize, Serialize};
use xsfm_interchange::rows::{Bounds, RowBlock};
use xsfm_interchange::schema::{Encoder, Field, Schema, Weights};
use xsfm_runtime::Weight;

use crate::pass::Rows;
use crate::raw::RawRow;

/// The vocabularies of all fields of a schema.
#[derive(Debug)]
pub struct RowEncoder {
    encoders: Vec<Encoder>,
    /// By field: where its indices have their weights from.
    weights: Vec<Option<Weights>>,
    has_bag: bool,
    /// Whether rows have labels.
    labels: bool,
}

/// By field: what rows had that is worth telling.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    /// Indices that are 0 though there was a token.
    pub unseen: Vec<u64>,
    /// Bags that were cut.
    pub cut_bags: Vec<u64>,
}

impl Told {
    /// Nothing yet.
    pub fn new(fields: usize) -> Self {
        Told { unseen: vec![0; fields], cut_bags: vec![0; fields] }
    }

    /// Adds what other rows had.
    pub fn add(&mut self, other: &Told) {
        let add = |all: &mut [u64], other: &[u64]| all.iter_mut().zip(other).for_each(|(all, other)| *all += other);
        add(&mut self.unseen, &other.unseen);
        add(&mut self.cut_bags, &other.cut_bags);
    }
}

impl RowEncoder {
    /// Of this schema; `labels`: whether rows have them.
    pub fn new(schema: &Schema, labels: bool) -> Self {
        RowEncoder {
            encoders: schema.fields.iter().map(Field::encoder).collect(),
            weights: schema.fields.iter().map(|field| field.weights).collect(),
            has_bag: Bounds::from(schema).columns.iter().any(|column| column.bag),
            labels,
        }
    }

    /// A block for its rows.
    pub fn block(&self) -> RowBlock {
        RowBlock::new(self.encoders.len(), self.has_bag)
    }

    /// Encodes the well-formed rows of a block.
    pub fn rows(&self, rows: &mut Rows<'_>) -> (RowBlock, Told) {
        let (mut block, mut told, mut indices) = (self.block(), Told::new(self.encoders.len()), Vec::new());
        rows.each(|(), row| self.push(row, &mut block, &mut told, &mut indices));
        (block, told)
    }

    /// Appends a row, whose fields are the schema's; `indices` is room that is used again.
    pub fn push(&self, row: &RawRow, block: &mut RowBlock, told: &mut Told, indices: &mut Vec<u32>) {
        for (f, encoder) in self.encoders.iter().enumerate() {
            indices.clear();
            if let Some((first, second)) = row.field(f).next().and_then(|number| encoder.weighted(number)) {
                let words = [first].into_iter().chain(second).flat_map(|(index, weight)| [index, weight.word()]);
                indices.extend(words);
                block.push_field(indices);
                continue;
            }
            indices.extend(row.field(f).map(|token| encoder.index_of(token)));
            if encoder.has_unseen() {
                told.unseen[f] += indices.iter().filter(|&&index| index == 0).count() as u64;
            }
            // A bag without tokens.
            if indices.is_empty() {
                indices.push(0);
            }
            match self.weights[f] {
                None => (),
                Some(Weights::Mean) => weigh(indices, [Weight::of_mean(indices.len())].into_iter().cycle()),
                // What is not there adds nothing.
                Some(Weights::Given) => weigh(indices, row.token_weights(f).iter().copied().chain([Weight::ZERO])),
            }
            block.push_field(indices);
        }
        row.cut_fields().iter().for_each(|&f| told.cut_bags[f] += 1);
        if self.labels {
            block.labels.push(row.label);
        }
        block.weights.extend(row.weight);
    }
}

/// Lays the weights behind their indices.
fn weigh(indices: &mut Vec<u32>, weights: impl Iterator<Item = Weight>) {
    *indices = indices.iter().zip(weights).flat_map(|(&index, weight)| [index, weight.word()]).collect();
}

//! From the tokens of a raw row to indices, by a schema.

use xsfm_interchange::rows::{Bounds, RowBlock};
use xsfm_interchange::schema::{Encoder, Field, Schema};

use super::raw::RawRow;

/// All fields of a schema.
pub(super) struct RowEncoder {
    encoders: Vec<Encoder>,
    has_bag: bool,
    /// Whether rows have labels.
    labels: bool,
}

/// By field: what rows had that is worth telling.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Indices that are 0 though there was a token.
    pub(super) unseen: Vec<u64>,
    /// Bags that were cut.
    pub(super) cut_bags: Vec<u64>,
}

impl Told {
    pub(super) fn new(fields: usize) -> Self {
        Told { unseen: vec![0; fields], cut_bags: vec![0; fields] }
    }

    pub(super) fn add(&mut self, other: &Told) {
        let add = |all: &mut [u64], other: &[u64]| all.iter_mut().zip(other).for_each(|(all, other)| *all += other);
        add(&mut self.unseen, &other.unseen);
        add(&mut self.cut_bags, &other.cut_bags);
    }
}

impl RowEncoder {
    pub(super) fn new(schema: &Schema, labels: bool) -> Self {
        RowEncoder {
            encoders: schema.fields.iter().map(Field::encoder).collect(),
            has_bag: Bounds::from(schema).columns.iter().any(|column| column.bag),
            labels,
        }
    }

    /// A block for its rows.
    pub(super) fn block(&self) -> RowBlock {
        RowBlock::new(self.encoders.len(), self.has_bag)
    }

    /// Appends a row, whose fields are the schema's; `indices` is room that is used again.
    pub(super) fn push(&self, row: &RawRow, block: &mut RowBlock, told: &mut Told, indices: &mut Vec<u32>) {
        for (f, encoder) in self.encoders.iter().enumerate() {
            indices.clear();
            indices.extend(row.field(f).map(|token| encoder.index_of(token)));
            told.unseen[f] += indices.iter().filter(|&&index| index == 0).count() as u64;
            // A bag without tokens.
            if indices.is_empty() {
                indices.push(0);
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

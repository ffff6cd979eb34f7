//! The fields of a packed model, for people and for code that builds rows.

use crate::embedding::Composition;
use crate::format::{FieldRecord, Reader};

/// One field of a packed model.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its name in the training data.
    pub name: &'a str,
    /// Valid indices are `0..features`.
    pub features: u32,
    /// Whether a row may have several indices in this field.
    pub bag: bool,
    /// Whether each index has a [`Weight`](crate::Weight) behind it.
    pub weighted: bool,
    /// How its vectors are stored.
    pub composition: Composition,
    /// int8 mode: what one step of its vector is worth; 0 in f32 mode.
    pub scale: f32,
    /// Numbers in its tables.
    pub parameters: usize,
    /// Whether two of them share a byte.
    pub four_bits: bool,
}

/// The fields of a model in the order of a row; made by [`Model::fields`](crate::Model::fields).
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    pub(crate) records: std::slice::Iter<'a, FieldRecord>,
    pub(crate) names: Reader<'a>,
    pub(crate) dim: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let record = self.records.next()?;
        let name = self.names.string()?;
        let composition = Composition::of(record);
        let features = record.num_features();
        let (first, second, columns) = composition.tables(features, self.dim);
        Some(Field {
            name,
            features,
            bag: record.bag != 0,
            weighted: record.is_weighted(),
            composition,
            scale: record.scale.get(),
            parameters: (first + second) * columns,
            four_bits: record.bits != 0,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

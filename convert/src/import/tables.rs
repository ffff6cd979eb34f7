//! Tables of vectors and of scalars, for each field or for all fields together.

use super::builder::{Embedding, Field};
use super::described::Described;
use crate::error::Error;
use crate::model::Table;
use crate::tensors::Tensors;

/// A field's own table.
pub(super) fn own(tensors: &Tensors<'_>, name: &str, rows: u32, columns: usize) -> Result<Table<f32>, Error> {
    let rows = rows as usize;
    Ok(Table { rows, columns, values: tensors.real(name, &[rows, columns])? })
}

/// The table of all fields that are no bags, one field's rows behind the other's; bags have no entry.
pub(super) fn shared(
    tensors: &Tensors<'_>,
    name: &str,
    fields: &[Described],
    columns: usize,
) -> Result<Vec<Option<Table<f32>>>, Error> {
    let all: usize = fields.iter().filter(|field| !field.bag).map(|field| field.features as usize).sum();
    let values = tensors.real(name, &[all, columns])?;
    let mut rest = values.as_slice();
    let cut = |field: &Described| {
        (!field.bag).then(|| {
            let rows = field.features as usize;
            let (own, after) = rest.split_at(rows * columns);
            rest = after;
            Table { rows, columns, values: own.to_vec() }
        })
    };
    Ok(fields.iter().map(cut).collect())
}

/// Row 0 of a bag's table adds nothing where the library masks it: an empty bag is index 0 here.
pub(super) fn without_padding(mut table: Table<f32>) -> Table<f32> {
    let columns = table.columns;
    table.values[..columns].fill(0.0);
    table
}

/// Fields with what was found of each: its vectors and its scalars.
pub(super) fn fields(
    described: &[Described],
    vectors: Vec<Option<Table<f32>>>,
    weights: Vec<Option<Table<f32>>>,
) -> Vec<Field> {
    let tables = vectors.into_iter().zip(weights);
    let mut fields = Vec::with_capacity(described.len());
    for (field, (vectors, weights)) in described.iter().zip(tables) {
        fields.push(Field {
            name: field.name.clone(),
            features: field.features,
            bag: field.bag,
            embedding: vectors.map(Embedding::Full),
            weights: weights.map(|table| table.values),
        });
    }
    fields
}

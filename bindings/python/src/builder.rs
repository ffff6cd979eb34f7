//! `xsfm.Builder`'s arrays as the converter's `Builder`, which says what does not fit together.

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use xsfm_convert::import::builder::{BatchNorm, Builder, Embedding, Field, Layers, Linear, PairWeights};
use xsfm_convert::model::Table;
use xsfm_interchange::config::Operation;

use crate::error::XsfmError;

type Vector<'py> = PyReadonlyArray1<'py, f32>;
type Matrix<'py> = PyReadonlyArray2<'py, f32>;

/// What `xsfm.Builder` was given: arrays of f32, row by row.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Parts<'py> {
    fields: Vec<FieldParts<'py>>,
    field_vectors: Option<Vector<'py>>,
    pairs: PairParts<'py>,
    layers: Vec<LayerParts<'py>>,
    input_norm: Option<NormParts<'py>>,
    input_order: Option<Vec<String>>,
    bias: f64,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct FieldParts<'py> {
    name: String,
    features: u32,
    bag: bool,
    table: Option<Matrix<'py>>,
    quotient_remainder: Option<QuotientRemainderParts<'py>>,
    weights: Option<Vector<'py>>,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct QuotientRemainderParts<'py> {
    collisions: u32,
    operation: String,
    quotient: Matrix<'py>,
    remainder: Matrix<'py>,
}

#[derive(FromPyObject)]
enum PairParts<'py> {
    Word(String),
    Upper(Vector<'py>),
    Matrix(Matrix<'py>),
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct LayerParts<'py> {
    weight: Matrix<'py>,
    bias: Option<Vector<'py>>,
    norm: Option<NormParts<'py>>,
}

/// A tuple of gamma, beta, mean, variance, epsilon.
#[derive(FromPyObject)]
struct NormParts<'py>(Vector<'py>, Vector<'py>, Vector<'py>, Vector<'py>, f64);

fn numbers(array: &Vector<'_>) -> PyResult<Vec<f32>> {
    Ok(array.as_slice()?.to_vec())
}

fn table(array: &Matrix<'_>) -> PyResult<Table<f32>> {
    let [rows, columns] = [0, 1].map(|axis| array.shape().get(axis).copied().unwrap_or_default());
    Ok(Table { rows, columns, values: array.as_slice()?.to_vec() })
}

impl Parts<'_> {
    pub(crate) fn builder(&self) -> PyResult<Builder> {
        let layers = match (&self.layers[..], &self.input_norm, &self.input_order) {
            ([], None, None) => None,
            _ => Some(self.layers()?),
        };
        Ok(Builder {
            fields: self.fields.iter().map(FieldParts::field).collect::<PyResult<_>>()?,
            field_vectors: self.field_vectors.as_ref().map(numbers).transpose()?,
            pairs: self.pairs.weights()?,
            layers,
            bias: self.bias,
        })
    }

    fn layers(&self) -> PyResult<Layers> {
        let place = |name: &String| {
            let place = self.fields.iter().position(|field| field.name == *name);
            place.ok_or_else(|| XsfmError::new_err(format!("the first layer reads {name:?}, which is no field")))
        };
        let order = self.input_order.as_ref().map(|names| names.iter().map(place).collect::<PyResult<_>>());
        Ok(Layers {
            order: order.transpose()?,
            norm: self.input_norm.as_ref().map(NormParts::norm).transpose()?,
            linears: self.layers.iter().map(LayerParts::linear).collect::<PyResult<_>>()?,
        })
    }
}

impl FieldParts<'_> {
    fn field(&self) -> PyResult<Field> {
        let embedding = match (&self.table, &self.quotient_remainder) {
            (None, None) => None,
            (Some(array), _) => Some(Embedding::Full(table(array)?)),
            (None, Some(parts)) => Some(parts.embedding(&self.name)?),
        };
        Ok(Field {
            name: self.name.clone(),
            features: self.features,
            bag: self.bag,
            embedding,
            weights: self.weights.as_ref().map(numbers).transpose()?,
        })
    }
}

impl QuotientRemainderParts<'_> {
    fn embedding(&self, field: &str) -> PyResult<Embedding> {
        let operation = match self.operation.as_str() {
            "mult" => Operation::Mult,
            "add" => Operation::Add,
            "concat" => Operation::Concat,
            other => {
                let what = format!("field `{field}`: operation {other:?} is unknown; known are mult, add, concat");
                return Err(XsfmError::new_err(what));
            }
        };
        let (quotient, remainder) = (table(&self.quotient)?, table(&self.remainder)?);
        Ok(Embedding::QuotientRemainder { collisions: self.collisions, operation, quotient, remainder })
    }
}

impl PairParts<'_> {
    fn weights(&self) -> PyResult<PairWeights> {
        match self {
            PairParts::Word(word) => match word.as_str() {
                "none" => Ok(PairWeights::None),
                "unit" => Ok(PairWeights::Unit),
                other => {
                    let what = format!("pairs {other:?}; `unit`, `none`, or weights expected");
                    Err(XsfmError::new_err(what))
                }
            },
            PairParts::Upper(weights) => Ok(PairWeights::Upper(numbers(weights)?)),
            PairParts::Matrix(matrix) => Ok(PairWeights::Matrix(matrix.as_slice()?.to_vec())),
        }
    }
}

impl LayerParts<'_> {
    fn linear(&self) -> PyResult<Linear> {
        let Table { rows: outputs, columns: inputs, values: weight } = table(&self.weight)?;
        let bias = self.bias.as_ref().map_or_else(|| Ok(vec![0.0; outputs]), numbers)?;
        let norm = self.norm.as_ref().map(NormParts::norm).transpose()?;
        Ok(Linear { inputs, outputs, weight, bias, norm })
    }
}

impl NormParts<'_> {
    fn norm(&self) -> PyResult<BatchNorm> {
        let NormParts(gamma, beta, mean, var, epsilon) = self;
        Ok(BatchNorm {
            gamma: numbers(gamma)?,
            beta: numbers(beta)?,
            mean: numbers(mean)?,
            var: numbers(var)?,
            epsilon: *epsilon,
        })
    }
}

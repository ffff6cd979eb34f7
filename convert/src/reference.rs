//! Both arithmetics by the plainest loops, written from the equations alone: the oracles that everything else is
//! compared with.

use ndarray::{Array1, Array2, ArrayView1};
use xsfm_interchange::config::{FieldConfig, ModelConfig, Operation};
use xsfm_runtime::format::{Term, limit};
use xsfm_runtime::weight::{self, Weight};
use xsfm_runtime::{Row, ScoreError};

use crate::model::{FloatField, FloatModel, PairList, QuantizedLayer, QuantizedLayers, QuantizedModel, Table};

/// What a float model computes on the way to a logit.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatTrace {
    /// `[num_fields, embed_dim]`.
    pub vectors: Vec<f64>,
    /// Per hidden layer `[outputs]`, after ReLU.
    pub activations: Vec<Vec<f64>>,
    /// The logit.
    pub logit: f64,
}

/// `logit = bias + sum_f <v_f, w_f> + sum_f lw_f[i_f] + sum_{i<j} r_ij <v_i, v_j> + MLP(concat v_f)` in f64.
///
/// # Errors
/// A row that does not fit the model.
pub fn float_forward(model: &FloatModel, row: Row<'_>) -> Result<FloatTrace, ScoreError> {
    check(&model.config, row)?;
    let (num_fields, dim) = (model.fields.len(), model.config.embed_dim);
    let mut logit = f64::from(model.bias);
    // v [num_fields, embed_dim]
    let mut v = Array2::zeros((num_fields, dim));
    for (f, (field, config)) in model.fields.iter().zip(&model.config.fields).enumerate() {
        for (index, weight) in weight::entries(row.field(f).unwrap_or_default(), config.weighted) {
            let w = f64::from(weight.to_f32());
            v.row_mut(f).iter_mut().zip(feature_vector(field, config, index, dim)).for_each(|(sum, v)| *sum += w * v);
            if let Some(weights) = &field.feature_weights {
                logit += w * f64::from(weights[index as usize]);
            }
        }
    }
    if let Some(w) = &model.field_vectors {
        logit += w.iter().zip(&v).map(|(&w, v)| f64::from(w) * v).sum::<f64>();
    }
    if let Some(pairs) = &model.pairs {
        for ((i, j), &r) in pairs.list.pairs(num_fields).into_iter().zip(&pairs.weights) {
            logit += f64::from(r) * v.row(i).dot(&v.row(j));
        }
    }
    if let Some(low_rank) = &model.low_rank {
        let square = |x: ArrayView1<'_, f64>| x.dot(&x);
        // u [rank, num_fields] v -> [rank, embed_dim]
        let sums = low_rank.factors().dot(&v);
        logit +=
            sums.rows().into_iter().zip(&low_rank.signs).map(|(s, &sign)| f64::from(sign) * square(s)).sum::<f64>();
        logit -= v.rows().into_iter().zip(&low_rank.diagonal).map(|(v, &d)| f64::from(d) * square(v)).sum::<f64>();
    }
    let vectors: Vec<f64> = v.iter().copied().collect();
    let mut x = Array1::from(vectors.clone());
    let mut activations = Vec::new();
    for (n, layer) in model.layers.iter().enumerate() {
        // W [outputs, inputs], x [inputs] -> [outputs]
        let y = layer.matrix().dot(&x) + ArrayView1::from(&layer.biases);
        if n + 1 == model.layers.len() {
            logit += y.sum();
            break;
        }
        x = y.mapv(|y| y.max(0.0));
        activations.push(x.to_vec());
    }
    Ok(FloatTrace { vectors, activations, logit })
}

/// `[embed_dim]`: the vector of one feature.
pub(crate) fn feature_vector(
    field: &FloatField,
    config: &FieldConfig,
    index: u32,
    dim: usize,
) -> impl Iterator<Item = f64> {
    let at = |table: usize, r: usize, c: usize| f64::from(field.tables[table].row(r)[c]);
    (0..dim).map(move |d| match places(config, index, d, dim) {
        Places::One(table, r, c) => at(table, r, c),
        Places::Product(q, r) => at(0, q, d) * at(1, r, d),
        Places::Sum(q, r) => at(0, q, d) + at(1, r, d),
    })
}

/// What a quantised model computes on the way to a logit.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerTrace {
    /// `[num_fields, embed_dim]`, i8.
    pub vectors: Vec<i64>,
    /// Per hidden layer `[outputs]`, u8.
    pub activations: Vec<Vec<i64>>,
    /// Dynamic mode, per hidden layer: what one step of its outputs is worth in this row.
    pub activation_scales: Vec<f32>,
    /// The logit in steps of 2^-16.
    pub logit: i64,
}

/// The integers of `docs/quantization.md`, each in a type so wide that nothing can overflow; and the f32 numbers of
/// dynamic mode, in the order in which they are written there.
///
/// # Errors
/// A row that does not fit the model.
pub fn integer_forward(model: &QuantizedModel, row: Row<'_>) -> Result<IntegerTrace, ScoreError> {
    check(&model.config, row)?;
    let dim = model.config.embed_dim;
    let mut vectors = Vec::with_capacity(model.fields.len() * dim);
    let mut feature_acc = 0_i128;
    for (f, (field, config)) in model.fields.iter().zip(&model.config.fields).enumerate() {
        let at = |table: &Table<i8>, r: usize, c: usize| i64::from(table.row(r)[c]);
        let entries = weight::entries(row.field(f).unwrap_or_default(), config.weighted);
        for d in 0..dim {
            let number = |index| match places(config, index, d, dim) {
                Places::One(table, r, c) => 128 * at(&field.tables[table], r, c),
                Places::Product(q, r) => at(&field.tables[0], q, d) * at(&field.tables[1], r, d),
                Places::Sum(q, r) => 128 * (at(&field.tables[0], q, d) + at(&field.tables[1], r, d)),
            };
            let acc: i64 = entries.clone().map(|(index, weight)| weighted(number(index).into(), weight) as i64).sum();
            vectors.push(match field.multiplier {
                Some(m) => requantize(acc, m).clamp(-127, 127),
                None => acc / 128,
            });
        }
        if let (Some(weights), Some(part)) = (&field.feature_weights, &model.feature_weight) {
            let scalar = |index: u32| i128::from(part.coefficients[f]) * i128::from(weights[index as usize]);
            let scalars = entries.map(|(index, weight)| (scalar(index), weight));
            feature_acc += scalars_of_field(scalars, config.weighted);
        }
    }
    let mut logit = i128::from(model.bias);
    if let Some(part) = &model.feature_weight {
        logit += steps(part.term, feature_acc);
    }
    if let Some(part) = &model.field_vectors {
        let acc = part.values.iter().zip(&vectors).map(|(&u, &e)| i128::from(u) * i128::from(e)).sum();
        logit += steps(part.term, acc);
    }
    if let Some(part) = &model.pairs {
        let mut acc = 0;
        for ((i, j), &r) in part.pairs.list.pairs(model.fields.len()).into_iter().zip(&part.pairs.weights) {
            let product: i64 = (0..dim).map(|d| vectors[i * dim + d] * vectors[j * dim + d]).sum();
            acc += i128::from(r) * i128::from(product);
        }
        logit += steps(part.term, acc);
    }
    if let Some(part) = &model.low_rank {
        // The integers of each pair, 2 sum_rho sign_rho u_rho,i u_rho,j: neither squares nor a diagonal.
        let (num_fields, low_rank) = (model.fields.len(), &part.low_rank);
        let mut acc = 0;
        for (i, j) in PairList::Dense.pairs(num_fields) {
            let factors = low_rank.factors.chunks_exact(num_fields).zip(&low_rank.signs);
            let r: i128 = factors.map(|(u, &sign)| 2 * i128::from(sign) * i128::from(u[i]) * i128::from(u[j])).sum();
            let product: i64 = (0..dim).map(|d| vectors[i * dim + d] * vectors[j * dim + d]).sum();
            acc += r * i128::from(product);
        }
        logit += steps(part.term, (acc + (1 << (limit::LOW_RANK_SHIFT - 1))) >> limit::LOW_RANK_SHIFT);
    }
    let (mut x, mut activations, mut activation_scales) = (vectors.clone(), Vec::new(), Vec::new());
    match &model.layers {
        QuantizedLayers::Static { layers, term } => {
            for (n, layer) in layers.iter().enumerate() {
                let acc: Vec<i64> = sums(layer, &x).zip(&layer.biases).map(|(acc, &b)| acc + i64::from(b)).collect();
                if n + 1 == layers.len() {
                    logit += steps(*term, i128::from(acc[0]));
                    break;
                }
                x = acc.iter().zip(&layer.multipliers).map(|(&acc, &m)| requantize(acc, m).clamp(0, 255)).collect();
                activations.push(x.clone());
            }
        }
        QuantizedLayers::Dynamic(layers) => {
            let mut s_x = 1.0_f32;
            for (n, layer) in layers.iter().enumerate() {
                let y: Vec<f32> = sums(layer, &x)
                    .zip(&layer.multipliers)
                    .zip(&layer.biases)
                    .map(|((acc, &m), &b)| acc as f32 * m * s_x + b)
                    .collect();
                if n + 1 == layers.len() {
                    logit += nearest_steps(y[0]);
                    break;
                }
                let y: Vec<f32> = y.into_iter().map(|y| y.clamp(0.0, 2_f32.powi(40))).collect();
                let largest = y.iter().fold(0.0_f32, |most, &y| most.max(y));
                let is_zero = largest < 2_f32.powi(-60);
                let inverse = if is_zero { 0.0 } else { 255.0 / largest };
                s_x = if is_zero { 0.0 } else { largest / 255.0 };
                x = y.into_iter().map(|y| (y * inverse + 0.5) as i64).collect();
                activations.push(x.clone());
                activation_scales.push(s_x);
            }
        }
    }
    let limit = i128::from(limit::LOGIT);
    Ok(IntegerTrace { vectors, activations, activation_scales, logit: logit.clamp(-limit, limit) as i64 })
}

/// w \[outputs, inputs\], x \[inputs\] -> \[outputs\]: the sums of a layer, without its biases.
fn sums<B, M>(layer: &QuantizedLayer<B, M>, x: &[i64]) -> impl Iterator<Item = i64> {
    layer.weights.chunks_exact(layer.inputs).map(move |w| w.iter().zip(x).map(|(&w, &x)| i64::from(w) * x).sum())
}

/// A real output in steps of the logit: to nearest, ties away from zero.
fn nearest_steps(output: f32) -> i128 {
    let steps = (output * 65_536.0).clamp(-(2_f32.powi(30)), 2_f32.powi(30));
    (steps + if steps >= 0.0 { 0.5 } else { -0.5 }) as i128
}

/// `(t * w + 2^11) >> 12`.
pub(crate) fn weighted(number: i128, weight: Weight) -> i128 {
    (number * i128::from(weight.steps()) + 2048) >> 12
}

/// What the scalars of a field's indices add, each times the field's coefficient.
pub(crate) fn scalars_of_field(scalars: impl Iterator<Item = (i128, Weight)>, is_weighted: bool) -> i128 {
    match is_weighted {
        false => scalars.map(|(scalar, _)| scalar).sum(),
        true => {
            let sum: i128 = scalars.map(|(scalar, weight)| scalar * i128::from(weight.steps())).sum();
            ((sum + 2048) >> 12).clamp(-(1 << 32), 1 << 32)
        }
    }
}

/// `(acc * m + 2^31) >> 32`.
fn requantize(acc: i64, multiplier: i32) -> i64 {
    ((i128::from(acc) * i128::from(multiplier) + (1 << 31)) >> 32) as i64
}

/// `(acc * M + 2^(n-1)) >> n`.
fn steps(term: Term, acc: i128) -> i128 {
    (acc * i128::from(term.mantissa) + (1 << (term.shift - 1))) >> term.shift
}

/// Where number `d` of the vector of a feature comes from.
enum Places {
    /// Table, row, column.
    One(usize, usize, usize),
    /// Quotient row times remainder row.
    Product(usize, usize),
    /// Quotient row plus remainder row.
    Sum(usize, usize),
}

fn places(field: &FieldConfig, index: u32, d: usize, dim: usize) -> Places {
    let Some((collisions, operation)) = field.embedding.quotient_remainder() else {
        return Places::One(0, index as usize, d);
    };
    let (q, r) = ((index / collisions) as usize, (index % collisions) as usize);
    match operation {
        Operation::Mult => Places::Product(q, r),
        Operation::Add => Places::Sum(q, r),
        Operation::Concat if d < dim / 2 => Places::One(0, q, d),
        Operation::Concat => Places::One(1, r, d - dim / 2),
    }
}

/// Whether a row fits a model; the same errors as the runtime's.
///
/// # Errors
/// Another number of fields, none or too many indices in a field, or an index that is not one of its features.
pub fn check(config: &ModelConfig, row: Row<'_>) -> Result<(), ScoreError> {
    let (expected, found) = (config.fields.len(), row.num_fields());
    if found != expected {
        return Err(ScoreError::FieldCount { expected, found });
    }
    for (field, config) in config.fields.iter().enumerate() {
        let words = row.field(field).ok_or(ScoreError::Offsets { field })?;
        let features = config.features;
        let (most, is_weighted) = (if config.bag { limit::BAG } else { 1 }, config.weighted);
        let is_weight = |&word: &u32| word >= features && Weight::of_word(word).is_some();
        if !is_weighted && words.iter().any(is_weight) {
            return Err(ScoreError::UnexpectedWeight { field });
        }
        let found = if is_weighted { words.len().div_ceil(2) } else { words.len() };
        if !(1..=most).contains(&found) {
            return Err(ScoreError::IndexCount { field, most, found });
        }
        let problem = |pair: Option<(u32, Weight)>| match pair {
            None => Some(ScoreError::MissingWeight { field }),
            Some((index, _)) => (index >= features).then_some(ScoreError::IndexOutOfRange { field, index, features }),
        };
        let found = match is_weighted {
            true => weight::pairs(words).find_map(problem),
            false => words.iter().find_map(|&index| problem(Some((index, Weight::ONE)))),
        };
        if let Some(error) = found {
            return Err(error);
        }
    }
    Ok(())
}

//! Rounding with a view to the logit: neighbouring integers are chosen so that their errors cancel.
//!
//! Rounding every weight to the nearest integer minimises each weight's error, not the output's. Given how the output
//! depends on a row of weights, `E[(g^T d)^2] = d^T H d` with `H = E[g g^T]`, weights are rounded one after another,
//! and what each leaves is made up for by those still to come: optimal brain quantisation in the form of GPTQ (Frantar
//! et al. 2023, arXiv:2210.17323). `g` is the layer's input for a layer's channel, and the logit's gradient for a
//! table's row. A feature's scalar is rounded with its row, and first: its steps are coarse, and what it leaves is made
//! up for by the row. Where a vector is composed of two rows, which features share, the scalar makes up for it in turn.
//! Scales and everything else in the file stay the same; a value moves by a step or two.

use xsfm_interchange::config::{FieldConfig, Operation};
use xsfm_interchange::quantization::{WEIGHT_MAX, limit, quantize};
use xsfm_runtime::{Row, ScoreError, weight};

use crate::model::{
    FloatField, FloatLayer, FloatModel, QuantizedField, QuantizedLayer, QuantizedLayers, QuantizedModel, Table,
};
use crate::reference::{feature_vector, float_forward, integer_forward};

/// Added to the diagonal of `H`, relative to its mean: what a few hundred rows say about 400 inputs is not to be
/// trusted fully.
const DAMPING: f64 = 0.1;

/// Chooses the integers of all tables anew, and those of features' scalars, given `rows` that look like those to be
/// scored.
///
/// # Errors
/// A row that does not fit the model.
pub fn round_tables<'r>(
    model: &FloatModel,
    quantized: &mut QuantizedModel,
    rows: impl Iterator<Item = Row<'r>>,
) -> Result<(), ScoreError> {
    let dim = model.config.embed_dim;
    let scales = quantized.config.quantization.as_ref().map(|scales| scales.tables.clone()).unwrap_or_default();
    // What a step of a field's scalars is worth.
    let step = |f: usize| -> Option<f64> {
        let part = quantized.feature_weight.as_ref()?;
        Some(f64::from(part.coefficients[f]) * part.scale).filter(|&step| step > 0.0)
    };
    // The same where a row of the field's one table can make up for it, and where it has two.
    let (scalar_steps, steps_beside_two): (Vec<Option<f64>>, Vec<Option<f64>>) = (0..model.fields.len())
        .map(|f| if model.fields[f].tables.len() == 1 { (step(f), None) } else { (None, step(f)) })
        .unzip();
    let mut gradients = vec![vec![0.0; dim]; model.fields.len()];
    let mut squares = vec![0.0_f64; model.fields.len()];
    let moments = |(field, step): (&FloatField, &Option<f64>)| {
        field.tables.iter().map(|t| Moments::new(t.columns + usize::from(step.is_some()))).collect()
    };
    let mut moments: Vec<Vec<Moments>> = model.fields.iter().zip(&scalar_steps).map(moments).collect();
    for row in rows {
        // g [num_fields, embed_dim]
        let gradient = logit_gradient(model, row)?;
        for (f, (field, config)) in model.fields.iter().zip(&model.config.fields).enumerate() {
            let of_vector = &gradient[f * dim..(f + 1) * dim];
            for (index, weight) in weight::entries(row.field(f).unwrap_or_default(), config.weighted) {
                let weight = f64::from(weight.to_f32());
                let g: Vec<f64> = of_vector.iter().map(|g| g * weight).collect();
                let Some((collisions, operation)) = config.embedding.quotient_remainder() else {
                    match scalar_steps[f] {
                        // The gradient of a scalar is the weight, in steps of the table.
                        Some(step) => moments[f][0].add(&[&[weight * step / scales[f][0]], &g[..]].concat()),
                        None => moments[f][0].add(&g),
                    }
                    continue;
                };
                // What a scalar and its vector are off is in the logit times the weight, and squared in what is least.
                gradients[f].iter_mut().zip(&g).for_each(|(sum, g)| *sum += weight * g);
                squares[f] += weight * weight;
                let (q, r) = ((index / collisions) as usize, (index % collisions) as usize);
                let times = |row: &[f32]| -> Vec<f64> { g.iter().zip(row).map(|(g, &v)| g * f64::from(v)).collect() };
                let (of_quotient, of_remainder) = match operation {
                    Operation::Mult => (times(field.tables[1].row(r)), times(field.tables[0].row(q))),
                    Operation::Add => (g.clone(), g),
                    Operation::Concat => (g[..dim / 2].to_vec(), g[dim / 2..].to_vec()),
                };
                moments[f][0].add(&of_quotient);
                moments[f][1].add(&of_remainder);
            }
        }
    }
    for (f, (field, moments)) in model.fields.iter().zip(moments).enumerate() {
        for (t, (table, moments)) in field.tables.iter().zip(moments).enumerate() {
            let factor = moments.factor(usize::from(scalar_steps[f].is_some()));
            let scale = scales[f][t];
            let target = &mut quantized.fields[f];
            let rows = target.tables[t].values.chunks_exact_mut(table.columns);
            for (i, (real, integers)) in table.values.chunks_exact(table.columns).zip(rows).enumerate() {
                let real = real.iter().map(|&v| f64::from(v) / scale);
                let round = |value| model.table_bits.round(value);
                let scalars = (scalar_steps[f], &field.feature_weights, &mut target.feature_weights);
                let (Some(step), Some(weights), Some(scalars)) = scalars else {
                    round_row(&factor, real.collect(), integers, |_, value| round(value));
                    continue;
                };
                let real = [f64::from(weights[i]) / step].into_iter().chain(real).collect();
                let mut together = vec![0; 1 + integers.len()];
                round_row(&factor, real, &mut together, |at, value| match at {
                    0 => quantize(value, 1.0, WEIGHT_MAX) as i8,
                    _ => round(value),
                });
                scalars[i] = together[0];
                integers.copy_from_slice(&together[1..]);
            }
        }
        if let Some(step) = steps_beside_two[f] {
            let count = if squares[f] > 0.0 { squares[f] } else { 1.0 };
            let mean: Vec<f64> = gradients[f].iter().map(|sum| sum / count).collect();
            let config = &model.config.fields[f];
            round_scalars(field, config, &mut quantized.fields[f], &scales[f], step, &mean);
        }
    }
    Ok(())
}

/// Chooses the scalars of a field whose vectors are composed of two rows: they make up for what its vectors are off,
/// given the logit's mean `gradient`, `[embed_dim]`.
fn round_scalars(
    field: &FloatField,
    config: &FieldConfig,
    quantized: &mut QuantizedField,
    table_scales: &[f64],
    step: f64,
    gradient: &[f64],
) {
    let real = |(table, &scale): (&Table<i8>, &f64)| Table {
        rows: table.rows,
        columns: table.columns,
        values: table.values.iter().map(|&v| (f64::from(v) * scale) as f32).collect(),
    };
    let tables = quantized.tables.iter().zip(table_scales).map(real).collect();
    let rounded = FloatField { tables, feature_weights: None };
    let (multiplier, scale) = (quantized.multiplier, quantized.scale);
    // A bag is requantised once, as a sum.
    let requantize = |v: f64| match multiplier {
        Some(_) if !config.bag => f64::from(quantize(v, scale, WEIGHT_MAX)) * scale,
        _ => v,
    };
    let (Some(weights), Some(scalars)) = (&field.feature_weights, &mut quantized.feature_weights) else { return };
    for (index, (scalar, &weight)) in (0..).zip(scalars.iter_mut().zip(weights)) {
        let vectors = feature_vector(field, config, index, gradient.len());
        let vectors = vectors.zip(feature_vector(&rounded, config, index, gradient.len()));
        let missed: f64 = vectors.zip(gradient).map(|((v, found), g)| g * (v - requantize(found))).sum();
        *scalar = quantize(f64::from(weight) + missed, step, WEIGHT_MAX) as i8;
    }
}

/// Chooses the integers of all layers anew, one layer after another, each given what the integer model feeds it.
///
/// # Errors
/// A row that does not fit the model.
pub fn round_layers<'r>(
    model: &FloatModel,
    quantized: &mut QuantizedModel,
    rows: impl Iterator<Item = Row<'r>> + Clone,
) -> Result<(), ScoreError> {
    let dim = model.config.embed_dim;
    let field_scales: Vec<f64> = quantized.fields.iter().map(|field| field.scale).collect();
    // int8 mode: what a step of the layer's input is worth. Dynamic mode: 1, since inputs enter as what they are worth.
    let mut input_scale = 1.0;
    for n in 0..model.layers.len() {
        let layer = &model.layers[n];
        // The last input is the constant 1, whose weight is the bias: it takes up what the weights leave on average.
        let mut moments = Moments::new(layer.inputs + 1);
        for row in rows.clone() {
            let trace = integer_forward(quantized, row)?;
            let before = n.checked_sub(1);
            let x = before.map_or(&trace.vectors, |before| &trace.activations[before]);
            let step = before.and_then(|before| trace.activation_scales.get(before)).map_or(1.0, |&s| f64::from(s));
            let x: Vec<f64> = x.iter().map(|&x| x as f64 * step).chain([1.0]).collect();
            moments.add(&x);
        }
        let factor = moments.factor(0);
        let real = |o: usize, j: usize| layer.channel(o)[j] * if n == 0 { field_scales[j / dim] } else { 1.0 };
        match &mut quantized.layers {
            QuantizedLayers::Static { layers, .. } => {
                let bias = |steps: f64, _| quantize(steps, 1.0, limit::BIAS);
                round_layer(layer, real, input_scale, &factor, &mut layers[n], bias);
                input_scale = layers[n].scale;
            }
            QuantizedLayers::Dynamic(layers) => {
                let bias = |steps: f64, step: f64| (steps * step) as f32;
                round_layer(layer, real, 1.0, &factor, &mut layers[n], bias);
            }
        }
    }
    Ok(())
}

/// `real` gives the weight of a channel and an input; `bias` is given the bias in steps of the accumulator, and the
/// step.
fn round_layer<B, M>(
    layer: &FloatLayer,
    real: impl Fn(usize, usize) -> f64,
    input_scale: f64,
    factor: &[f64],
    target: &mut QuantizedLayer<B, M>,
    bias: impl Fn(f64, f64) -> B,
) {
    for (o, integers) in target.weights.chunks_exact_mut(layer.inputs).enumerate() {
        let accumulator = target.accumulator_scales[o];
        let step = accumulator / input_scale;
        let in_steps = (0..layer.inputs).map(|j| real(o, j) / step).chain([layer.biases[o] / accumulator]).collect();
        let round = |_, value| quantize(value, 1.0, WEIGHT_MAX) as i8;
        target.biases[o] = bias(round_row(factor, in_steps, integers, round)[layer.inputs], accumulator);
    }
}

/// `H = sum g g^T`, `[size, size]`.
struct Moments {
    size: usize,
    sums: Vec<f64>,
}

impl Moments {
    fn new(size: usize) -> Self {
        Moments { size, sums: vec![0.0; size * size] }
    }

    fn add(&mut self, g: &[f64]) {
        for (row, &a) in self.sums.chunks_exact_mut(self.size).zip(g) {
            if a != 0.0 {
                row.iter_mut().zip(g).for_each(|(sum, b)| *sum += a * b);
            }
        }
    }

    /// `U` with `U^T U = H^-1`, upper triangular, each row divided by its diagonal: how a weight's error spreads to
    /// later ones. The first `apart` weights have no say in how far the rest is damped.
    fn factor(mut self, apart: usize) -> Vec<f64> {
        let n = self.size;
        let mean = (apart..n).map(|i| self.sums[i * n + i]).sum::<f64>() / (n - apart) as f64;
        let damping = if mean > 0.0 { DAMPING * mean } else { 1.0 };
        (0..n).for_each(|i| self.sums[i * n + i] += damping);
        // With H = L^T L taken from the last row upwards, U = L^-T: d_k / d_j for k > j needs only L.
        // Eliminating the last variables first leaves, for each j, the best response of the later ones to an error in
        // j.
        let h = &mut self.sums;
        // Cholesky H = R R^T with R upper triangular, from the last column back; H^-1 = R^-T R^-1, so U = R^-1.
        for j in (0..n).rev() {
            let pivot = h[j * n + j] - (j + 1..n).map(|k| h[j * n + k] * h[j * n + k]).sum::<f64>();
            let pivot = pivot.max(f64::MIN_POSITIVE).sqrt();
            h[j * n + j] = pivot;
            for i in 0..j {
                let (head, tail) = h.split_at(j * n);
                let (a, b) = (&head[i * n + j + 1..(i + 1) * n], &tail[j + 1..n]);
                let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                h[i * n + j] = (h[i * n + j] - dot) / pivot;
            }
        }
        // Invert R in place, row by row from the last: U = R^-1 is upper triangular as well.
        let mut u = vec![0.0; n * n];
        for i in (0..n).rev() {
            let diagonal = h[i * n + i];
            let (head, tail) = u.split_at_mut((i + 1) * n);
            let row = &mut head[i * n..];
            for k in i + 1..n {
                let factor = h[i * n + k];
                let below = &tail[(k - i - 1) * n..(k - i) * n];
                row[k..].iter_mut().zip(&below[k..]).for_each(|(u, b)| *u -= factor * b);
            }
            row[i] = 1.0;
            row[i..].iter_mut().for_each(|u| *u /= diagonal);
        }
        for i in 0..n {
            let diagonal = u[i * n + i];
            u[i * n + i..(i + 1) * n].iter_mut().for_each(|u| *u /= diagonal);
        }
        u
    }
}

/// Rounds `real`, in steps, to `integers` (the first of them: a constant's weight stays real) by `round`, which is
/// given the position too; returns `real` as compensated.
fn round_row(factor: &[f64], mut real: Vec<f64>, integers: &mut [i8], round: impl Fn(usize, f64) -> i8) -> Vec<f64> {
    let n = real.len();
    for (j, integer) in integers.iter_mut().enumerate() {
        *integer = round(j, real[j]);
        let error = real[j] - f64::from(*integer);
        let spread = &factor[j * n + j + 1..(j + 1) * n];
        real[j + 1..].iter_mut().zip(spread).for_each(|(w, u)| *w -= error * u);
    }
    real
}

/// The logit's gradient with respect to all vectors, `[num_fields, embed_dim]`.
fn logit_gradient(model: &FloatModel, row: Row<'_>) -> Result<Vec<f64>, ScoreError> {
    let trace = float_forward(model, row)?;
    let dim = model.config.embed_dim;
    let mut gradient = match &model.field_vectors {
        Some(w) => w.iter().map(|&w| f64::from(w)).collect(),
        None => vec![0.0; trace.vectors.len()],
    };
    if let Some(pairs) = &model.pairs {
        for ((i, j), r) in pairs.list.pairs(model.fields.len()).into_iter().zip(&pairs.weights) {
            let r = f64::from(*r);
            for d in 0..dim {
                gradient[i * dim + d] += r * trace.vectors[j * dim + d];
                gradient[j * dim + d] += r * trace.vectors[i * dim + d];
            }
        }
    }
    if let Some(low_rank) = &model.low_rank {
        let num_fields = model.fields.len();
        for d in 0..dim {
            let v = |i: usize| trace.vectors[i * dim + d];
            for (u, &sign) in low_rank.factors.chunks_exact(num_fields).zip(&low_rank.signs) {
                let sum: f64 = u.iter().enumerate().map(|(i, &u)| f64::from(u) * v(i)).sum();
                for (i, &u) in u.iter().enumerate() {
                    gradient[i * dim + d] += 2.0 * f64::from(sign) * f64::from(u) * sum;
                }
            }
            for (i, &diagonal) in low_rank.diagonal.iter().enumerate() {
                gradient[i * dim + d] -= 2.0 * f64::from(diagonal) * v(i);
            }
        }
    }
    if !model.layers.is_empty() {
        let mut upstream = vec![1.0];
        for (n, layer) in model.layers.iter().enumerate().rev() {
            let mut downstream = vec![0.0; layer.inputs];
            for (o, &up) in upstream.iter().enumerate().filter(|(_, up)| **up != 0.0) {
                downstream.iter_mut().zip(layer.channel(o)).for_each(|(down, w)| *down += up * w);
            }
            if n > 0 {
                let active = &trace.activations[n - 1];
                downstream.iter_mut().zip(active).for_each(|(down, &a)| {
                    if a <= 0.0 {
                        *down = 0.0
                    }
                });
            }
            upstream = downstream;
        }
        gradient.iter_mut().zip(upstream).for_each(|(g, up)| *g += up);
    }
    Ok(gradient)
}

//! int8 mode in libtorch: the arithmetic of `docs/quantization.md` on tensors that hold integers.
//!
//! One code, two kinds. In f64 every integer of the document is exact (all stay below 2^53), so the logit equals that of the
//! packed model, bit for bit. In f32, which trains, sums beyond 2^24 are rounded; weights, tables, multipliers and coefficients
//! are the same integers as in f64, because they are always rounded in f64.
//!
//! Rounding and clamping have no useful gradient. Each is passed *straight through* (Bengio et al. 2013, arXiv:1308.3432;
//! Jacob et al. 2018, arXiv:1712.05877): the value is the integer, the gradient is that of the real number which was rounded,
//! and zero where the clamp cut it off. Scales are constants of a step: no gradient flows into them.

use anyhow::{Context, Result};
use tch::{Kind, Tensor, no_grad};
use xsfm_interchange::config::{ModelConfig, Scales};
use xsfm_interchange::quantization::{
    ACTIVATION_MAX, COEFFICIENT_MAX, LOGIT_STEP, Term, WEIGHT_MAX, activation_scale, channel_scale, coefficients,
    field_accumulator_scale, field_scale, limit, logit_bias, multiplier, quantize, symmetric_scale, term,
};

use crate::model::layers::Linear;
use crate::model::lookup::{Entries, Lookup};
use crate::model::{Dropout, Model, Output};
use crate::tensors::size;

/// A model's integers, ready for passes; made anew after each step of training.
#[derive(Debug)]
pub struct Quantized<'a> {
    model: &'a Model,
    kind: Kind,
    /// The scales that were used: those wanted, enlarged where a multiplier could not express them.
    pub scales: Scales,
    /// `[num_fields, 1]`, f64: scale of the field's table in the first and in the second tensor.
    table_scales: [Tensor; 2],
    /// `[1, num_fields, 1]`: brings the vectors back to i8.
    vector: Requantize,
    feature_weight: Option<FeatureWeight>,
    /// `[num_fields * embed_dim]`
    field_vector: Option<Part>,
    /// `[num_fields, num_fields]`, upper triangle.
    pairs: Option<Part>,
    layers: Vec<Layer>,
    mlp: Way,
    /// `[1]`, steps of the logit.
    bias: Tensor,
}

/// `clamp(requantize(acc, m), min, max)`
#[derive(Debug)]
struct Requantize {
    /// m, i64.
    multipliers: Tensor,
    /// What m stands for, for gradients.
    ratios: Tensor,
    min: i32,
    max: i32,
}

/// An accumulator's way into the logit.
#[derive(Clone, Copy, Debug)]
struct Way {
    term: Term,
    scale: f64,
}

#[derive(Debug)]
struct Part {
    coefficients: Tensor,
    way: Way,
}

#[derive(Debug)]
struct FeatureWeight {
    /// `[num_fields, 1]`, f64: scale of the field's scalars.
    scales: Tensor,
    /// `[num_fields, 1]`
    coefficients: Tensor,
    way: Way,
}

#[derive(Debug)]
struct Layer {
    /// `[inputs, outputs]`
    weight: Tensor,
    /// `[outputs]`
    bias: Tensor,
    /// `[outputs]`; the output layer has none.
    requantize: Option<Requantize>,
}

/// `exact`, with the gradient of `path`. The difference of `path` and itself is exactly 0.
fn straight_through(exact: &Tensor, path: &Tensor) -> Tensor {
    let exact = exact.detach();
    if path.requires_grad() { exact + (path - path.detach()) } else { exact }
}

/// values, scales (broadcast), f64 -> clamp(round(values / scales), -max, max) in `kind`; torch rounds ties to even, as `quantize` does
fn integers(values: &Tensor, scales: &Tensor, max: i32, kind: Kind) -> Tensor {
    let (real, max) = (values.to_kind(Kind::Double) / scales, f64::from(max));
    let exact = real.detach().round().clamp(-max, max);
    // The largest magnitude, `max` by the choice of its scale, may come out a hair above it, and must go on learning.
    straight_through(&exact.to_kind(kind), &real.clamp(-max - 0.5, max + 0.5).to_kind(kind))
}

impl Requantize {
    /// acc, integers -> clamp((acc * m + 2^31) >> 32, min, max), in int64 tensors
    fn apply(&self, acc: &Tensor) -> Tensor {
        let exact = acc.detach().to_kind(Kind::Int64) * &self.multipliers + (1_i64 << 31);
        let exact = exact.bitwise_right_shift_tensor_scalar(32).clamp(i64::from(self.min), i64::from(self.max));
        let path = (acc * &self.ratios).clamp(f64::from(self.min), f64::from(self.max));
        straight_through(&exact.to_kind(acc.kind()), &path)
    }
}

impl Way {
    fn new(part: &str, scale: f64) -> Result<Self> {
        let term = term(scale)
            .with_context(|| format!("one step of the {part} is worth {scale}, too much for an integer logit"))?;
        Ok(Way { term, scale })
    }

    /// acc `[n]` -> its steps of the logit, (acc * M + 2^(n-1)) >> n
    fn steps(self, acc: &Tensor) -> Tensor {
        let shift = i64::from(self.term.shift);
        let exact = acc.detach().to_kind(Kind::Int64) * i64::from(self.term.mantissa) + (1_i64 << (shift - 1));
        let exact = exact.bitwise_right_shift_tensor_scalar(shift).to_kind(acc.kind());
        straight_through(&exact, &(acc * (self.scale / LOGIT_STEP)))
    }
}

/// f64 on the model's device.
fn column(values: &[f64], shape: &[i64], model: &Model) -> Tensor {
    Tensor::from_slice(values).view(shape).to_device(model.device())
}

/// The numbers of a small tensor, in f64.
fn to_host(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(tensor.detach().to_device(tch::Device::Cpu).to_kind(Kind::Double).flatten(0, -1))?)
}

/// Scales of all tables from their largest magnitudes: `tables`, and `fields` where nothing is requantised. Others stay.
///
/// # Errors
/// None but libtorch's own.
pub fn refresh_table_scales(model: &Model, scales: &mut Scales) -> Result<()> {
    let parameters = &model.parameters;
    let tables = model.layout.tables();
    let largest: Vec<Tensor> = no_grad(|| {
        let tensor = |second: bool| parameters.second.as_ref().filter(|_| second).unwrap_or(&parameters.first);
        // Two numbers of a table, instead of a table of magnitudes.
        let largest = |(least, most): (Tensor, Tensor)| least.abs().maximum(&most.abs());
        tables.iter().map(|t| largest(tensor(t.is_second).narrow(0, t.from, t.rows).aminmax(None, false))).collect()
    });
    let largest = to_host(&Tensor::stack(&largest, 0))?;
    for (f, field) in model.config.fields.iter().enumerate() {
        let of_field = tables.iter().zip(&largest).filter(|(t, _)| t.field == f).map(|(_, &largest)| largest);
        let mut largest: Vec<f64> = of_field.collect();
        if !field.is_product() {
            // The two tables of a sum share a scale.
            let both = largest.iter().fold(0.0_f64, |m, &v| m.max(v));
            largest.fill(both);
        }
        scales.tables[f] = largest.into_iter().map(|v| scales.table_bits.scale(v)).collect();
        if !field.is_requantized() {
            scales.fields[f] = scales.tables[f][0];
        }
    }
    Ok(())
}

impl<'a> Quantized<'a> {
    /// The integers of `model` under `wanted`, in tensors of `kind`: f32 to train, f64 to be exact.
    ///
    /// # Errors
    /// A part of such size that an integer cannot carry it; BatchNorm that has not been folded.
    pub fn new(model: &'a Model, wanted: &Scales, kind: Kind) -> Result<Self> {
        let (config, parameters) = (&model.config, &model.parameters);
        anyhow::ensure!(parameters.layers.iter().all(|l| l.norm.is_none()), "BatchNorm must be folded before int8");
        let mut scales = wanted.clone();
        let vector = requantize_vectors(model, &mut scales, kind)?;
        let num_fields = size(config.fields.len());
        let table_scales = [0, 1].map(|table| {
            // Fields without a second table read its neutral row, whose scale does not matter.
            let of_field = scales.tables.iter().map(|s| *s.get(table).unwrap_or(&1.0));
            column(&of_field.collect::<Vec<f64>>(), &[num_fields, 1], model)
        });
        let (layers, mlp) = layers(model, &mut scales, kind)?;
        Ok(Quantized {
            kind,
            vector,
            table_scales,
            feature_weight: feature_weight(model, kind)?,
            field_vector: field_vector(model, &scales, kind)?,
            pairs: pairs(model, &scales, kind)?,
            layers,
            mlp,
            bias: {
                let exact = f64::from(logit_bias(to_host(&parameters.bias)?[0]));
                let path = parameters.bias.to_kind(kind) / LOGIT_STEP;
                straight_through(&path.full_like(exact), &path)
            },
            scales,
            model,
        })
    }

    /// The model whose integers these are.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// entries of n samples -> logits `[n]`, in evaluation
    pub fn logits(&self, entries: &Entries) -> Tensor {
        no_grad(|| self.pass(entries, Dropout::default()).logits)
    }

    /// A pass; dropout is applied to the integers, which are then no integers any more.
    pub fn pass(&self, entries: &Entries, dropout: Dropout) -> Output {
        // entries of n samples, E in all; vectors [n, num_fields, embed_dim]; accumulators [n]
        let (p, layout) = (&self.model.parameters, &self.model.layout);
        let (mut used, field) = (Vec::new(), entries.field());
        let mut gather = |t: &Tensor, lookup: &Lookup, scales: &Tensor| {
            let real = lookup.gather(t);
            let (max, step) = self.scales.table_bits.range();
            let step = f64::from(step);
            let integers = integers(&real, &(scales.index_select(0, &field) * step), max, self.kind) * step;
            used.push(real);
            integers
        };
        let a = gather(&p.first, &entries.first, &self.table_scales[0]);
        let second = p.second.as_ref().zip(entries.second.as_ref());
        let b = second.map(|(t, lookup)| gather(t, lookup, &self.table_scales[1]));
        let acc = layout.sum_bags(&layout.compose(&a, b.as_ref(), entries, 128.0), entries);
        let mut vectors = self.vector.apply(&acc);
        if dropout.embedding > 0.0 {
            vectors = vectors.dropout(dropout.embedding, true);
        }
        let mut steps = self.bias.expand([entries.samples], false);
        if let (Some(part), Some(weights), Some(lookup)) = (&self.feature_weight, &p.feature_weight, &entries.feature) {
            let weights = lookup.gather(weights).view([-1, 1]);
            let integers = integers(&weights, &part.scales.index_select(0, &field), WEIGHT_MAX, self.kind);
            let acc = layout.sum_bags(&(integers * part.coefficients.index_select(0, &field)), entries);
            steps = &steps + part.way.steps(&acc.sum_dim_intlist([1, 2].as_slice(), false, self.kind));
            used.push(weights);
        }
        if let Some(part) = &self.field_vector {
            steps = &steps + part.way.steps(&vectors.flatten(1, 2).mv(&part.coefficients));
        }
        if let Some(part) = &self.pairs {
            // sum_d sum_{i<j} R_ij e_id e_jd, R the upper triangle
            let e = vectors.transpose(1, 2);
            let acc = (e.matmul(&part.coefficients.tr()) * e).sum_dim_intlist([1, 2].as_slice(), false, self.kind);
            steps = &steps + part.way.steps(&acc);
        }
        if !self.layers.is_empty() {
            let mut x = vectors.flatten(1, 2);
            for layer in &self.layers {
                x = x.matmul(&layer.weight) + &layer.bias;
                if let Some(requantize) = &layer.requantize {
                    x = requantize.apply(&x);
                    if dropout.hidden > 0.0 {
                        x = x.dropout(dropout.hidden, true);
                    }
                }
            }
            steps = &steps + self.mlp.steps(&x.squeeze_dim(1));
        }
        let limit = limit::LOGIT as f64;
        Output { logits: steps.clamp(-limit, limit) * LOGIT_STEP, used }
    }
}

/// `[1, num_fields, 1]`; `scales.fields` become those used.
///
/// A row that is copied as it lies goes the same way with m = 2^25: `(128 q * 2^25 + 2^31) >> 32 = q`.
fn requantize_vectors(model: &Model, scales: &mut Scales, kind: Kind) -> Result<Requantize> {
    let mut ratios = Vec::new();
    for (f, field) in model.config.fields.iter().enumerate() {
        if field.is_requantized() {
            let accumulator = field_accumulator_scale(field.is_product(), &scales.tables[f]);
            scales.fields[f] = field_scale(scales.fields[f], accumulator);
            ratios.push(accumulator / scales.fields[f]);
        } else {
            scales.fields[f] = scales.tables[f][0];
            ratios.push(1.0 / 128.0);
        }
    }
    Requantize::new(&ratios, &[1, -1, 1], (-WEIGHT_MAX, WEIGHT_MAX), model, kind).context("field vectors")
}

impl Requantize {
    fn new(ratios: &[f64], shape: &[i64], (min, max): (i32, i32), model: &Model, kind: Kind) -> Result<Self> {
        let multiplier = |&ratio: &f64| {
            multiplier(ratio).map(i64::from).with_context(|| format!("no multiplier expresses a ratio of {ratio}"))
        };
        let multipliers: Vec<i64> = ratios.iter().map(multiplier).collect::<Result<_>>()?;
        let multipliers = Tensor::from_slice(&multipliers).view(shape).to_device(model.device());
        Ok(Requantize { multipliers, ratios: column(ratios, shape, model).to_kind(kind), min, max })
    }
}

fn feature_weight(model: &Model, kind: Kind) -> Result<Option<FeatureWeight>> {
    let Some(weights) = &model.parameters.feature_weight else { return Ok(None) };
    // s_f and c_f [num_fields]
    let largest: Vec<Tensor> = model.layout.features().map(|(at, n)| weights.narrow(0, at, n).abs().max()).collect();
    let scales = to_host(&Tensor::stack(&largest, 0))?.into_iter().map(|v| symmetric_scale(v, WEIGHT_MAX));
    let scales: Vec<f64> = scales.collect();
    let scale = scales.iter().fold(0.0_f64, |m, &s| m.max(s)) / f64::from(COEFFICIENT_MAX);
    let coefficients: Vec<f64> = scales.iter().map(|&s| f64::from(quantize(s, scale, COEFFICIENT_MAX))).collect();
    let way = Way::new("feature weights", scale)?;
    let coefficients = column(&coefficients, &[-1, 1], model).to_kind(kind);
    Ok(Some(FeatureWeight { scales: column(&scales, &[-1, 1], model), coefficients, way }))
}

fn field_vector(model: &Model, scales: &Scales, kind: Kind) -> Result<Option<Part>> {
    let Some(vectors) = &model.parameters.field_vector else { return Ok(None) };
    // u_fd = w_fd s_f
    let folded = vectors.to_kind(Kind::Double) * column(&scales.fields, &[-1, 1], model);
    let (integers, scale) = coefficients(&to_host(&folded)?, limit::FIELD_VECTOR_SUM);
    let integers: Vec<f64> = integers.into_iter().map(f64::from).collect();
    let exact = column(&integers, &[-1], model).to_kind(kind);
    let path = (folded.flatten(0, 1) / scale).to_kind(kind);
    Ok(Some(Part { coefficients: straight_through(&exact, &path), way: Way::new("field vectors", scale)? }))
}

fn pairs(model: &Model, scales: &Scales, kind: Kind) -> Result<Option<Part>> {
    let Some(matrix) = model.pair_matrix() else { return Ok(None) };
    // r [F, F] -> R_ij = r_ij s_i s_j, i < j
    let num_fields = model.config.fields.len();
    let s = |shape: [i64; 2]| column(&scales.fields, &shape, model);
    let folded = (matrix.to_kind(Kind::Double) * s([-1, 1]) * s([1, -1])).triu(1);
    let host = to_host(&folded)?;
    let upper = (0..num_fields).flat_map(|i| (i + 1..num_fields).map(move |j| i * num_fields + j));
    let mut at: Vec<usize> = upper.collect();
    // As `xsfm pack` does: where at least half of the pairs have no weight, the others are listed, and only they are counted.
    let kept = at.iter().filter(|&&ij| host[ij] != 0.0).count();
    if kept == 0 {
        return Ok(None);
    }
    if kept * 2 <= at.len() {
        at.retain(|&ij| host[ij] != 0.0);
    }
    let listed: Vec<f64> = at.iter().map(|&ij| host[ij]).collect();
    let (integers, scale) = coefficients(&listed, limit::PAIR_SUM);
    let mut exact = vec![0.0; host.len()];
    for (&ij, &r) in at.iter().zip(&integers) {
        exact[ij] = f64::from(r);
    }
    let exact = column(&exact, &folded.size(), model).to_kind(kind);
    let coefficients = straight_through(&exact, &(folded / scale).to_kind(kind));
    Ok(Some(Part { coefficients, way: Way::new("pairs", scale)? }))
}

/// All layers; `scales.activations` become those used.
fn layers(model: &Model, scales: &mut Scales, kind: Kind) -> Result<(Vec<Layer>, Way)> {
    let dim = size(model.config.embed_dim);
    let absent = Way { term: Term::ABSENT, scale: 0.0 };
    let mut layers: Vec<Layer> = Vec::new();
    let mut input_scale = 1.0;
    for (n, Linear { weight, bias, .. }) in model.parameters.layers.iter().enumerate() {
        // W [outputs, inputs], s_w and a and b [outputs]
        let mut folded = weight.to_kind(Kind::Double);
        if n == 0 {
            let of_input = column(&scales.fields, &[1, -1], model).repeat_interleave_self_int(dim, 1, None);
            folded = &folded * of_input;
        }
        let largest = to_host(&folded.abs().amax([1].as_slice(), false))?;
        let biases = to_host(bias)?;
        let channels: Vec<f64> = largest.iter().zip(&biases).map(|(&m, &b)| channel_scale(m, b, input_scale)).collect();
        let accumulators: Vec<f64> = channels.iter().map(|s| input_scale * s).collect();
        let exact_bias: Vec<f64> =
            biases.iter().zip(&accumulators).map(|(&b, &a)| f64::from(quantize(b, a, limit::BIAS))).collect();
        let path = (bias.to_kind(Kind::Double) / column(&accumulators, &[-1], model)).to_kind(kind);
        let bias = straight_through(&column(&exact_bias, &[-1], model).to_kind(kind), &path);
        let weight = integers(&folded, &column(&channels, &[-1, 1], model), WEIGHT_MAX, kind).tr();
        if n + 1 == model.parameters.layers.len() {
            layers.push(Layer { weight, bias, requantize: None });
            return Ok((layers, Way::new("output layer", accumulators[0])?));
        }
        let scale = activation_scale(scales.activations[n], accumulators.iter().copied());
        let ratios: Vec<f64> = accumulators.iter().map(|a| a / scale).collect();
        let requantize = Requantize::new(&ratios, &[-1], (0, ACTIVATION_MAX), model, kind)
            .with_context(|| format!("hidden layer {n}"))?;
        layers.push(Layer { weight, bias, requantize: Some(requantize) });
        scales.activations[n] = scale;
        input_scale = scale;
    }
    Ok((layers, absent))
}

/// Checks that `scales` has one positive number for everything in the configuration.
///
/// # Errors
/// The message says what is missing or not positive.
pub fn check_scales(config: &ModelConfig, scales: &Scales) -> Result<()> {
    let hidden = config.mlp.as_ref().map_or(0, |mlp| mlp.hidden.len());
    let tables = |f: usize| config.fields[f].embedding.table_shapes(1, config.embed_dim).len();
    let expected: Vec<usize> = (0..config.fields.len()).map(tables).collect();
    let found: Vec<usize> = scales.tables.iter().map(Vec::len).collect();
    anyhow::ensure!(found == expected, "quantization.tables has {found:?} scales per field, {expected:?} are needed");
    for (what, found, expected) in
        [("fields", scales.fields.len(), expected.len()), ("activations", scales.activations.len(), hidden)]
    {
        anyhow::ensure!(found == expected, "quantization.{what} has {found} entries, {expected} are needed");
    }
    let mut all = scales.tables.iter().flatten().chain(&scales.fields).chain(&scales.activations);
    if let Some(scale) = all.find(|s| !(s.is_normal() && **s > 0.0)) {
        anyhow::bail!("quantization has a scale of {scale}; scales are positive");
    }
    Ok(())
}

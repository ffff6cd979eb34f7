//! The integers of a model's parts on tensors, each from the real numbers of one part.

use anyhow::Result;
use tch::{Kind, Tensor};
use xsfm_interchange::config::Scales;
use xsfm_interchange::quantization::parts::{ActivationScale, FeatureWeightScales, FieldScale, LayerScales, Ratio};
use xsfm_interchange::quantization::{ACTIVATION_MAX, WEIGHT_MAX, coefficients, limit};

use super::straight_through::{Requantize, Way, column, integers, straight_through, to_host};
use crate::model::Model;
use crate::model::layers::Linear;
use crate::tensors::size;

#[derive(Debug)]
pub(super) struct Part {
    pub(super) coefficients: Tensor,
    pub(super) way: Way,
}

#[derive(Debug)]
pub(super) struct FeatureWeight {
    /// `[num_fields, 1]`, f64: scale of the field's scalars.
    pub(super) scales: Tensor,
    /// `[num_fields, 1]`
    pub(super) coefficients: Tensor,
    pub(super) way: Way,
}

#[derive(Debug)]
pub(super) struct Layer {
    /// `[inputs, outputs]`
    pub(super) weight: Tensor,
    /// `[outputs]`
    pub(super) bias: Tensor,
    /// `[outputs]`; the output layer has none.
    pub(super) requantize: Option<Requantize>,
}

/// `[1, num_fields, 1]`; `scales.fields` become those used.
///
/// A row that is copied as it lies goes the same way with m = 2^25: `(128 q * 2^25 + 2^31) >> 32 = q`.
pub(super) fn requantize_vectors(model: &Model, scales: &mut Scales, kind: Kind) -> Result<Requantize> {
    const COPY: Ratio = Ratio { ratio: 1.0 / 128.0, multiplier: 1 << 25 };
    let mut ratios = Vec::new();
    for (f, field) in model.config.fields.iter().enumerate() {
        let FieldScale { scale, requantize } = FieldScale::new(field, &scales.tables[f], scales.fields[f])?;
        scales.fields[f] = scale;
        ratios.push(requantize.unwrap_or(COPY));
    }
    Ok(Requantize::new(&ratios, &[1, -1, 1], (-WEIGHT_MAX, WEIGHT_MAX), model, kind))
}

pub(super) fn feature_weight(model: &Model, kind: Kind) -> Result<Option<FeatureWeight>> {
    let Some(weights) = &model.parameters.feature_weight else { return Ok(None) };
    // s_f and c_f [num_fields]
    let largest: Vec<Tensor> = model.layout.features().map(|(at, n)| weights.narrow(0, at, n).abs().max()).collect();
    let FeatureWeightScales { fields, coefficients, scale } =
        FeatureWeightScales::new(&to_host(&Tensor::stack(&largest, 0))?);
    let coefficients: Vec<f64> = coefficients.into_iter().map(f64::from).collect();
    let way = Way::new("feature weights", scale)?;
    let coefficients = column(&coefficients, &[-1, 1], model).to_kind(kind);
    Ok(Some(FeatureWeight { scales: column(&fields, &[-1, 1], model), coefficients, way }))
}

pub(super) fn field_vector(model: &Model, scales: &Scales, kind: Kind) -> Result<Option<Part>> {
    let Some(vectors) = &model.parameters.field_vector else { return Ok(None) };
    // u_fd = w_fd s_f
    let folded = vectors.to_kind(Kind::Double) * column(&scales.fields, &[-1, 1], model);
    let (integers, scale) = coefficients(&to_host(&folded)?, limit::FIELD_VECTOR_SUM);
    let integers: Vec<f64> = integers.into_iter().map(f64::from).collect();
    let exact = column(&integers, &[-1], model).to_kind(kind);
    let path = (folded.flatten(0, 1) / scale).to_kind(kind);
    Ok(Some(Part { coefficients: straight_through(&exact, &path), way: Way::new("field vectors", scale)? }))
}

pub(super) fn pairs(model: &Model, scales: &Scales, kind: Kind) -> Result<Option<Part>> {
    let Some(matrix) = model.pair_matrix() else { return Ok(None) };
    // r [F, F] -> R_ij = r_ij s_i s_j, i < j
    let num_fields = model.config.fields.len();
    let s = |shape: [i64; 2]| column(&scales.fields, &shape, model);
    let folded = (matrix.to_kind(Kind::Double) * s([-1, 1]) * s([1, -1])).triu(1);
    let host = to_host(&folded)?;
    let upper = (0..num_fields).flat_map(|i| (i + 1..num_fields).map(move |j| i * num_fields + j));
    let mut at: Vec<usize> = upper.collect();
    // As `xsfm pack` does: where at least half of the pairs have no weight, the others are listed, and only they are
    // counted.
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
pub(super) fn layers(model: &Model, scales: &mut Scales, kind: Kind) -> Result<(Vec<Layer>, Way)> {
    let dim = size(model.config.embed_dim);
    let mut layers: Vec<Layer> = Vec::new();
    let mut input_scale = 1.0;
    for (n, Linear { weight, bias, .. }) in model.parameters.layers.iter().enumerate() {
        // W [outputs, inputs]
        let mut folded = weight.to_kind(Kind::Double);
        if n == 0 {
            let of_input = column(&scales.fields, &[1, -1], model).repeat_interleave_self_int(dim, 1, None);
            folded = &folded * of_input;
        }
        let largest = to_host(&folded.abs().amax([1].as_slice(), false))?;
        let channels = LayerScales::new(&largest, &to_host(bias)?, input_scale);
        let exact: Vec<f64> = channels.biases.iter().map(|&bias| bias.into()).collect();
        let path = bias.to_kind(Kind::Double) / column(&channels.accumulators, &[-1], model);
        let bias = straight_through(&column(&exact, &[-1], model).to_kind(kind), &path.to_kind(kind));
        let weight = integers(&folded, &column(&channels.weights, &[-1, 1], model), WEIGHT_MAX, kind).tr();
        if n + 1 == model.parameters.layers.len() {
            layers.push(Layer { weight, bias, requantize: None });
            return Ok((layers, Way::new("output layer", channels.accumulators[0])?));
        }
        let ActivationScale { scale, ratios } = channels.activation(n, scales.activations[n])?;
        let requantize = Requantize::new(&ratios, &[-1], (0, ACTIVATION_MAX), model, kind);
        layers.push(Layer { weight, bias, requantize: Some(requantize) });
        (scales.activations[n], input_scale) = (scale, scale);
    }
    Ok((layers, Way::ABSENT))
}

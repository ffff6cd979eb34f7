//! Real numbers to integers, as `docs/quantization.md` says: with given scales, quantised and simulated models are the same.

use xsfm_interchange::config::{FieldConfig, ModelConfig, Scales};
use xsfm_interchange::quantization::{
    COEFFICIENT_MAX, WEIGHT_MAX, activation_scale, channel_scale, coefficients, field_accumulator_scale, field_scale,
    limit, logit_bias, multiplier, quantize, symmetric_scale, term,
};
use xsfm_runtime::quant::Term;

use crate::checkpoint::check_scales;
use crate::error::Error;
use crate::model::{
    FloatField, FloatLayer, FloatModel, Pairs, QuantizedFeatureWeight, QuantizedField, QuantizedFieldVectors,
    QuantizedLayer, QuantizedModel, QuantizedPairs, Table,
};

/// The integers of `model` under `scales`.
///
/// Scales that a multiplier cannot express are enlarged; the result's `config.quantization` holds those that were used.
///
/// # Errors
/// Scales that do not fit the model, or a part of such size that an integer cannot carry it.
pub fn quantize_model(model: &FloatModel, scales: &Scales) -> Result<QuantizedModel, Error> {
    check_scales(&model.config, scales).map_err(Error::Quantize)?;
    let mut used = scales.clone();
    let mut fields = Vec::with_capacity(model.fields.len());
    for (f, (field, config)) in model.fields.iter().zip(&model.config.fields).enumerate() {
        let quantized = quantize_field(field, config, &scales.tables[f], scales.fields[f])?;
        used.fields[f] = quantized.scale;
        fields.push(quantized);
    }
    let feature_weight = quantize_feature_weights(model, &mut fields)?;
    let field_vectors = match &model.field_vectors {
        None => None,
        Some(vectors) => {
            // w [num_fields, embed_dim], s_f [num_fields]
            let dim = model.config.embed_dim;
            let folded: Vec<f64> =
                vectors.iter().enumerate().map(|(i, &w)| f64::from(w) * used.fields[i / dim]).collect();
            let (values, scale) = coefficients(&folded, limit::FIELD_VECTOR_SUM);
            Some(QuantizedFieldVectors { values, scale, term: part_term("field vectors", scale)? })
        }
    };
    let pairs = match &model.pairs {
        None => None,
        Some(Pairs { list, weights }) => {
            // r [num_pairs], s_f [num_fields]
            let pairs = list.pairs(model.config.fields.len());
            let folded: Vec<f64> =
                pairs.iter().zip(weights).map(|(&(i, j), &r)| f64::from(r) * used.fields[i] * used.fields[j]).collect();
            let (weights, scale) = coefficients(&folded, limit::PAIR_SUM);
            let pairs = Pairs { list: list.clone(), weights };
            Some(QuantizedPairs { pairs, scale, term: part_term("pairs", scale)? })
        }
    };
    let (layers, mlp_term) = quantize_layers(model, &mut used)?;
    Ok(QuantizedModel {
        config: ModelConfig { quantization: Some(used), ..model.config.clone() },
        label: model.label.clone(),
        bias: logit_bias(f64::from(model.bias)),
        fields,
        feature_weight,
        field_vectors,
        pairs,
        layers,
        mlp_term,
    })
}

fn quantize_field(
    field: &FloatField,
    config: &FieldConfig,
    table_scales: &[f64],
    wanted: f64,
) -> Result<QuantizedField, Error> {
    let tables = field.tables.iter().zip(table_scales).map(|(table, &scale)| Table {
        rows: table.rows,
        columns: table.columns,
        values: table.values.iter().map(|&v| quantize(f64::from(v), scale, WEIGHT_MAX) as i8).collect(),
    });
    let tables = tables.collect();
    let (multiplier, scale) = if config.is_requantized() {
        let accumulator = field_accumulator_scale(config.is_product(), table_scales);
        let scale = field_scale(wanted, accumulator);
        let ratio = accumulator / scale;
        let multiplier = multiplier(ratio)
            .ok_or_else(|| Error::Quantize(format!("field `{}` has a multiplier of {ratio}", config.name)))?;
        (Some(multiplier), scale)
    } else {
        (None, table_scales[0])
    };
    if table_scales.len() == 2 && !config.is_product() && table_scales[0] != table_scales[1] {
        let (name, quotient, remainder) = (&config.name, table_scales[0], table_scales[1]);
        let message =
            format!("field `{name}`: its two tables share one scale, but {quotient} and {remainder} are given");
        return Err(Error::Quantize(message));
    }
    Ok(QuantizedField { tables, feature_weights: None, multiplier, scale })
}

/// Fills in the fields' scalars and returns what weighs them.
fn quantize_feature_weights(
    model: &FloatModel,
    fields: &mut [QuantizedField],
) -> Result<Option<QuantizedFeatureWeight>, Error> {
    if !model.config.feature_weight {
        return Ok(None);
    }
    // lw_f [features], s_f and c_f [num_fields]
    let mut scales = Vec::with_capacity(fields.len());
    for (field, quantized) in model.fields.iter().zip(fields) {
        let weights = field.feature_weights.as_deref().unwrap_or_default();
        let largest = weights.iter().fold(0.0_f64, |m, &w| m.max(f64::from(w).abs()));
        let scale = symmetric_scale(largest, WEIGHT_MAX);
        quantized.feature_weights =
            Some(weights.iter().map(|&w| quantize(f64::from(w), scale, WEIGHT_MAX) as i8).collect());
        scales.push(scale);
    }
    let scale = scales.iter().fold(0.0_f64, |m, &s| m.max(s)) / f64::from(COEFFICIENT_MAX);
    let coefficients = scales.iter().map(|&s| quantize(s, scale, COEFFICIENT_MAX) as i16).collect();
    Ok(Some(QuantizedFeatureWeight { coefficients, scale, term: part_term("feature weights", scale)? }))
}

/// All layers; `used.activations` becomes what was used.
fn quantize_layers(model: &FloatModel, used: &mut Scales) -> Result<(Vec<QuantizedLayer>, Term), Error> {
    let dim = model.config.embed_dim;
    let mut layers = Vec::with_capacity(model.layers.len());
    let mut input_scale = 1.0;
    for (n, layer) in model.layers.iter().enumerate() {
        let mut quantized = if n == 0 {
            let folded: Vec<f64> =
                layer.weights.iter().enumerate().map(|(at, &w)| w * used.fields[at % layer.inputs / dim]).collect();
            quantize_layer(layer, &folded, input_scale)
        } else {
            quantize_layer(layer, &layer.weights, input_scale)
        };
        let is_output = n + 1 == model.layers.len();
        if is_output {
            quantized.scale = quantized.accumulator_scales[0];
        } else {
            let scale = activation_scale(used.activations[n], quantized.accumulator_scales.iter().copied());
            let multipliers = quantized.accumulator_scales.iter().map(|&a| multiplier(a / scale));
            quantized.multipliers = multipliers.collect::<Option<_>>().ok_or_else(|| {
                Error::Quantize(format!("layer {n} has no multiplier for an output scale of {scale}"))
            })?;
            quantized.scale = scale;
            used.activations[n] = scale;
            input_scale = scale;
        }
        layers.push(quantized);
    }
    let mlp_term = match layers.last() {
        None => Term::ABSENT,
        Some(output) => part_term("output layer", output.scale)?,
    };
    Ok((layers, mlp_term))
}

/// `weights`: `[outputs, inputs]`, the fields' scales folded in. Multipliers and output scale are left open.
fn quantize_layer(layer: &FloatLayer, weights: &[f64], input_scale: f64) -> QuantizedLayer {
    let mut quantized = QuantizedLayer {
        inputs: layer.inputs,
        outputs: layer.outputs,
        weights: Vec::with_capacity(weights.len()),
        biases: Vec::with_capacity(layer.outputs),
        multipliers: Vec::new(),
        accumulator_scales: Vec::with_capacity(layer.outputs),
        scale: 1.0,
    };
    for (channel, &bias) in weights.chunks_exact(layer.inputs).zip(&layer.biases) {
        let largest = channel.iter().fold(0.0_f64, |m, &w| m.max(w.abs()));
        let scale = channel_scale(largest, bias, input_scale);
        quantized.weights.extend(channel.iter().map(|&w| quantize(w, scale, WEIGHT_MAX) as i8));
        let accumulator = input_scale * scale;
        quantized.biases.push(quantize(bias, accumulator, limit::BIAS));
        quantized.accumulator_scales.push(accumulator);
    }
    quantized
}

fn part_term(part: &str, scale: f64) -> Result<Term, Error> {
    term(scale).ok_or_else(|| Error::Quantize(format!("one step of the {part} is worth {scale}, too much for a logit")))
}

//! Real numbers to integers, as `docs/quantization.md` says: with given scales, quantised and simulated models are the
//! same.

use std::borrow::Cow;

use xsfm_interchange::config::{FieldConfig, ModelConfig, Scales};
use xsfm_interchange::quantization::{
    COEFFICIENT_MAX, WEIGHT_MAX, ZERO_SCALE, activation_scale, channel_scale, coefficients, field_accumulator_scale,
    field_scale, limit, logit_bias, multiplier, quantize, symmetric_scale, term,
};
use xsfm_runtime::format::Term;

use crate::checkpoint::{check_field_scales, check_scales};
use crate::error::Error;
use crate::model::{
    FloatField, FloatLayer, FloatModel, LowRank, Pairs, QuantizedFeatureWeight, QuantizedField, QuantizedFieldVectors,
    QuantizedLayer, QuantizedLayers, QuantizedLowRank, QuantizedModel, QuantizedPairs, Table, TableBits,
};
use crate::reference::feature_vector;

/// The integers of `model` under `scales`, for int8 mode.
///
/// Scales that a multiplier cannot express are enlarged; the result's `config.quantization` holds those that were used.
///
/// # Errors
/// Scales that do not fit the model, or a part of such size that an integer cannot carry it.
pub fn quantize_model(model: &FloatModel, scales: &Scales) -> Result<QuantizedModel, Error> {
    check_scales(&model.config, scales).map_err(Error::Quantize)?;
    quantize_with(model, scales.clone(), |used| {
        let (layers, term) = static_layers(model, used)?;
        Ok(QuantizedLayers::Static { layers, term })
    })
}

/// The integers of `model` under `scales`, for dynamic mode, which asks for no scales of activations.
///
/// # Errors
/// As [`quantize_model`].
pub fn quantize_dynamic(model: &FloatModel, scales: &Scales) -> Result<QuantizedModel, Error> {
    check_field_scales(&model.config, scales).map_err(Error::Quantize)?;
    let wanted = Scales { activations: Vec::new(), ..scales.clone() };
    quantize_with(model, wanted, |used| Ok(QuantizedLayers::Dynamic(dynamic_layers(model, used))))
}

/// Scales of tables and fields that cover everything a row can ask for, from the weights alone.
///
/// # Errors
/// A bag: how large its sum becomes, only rows can tell.
pub fn scales_of_weights(model: &FloatModel) -> Result<Scales, Error> {
    let largest = |values: &[f32]| values.iter().fold(0.0_f64, |most, &v| most.max(f64::from(v).abs()));
    let dim = model.config.embed_dim;
    let mut scales = Scales { table_bits: model.table_bits, ..Scales::default() };
    for (field, config) in model.fields.iter().zip(&model.config.fields) {
        if config.bag {
            return Err(Error::Quantize(format!(
                "field `{}` is a bag: the weights do not say how large its sums become, rows do",
                config.name
            )));
        }
        let mut of_tables: Vec<f64> = field.tables.iter().map(|table| largest(&table.values)).collect();
        if !config.is_product() {
            let shared = of_tables.iter().fold(0.0_f64, |most, &v| most.max(v));
            of_tables.fill(shared);
        }
        let tables: Vec<f64> = of_tables.into_iter().map(|most| model.table_bits.scale(most)).collect();
        scales.fields.push(if config.is_requantized() {
            let of_feature = |index| feature_vector(field, config, index, dim).fold(0.0_f64, |m, v| m.max(v.abs()));
            symmetric_scale((0..config.features).map(of_feature).fold(0.0, f64::max), WEIGHT_MAX)
        } else {
            tables[0]
        });
        scales.tables.push(tables);
    }
    Ok(scales)
}

/// All parts; `layers` is given the scales with those of the fields as they were used.
fn quantize_with(
    model: &FloatModel,
    mut used: Scales,
    layers: impl FnOnce(&mut Scales) -> Result<QuantizedLayers, Error>,
) -> Result<QuantizedModel, Error> {
    let mut fields = Vec::with_capacity(model.fields.len());
    for (f, (field, config)) in model.fields.iter().zip(&model.config.fields).enumerate() {
        let quantized = quantize_field(field, config, model.table_bits, &used.tables[f], used.fields[f])?;
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
    let low_rank = match &model.low_rank {
        None => None,
        Some(low_rank) => {
            let (low_rank, scale) = factors(low_rank, &used.fields);
            Some(QuantizedLowRank { low_rank, scale, term: part_term("low-rank pairs", scale)? })
        }
    };
    let layers = layers(&mut used)?;
    Ok(QuantizedModel {
        config: ModelConfig { quantization: Some(used), ..model.config.clone() },
        label: model.label.clone(),
        bias: logit_bias(f64::from(model.bias)),
        fields,
        feature_weight,
        field_vectors,
        pairs,
        low_rank,
        layers,
    })
}

fn quantize_field(
    field: &FloatField,
    config: &FieldConfig,
    table_bits: TableBits,
    table_scales: &[f64],
    wanted: f64,
) -> Result<QuantizedField, Error> {
    let tables = field.tables.iter().zip(table_scales).map(|(table, &scale)| Table {
        rows: table.rows,
        columns: table.columns,
        values: table.values.iter().map(|&v| table_bits.round(f64::from(v) / scale)).collect(),
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
    Ok(QuantizedField { table_bits, tables, feature_weights: None, multiplier, scale })
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
fn static_layers(model: &FloatModel, used: &mut Scales) -> Result<(Vec<QuantizedLayer<i32, i32>>, Term), Error> {
    let mut layers = Vec::with_capacity(model.layers.len());
    let mut input_scale = 1.0;
    for (n, layer) in model.layers.iter().enumerate() {
        let scale = |largest, bias| channel_scale(largest, bias, input_scale);
        let bias = |bias, scale| quantize(bias, input_scale * scale, limit::BIAS);
        let mut quantized = quantize_layer(layer, &folded(model, n, used), scale, bias);
        quantized.accumulator_scales.iter_mut().for_each(|scale| *scale *= input_scale);
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

/// All layers of dynamic mode: what a step of the inputs is worth is known for a row alone, and 1 here.
fn dynamic_layers(model: &FloatModel, used: &Scales) -> Vec<QuantizedLayer<f32, f32>> {
    let layer = |(n, layer)| {
        let scale = |largest, _| symmetric_scale(largest, WEIGHT_MAX);
        let mut quantized = quantize_layer(layer, &folded(model, n, used), scale, |bias, _| bias as f32);
        quantized.multipliers = quantized.accumulator_scales.iter().map(|&scale| scale as f32).collect();
        quantized
    };
    model.layers.iter().enumerate().map(layer).collect()
}

/// The weights of layer `n`, `[outputs, inputs]`, with the fields' scales in those of the first.
fn folded<'m>(model: &'m FloatModel, n: usize, used: &Scales) -> Cow<'m, [f64]> {
    let (layer, dim) = (&model.layers[n], model.config.embed_dim);
    if n > 0 {
        return Cow::Borrowed(&layer.weights);
    }
    let of_field = |at: usize| used.fields[at % layer.inputs / dim];
    Cow::Owned(layer.weights.iter().enumerate().map(|(at, &w)| w * of_field(at)).collect())
}

/// `weights`: `[outputs, inputs]`. `scale` is given a channel's largest weight and its bias, `bias` the bias and the
/// scale. Multipliers and output scale are left open.
fn quantize_layer<B, M>(
    layer: &FloatLayer,
    weights: &[f64],
    scale: impl Fn(f64, f64) -> f64,
    bias: impl Fn(f64, f64) -> B,
) -> QuantizedLayer<B, M> {
    let mut quantized = QuantizedLayer {
        inputs: layer.inputs,
        outputs: layer.outputs,
        weights: Vec::with_capacity(weights.len()),
        biases: Vec::with_capacity(layer.outputs),
        multipliers: Vec::new(),
        accumulator_scales: Vec::with_capacity(layer.outputs),
        scale: 0.0,
    };
    for (channel, &real_bias) in weights.chunks_exact(layer.inputs).zip(&layer.biases) {
        let largest = channel.iter().fold(0.0_f64, |m, &w| m.max(w.abs()));
        let scale = scale(largest, real_bias);
        quantized.weights.extend(channel.iter().map(|&w| quantize(w, scale, WEIGHT_MAX) as i8));
        quantized.biases.push(bias(real_bias, scale));
        quantized.accumulator_scales.push(scale);
    }
    quantized
}

/// Integer factors with the fields' scales in them, and what a step of their rounded accumulator is worth.
fn factors(low_rank: &LowRank<f32, f32>, field_scales: &[f64]) -> (LowRank<i16, i32>, f64) {
    // u [rank, num_fields], s_f [num_fields]
    let num_fields = field_scales.len();
    let folded: Vec<f64> =
        low_rank.factors.iter().enumerate().map(|(at, &u)| f64::from(u) * field_scales[at % num_fields]).collect();
    let sums = folded.chunks_exact(num_fields).map(|u| u.iter().map(|u| u.abs()).sum::<f64>());
    // Half a step of rounding each.
    let mut scale = sums.fold(0.0, f64::max) / (limit::LOW_RANK_SUM as f64 - num_fields as f64);
    if scale == 0.0 {
        scale = ZERO_SCALE;
    }
    loop {
        let factors: Vec<i16> = folded.iter().map(|&u| quantize(u, scale, COEFFICIENT_MAX) as i16).collect();
        let squares = |field: usize| -> i64 {
            let of_field = factors.iter().skip(field).step_by(num_fields).zip(&low_rank.signs);
            of_field.map(|(&u, &sign)| i64::from(sign) * i64::from(u) * i64::from(u)).sum()
        };
        let diagonal: Result<Vec<i32>, _> = (0..num_fields).map(|field| i32::try_from(squares(field))).collect();
        if let Ok(diagonal) = diagonal {
            let step = scale * scale * f64::from(1 << limit::LOW_RANK_SHIFT);
            return (LowRank { signs: low_rank.signs.clone(), factors, diagonal }, step);
        }
        // Nearly all weight on one field, many times over: that field has fewer steps.
        scale *= 2.0;
    }
}

fn part_term(part: &str, scale: f64) -> Result<Term, Error> {
    term(scale).ok_or_else(|| Error::Quantize(format!("one step of the {part} is worth {scale}, too much for a logit")))
}

//! Real numbers to integers, as `docs/quantization.md` says: with given scales, quantised and simulated models are the
//! same.

use std::borrow::Cow;

use xsfm_interchange::config::{FieldConfig, ModelConfig, Scales};
use xsfm_interchange::quantization::parts::{ActivationScale, FeatureWeightScales, FieldScale, LayerScales, part_term};
use xsfm_interchange::quantization::{
    COEFFICIENT_MAX, WEIGHT_MAX, ZERO_SCALE, coefficients, limit, logit_bias, quantize, symmetric_scale,
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
    let FieldScale { scale, requantize } = FieldScale::new(config, table_scales, wanted)?;
    let multiplier = requantize.map(|ratio| ratio.multiplier);
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
    let weights: Vec<&[f32]> = model.fields.iter().map(|f| f.feature_weights.as_deref().unwrap_or_default()).collect();
    let largest = |of_field: &&[f32]| of_field.iter().fold(0.0_f64, |m, &w| m.max(f64::from(w).abs()));
    let largest: Vec<f64> = weights.iter().map(largest).collect();
    let FeatureWeightScales { fields: scales, coefficients, scale } = FeatureWeightScales::new(&largest);
    for ((of_field, quantized), &scale) in weights.into_iter().zip(fields).zip(&scales) {
        let integers = of_field.iter().map(|&w| quantize(f64::from(w), scale, WEIGHT_MAX) as i8);
        quantized.feature_weights = Some(integers.collect());
    }
    Ok(Some(QuantizedFeatureWeight { coefficients, scale, term: part_term("feature weights", scale)? }))
}

/// All layers; `used.activations` becomes what was used.
fn static_layers(model: &FloatModel, used: &mut Scales) -> Result<(Vec<QuantizedLayer<i32, i32>>, Term), Error> {
    let mut layers = Vec::with_capacity(model.layers.len());
    let mut input_scale = 1.0;
    for (n, layer) in model.layers.iter().enumerate() {
        let weights = folded(model, n, used);
        let scales = LayerScales::new(&largest_of_channels(layer, &weights), &layer.biases, input_scale);
        let (scale, multipliers) = if n + 1 == model.layers.len() {
            (scales.accumulators[0], Vec::new())
        } else {
            let ActivationScale { scale, ratios } = scales.activation(n, used.activations[n])?;
            (used.activations[n], input_scale) = (scale, scale);
            (scale, ratios.into_iter().map(|ratio| ratio.multiplier).collect())
        };
        layers.push(QuantizedLayer {
            inputs: layer.inputs,
            outputs: layer.outputs,
            weights: integers(layer, &weights, &scales.weights),
            biases: scales.biases,
            multipliers,
            accumulator_scales: scales.accumulators,
            scale,
        });
    }
    let mlp_term = match layers.last() {
        None => Term::ABSENT,
        Some(output) => part_term("output layer", output.scale)?,
    };
    Ok((layers, mlp_term))
}

/// All layers of dynamic mode: what a step of the inputs is worth is known for a row alone, and 1 here.
fn dynamic_layers(model: &FloatModel, used: &Scales) -> Vec<QuantizedLayer<f32, f32>> {
    let layer = |(n, layer): (usize, &FloatLayer)| {
        let weights = folded(model, n, used);
        let largest = largest_of_channels(layer, &weights);
        let scales: Vec<f64> = largest.into_iter().map(|largest| symmetric_scale(largest, WEIGHT_MAX)).collect();
        QuantizedLayer {
            inputs: layer.inputs,
            outputs: layer.outputs,
            weights: integers(layer, &weights, &scales),
            biases: layer.biases.iter().map(|&bias| bias as f32).collect(),
            multipliers: scales.iter().map(|&scale| scale as f32).collect(),
            accumulator_scales: scales,
            scale: 0.0,
        }
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

/// `weights`, `[outputs, inputs]` -> `[outputs]`
fn largest_of_channels(layer: &FloatLayer, weights: &[f64]) -> Vec<f64> {
    weights.chunks_exact(layer.inputs).map(|channel| channel.iter().fold(0.0_f64, |m, &w| m.max(w.abs()))).collect()
}

/// `weights`, `[outputs, inputs]`, `scales`, `[outputs]` -> `[outputs, inputs]`
fn integers(layer: &FloatLayer, weights: &[f64], scales: &[f64]) -> Vec<i8> {
    let channels = weights.chunks_exact(layer.inputs).zip(scales);
    channels.flat_map(|(channel, &scale)| channel.iter().map(move |&w| quantize(w, scale, WEIGHT_MAX) as i8)).collect()
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

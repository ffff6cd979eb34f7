//! Before quantisation-aware training: BatchNorm is folded into its layer, and the scales that weights do not give are
//! chosen from data.

use anyhow::Result;
use tch::{Device, Kind, Tensor, no_grad};
use xsfm_interchange::checkpoint::BATCH_NORM_EPSILON;
use xsfm_interchange::config::{Interaction, ModelConfig, Scales};
use xsfm_interchange::quantization::{ACTIVATION_MAX, TableBits, WEIGHT_MAX, ZERO_SCALE};
use xsfm_interchange::rows::RowBlock;

use crate::model::Model;
use crate::quantized::scales::refresh_table_scales;
use crate::settings::Initialization;
use crate::tensors::size;

/// At most this many numbers of one quantity are kept to choose its scale.
const SAMPLE: i64 = 1 << 17;
/// Clipping points that are tried, as percentages of the largest magnitude.
const CLIP_PERCENT: std::ops::RangeInclusive<i32> = 30..=100;

/// Why a model cannot be trained in int8, naming the part for which there is no arithmetic of integers; `None` where it
/// can be.
pub fn problem(config: &ModelConfig) -> Option<String> {
    let teacher = "which is for teachers: train it in real numbers, and distil a student";
    if let Some(network) = &config.network {
        return Some(format!("int8 training knows no network of its own (--network: {network}), {teacher}"));
    }
    if !config.compressed.is_empty() {
        return Some(format!("int8 training knows no compressed interaction network (--compressed), {teacher}"));
    }
    matches!(config.interaction, Interaction::LowRank { .. }).then(|| {
        "int8 training knows no factors (--rank): train in real numbers, then calibrate with `xsfm pack --rows`"
            .to_owned()
    })
}

/// The same function without BatchNorm: `W' = W g`, `b' = (b - mean) g + beta`, `g = gamma / sqrt(var + 1e-5)` per
/// channel.
///
/// # Errors
/// A configuration that cannot be built.
pub fn fold_batch_norm(model: &Model) -> Result<Model> {
    let mut config: ModelConfig = model.config.clone();
    if let Some(mlp) = &mut config.mlp {
        mlp.batch_norm = false;
    }
    let folded = Model::new(config, &Initialization::of_deviation(0.0), model.device())?;
    no_grad(|| {
        for (from, into) in model.parameters.layers.iter().zip(&folded.parameters.layers) {
            let f64 = |t: &Tensor| t.to_kind(Kind::Double);
            let (mut weight, mut bias) = (f64(&from.weight), f64(&from.bias));
            if let Some(norm) = &from.norm {
                let g = f64(&norm.weight) / (f64(&norm.running_var) + BATCH_NORM_EPSILON).sqrt();
                weight = &weight * g.view([-1, 1]);
                bias = (bias - f64(&norm.running_mean)) * g + f64(&norm.bias);
            }
            into.weight.shallow_clone().copy_(&weight);
            into.bias.shallow_clone().copy_(&bias);
        }
        let kept = model.parameters.named().into_iter();
        let kept: std::collections::HashMap<String, Tensor> = kept.map(|(name, t, _)| (name, t)).collect();
        for (name, mut tensor, _) in folded.parameters.named() {
            if let Some(from) = kept.get(&name).filter(|_| !name.starts_with("mlp.")) {
                tensor.copy_(from);
            }
        }
    });
    Ok(folded)
}

/// Scales of the requantised fields and of the hidden layers, each that of least mean square error on `blocks`; tables
/// min-max.
///
/// # Errors
/// Rows that do not fit the model.
pub fn calibrate(model: &Model, table_bits: TableBits, blocks: &[RowBlock]) -> Result<Scales> {
    let fields = &model.config.fields;
    let hidden = model.config.mlp.as_ref().map_or(0, |mlp| mlp.hidden.len());
    let mut vectors: Vec<Vec<Tensor>> = fields.iter().map(|_| Vec::new()).collect();
    let mut activations: Vec<Vec<Tensor>> = (0..hidden).map(|_| Vec::new()).collect();
    for block in blocks {
        let trace = model.trace(&model.entries(block)?);
        for f in (0..fields.len()).filter(|&f| fields[f].is_requantized()) {
            vectors[f].extend(trace.vectors.as_ref().map(|v| v.select(1, size(f)).flatten(0, 1)));
        }
        for (kept, output) in activations.iter_mut().zip(trace.hidden) {
            kept.push(output.flatten(0, 1));
        }
    }
    let mut scales = Scales {
        tables: vec![Vec::new(); fields.len()],
        fields: vectors.iter().map(|v| least_error_scale(v, WEIGHT_MAX)).collect(),
        activations: activations.iter().map(|v| least_error_scale(v, ACTIVATION_MAX)).collect(),
        table_bits,
    };
    refresh_table_scales(model, &mut scales)?;
    Ok(scales)
}

/// The scale s of least `mean((s clamp(round(v / s), -max, max) - v)^2)` among clipping points; [`ZERO_SCALE`] for
/// zeros.
fn least_error_scale(values: &[Tensor], max: i32) -> f64 {
    if values.is_empty() {
        return ZERO_SCALE;
    }
    let values = Tensor::cat(values, 0).to_device(Device::Cpu).to_kind(Kind::Double);
    let every = (values.size()[0] / SAMPLE).max(1);
    let sample = values.slice(0, None, None, every);
    let largest = values.abs().max().double_value(&[]);
    if largest == 0.0 {
        return ZERO_SCALE;
    }
    let max = f64::from(max);
    let error = |scale: f64| {
        let rounded = (&sample / scale).round().clamp(-max, max) * scale;
        (rounded - &sample).square().mean(Kind::Double).double_value(&[])
    };
    let candidates = CLIP_PERCENT.map(|percent| largest * f64::from(percent) / 100.0 / max);
    candidates.map(|scale| (scale, error(scale))).min_by(|a, b| a.1.total_cmp(&b.1)).map_or(largest / max, |(s, _)| s)
}

//! Checkpoint folders: `weights.safetensors`, `config.json`, `schema.json`, `metrics.json`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use tch::Device;
use xsfm_interchange::atomic;
use xsfm_interchange::checkpoint::file;
use xsfm_interchange::config::{ModelConfig, Scales};
use xsfm_interchange::schema::Schema;

use crate::model::Model;
use crate::quantized::check_scales;
use crate::tensors;

/// Loads a model to a device.
///
/// # Errors
/// A file is missing or malformed, or a tensor does not fit the configuration; the message names both.
pub fn load(folder: &Path, device: Device) -> Result<Model> {
    let path = folder.join(file::CONFIG);
    let text = std::fs::read(&path)
        .with_context(|| format!("{}: not a checkpoint folder, or not a finished one", path.display()))?;
    let config: ModelConfig =
        serde_json::from_slice(&text).with_context(|| format!("{}: not a model's configuration", path.display()))?;
    if let Some(scales) = &config.quantization {
        // Sizes first: the check of the scales indexes by field.
        crate::model::parameters::check_config(&config).with_context(|| path.display().to_string())?;
        check_scales(&config, scales).with_context(|| path.display().to_string())?;
    }
    let model = Model::new(config, 0.0, device).with_context(|| path.display().to_string())?;
    let path = folder.join(file::WEIGHTS);
    let (weights, _) = tensors::read(&path)?;
    model.parameters.load_checkpoint(&model.layout, weights).with_context(|| path.display().to_string())?;
    Ok(model)
}

/// Saves a model with the scales of its integers, where it has them; each file appears whole or not at all, `config.json` last.
///
/// # Errors
/// Whatever the file system reports.
pub fn save(
    folder: &Path,
    model: &Model,
    scales: Option<&Scales>,
    schema: &Schema,
    metrics: &impl Serialize,
) -> Result<()> {
    tensors::write(&folder.join(file::WEIGHTS), &model.parameters.to_checkpoint(&model.layout), None)?;
    schema.save(&folder.join(file::SCHEMA))?;
    write_json(&folder.join(file::METRICS), metrics)?;
    let config = ModelConfig { quantization: scales.cloned(), ..model.config.clone() };
    write_json(&folder.join(file::CONFIG), &config)
}

/// Writes a value as indented JSON.
///
/// # Errors
/// Whatever the file system reports.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    atomic::write(path, |output| output.write_all(&text)).with_context(|| path.display().to_string())
}

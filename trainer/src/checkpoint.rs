//! Checkpoint folders: `weights.safetensors`, `config.json`, `schema.json`, `metrics.json`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tch::{Device, Tensor};
use xsfm_interchange::atomic;
use xsfm_interchange::checkpoint::{file, trained_on};
use xsfm_interchange::config::{ModelConfig, Scales};
use xsfm_interchange::dataset::Dataset;
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::output;
use xsfm_interchange::schema::Schema;

use crate::model::Model;
use crate::quantized::scales::check_scales;
use crate::report::Report;
use crate::settings::Initialization;
use crate::tensors;

/// Loads a model to a device.
///
/// # Errors
/// A file is missing or malformed, or a tensor does not fit the configuration; the message names both.
pub fn load(folder: &Path, device: Device) -> Result<Model> {
    let (config, weights) = read(folder)?;
    build(folder, config, weights, device)
}

/// The configuration and the parameters of a checkpoint, before they are a model.
pub(crate) fn read(folder: &Path) -> Result<(ModelConfig, HashMap<String, Tensor>)> {
    let path = folder.join(file::CONFIG);
    let text = std::fs::read(&path)
        .with_context(|| format!("{}: not a checkpoint folder, or not a finished one", path.display()))?;
    let mut config: ModelConfig =
        serde_json::from_slice(&text).with_context(|| format!("{}: not a model's configuration", path.display()))?;
    if let Some(scales) = &config.quantization {
        // Sizes first: the check of the scales indexes by field.
        crate::model::parameters::check_config(&config).with_context(|| path.display().to_string())?;
        check_scales(&config, scales).with_context(|| path.display().to_string())?;
    }
    if config.vocabulary.is_none() && folder.join(file::SCHEMA).exists() {
        // An older program wrote it.
        config.vocabulary = Some(Vocabulary::of(&Schema::load(&folder.join(file::SCHEMA))?));
    }
    let (weights, _) = tensors::read(&folder.join(file::WEIGHTS))?;
    Ok((config, weights))
}

/// The model of what [`read`] gave.
pub(crate) fn build(
    folder: &Path,
    config: ModelConfig,
    weights: HashMap<String, Tensor>,
    device: Device,
) -> Result<Model> {
    let path = folder.join(file::CONFIG);
    let model =
        Model::new(config, &Initialization::of_deviation(0.0), device).with_context(|| path.display().to_string())?;
    let path = folder.join(file::WEIGHTS);
    model.parameters.load_checkpoint(&model.layout, weights).with_context(|| path.display().to_string())?;
    Ok(model)
}

/// Saves a model with the scales of its integers, where it has them; each file appears whole or not at all,
/// `config.json` last.
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

/// What training measured.
///
/// # Errors
/// The folder has no such file, or another program's.
pub fn report(folder: &Path) -> Result<Report> {
    let path = folder.join(file::METRICS);
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// Checks that a checkpoint was trained on these data; where `other_rows` are meant, that it was trained with their
/// vocabulary.
///
/// # Errors
/// It was not: the message names the field and the first token that differs, or the file of rows.
pub fn check_data(folder: &Path, data: &Dataset, other_rows: bool) -> Result<()> {
    if !folder.join(file::CONFIG).exists() {
        bail!("{}: not a checkpoint folder, or not a finished one", folder.join(file::CONFIG).display());
    }
    let schema = Schema::load(&folder.join(file::SCHEMA))?;
    if let Some(problem) = data.vocabulary_problem(&schema, folder) {
        bail!(
            "{problem}: the model would take one token for another; prepare the rows with the vocabulary of {}, or \
             train it anew",
            folder.display()
        );
    }
    let trained = trained_on(folder).with_context(|| folder.join(file::METRICS).display().to_string())?;
    match trained {
        _ if other_rows => {}
        None => output::say(format_args!(
            "NOTE: {}: an older program trained it and did not say on which rows; they are not compared",
            folder.display()
        )),
        Some(trained) => {
            if let Some(problem) = data.problem(&trained, folder) {
                bail!(
                    "{problem}: rows that it was trained on may be among those that measure it; give --other-rows \
                     where other rows of the same vocabulary are meant"
                );
            }
        }
    }
    Ok(())
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

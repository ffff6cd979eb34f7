//! The models: one folder each, with the same weights in every engine's format.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use xsfm_benches::{FEATURES, FULL, QUOTIENT_REMAINDER, samples};
use xsfm_convert::calibrate::{Activations, calibrate};
use xsfm_convert::export::{Outputs, onnx};
use xsfm_convert::pack::{pack_f32, pack_int8};
use xsfm_convert::quantize::{quantize_dynamic, scales_of_weights};
use xsfm_convert::reference::float_forward;
use xsfm_interchange::atomic;
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::Row;

/// Names of the files in a model's folder that more than one module knows.
pub(crate) mod file {
    /// Packed by this project, f32 mode.
    pub(crate) const OURS_F32: &str = "f32.xsfm";
    /// Packed by this project, int8 mode.
    pub(crate) const OURS_INT8: &str = "int8.xsfm";
    /// Packed by this project, dynamic mode.
    pub(crate) const OURS_DYNAMIC: &str = "dynamic.xsfm";
    /// Exported by this project; all other engines' files are made from it.
    pub(crate) const ONNX: &str = "model.onnx";
    /// Made by `convert.py`, for more than one engine.
    pub(crate) const ONNX_STATIC: &str = "static.onnx";
    /// Rows to calibrate on, i64 `[CALIBRATION_ROWS, num_fields]`, for `convert.py`.
    pub(crate) const CALIBRATION: &str = "calibration.i64";
    /// The oracle's logits of the samples, f32 `[SAMPLES]`.
    pub(crate) const LOGITS: &str = "logits.f32";
}

/// Samples that the engines walk through: thousands, so that no cache holds all the rows of the tables that they touch.
pub(crate) const SAMPLES: usize = 8192;
const CALIBRATION_ROWS: usize = 512;
const MODEL_SEED: u64 = 1;
const SAMPLES_SEED: u64 = 2;
const CALIBRATION_SEED: u64 = 3;

/// Width of the hidden layers: three of them, of 16 two, or `none` for FwFM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Width(Option<usize>);

impl Width {
    /// Widths of the hidden layers.
    pub(crate) fn hidden(self) -> Option<Vec<usize>> {
        self.0.map(|width| vec![width; if width == 16 { 2 } else { 3 }])
    }
}

impl FromStr for Width {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Width(None));
        }
        match text.parse() {
            Ok(width @ 1..=4096) => Ok(Width(Some(width))),
            _ => Err(format!("`{text}` is neither `none` nor a width of 1 to 4096")),
        }
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(width) => width.fmt(f),
        }
    }
}

/// `[SAMPLES, num_fields]`: what the engines are timed on.
pub(crate) fn timed_samples() -> Vec<u32> {
    samples(SAMPLES, SAMPLES_SEED)
}

/// Writes the model of that width into `folder`: packed, exported, with rows to calibrate on and the oracle's logits.
pub(crate) fn generate(folder: &Path, width: Width, quotient_remainder: bool) -> Result<()> {
    let embedding = if quotient_remainder { QUOTIENT_REMAINDER } else { FULL };
    let model = xsfm_benches::model(width.hidden().as_deref(), embedding, MODEL_SEED);
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        atomic::write(&path, |out| out.write_all(bytes)).with_context(|| path.display().to_string())
    };
    write(file::ONNX, &onnx(&model, Outputs::Logit)?)?;

    let calibration = samples(CALIBRATION_ROWS, CALIBRATION_SEED);
    let mut block = RowBlock::new(FEATURES.len(), false);
    calibration.iter().for_each(|&index| block.push_field(&[index]));
    let wide: Vec<u8> = calibration.iter().flat_map(|&index| i64::from(index).to_le_bytes()).collect();
    write(file::CALIBRATION, &wide)?;
    write(file::OURS_F32, &pack_f32(&model)?)?;
    write(file::OURS_DYNAMIC, &pack_int8(&quantize_dynamic(&model, &scales_of_weights(&model)?)?)?)?;
    write(file::OURS_INT8, &pack_int8(&calibrate(&model, Activations::Static, &block, &mut |_, _| ())?.model)?)?;

    let mut logits = Vec::new();
    for row in timed_samples().chunks_exact(FEATURES.len()) {
        logits.extend((float_forward(&model, Row::new(row))?.logit as f32).to_le_bytes());
    }
    write(file::LOGITS, &logits)
}

/// The oracle's logits of [`timed_samples`].
pub(crate) fn expected_logits(folder: &Path) -> Result<Vec<f32>> {
    let path = folder.join(file::LOGITS);
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    let logits: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect();
    anyhow::ensure!(logits.len() == SAMPLES, "{}: {} logits, {SAMPLES} expected", path.display(), logits.len());
    Ok(logits)
}

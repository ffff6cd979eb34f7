//! From a model to a packed file with what raw values mean, and what that cost: `xsfm pack` and `xsfm import`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use xsfm_interchange::rows::{Bounds, RowBlock};
use xsfm_interchange::schema::Schema;

use crate::calibrate::{self, Activations, Calibration, Trial, calibrate};
use crate::error::Error;
use crate::low_rank::factorize;
use crate::model::{FloatModel, TableBits};
use crate::pack::{Packed, pack_f32, pack_int8};
use crate::quantize::{quantize_dynamic, quantize_model, scales_of_weights};
use crate::target::{self, Target};
use crate::{input, inspect, vocabulary};

/// An arithmetic that a model can be packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackMode {
    /// Weights and sums in f32.
    F32,
    /// Integers from the table to the logit.
    Int8,
    /// Integer weights; the outputs of layers with a scale for each row.
    Dynamic,
}

impl FromStr for PackMode {
    type Err = Error;

    /// An arithmetic by the name that `xsfm pack --mode` has for it.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "f32" => Ok(PackMode::F32),
            "int8" => Ok(PackMode::Int8),
            "dynamic" => Ok(PackMode::Dynamic),
            other => Err(Error::Input(format!("mode {other:?} is unknown; known are int8, dynamic, f32"))),
        }
    }
}

/// What a packed file shall be.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its arithmetic.
    pub mode: PackMode,
    /// Bits of a number in its tables; those of training where nobody says.
    pub table_bits: Option<TableBits>,
    /// Factors in place of a weight for each pair.
    pub rank: Option<usize>,
    /// The CPU that its layers are laid out for.
    pub target: Target,
    /// Rows to calibrate on.
    pub rows: Option<Rows<'a>>,
    /// How these are given, for messages.
    pub names: Names<'a>,
    /// The `schema.json` whose vocabulary is packed too.
    pub schema: Option<&'a Path>,
    /// What is kept of it.
    pub kept: vocabulary::Options,
}

/// Rows to calibrate on.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// An Arrow file or a TSV of indices; `-` for a TSV from standard input.
    File(&'a Path),
    /// Rows in memory, with or without labels.
    Memory(&'a RowBlock),
}

/// How the caller of [`write()`] is given things: `--mode `, or `mode=`.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The rows, whole.
    pub rows: &'a str,
    /// What stands before a mode.
    pub mode: &'a str,
    /// What stands before a number of bits.
    pub table_bits: &'a str,
}

/// What was packed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The file.
    pub output: PathBuf,
    /// `f32`, `int8` or `dynamic`.
    pub mode: &'static str,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Of the file without its vocabulary.
    pub file_bytes_without_vocabulary: usize,
    /// Bytes of scratch that a scorer needs on this CPU.
    pub ram_bytes: usize,
    /// The same on a microcontroller.
    pub ram_bytes_microcontroller: usize,
    /// Trained numbers.
    pub parameters: usize,
    /// What the factors miss: norm of the error over that of the pairs' weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank_error: Option<f64>,
    /// Where the scales of int8 and dynamic mode come from; absent in f32 mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scales: Option<&'static str>,
    /// What was tried on rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationReport>,
    /// How many factors.
    #[serde(skip)]
    rank: Option<usize>,
}

/// How scales were found.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationReport {
    /// Rows given.
    pub rows: usize,
    /// Different ones among them.
    pub distinct_rows: usize,
    /// Mean |logit error| of what was kept.
    pub logit_error_mean: f64,
    /// Standard deviation of the logits; 0 where the model says the same of all rows.
    pub logit_deviation: f64,
    /// What was tried, part by part.
    pub trials: Vec<Trial>,
}

/// A packed model, and how it was made.
struct Made {
    packed: Packed,
    without_vocabulary: usize,
    rank_error: Option<f64>,
    scales: Option<&'static str>,
    calibration: Option<(usize, Calibration)>,
}

/// Packs a model as `request` asks. `progress` hears how much of the calibration is done, and of how much.
///
/// # Errors
/// What does not go together; rows that cannot be read, do not fit the model or do not suffice; a schema that is not
/// the model's.
pub fn pack(model: FloatModel, request: &Request<'_>, progress: &mut dyn FnMut(usize, usize)) -> Result<Packed, Error> {
    Ok(make(model, request, progress)?.packed)
}

/// The same, and writes it to `output`.
///
/// # Errors
/// As [`pack()`], and the file system's.
pub fn write(
    model: FloatModel,
    request: &Request<'_>,
    output: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Report, Error> {
    let Made { packed, without_vocabulary, rank_error, scales, calibration } = make(model, request, progress)?;
    packed.write(output).map_err(Error::io(output))?;
    let loaded = input::load(output, &packed)?;
    let statistics = loaded.statistics();
    Ok(Report {
        output: output.to_owned(),
        mode: inspect::mode_name(statistics.mode),
        file_bytes: statistics.file_bytes,
        file_bytes_without_vocabulary: without_vocabulary,
        ram_bytes: statistics.scratch_bytes,
        ram_bytes_microcontroller: inspect::microcontroller_bytes(&loaded),
        parameters: statistics.parameters,
        rank_error,
        scales,
        calibration: calibration.map(|(rows, found)| CalibrationReport {
            rows,
            distinct_rows: found.distinct_rows,
            logit_error_mean: found.error,
            logit_deviation: found.logit_deviation,
            trials: found.trials,
        }),
        rank: request.rank,
    })
}

fn make(mut model: FloatModel, request: &Request<'_>, progress: &mut dyn FnMut(usize, usize)) -> Result<Made, Error> {
    let rank_error = request.rank.map(|rank| factorize(&mut model, rank)).transpose()?;
    if let Some(bits) = request.table_bits {
        if bits == TableBits::Four && request.mode == PackMode::F32 {
            return Err(Error::Input(format!("{}4 is for int8 and dynamic mode", request.names.table_bits)));
        }
        if bits != model.table_bits {
            model.table_bits = bits;
            model.config.quantization = None;
        }
    }
    let model = &model;
    let (mut scales, mut calibration) = (None, None);
    let mut calibrated = |activations: Activations, rows: Rows<'_>| {
        scales = Some("calibration");
        let (_, found) = calibration.insert(calibrate_on(model, activations, rows, progress)?);
        Ok::<_, Error>(pack_int8(&found.model)?)
    };
    let packed = match (request.mode, &model.config.quantization, request.rows) {
        (PackMode::F32, ..) => pack_f32(model)?,
        (PackMode::Int8, Some(trained), _) => {
            scales = Some("quantisation-aware training");
            pack_int8(&quantize_model(model, trained)?)?
        }
        (PackMode::Int8, None, None) => {
            let (what, Names { rows, mode, .. }) = ("int8 mode needs rows to calibrate on", request.names);
            return Err(Error::Input(format!("{what}: give {rows}, or choose {mode}dynamic or {mode}f32")));
        }
        (PackMode::Int8, None, Some(rows)) => calibrated(Activations::Static, rows)?,
        (PackMode::Dynamic, Some(trained), _) => {
            scales = Some("quantisation-aware training");
            pack_int8(&quantize_dynamic(model, trained)?)?
        }
        (PackMode::Dynamic, None, Some(rows)) => calibrated(Activations::Dynamic, rows)?,
        (PackMode::Dynamic, None, None) => {
            scales = Some("the weights");
            let of_weights = scales_of_weights(model);
            let of_weights =
                of_weights.map_err(|error| Error::Input(format!("{error}: give {}", request.names.rows)))?;
            pack_int8(&quantize_dynamic(model, &of_weights)?)?
        }
    };
    let target = request.target;
    let packed = if target == Target::Neutral { packed } else { target::retarget(&packed, target)? };
    let without_vocabulary = packed.len();
    let packed = match request.schema {
        None => packed,
        Some(path) => with_vocabulary(&packed, path, request.kept)?,
    };
    Ok(Made { packed, without_vocabulary, rank_error, scales, calibration })
}

/// The same model with the vocabulary of the `schema.json` at `schema`, in place of its own.
///
/// # Errors
/// A schema that cannot be read, or is not the model's.
pub fn with_vocabulary(packed: &[u8], schema: &Path, kept: vocabulary::Options) -> Result<Packed, Error> {
    let attached = vocabulary::attach(packed, &Schema::load(schema)?, kept);
    attached.map_err(|error| Error::Input(format!("{}: {error}", schema.display())))
}

fn calibrate_on(
    model: &FloatModel,
    activations: Activations,
    rows: Rows<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(usize, Calibration), Error> {
    let bounds = Bounds::from(&model.config);
    let (samples, from) = match rows {
        Rows::File(path) => {
            let from = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
            (input::first_rows(path, bounds, calibrate::MAX_ROWS)?, from)
        }
        Rows::Memory(block) => (input::first_rows_of(block, &bounds, calibrate::MAX_ROWS)?, input::MEMORY.to_owned()),
    };
    let calibration = calibrate(model, activations, &samples, progress);
    let calibration = calibration.map_err(|error| Error::Input(format!("{from}: {error}")))?;
    Ok((samples.len(), calibration))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(calibration) = &self.calibration {
            writeln!(f, "{:<24}  {:<24}  {:>18}", "part", "tried", "mean |logit error|")?;
            for trial in &calibration.trials {
                let kept = if trial.kept { "  kept" } else { "" };
                writeln!(f, "{:<24}  {:<24}  {:>18.6}{kept}", trial.part, trial.choice, trial.error)?;
            }
            let (error, deviation) = (calibration.logit_error_mean, calibration.logit_deviation);
            let share = if error == 0.0 { 0.0 } else { error / deviation };
            let (rows, distinct) = (calibration.rows, calibration.distinct_rows);
            writeln!(
                f,
                "on {rows} rows, {distinct} of them distinct: {error:.6}, {share:.4} of the logits' deviation \
                 {deviation:.4}"
            )?;
        }
        if let (Some(rank), Some(error)) = (self.rank, self.rank_error) {
            writeln!(f, "{rank} factors miss {error:.4} of the field matrix")?;
        }
        let from = self.scales.map(|scales| format!(", scales from {scales}")).unwrap_or_default();
        let (path, mode, bytes, parameters) = (self.output.display(), self.mode, self.file_bytes, self.parameters);
        let (ram, least) = (self.ram_bytes, self.ram_bytes_microcontroller);
        let vocabulary = match bytes - self.file_bytes_without_vocabulary {
            0 => String::new(),
            vocabulary => format!(", {vocabulary} of them the vocabulary"),
        };
        let ram = format!("{ram} bytes of RAM, {least} on a microcontroller");
        writeln!(f, "{path}: {mode}{from}, {parameters} parameters, {bytes} bytes{vocabulary}, {ram}")
    }
}

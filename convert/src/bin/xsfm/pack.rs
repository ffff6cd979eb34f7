//! `pack`, `import` and `retarget`: the commands that write packed files.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use serde::Serialize;
use xsfm_convert::calibrate::{self, Activations, Calibration, Trial, calibrate};
use xsfm_convert::low_rank::factorize;
use xsfm_convert::model::{FloatModel, TableBits};
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_convert::quantize::{quantize_dynamic, quantize_model, scales_of_weights};
use xsfm_convert::target::{self, Target};
use xsfm_convert::{Error, input, inspect, vocabulary};
use xsfm_interchange::output;
use xsfm_interchange::output::print;
use xsfm_interchange::rows::Bounds;
use xsfm_interchange::schema::Schema;

use crate::cli::{BitsArgument, ModeArgument, Output};
use crate::output::{print_json, progress_bar};

/// What `pack` and `import` report.
#[derive(Debug, Serialize)]
struct PackReport {
    output: PathBuf,
    mode: &'static str,
    file_bytes: usize,
    ram_bytes: usize,
    ram_bytes_microcontroller: usize,
    parameters: usize,
    /// What the factors of --rank miss: norm of the error over that of the pairs' weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    rank_error: Option<f64>,
    /// Where the scales of int8 and dynamic mode come from; absent in f32 mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    scales: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<CalibrationReport>,
}

#[derive(Debug, Serialize)]
struct CalibrationReport {
    rows: usize,
    distinct_rows: usize,
    logit_error_mean: f64,
    logit_deviation: f64,
    trials: Vec<Trial>,
}

/// Packs for the mode, the tables and the CPU that `output` asks for; `rows_option` names the option that gives `rows`,
/// and `own_schema` is the one beside the model.
pub(crate) fn pack(
    mut model: FloatModel,
    rows: Option<&Path>,
    rows_option: &str,
    own_schema: Option<&Path>,
    output: &Output,
) -> anyhow::Result<()> {
    let rank_error = output.rank.map(|rank| factorize(&mut model, rank)).transpose()?;
    if let Some(bits) = output.table_bits {
        if bits == BitsArgument::Four && output.mode == ModeArgument::F32 {
            bail!("--table-bits 4 is for int8 and dynamic mode");
        }
        let bits = TableBits::from(bits);
        if bits != model.table_bits {
            model.table_bits = bits;
            model.config.quantization = None;
        }
    }
    let model = &model;
    let mut scales = None;
    let mut calibration = None;
    let packed = match (output.mode, &model.config.quantization) {
        (ModeArgument::F32, _) => pack_f32(model)?,
        (ModeArgument::Int8, Some(trained)) => {
            scales = Some("quantisation-aware training");
            pack_int8(&quantize_model(model, trained)?)?
        }
        (ModeArgument::Int8, None) => {
            let Some(rows) = rows else {
                bail!(
                    "int8 mode needs rows to calibrate on: give {rows_option} FILE, or choose --mode dynamic or \
                     --mode f32"
                );
            };
            scales = Some("calibration");
            let (_, found) = calibration.insert(calibrate_on(model, Activations::Static, rows)?);
            pack_int8(&found.model)?
        }
        (ModeArgument::Dynamic, Some(trained)) => {
            scales = Some("quantisation-aware training");
            pack_int8(&quantize_dynamic(model, trained)?)?
        }
        (ModeArgument::Dynamic, None) => match rows {
            Some(rows) => {
                scales = Some("calibration");
                let (_, found) = calibration.insert(calibrate_on(model, Activations::Dynamic, rows)?);
                pack_int8(&found.model)?
            }
            None => {
                scales = Some("the weights");
                let of_weights = scales_of_weights(model);
                let of_weights = of_weights.map_err(|error| anyhow!("{error}: give {rows_option} FILE"))?;
                pack_int8(&quantize_dynamic(model, &of_weights)?)?
            }
        },
    };
    let target = Target::from(output.target);
    let packed = if target == Target::Neutral { packed } else { target::retarget(&packed, target)? };
    let schema = output.vocabulary.as_deref().or(own_schema).filter(|_| !output.without_vocabulary);
    let packed = match schema {
        None => packed,
        Some(path) => {
            let attached = vocabulary::attach(&packed, &Schema::load(path)?, output.vocabulary_options());
            attached.map_err(|error| anyhow!("{}: {error}", path.display()))?
        }
    };
    packed.write(&output.output).map_err(Error::io(&output.output))?;
    report_packed(&packed, rank_error, scales, calibration, output)
}

fn calibrate_on(model: &FloatModel, activations: Activations, rows: &Path) -> anyhow::Result<(usize, Calibration)> {
    let samples = input::first_rows(rows, Bounds::from(&model.config), calibrate::MAX_ROWS)?;
    let bar = progress_bar("calibrating", Some(1));
    let calibration = calibrate(model, activations, &samples, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let from = if rows == Path::new("-") { "standard input".into() } else { rows.display().to_string() };
    let calibration = calibration.map_err(|error| anyhow!("{from}: {error}"))?;
    if calibration.logit_deviation == 0.0 {
        output::say(format_args!(
            "NOTE: the model says the same of all {} distinct rows of {from}: was it trained?",
            calibration.distinct_rows
        ));
    }
    Ok((samples.len(), calibration))
}

fn report_packed(
    packed: &Packed,
    rank_error: Option<f64>,
    scales: Option<&'static str>,
    calibration: Option<(usize, Calibration)>,
    output: &Output,
) -> anyhow::Result<()> {
    let model = input::load(&output.output, packed)?;
    let statistics = model.statistics();
    let calibration = calibration.map(|(rows, found)| CalibrationReport {
        rows,
        distinct_rows: found.distinct_rows,
        logit_error_mean: found.error,
        logit_deviation: found.logit_deviation,
        trials: found.trials,
    });
    let report = PackReport {
        output: output.output.clone(),
        mode: inspect::mode_name(statistics.mode),
        file_bytes: statistics.file_bytes,
        ram_bytes: statistics.scratch_bytes,
        ram_bytes_microcontroller: inspect::microcontroller_bytes(&model),
        parameters: statistics.parameters,
        rank_error,
        scales,
        calibration,
    };
    if output.json {
        return print_json(&report);
    }
    let mut text = String::new();
    if let Some(calibration) = &report.calibration {
        writeln!(text, "{:<24}  {:<24}  {:>18}", "part", "tried", "mean |logit error|")?;
        for trial in &calibration.trials {
            let kept = if trial.kept { "  kept" } else { "" };
            writeln!(text, "{:<24}  {:<24}  {:>18.6}{kept}", trial.part, trial.choice, trial.error)?;
        }
        let (error, deviation) = (calibration.logit_error_mean, calibration.logit_deviation);
        let share = if error == 0.0 { 0.0 } else { error / deviation };
        let (rows, distinct) = (calibration.rows, calibration.distinct_rows);
        writeln!(
            text,
            "on {rows} rows, {distinct} of them distinct: {error:.6}, {share:.4} of the logits' deviation \
             {deviation:.4}"
        )?;
    }
    if let (Some(rank), Some(error)) = (output.rank, report.rank_error) {
        writeln!(text, "{rank} factors miss {error:.4} of the field matrix")?;
    }
    let from = report.scales.map(|scales| format!(", scales from {scales}")).unwrap_or_default();
    let (path, mode, bytes, parameters) = (report.output.display(), report.mode, report.file_bytes, report.parameters);
    let (ram, least) = (report.ram_bytes, report.ram_bytes_microcontroller);
    let ram = format!("{ram} bytes of RAM, {least} on a microcontroller");
    writeln!(text, "{path}: {mode}{from}, {parameters} parameters, {bytes} bytes, {ram}")?;
    Ok(print(text)?)
}

pub(crate) fn retarget(model: &Path, target: Target, output: &Path) -> anyhow::Result<()> {
    let packed = target::retarget(&input::packed(model)?, target)?;
    Ok(packed.write(output).map_err(Error::io(output))?)
}

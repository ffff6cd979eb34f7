//! `xsfm`: packs, imports, inspects, validates and scores click models.

use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use xsfm_convert::calibrate::{self, Calibration, Trial, calibrate};
use xsfm_convert::model::FloatModel;
use xsfm_convert::pack::{Packed, pack_f32, pack_int8};
use xsfm_convert::quantize::quantize_model;
use xsfm_convert::{bench, checkpoint, golden, input, inspect, score, validate};
use xsfm_interchange::atomic;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::rows::Bounds;

/// Packs click models into one .xsfm file, and looks at, checks and scores such files.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Rows are an Arrow file (*.arrow, as `xsfm-train prepare` writes it) or a TSV: one row of integer indices per line, a tab between
fields, `|` inside a bag; `-` reads a TSV from standard input.

  xsfm pack run/student --rows data/valid.arrow -o student.xsfm
  xsfm inspect student.xsfm
  xsfm validate student.xsfm run/student --rows data/test.arrow
  printf '7\\t42\\t1|5\\n' | xsfm score student.xsfm --indices -"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pack a checkpoint folder (config.json, weights.safetensors, schema.json).
    ///
    /// int8 mode uses the scales of quantisation-aware training where config.json has them; otherwise it calibrates on --rows.
    Pack {
        /// Folder that `xsfm-train` wrote.
        checkpoint: PathBuf,
        /// Rows to calibrate int8 mode on, best validation rows; the first 2048 are used.
        #[arg(long, value_name = "FILE")]
        rows: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Pack a model of the original Python implementation (config.json, weights.safetensors).
    Import {
        /// Folder with the exported state dict.
        folder: PathBuf,
        /// Rows to calibrate int8 mode on; the first 2048 are used.
        #[arg(long, value_name = "FILE")]
        calibrate: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Show the schema, the sections, bytes by part, parameters, and the RAM that scoring needs.
    Inspect {
        /// Packed model.
        model: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare a packed model with what it was made from: logit errors; AUC, LogLoss, PRAUC, RCE before and after.
    Validate {
        /// Packed model.
        model: PathBuf,
        /// Folder that it was packed or imported from.
        checkpoint: PathBuf,
        /// Rows to compare on; figures other than logit errors need labels, which Arrow files have.
        #[arg(long, value_name = "FILE")]
        rows: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure a packed model on labelled rows: LogLoss, AUC, PRAUC, RCE.
    Evaluate {
        /// Packed model.
        model: PathBuf,
        /// Arrow file of rows with labels.
        #[arg(long, value_name = "FILE")]
        rows: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print `logit<TAB>probability` of every row, with as many digits as restore the f32 bits.
    Score {
        /// Packed model.
        model: PathBuf,
        /// Rows of integer indices; `-` for standard input.
        #[arg(long, value_name = "FILE")]
        indices: PathBuf,
        /// Where to write instead of standard output.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the rows with the highest scores.
    Rank {
        /// Packed model.
        model: PathBuf,
        /// Rows of integer indices, one per candidate; `-` for standard input.
        #[arg(long, value_name = "FILE")]
        indices: PathBuf,
        /// Names to print, one line per row of --indices.
        #[arg(long, value_name = "FILE")]
        names: Option<PathBuf>,
        /// How many to print.
        #[arg(long, default_value_t = 10)]
        top: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure the time per row on this CPU, one row at a time on one thread; pin it with `taskset -c 1` for steady figures.
    Bench {
        /// Packed model.
        model: PathBuf,
        /// Rows to score; the first 1024 are used.
        #[arg(long, value_name = "FILE")]
        rows: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Output {
    /// Arithmetic of the packed model.
    #[arg(long, value_enum, default_value_t = ModeArgument::Int8)]
    mode: ModeArgument,
    /// The packed file.
    #[arg(short, long, value_name = "M.xsfm")]
    output: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum ModeArgument {
    /// Weights and sums in f32.
    F32,
    /// Integers from the table to the logit: a quarter of the bytes, the same bits on every CPU.
    Int8,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough: `xsfm score … | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The libraries' errors name their causes themselves.
            eprintln!("xsfm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io_errors = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    io_errors.into_iter().any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Pack { checkpoint, rows, output } => {
            pack(&checkpoint::load(&checkpoint)?, rows.as_deref(), "--rows", &output)
        }
        Command::Import { folder, calibrate, output } => {
            pack(&golden::load(&folder)?, calibrate.as_deref(), "--calibrate", &output)
        }
        Command::Inspect { model, json } => {
            let packed = input::packed(&model)?;
            print(&inspect::inspect(&input::load(&model, &packed)?)?, json)
        }
        Command::Validate { model, checkpoint, rows, json } => {
            let packed = input::packed(&model)?;
            let bar = progress_bar("rows compared", None);
            let original = input::float_model(&checkpoint)?;
            let report = validate::validate(&input::load(&model, &packed)?, &original, &rows, &mut |done| {
                bar.set_position(done);
            })?;
            bar.finish_and_clear();
            print(&report, json)
        }
        Command::Evaluate { model, rows, json } => {
            let packed = input::packed(&model)?;
            let metrics = score::evaluate(&input::load(&model, &packed)?, &rows)?;
            if json { print_json(&metrics) } else { print_metrics(&metrics) }
        }
        Command::Score { model, indices, output } => {
            let packed = input::packed(&model)?;
            let model = input::load(&model, &packed)?;
            match output {
                None => {
                    let mut stdout = BufWriter::new(io::stdout().lock());
                    write_scores(&model, &indices, &mut stdout)?;
                    Ok(stdout.flush()?)
                }
                Some(path) => {
                    let mut pending = atomic::Pending::create(&path).map_err(at(&path))?;
                    write_scores(&model, &indices, &mut pending)?;
                    Ok(pending.commit().map_err(at(&path))?)
                }
            }
        }
        Command::Rank { model, indices, names, top, json } => {
            let packed = input::packed(&model)?;
            let names = names.as_deref().map(read_lines).transpose()?;
            let ranked = score::rank(&input::load(&model, &packed)?, &indices, names.as_deref(), top)?;
            if json { print_json(&ranked) } else { print_ranking(&ranked) }
        }
        Command::Bench { model, rows, json } => {
            let packed = input::packed(&model)?;
            let model = input::load(&model, &packed)?;
            let rows = input::first_rows(&rows, input::bounds(&model), bench::MAX_ROWS)?;
            print(&bench::bench(&model, &rows)?, json)
        }
    }
}

/// What `pack` and `import` report.
#[derive(Debug, Serialize)]
struct PackReport {
    output: PathBuf,
    mode: &'static str,
    file_bytes: usize,
    ram_bytes: usize,
    parameters: usize,
    /// Where int8 mode's scales come from; absent in f32 mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    scales: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<CalibrationReport>,
}

#[derive(Debug, Serialize)]
struct CalibrationReport {
    rows: usize,
    logit_error_mean: f64,
    logit_deviation: f64,
    trials: Vec<Trial>,
}

fn pack(model: &FloatModel, rows: Option<&Path>, rows_option: &str, output: &Output) -> anyhow::Result<()> {
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
                bail!("int8 mode needs rows to calibrate on: give {rows_option} FILE, or choose --mode f32");
            };
            scales = Some("calibration");
            let found = calibrate_on(model, rows)?;
            let packed = pack_int8(&found.1.model)?;
            calibration = Some(found);
            packed
        }
    };
    packed.write(&output.output).map_err(at(&output.output))?;
    report_packed(&packed, scales, calibration, output)
}

fn calibrate_on(model: &FloatModel, rows: &Path) -> anyhow::Result<(usize, Calibration)> {
    let samples = input::first_rows(rows, Bounds::from(&model.config), calibrate::MAX_ROWS)?;
    let bar = progress_bar("calibrating", Some(1));
    let calibration = calibrate(model, &samples, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    Ok((samples.len(), calibration))
}

fn report_packed(
    packed: &Packed,
    scales: Option<&'static str>,
    calibration: Option<(usize, Calibration)>,
    output: &Output,
) -> anyhow::Result<()> {
    let model = input::load(&output.output, packed)?;
    let statistics = model.statistics();
    let calibration = calibration.map(|(rows, found)| CalibrationReport {
        rows,
        logit_error_mean: found.error,
        logit_deviation: found.logit_deviation,
        trials: found.trials,
    });
    let report = PackReport {
        output: output.output.clone(),
        mode: inspect::mode_name(statistics.mode),
        file_bytes: statistics.file_bytes,
        ram_bytes: statistics.scratch_bytes,
        parameters: statistics.parameters,
        scales,
        calibration,
    };
    if output.json {
        return print_json(&report);
    }
    let mut stdout = io::stdout().lock();
    if let Some(calibration) = &report.calibration {
        writeln!(stdout, "{:<24}  {:<24}  {:>18}", "part", "tried", "mean |logit error|")?;
        for trial in &calibration.trials {
            let kept = if trial.kept { "  kept" } else { "" };
            writeln!(stdout, "{:<24}  {:<24}  {:>18.6}{kept}", trial.part, trial.choice, trial.error)?;
        }
        let (error, deviation) = (calibration.logit_error_mean, calibration.logit_deviation);
        let share = error / deviation;
        writeln!(
            stdout,
            "on {} rows: {error:.6}, {share:.4} of the logits' deviation {deviation:.4}",
            calibration.rows
        )?;
    }
    let from = report.scales.map(|scales| format!(", scales from {scales}")).unwrap_or_default();
    let (path, mode, bytes, ram) = (report.output.display(), report.mode, report.file_bytes, report.ram_bytes);
    writeln!(stdout, "{path}: {mode}{from}, {} parameters, {bytes} bytes, {ram} bytes of RAM", report.parameters)?;
    Ok(())
}

fn write_scores(model: &xsfm_runtime::Model<'_>, indices: &Path, output: &mut impl Write) -> anyhow::Result<()> {
    score::score_rows(model, indices, |_, scores| {
        scores.iter().try_for_each(|&score| score::write_score(output, score)).map_err(anyhow::Error::from)
    })
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> xsfm_convert::Error {
    let path = path.to_owned();
    move |source| xsfm_convert::Error::Io { path, source }
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let read = || BufReader::new(std::fs::File::open(path)?).lines().collect::<io::Result<_>>();
    Ok(read().map_err(at(path))?)
}

fn print_metrics(metrics: &Metrics) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "rows     {}", metrics.rows)?;
    writeln!(stdout, "LogLoss  {:.6}", metrics.log_loss)?;
    for (name, figure) in [("AUC", metrics.auc), ("PRAUC", metrics.prauc), ("RCE %", metrics.rce)] {
        match figure {
            Some(figure) => writeln!(stdout, "{name:<7}  {figure:.6}")?,
            None => writeln!(stdout, "{name:<7}  not defined: the labels are all the same")?,
        }
    }
    Ok(())
}

fn print_ranking(ranked: &[score::Ranked]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{:>4}  {:>8}  {:>11}  {:>10}  name", "rank", "row", "probability", "logit")?;
    for entry in ranked {
        let (rank, row, name) = (entry.rank, entry.row, entry.name.as_deref().unwrap_or_default());
        writeln!(stdout, "{rank:>4}  {row:>8}  {:>11.6}  {:>10.6}  {name}", entry.probability, entry.logit)?;
    }
    Ok(())
}

fn print(report: &(impl Serialize + std::fmt::Display), json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(report);
    }
    Ok(write!(io::stdout().lock(), "{report}")?)
}

fn print_json(report: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// A bar on standard error, or nothing where that is not a terminal. Without a total, only a count.
fn progress_bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} [{bar:40}] {pos}/{len} eta {eta}"),
        None => (ProgressBar::no_length(), "{msg} {pos} {per_sec}"),
    };
    // A template that indicatif cannot read leaves its own style.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

//! `xsfm-peers`: other engines on the same model. `cargo xtask bench-peers`
//! installs them, and runs this pinned to one core.
//!
//! | module | does |
//! |---|---|
//! | [`models`] | writes the models, each in a folder: packed, exported, with rows and the oracle's logits |
//! | `convert.py` | makes the other engines' files of the exported one |
//! | [`engine`], [`engines`] | what an engine is; which there are |
//! | [`floor`] | what the arithmetic alone costs |
//! | [`ours`], [`litert`], [`onnxruntime`], [`openvino`], [`tract`] | the engines |
//! | [`check`] | whether the answers are the model's |
//! | [`measure`] | the clock |
//! | [`record`] | the table, and the files in `benches/record` |

mod check;
mod engine;
mod engines;
mod floor;
mod litert;
mod measure;
mod models;
mod onnxruntime;
mod openvino;
mod ours;
mod record;
mod tract;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use xsfm_convert::bench::Flood;

use engine::{Engine, Kind};
use engines::{Libraries, kind_parser};
use models::{SAMPLES, Width};
use record::{Provenance, Report, Row};

/// Times other engines and ours on the same models.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the models, one folder per width.
    Generate(Models),
    /// Check and time the engines; pin this process to one core.
    Run(Box<Run>),
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    models: Models,
    #[command(flatten)]
    libraries: Libraries,
    /// Samples in a call.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,512")]
    batches: Vec<usize>,
    /// Turns that every engine takes.
    #[arg(long, default_value_t = 101)]
    rounds: usize,
    /// Single calls that find nothing in the caches.
    #[arg(long)]
    cold: bool,
    /// Which engines; all by default.
    #[arg(long, value_parser = kind_parser(), value_delimiter = ',')]
    engines: Vec<&'static Kind>,
    /// Where to write `<host>/<date>.{csv,md}`; nowhere by default.
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,
    #[command(flatten)]
    provenance: Provenance,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Models {
    /// Folder of the models' folders.
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Widths of the hidden layers, three of them, of 16 two; `none` is FwFM.
    #[arg(long, value_delimiter = ',', default_value = "400,200,100,64,16,none")]
    widths: Vec<Width>,
    /// Quotient-remainder tables (the product of two rows, 4 collisions) instead of full ones.
    #[arg(long)]
    qr: bool,
}

impl Models {
    fn folder(&self, width: Width) -> PathBuf {
        self.folder.join(format!("{width}{}", if self.qr { "-qr" } else { "" }))
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Generate(models) => generate(&models),
        Command::Run(run) => time(*run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xsfm-peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn generate(models: &Models) -> Result<()> {
    let bar = progress_bar(models.widths.len());
    for &width in &models.widths {
        bar.set_message(format!("model {width}"));
        models::generate(&models.folder(width), width, models.qr)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

fn time(run: Run) -> Result<()> {
    let Run { models, libraries, batches, rounds, cold, engines, record, provenance, json } = run;
    for &batch in &batches {
        ensure!(batch > 0 && SAMPLES.is_multiple_of(batch), "a batch of {batch} does not divide the {SAMPLES} samples");
    }
    ensure!(rounds > 0, "no rounds, no times");
    let wanted = if engines.is_empty() { engines::kinds().collect() } else { engines };
    let engines = installed(wanted, &libraries);
    ensure!(!engines.is_empty(), "no engine is left");
    let suited: usize = models.widths.iter().map(|&w| engines.iter().filter(|kind| suits(kind, w)).count()).sum();
    let bar = progress_bar(suited * batches.len() * rounds);
    let mut rows = Vec::new();
    for &width in &models.widths {
        for &batch in &batches {
            bar.set_message(format!("width {width}, batch {batch}"));
            rows.extend(compare(&models.folder(width), width, batch, &engines, &libraries, (rounds, cold), &bar)?);
        }
    }
    bar.finish_and_clear();
    let report = Report {
        provenance,
        tables: if models.qr { "QR" } else { "full" },
        rounds,
        caches: if cold { "cold" } else { "warm" },
        rows,
    };
    report.print(json)?;
    record.map_or(Ok(()), |folder| report.record(&folder))
}

fn suits(kind: &Kind, width: Width) -> bool {
    !kind.needs_layers || width.hidden().is_some()
}

/// Those of `engines` that can run; the others are named.
fn installed(engines: Vec<&'static Kind>, libraries: &Libraries) -> Vec<&'static Kind> {
    let mut left = engines;
    left.retain(|kind| match libraries.of(kind) {
        Ok(_) => true,
        Err(missing) => {
            eprintln!("NOTE: {} is left out: {missing}", kind.name);
            false
        }
    });
    left
}

/// All engines on one model and one size of batch.
fn compare(
    folder: &Path,
    width: Width,
    batch: usize,
    kinds: &[&'static Kind],
    libraries: &Libraries,
    (rounds, cold): (usize, bool),
    bar: &ProgressBar,
) -> Result<Vec<Row>> {
    let samples = models::timed_samples();
    let expected = models::expected_logits(folder)?;
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    let mut agreements = Vec::new();
    let mut kinds: Vec<&'static Kind> = kinds.iter().copied().filter(|kind| suits(kind, width)).collect();
    kinds.retain(|kind| {
        let path = folder.join(kind.file);
        let exists = path.exists();
        if !exists {
            eprintln!("NOTE: {} is left out: {} was not made", kind.name, path.display());
        }
        exists
    });
    for &kind in &kinds {
        let library = libraries.of(kind).map_err(anyhow::Error::msg)?;
        let mut engine = kind.create(library, folder, batch)?;
        let agreement = check::check(engine.as_mut(), kind, &samples, &expected, batch)
            .with_context(|| format!("width {width}, batch {batch}"))?;
        agreements.push(agreement);
        engines.push(engine);
    }
    let timings =
        measure::rotate(&mut engines, &samples, batch, rounds, cold.then(Flood::default), &mut || bar.inc(1))?;
    let rows = kinds.iter().zip(agreements).zip(timings).map(|((&engine, agreement), timing)| Row {
        width: width.to_string(),
        batch,
        engine,
        timing,
        agreement,
    });
    Ok(rows.collect())
}

/// A bar on standard error with the time that is left, or nothing where that is not a terminal.
fn progress_bar(total: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    // A template that indicatif cannot read leaves its own style.
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} eta {eta}");
    ProgressBar::new(total as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

//! `xsfm-train`: click logs to trained checkpoints.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
#[cfg(feature = "torch")]
use xsfm_trainer::{bench, commands, experiment};
use xsfm_trainer::{data, settings};

/// From click logs to trained checkpoints, which `xsfm pack` turns into one file for the runtime.
///
/// Start with `prepare`: it turns raw logs into schema.json and encoded rows (train.arrow, valid.arrow, test.arrow).
#[derive(Debug, Parser)]
#[command(name = "xsfm-train", version, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Encode a raw data set: schema.json, train.arrow, valid.arrow, test.arrow
    Prepare(data::command::Args),
    /// Encode rows again with smaller vocabularies
    Fold(data::fold::Args),
    /// Write raw rows whose truth is known: rows.tsv, logits.txt, truth.json, schema.toml
    Generate(data::generate::Args),
    /// Train a model on encoded rows, in real numbers or (--quantize) in int8
    #[cfg(feature = "torch")]
    Train(Box<commands::TrainArgs>),
    /// Train a student on the labels and on the probabilities of its teachers
    #[cfg(feature = "torch")]
    Distill(Box<commands::DistillArgs>),
    /// Measure a checkpoint: LogLoss, AUC, PRAUC, RCE
    #[cfg(feature = "torch")]
    Evaluate(commands::EvaluateArgs),
    /// Measure how long a checkpoint's calls take in libtorch, on the CPU or a GPU
    #[cfg(feature = "torch")]
    Bench(bench::BenchArgs),
    /// Make the rows of a table: train, pack and measure what is missing, several at a time
    #[cfg(feature = "torch")]
    Run(Box<experiment::run::Args>),
    /// Find the best student that packs under a number of bytes, and draw the frontier
    #[cfg(feature = "torch")]
    Fit(Box<experiment::budget::Args>),
    /// Write the tables and figures of the rows that `run` made: HTML, Markdown, CSV and SVG
    #[cfg(feature = "torch")]
    Report(experiment::report::Args),
    /// Write the films a user has not rated in training, as rows to rank
    Candidates(data::candidates::Args),
    /// Write encoded rows as text: one row of indices per line, as `xsfm score --indices` reads them
    Rows(data::export::Args),
}

fn run() -> anyhow::Result<()> {
    match Cli::parse_from(settings::expand_config(std::env::args_os())?).command {
        Command::Prepare(args) => data::command::run(&args),
        Command::Fold(args) => data::fold::run(&args),
        Command::Generate(args) => data::generate::run(&args),
        #[cfg(feature = "torch")]
        Command::Train(args) => commands::train(&args),
        #[cfg(feature = "torch")]
        Command::Distill(args) => commands::distill(&args),
        #[cfg(feature = "torch")]
        Command::Evaluate(args) => commands::evaluate(&args),
        #[cfg(feature = "torch")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(feature = "torch")]
        Command::Run(args) => experiment::run::run(&args),
        #[cfg(feature = "torch")]
        Command::Fit(args) => experiment::budget::run(&args),
        #[cfg(feature = "torch")]
        Command::Report(args) => experiment::report::run(&args),
        Command::Candidates(args) => data::candidates::run(&args),
        Command::Rows(args) => data::export::run(&args),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

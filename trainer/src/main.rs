//! `xsfm-train`: click logs to trained checkpoints.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic; `xsfm_interchange::output` does not")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xsfm_interchange::output;
#[cfg(feature = "torch")]
use xsfm_trainer::{bench, commands, devices, divergence, evaluation, experiment};
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
    /// Look at a file of rows, and write a description of its columns to start with
    Describe(data::describe::Args),
    /// Encode a raw data set: schema.json, train.arrow, valid.arrow, test.arrow
    Prepare(data::command::Args),
    /// Encode rows again with smaller vocabularies
    Fold(data::fold::Args),
    /// Encode new raw rows with the vocabularies of data that were prepared before
    Encode(data::encode::Args),
    /// Write raw rows whose truth is known: rows.tsv, logits.txt, truth.json, schema.toml
    Generate(data::generate::Args),
    /// Train a model on encoded rows, in real numbers or (--quantize) in int8
    #[cfg(feature = "torch")]
    Train(Box<commands::TrainArgs>),
    /// Train a student on the labels and on the probabilities of its teachers
    #[cfg(feature = "torch")]
    Distill(Box<commands::DistillArgs>),
    /// Measure a checkpoint: LogLoss, AUC, PRAUC, RCE, calibration; by groups: GAUC, MRR, NDCG
    #[cfg(feature = "torch")]
    Evaluate(evaluation::EvaluateArgs),
    /// Measure how long a checkpoint's calls take in libtorch, on the CPU or a GPU
    #[cfg(feature = "torch")]
    Bench(bench::BenchArgs),
    /// Show what there is to compute on: the CPU, GPUs, and why a GPU cannot be used
    #[cfg(feature = "torch")]
    Devices(devices::Args),
    /// Make the rows of a table: train, pack and measure what is missing, several at a time
    #[cfg(feature = "torch")]
    Run(Box<experiment::run::Args>),
    /// Find the settings of a training that matter: L2 of the tables, dropout, layers, embed_dim, learning rate
    #[cfg(feature = "torch")]
    Tune(Box<experiment::tune::Args>),
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

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Prepare(args) => data::command::run(&args),
        Command::Describe(args) => data::describe::run(&args),
        Command::Fold(args) => data::fold::run(&args),
        Command::Encode(args) => data::encode::run(&args),
        Command::Generate(args) => data::generate::run(&args),
        #[cfg(feature = "torch")]
        Command::Train(args) => commands::train(&args),
        #[cfg(feature = "torch")]
        Command::Distill(args) => commands::distill(&args),
        #[cfg(feature = "torch")]
        Command::Evaluate(args) => evaluation::run(&args),
        #[cfg(feature = "torch")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(feature = "torch")]
        Command::Devices(args) => devices::run(&args),
        #[cfg(feature = "torch")]
        Command::Run(args) => experiment::run::run(&args),
        #[cfg(feature = "torch")]
        Command::Tune(args) => experiment::tune::run(&args),
        #[cfg(feature = "torch")]
        Command::Fit(args) => experiment::budget::run(&args),
        #[cfg(feature = "torch")]
        Command::Report(args) => experiment::report::run(&args),
        Command::Candidates(args) => data::candidates::run(&args),
        Command::Rows(args) => data::export::run(&args),
    }
}

/// Training that diverged has a status of its own: whoever tries several settings goes on.
fn status_of(error: &anyhow::Error) -> ExitCode {
    #[cfg(feature = "torch")]
    if error.chain().any(|cause| cause.is::<divergence::Diverged>()) {
        return ExitCode::from(divergence::EXIT_STATUS);
    }
    let _ = error;
    ExitCode::FAILURE
}

fn main() -> ExitCode {
    let failed = |error: anyhow::Error| {
        output::say(format_args!("error: {error:#}"));
        status_of(&error)
    };
    let arguments = match settings::expand_config(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => return failed(error),
    };
    match Cli::try_parse_from(arguments) {
        Err(answer) => output::answered(answer.print(), answer.exit_code() as u8),
        Ok(cli) => run(cli.command).map_or_else(failed, |()| ExitCode::SUCCESS),
    }
}

//! `xsfm-train`: click logs to trained checkpoints.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xsfm_trainer::data;

/// From click logs to trained checkpoints, which `xsfm pack` turns into one file for the runtime.
///
/// Start with `prepare`: it turns raw logs into schema.json and encoded rows (train.arrow, valid.arrow, test.arrow).
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Encode a raw data set: schema.json, train.arrow, valid.arrow, test.arrow
    Prepare(data::prepare::Args),
    /// Write the films a user has not rated in training, as rows to rank
    Candidates(data::candidates::Args),
    /// Write encoded rows as text: one row of indices per line, as `xsfm score --indices` reads them
    Rows(data::export::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Prepare(args) => data::prepare::run(&args),
        Command::Candidates(args) => data::candidates::run(&args),
        Command::Rows(args) => data::export::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

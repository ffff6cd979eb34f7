//! `xsfm`: packs, imports, inspects, validates and scores click models.

mod cli;
mod export;
mod inspect;
mod output;
mod pack;
mod score;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use xsfm_convert::analyze::Question;
use xsfm_convert::export::Outputs;
use xsfm_convert::{checkpoint, import};

use cli::{Cli, Command, Format};

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
            pack::pack(checkpoint::load(&checkpoint)?, rows.as_deref(), "--rows", &output)
        }
        Command::Import { folder, calibrate, output } => {
            pack::pack(import::load(&folder)?, calibrate.as_deref(), "--calibrate", &output)
        }
        Command::Retarget { model, target, output } => pack::retarget(&model, target.into(), &output),
        Command::Generate { model, lang, name, output } => export::generate(&model, lang.into(), name, &output),
        Command::Export { folder, to: Format::Onnx, output, logit_only } => {
            let outputs = if logit_only { Outputs::Logit } else { Outputs::LogitAndProbability };
            export::onnx(&folder, outputs, &output)
        }
        Command::Inspect { model, json } => inspect::inspect(&model, json),
        Command::Analyze { model, target, flash, ram, bag, json } => {
            let question = Question { target: &target, flash, ram, bag };
            inspect::analyze(&model, &question, json)
        }
        Command::Validate { model, checkpoint, rows, json } => score::validate(&model, &checkpoint, &rows, json),
        Command::Evaluate { model, rows, json } => score::evaluate(&model, &rows, json),
        Command::Score { model, indices, output } => score::score(&model, &indices, output.as_deref()),
        Command::Rank(arguments) => score::rank(&arguments),
        Command::Bench(arguments) => inspect::bench(&arguments),
    }
}

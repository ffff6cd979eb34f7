//! `xsfm`: packs, imports, inspects, validates and scores click models.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic; `xsfm_interchange::output` does not")]

mod calibrate;
mod catalogue;
mod cli;
mod export;
mod inspect;
mod output;
mod pack;
mod score;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use xsfm_convert::analyze::Question;
use xsfm_convert::export::Outputs;
use xsfm_convert::{checkpoint, import, input};
use xsfm_interchange::checkpoint::file::SCHEMA;
use xsfm_interchange::output::{answered, say};

use cli::{Cli, Command, Format};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return answered(answer.print(), answer.exit_code() as u8),
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The libraries' errors name their causes themselves.
            say(format_args!("xsfm: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Refuses rows of another vocabulary than a checkpoint's, and says so where the rows are others.
fn compare_data(rows: &Path, checkpoint: &Path) -> anyhow::Result<()> {
    if let Some(note) = input::compare_data(rows, checkpoint)? {
        say(format_args!("NOTE: {note}"));
    }
    Ok(())
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Pack { checkpoint, rows, output } => {
            rows.as_deref().map_or(Ok(()), |rows| compare_data(rows, &checkpoint))?;
            let schema = Some(checkpoint.join(SCHEMA)).filter(|schema| schema.exists());
            pack::pack(checkpoint::load(&checkpoint)?, rows.as_deref(), "--rows FILE", schema.as_deref(), &output)
        }
        Command::Import { folder, from, fields, calibrate, output } => {
            let model = if folder.is_file() {
                import::onnx::load(&folder, fields.as_deref())?
            } else if fields.is_some() {
                anyhow::bail!("{}: --fields names those of an ONNX file; a folder has their names", folder.display());
            } else {
                import::load_from(&folder, from)?
            };
            pack::pack(model, calibrate.as_deref(), "--calibrate FILE", None, &output)
        }
        Command::Vocabulary { model, schema, kept, output } => pack::vocabulary(&model, &schema, kept, &output),
        Command::Retarget { model, target, output } => pack::retarget(&model, target.into(), &output),
        Command::Catalogue(arguments) => catalogue::catalogue(&arguments),
        Command::Generate { model, lang, name, context, catalogue, output } => {
            export::generate(&model, lang.into(), name.as_deref(), &context, catalogue.as_deref(), &output)
        }
        Command::Export { folder, to: Format::Onnx, output, logit_only } => {
            let outputs = if logit_only { Outputs::Logit } else { Outputs::LogitAndProbability };
            export::onnx(&folder, outputs, &output)
        }
        Command::Inspect { model, context, tokens: None, json } => inspect::inspect(&model, &context, json),
        Command::Inspect { model, tokens: Some(field), .. } => inspect::tokens(&model, field),
        Command::Analyze { model, target, flash, ram, bag, json } => {
            let question = Question { target: &target, flash, ram, bag };
            inspect::analyze(&model, &question, json)
        }
        Command::Validate { model, checkpoint, fields, rows, json } => {
            rows.rows.as_deref().map_or(Ok(()), |rows| compare_data(rows, &checkpoint))?;
            score::validate(&model, (&checkpoint, fields.as_deref()), &rows, json)
        }
        Command::Evaluate(arguments) => score::evaluate(&arguments),
        Command::Calibrate(arguments) => calibrate::calibrate(&arguments),
        Command::Score { model, rows, output } => score::score(&model, &rows, output.as_deref()),
        Command::Rank(arguments) => match &arguments.catalogue {
            Some(items) => catalogue::rank(&arguments, items),
            None => score::rank(&arguments),
        },
        Command::Bench(arguments) => inspect::bench(&arguments),
    }
}

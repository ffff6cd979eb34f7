//! `cargo xtask …`: the demo, the tests, and the set-up that they need.
//!
//! Commands are grouped by what they are for, in `--help` and in folders: each group's `mod.rs` has its commands and
//! says what its files do. A group uses those above it.
//!
//! | module | does |
//! |---|---|
//! | [`command`], [`cargo`] | run programs, printing each first |
//! | [`workspace`] | where things are |
//! | [`record`] | figures that are kept in files |
//! | [`setup`] | installs what the others need |
//! | [`install`] | puts the two programs on the user's path |
//! | [`demo`] | ratings to ranked films |
//! | [`targets`] | builds for other CPUs, and runs there |
//! | [`measure`] | instructions, bytes, times, accuracy |
//! | [`check`] | everything that must hold |

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic; `xsfm_interchange::output` does not")]

mod cargo;
mod check;
mod command;
mod demo;
mod install;
mod measure;
mod record;
mod setup;
mod targets;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Command, Parser, Subcommand};
use xsfm_interchange::output;

/// The project's tasks. Each prints the commands it runs, so that they can be run by hand.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    help_template = "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}",
    before_help = listing(),
    after_help = "Examples:
  cargo xtask install            xsfm and xsfm-train on your path
  cargo xtask demo --pretrained  a score without libtorch and training: minutes of compiling
  cargo xtask demo               all of it: ratings, teachers, student, packed file, ranked films
  cargo xtask test               every test: this machine, ARM Linux and Cortex-M in QEMU, docs"
)]
enum Task {
    #[command(flatten)]
    Start(Start),
    #[command(flatten)]
    Setup(setup::Task),
    #[command(flatten)]
    Targets(targets::Task),
    #[command(flatten)]
    Measure(measure::Task),
    #[command(flatten)]
    Check(check::Task),
}

/// What a user begins with.
#[derive(Debug, Subcommand)]
enum Start {
    /// Put `xsfm` and `xsfm-train` on your path.
    Install(install::Args),
    /// Train, distil, pack and score on MovieLens-100K, and rank films for one user.
    Demo(demo::Args),
}

/// The groups, each under its heading. Clap has one heading for all commands, but lists those of a group by itself.
fn groups() -> [(&'static str, Command); 5] {
    fn group<G: Subcommand>() -> Command {
        G::augment_subcommands(Command::new("").disable_help_subcommand(true).help_template("{subcommands}"))
    }
    [
        ("Start", group::<Start>()),
        ("Setup", group::<setup::Task>()),
        ("Targets", group::<targets::Task>()),
        ("Measure", group::<measure::Task>()),
        ("Check", group::<check::Task>()),
    ]
}

fn listing() -> String {
    groups()
        .map(|(heading, mut group)| format!("{heading}:\n{}", group.render_help().to_string().trim_end()))
        .join("\n\n")
}

impl Task {
    fn run(self) -> Result<()> {
        match self {
            Task::Start(Start::Install(args)) => install::run(&args),
            Task::Start(Start::Demo(args)) => demo::run(&args),
            Task::Setup(task) => task.run(),
            Task::Targets(task) => task.run(),
            Task::Measure(task) => task.run(),
            Task::Check(task) => task.run(),
        }
    }
}

fn main() -> ExitCode {
    let task = match Task::try_parse() {
        Ok(task) => task,
        Err(answer) => return output::answered(answer.print(), answer.exit_code() as u8),
    };
    match task.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_lists_every_command_under_the_heading_of_its_group() {
        let help = Task::command().render_help().to_string();
        let mut listed = Vec::new();
        for (heading, group) in groups() {
            let below = help.split(&format!("\n{heading}:\n")).nth(1).expect(heading);
            let below = below.split("\n\n").next().unwrap_or_default();
            for name in group.get_subcommands().map(Command::get_name) {
                let is_line = |line: &str| line.split_whitespace().next() == Some(name);
                assert!(below.lines().any(is_line), "{name} under {heading}:\n{help}");
                listed.push(name.to_owned());
            }
        }
        let task = Task::command();
        assert!(task.get_subcommands().map(Command::get_name).eq(&listed), "{listed:?}");
    }
}

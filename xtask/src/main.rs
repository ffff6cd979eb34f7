//! `cargo xtask …`: the demo, the tests, and the set-up that they need.
//!
//! | module | does |
//! |---|---|
//! | [`command`] | runs programs, printing each first |
//! | [`workspace`] | where things are, and cargo's own commands |
//! | [`setup`] | Debian packages, libtorch, MovieLens |
//! | [`cross`] | compiles for other targets: rustup's standard libraries, or Debian's sources |
//! | [`firmware`] | builds the firmware examples, runs them in QEMU |
//! | [`bits`] | scores the same rows on every target and compares the bits |
//! | [`rows`] | random rows for a model |
//! | [`demo`] | ratings to ranked films |
//! | [`readme`] | checks the commands that the README shows |
//! | [`mod@test`], [`ci`] | everything that must hold |

mod bits;
mod ci;
mod command;
mod cross;
mod demo;
mod firmware;
mod readme;
mod rows;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's tasks. Each prints the commands it runs, so that they can be run by hand.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "\
  cargo xtask demo --pretrained    a score in a minute: no libtorch, no training
  cargo xtask demo                 the whole way: ratings, teacher, student, packed file, ranked films
  cargo xtask test                 every test: this machine, ARM Linux and Cortex-M in QEMU, docs"
)]
enum Task {
    /// Train, distil, pack and score on MovieLens-100K, and rank films for one user.
    Demo(demo::Args),
    /// Run every test, installing what is missing; or some of them: `cargo xtask test host docs`.
    Test(test::Args),
    /// Check format, lints and docs.
    Check,
    /// `check`, then `test`: what continuous integration runs.
    Ci,
    /// Run the Cortex-M examples in QEMU and compare what they print with what is committed.
    Firmware(firmware::Args),
    /// Build the Linux scorer for another target; prints where it is.
    Cross {
        /// The target, for example aarch64-unknown-linux-gnu.
        target: String,
    },
    /// Write random valid rows for a packed model.
    Rows(rows::Args),
    /// Install one thing that the other tasks would install when they need it.
    #[command(subcommand)]
    Setup(Setup),
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Setup {
    /// libtorch, in a Python virtual environment under the cache folder; prints LIBTORCH.
    Torch,
    /// MovieLens-100K, under the cache folder; prints where.
    Movielens,
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Check => ci::check(),
        Task::Ci => ci::run(),
        Task::Firmware(args) => firmware::run(&args),
        Task::Cross { target } => cross::scorer(&target).map(|path| println!("{}", path.display())),
        Task::Rows(args) => rows::run(&args),
        Task::Setup(Setup::Torch) => setup::torch::set_up().map(|torch| println!("{}", torch.folder.display())),
        Task::Setup(Setup::Movielens) => setup::movielens::set_up().map(|folder| println!("{}", folder.display())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

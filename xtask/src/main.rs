//! `cargo xtask …`: the demo, the tests, and the set-up that they need.
//!
//! | module | does |
//! |---|---|
//! | [`command`] | runs programs, printing each first |
//! | [`workspace`] | where things are, and cargo's own commands |
//! | [`setup`] | Debian packages, libtorch, MovieLens, other engines |
//! | [`cross`] | compiles for other targets: rustup's standard libraries, or Debian's sources |
//! | [`machines`] | the microcontrollers that QEMU has: builds programs for them, and runs them |
//! | [`firmware`] | runs the firmware examples, and compares what they print |
//! | [`boards`] | builds the programs of real boards |
//! | [`bits`] | scores the same rows on every target and compares the bits |
//! | [`capi`] | the C interface: header, static libraries, examples |
//! | [`count`] | counts the instructions of a score on the CPUs of QEMU |
//! | [`callgrind`] | counts them on x86-64, and compares with what is committed |
//! | [`fit`] | measures what a score takes on each Cortex-M, for `xsfm analyze` |
//! | [`fuzz`] | changes the numbers of valid files, and compares all that read them |
//! | [`record`] | figures that are kept in files |
//! | [`rows`] | random rows for a model |
//! | [`install`] | puts the two programs on the user's path |
//! | [`demo`] | ratings to ranked films |
//! | [`bench_accuracy`] | trains other libraries' models on the same rows, and measures them |
//! | [`bench_peers`] | times other engines on the same model |
//! | [`bench_training`], [`criteo`] | times training beside loops in PyTorch, on rows with the sizes of Criteo's fields |
//! | [`gpu_check`] | what a machine with a GPU is asked, in eight minutes |
//! | [`readme`] | checks the commands that the README shows |
//! | [`size`] | weighs the smallest scorer |
//! | [`sanitize`] | the runtime's tests under AddressSanitizer, valgrind and Miri |
//! | [`mod@test`], [`ci`] | everything that must hold |

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic; `xsfm_interchange::output` does not")]

mod bench_accuracy;
mod bench_peers;
mod bench_training;
mod bits;
mod boards;
mod callgrind;
mod capi;
mod ci;
mod command;
mod count;
mod criteo;
mod cross;
mod demo;
mod firmware;
mod fit;
mod fuzz;
mod gpu_check;
mod install;
mod machines;
mod readme;
mod record;
mod rows;
mod sanitize;
mod setup;
mod size;
mod test;
mod workspace;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xsfm_interchange::output;

/// The project's tasks. Each prints the commands it runs, so that they can be run by hand.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "\
  cargo xtask install              xsfm and xsfm-train on your path
  cargo xtask demo --pretrained    a score without libtorch and training: minutes of compiling, then seconds
  cargo xtask demo                 the whole way: ratings, teacher, student, packed file, ranked films
  cargo xtask test                 every test: this machine, ARM Linux and Cortex-M in QEMU, docs"
)]
enum Task {
    /// Put `xsfm` and `xsfm-train` on your path.
    Install(install::Args),
    /// Train, distil, pack and score on MovieLens-100K, and rank films for one user.
    Demo(demo::Args),
    /// Run every test, installing what is missing; or some of them: `cargo xtask test host docs`.
    Test(test::Args),
    /// Check format, lints and docs.
    Check,
    /// `check`, then `test`: what continuous integration runs.
    Ci,
    /// Run the bare-metal examples in QEMU and compare what they print with what is committed.
    Firmware(firmware::Args),
    /// Build the runtime for another target, and the scorer where it is Linux; installs what that takes; prints where it is.
    Cross(cross::Args),
    /// Build the C library and its header for microcontrollers, AArch64 and x86-64; prints where they are.
    Capi(capi::Args),
    /// Time LiteRT, ONNX Runtime, OpenVINO and tract on the same models, and record it.
    BenchPeers(bench_peers::Args),
    /// Train FuxiCTR's, RecBole's and LightGBM's models on the same rows as ours, and compare them.
    BenchAccuracy(Box<bench_accuracy::Args>),
    /// Time training beside PyTorch: the original's way of computing, and an efficient loop.
    BenchTraining(bench_training::Args),
    /// Check training on a GPU against the CPU, measure it, and record it: at most eight minutes.
    GpuCheck(gpu_check::Args),
    /// Count the instructions of a score on each kind of AArch64 CPU, and compare with what is known.
    Count(count::Args),
    /// Measure on QEMU what a score takes on each Cortex-M, and write it for `xsfm analyze`.
    Fit(fit::Args),
    /// Change the numbers of valid packed files, and compare all that read and score them: every back end, layout and mode.
    Fuzz(fuzz::Args),
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
    let task = match Task::try_parse() {
        Ok(task) => task,
        Err(answer) => return output::answered(answer.print(), answer.exit_code() as u8),
    };
    let result = match task {
        Task::Install(args) => install::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Check => ci::check(),
        Task::Ci => ci::run(),
        Task::Firmware(args) => firmware::run(&args),
        Task::Cross(args) => cross::run(&args),
        Task::Capi(args) => capi::run(&args),
        Task::BenchPeers(args) => bench_peers::run(&args),
        Task::BenchAccuracy(args) => bench_accuracy::run(&args),
        Task::BenchTraining(args) => bench_training::run(&args),
        Task::GpuCheck(args) => gpu_check::run(&args),
        Task::Count(args) => count::run(&args),
        Task::Fit(args) => fit::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Rows(args) => rows::run(&args),
        Task::Setup(Setup::Torch) => setup::torch::set_up().and_then(|torch| shown(&torch.folder)),
        Task::Setup(Setup::Movielens) => setup::movielens::set_up().and_then(|folder| shown(&folder)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn shown(folder: &Path) -> Result<()> {
    Ok(output::line(folder.display())?)
}

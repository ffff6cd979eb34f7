//! Figures: instructions, bytes, times, accuracy.
//!
//! | module | does |
//! |---|---|
//! | [`count`] | counts the instructions of a score on the CPUs of QEMU |
//! | [`callgrind`] | counts them on x86-64, and compares with what is committed |
//! | [`size`] | weighs the smallest scorer |
//! | [`fit`] | measures what a score takes on each Cortex-M, for `xsfm analyze` |
//! | [`bench_peers`] | times other engines on the same model |
//! | [`bench_accuracy`] | trains other libraries' models on the same rows, and measures them |
//! | [`bench_days`] | trains models anew every day, and others that go on from the day before |
//! | [`bench_training`] | times training beside loops in PyTorch |
//! | [`gpu_check`] | what a machine with a GPU is asked, in eight minutes |
//! | [`criteo`] | rows with the sizes of Criteo's fields, for those two |
//! | [`plugin`] | counts instructions in QEMU, for `count` and `fit` |
//! | [`provenance`] | when, and from which commit |

pub(crate) mod bench_accuracy;
mod bench_days;
mod bench_peers;
mod bench_training;
pub(crate) mod callgrind;
pub(crate) mod count;
mod criteo;
pub(crate) mod fit;
mod gpu_check;
mod plugin;
mod provenance;
pub(crate) mod size;

use anyhow::Result;
use clap::Subcommand;

/// Commands that measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Time LiteRT, ONNX Runtime, OpenVINO and tract on the same models, and record it.
    BenchPeers(bench_peers::Args),
    /// Train FuxiCTR's, RecBole's and LightGBM's models on the same rows as ours, and compare them.
    BenchAccuracy(Box<bench_accuracy::Args>),
    /// Train day by day: anew, from the day before, and never again.
    BenchDays(bench_days::Args),
    /// Time training beside PyTorch: the original's way of computing, and an efficient loop.
    BenchTraining(bench_training::Args),
    /// Check training on a GPU against the CPU, measure it, and record it: at most eight minutes.
    GpuCheck(gpu_check::Args),
    /// Count the instructions of a score on each kind of AArch64 CPU, and compare with what is known.
    Count(count::Args),
    /// Measure on QEMU what a score takes on each Cortex-M, and write it for `xsfm analyze`.
    Fit(fit::Args),
}

impl Task {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Task::BenchPeers(args) => bench_peers::run(&args),
            Task::BenchAccuracy(args) => bench_accuracy::run(&args),
            Task::BenchDays(args) => bench_days::run(&args),
            Task::BenchTraining(args) => bench_training::run(&args),
            Task::GpuCheck(args) => gpu_check::run(&args),
            Task::Count(args) => count::run(&args),
            Task::Fit(args) => fit::run(&args),
        }
    }
}

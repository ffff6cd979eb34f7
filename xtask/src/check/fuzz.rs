//! `cargo xtask fuzz`: changed numbers of valid files, as many as wanted (`tests/structured.rs`).

use anyhow::Result;

use crate::{cargo, command};

/// Flags of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files that are changed, read and scored; 10 million take about ten minutes of two cores.
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// The first of as many seeds; a failure says which it was.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many run at once.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
}

/// What is run, optimised; checks of overflow stay, and everything else is as other tests have built it.
const OPTIMISED: [&str; 4] = ["xsfm-runtime", "xsfm-interchange", "xsfm-convert", "xsfm-tests"];
const TEST: [&str; 9] = [
    "test",
    "--package",
    "xsfm-tests",
    "--no-default-features",
    "--features",
    "xsfm-runtime/std",
    "--test",
    "any_bytes",
    "valid_files_with_extreme_numbers_are_read_alike",
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut test = cargo::command(&TEST);
    for package in OPTIMISED {
        test.arg("--config").arg(format!("profile.dev.package.{package}.opt-level=3"));
    }
    test.args(["--", "--nocapture"]).env("XSFM_FUZZ_RUNS", args.runs.to_string());
    test.env("XSFM_FUZZ_SEED", args.seed.to_string()).env("XSFM_FUZZ_THREADS", args.threads.to_string());
    command::run(&mut test)
}

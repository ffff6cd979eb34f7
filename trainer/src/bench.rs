//! `xsfm-train bench`: time of a checkpoint's calls in libtorch, on the CPU or a GPU. What the packed file takes, `xsfm
//! bench` tells.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use tch::Kind;
use xsfm_interchange::output;
use xsfm_interchange::rows::{Bounds, RowBlock};

use crate::data::batches::{Batches, Order};
use crate::evaluate::Scorer;
use crate::{checkpoint, device};

/// Calls of a size go on for so long,
const LONG: Duration = Duration::from_millis(500);
/// and are at least so many, beside the first, in which libtorch chooses its ways.
const LEAST: usize = 5;

/// Flags of `bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Checkpoint folder
    #[arg(long)]
    checkpoint: PathBuf,
    /// Encoded rows, such as DATA/test.arrow
    #[arg(long)]
    rows: PathBuf,
    /// Rows of a call; fewer where the file has fewer
    #[arg(long, value_delimiter = ',', default_value = "512,1024,2048,4096", value_name = "N,…")]
    batch: Vec<usize>,
    /// Where to compute: `cpu`, `cuda:0`, …
    #[arg(long, default_value = "cpu")]
    device: String,
    /// CPU threads
    #[arg(long, default_value_t = 1)]
    threads: u16,
    /// Figures as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// Times of a checkpoint in libtorch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Libtorch {
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// CPU threads.
    pub threads: u16,
    /// For each size of a call.
    pub batches: Vec<Batch>,
}

/// Times of calls of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Rows of a call.
    pub rows: u32,
    /// Median nanoseconds per row.
    pub ns_per_row: f64,
}

/// Runs the command.
///
/// # Errors
/// A device that is not there; a checkpoint or rows that cannot be read or do not fit each other.
pub fn run(args: &BenchArgs) -> Result<()> {
    let (device, threads) = (device::parse(&args.device)?, args.threads);
    ensure!(args.batch.iter().all(|&rows| rows > 0), "--batch: a call has at least one row");
    tch::set_num_threads(i32::from(threads.max(1)));
    let model = checkpoint::load(&args.checkpoint, device)?;
    let scorer = Scorer::new(&model)?;
    let mut batches = Vec::new();
    for &rows in &args.batch {
        let mut file = Batches::open(&args.rows, Bounds::from(&model.config), rows)?;
        let first = file.pass(Order::Sequential).next();
        let block = first.with_context(|| format!("{}: no rows", args.rows.display()))??.rows;
        let ns_per_row = median_call(&scorer, &block)?.as_nanos() as f64 / block.len() as f64;
        batches.push(Batch { rows: u32::try_from(block.len())?, ns_per_row });
    }
    let report = Libtorch { device: args.device.clone(), threads, batches };
    if args.json {
        output::json(&report)?;
        return Ok(());
    }
    output::line(format_args!("{:>8}  {:>12}   {}, {threads} thread(s)", "rows", "ns per row", report.device))?;
    for Batch { rows, ns_per_row } in report.batches {
        output::line(format_args!("{rows:>8}  {ns_per_row:>12.1}"))?;
    }
    Ok(())
}

/// Median time from rows of indices to logits in the CPU's memory: with the ways to a GPU and back, whose work is over
/// then.
fn median_call(scorer: &Scorer<'_>, block: &RowBlock) -> Result<Duration> {
    let call = || -> Result<Duration> {
        let begun = Instant::now();
        let logits = tch::no_grad(|| scorer.logits(block))?.to_kind(Kind::Double);
        let logits: Vec<f64> = Vec::try_from(logits)?;
        ensure!(logits.len() == block.len(), "{} logits of {} rows", logits.len(), block.len());
        Ok(begun.elapsed())
    };
    call()?;
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < LEAST || begun.elapsed() < LONG {
        times.push(call()?);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

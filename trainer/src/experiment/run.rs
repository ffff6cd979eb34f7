//! `xsfm-train run`: makes what is missing of a plan, several units at a time.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use xsfm_interchange::output;

use super::latency;
use super::outcome::{Divergence, Made, Outcome};
use super::plan::{Plan, Unit};
use super::row::{Experiments, Reads};
use super::tools::{Encodings, Means, Tools};
use crate::data::classes;

/// Trains, packs and measures the rows of a table: what is missing of them, and of those that they need.
#[derive(Debug, clap::Args)]
#[command(after_long_help = super::row::HELP)]
pub struct Args {
    /// Files of rows, such as experiments/movielens/*.toml
    #[arg(required = true)]
    rows: Vec<PathBuf>,
    #[command(flatten)]
    means: Means,
    #[command(flatten)]
    encodings: Encodings,
    /// These seeds instead of those in the files
    #[arg(long, value_name = "S,…", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// In the end, measure the time of calls, one model after another: of packed files on this CPU, of checkpoints in
    /// libtorch on
    /// --device. Best on an otherwise idle machine
    #[arg(long)]
    latency: bool,
    /// Only say what is missing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// Files that are not those of rows; a unit that fails or diverges: the others are made first.
pub fn run(args: &Args) -> Result<()> {
    args.means.check_device()?;
    let experiments = Experiments::load(&args.rows)?;
    let plan = Plan::new(&experiments, &args.seeds)?;
    let mut tools = Tools::find(&args.means)?;
    tools.encodings = args.encodings.open(&tools.data)?;
    if args.dry_run {
        for unit in &plan.units {
            let row = &experiments.rows[&unit.row];
            let encoding = tools.other_encoding(row)?;
            if Made::read_of(&tools.data, encoding, &experiments, row, &tools.folder(unit))?.is_none() {
                output::line(format_args!("{} seed {}", unit.row, unit.seed))?;
            }
        }
        return Ok(());
    }
    classes::check(&tools.data)?;
    let diverged = make_all(&experiments, &plan, &tools, args.means.jobs())?;
    if args.latency {
        latency::measure(&experiments, &plan, &tools)?;
    }
    let Some(first) = diverged.first() else { return Ok(()) };
    bail!(
        "{} of {} diverged, and what needs them was not begun; the others are made. The first is {} seed {}: {}",
        diverged.len(),
        plan.units.len(),
        first.row,
        first.seed,
        first.what
    )
}

/// What is going on.
#[derive(Default)]
struct Progress {
    begun: BTreeSet<Unit>,
    running: BTreeSet<Unit>,
    done: BTreeSet<Unit>,
    failed: Vec<(Unit, String)>,
    diverged: Vec<Divergence>,
}

/// Makes all units, `jobs` at a time; gives those that diverged, now or before. What needs them is not begun.
///
/// # Errors
/// Some could not be made; every unit that does not need them was.
pub fn make_all(experiments: &Experiments, plan: &Plan, tools: &Tools, jobs: usize) -> Result<Vec<Divergence>> {
    let (mut there, mut diverged) = (BTreeSet::new(), Vec::new());
    for unit in &plan.units {
        let row = &experiments.rows[&unit.row];
        match Made::read_of(&tools.data, tools.other_encoding(row)?, experiments, row, &tools.folder(unit))? {
            Some(Made::Outcome(_)) => drop(there.insert(unit.clone())),
            Some(Made::Diverged(divergence)) => {
                output::say(format_args!("{}", line_of_divergence(&divergence)));
                diverged.push(*divergence);
            }
            None => {}
        }
    }
    let mut begun = there.clone();
    begun.extend(diverged.iter().map(|divergence| Unit { row: divergence.row.clone(), seed: divergence.seed }));
    let missing = plan.units.iter().filter(|unit| !begun.contains(*unit));
    let reads: BTreeSet<Reads> = missing.map(|unit| experiments.rows[&unit.row].reads()).collect();
    reads.iter().try_for_each(|reads| tools.fold(reads))?;
    if !there.is_empty() {
        output::say(format_args!("{} of {} are there already", there.len(), plan.units.len()));
    }
    let bar = bar(plan.units.len() as u64);
    bar.set_position(begun.len() as u64);
    bar.reset_eta();
    let progress = Mutex::new(Progress { begun, done: there, diverged, ..Progress::default() });
    let changed = Condvar::new();
    let worker = || {
        let mut state = progress.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let is_met = |unit: &&Unit| plan.needs[*unit].iter().all(|needed| state.done.contains(needed));
            let next = plan.units.iter().filter(|unit| !state.begun.contains(*unit)).find(is_met).cloned();
            let Some(unit) = next else {
                // What is under way may still meet the needs of another.
                if state.running.is_empty() {
                    return;
                }
                state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.begun.insert(unit.clone());
            state.running.insert(unit.clone());
            bar.set_message(names(&state.running));
            drop(state);
            let made = tools.make(experiments, &unit);
            state = progress.lock().unwrap_or_else(PoisonError::into_inner);
            state.running.remove(&unit);
            match made {
                Ok(Made::Outcome(outcome)) => {
                    bar.suspend(|| output::say(line(&outcome)));
                    state.done.insert(unit);
                }
                Ok(Made::Diverged(divergence)) => {
                    bar.suspend(|| output::say(format_args!("{}", line_of_divergence(&divergence))));
                    state.diverged.push(*divergence);
                }
                Err(error) => {
                    bar.suspend(|| output::say(format_args!("{} seed {}: {error:#}", unit.row, unit.seed)));
                    state.failed.push((unit, format!("{error:#}")));
                }
            }
            bar.inc(1);
            bar.set_message(names(&state.running));
            changed.notify_all();
        }
    };
    std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(worker))));
    bar.finish_and_clear();
    let state = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    let waiting = plan.units.len() - state.done.len() - state.failed.len() - state.diverged.len();
    if let Some((unit, error)) = state.failed.first() {
        bail!(
            "{} of {} failed, and {waiting} that need them or what diverged were not begun; the first is {} seed {}: \
             {error}",
            state.failed.len(),
            plan.units.len(),
            unit.row,
            unit.seed
        );
    }
    Ok(state.diverged)
}

fn line_of_divergence(Divergence { row, seed, what, .. }: &Divergence) -> String {
    format!("{row} seed {seed}: DIVERGED, and is not tried again: {what}")
}

fn names(units: &BTreeSet<Unit>) -> String {
    units.iter().map(|unit| format!("{}:{}", unit.row, unit.seed)).collect::<Vec<_>>().join(" ")
}

fn line(outcome: &Outcome) -> String {
    let auc = |metrics: &xsfm_interchange::metrics::Metrics| metrics.auc.unwrap_or(f64::NAN);
    let test = outcome.test.as_ref().map(|test| format!("  test {:.5}", auc(test))).unwrap_or_default();
    let bytes = outcome.packed.as_ref();
    let bytes = bytes.map(|packed| format!("  {} bytes", packed.sizes.counted(false))).unwrap_or_default();
    format!("{} seed {}: AUC valid {:.5}{test}{bytes}", outcome.row, outcome.seed, auc(&outcome.valid))
}

fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {pos}/{len} ETA {eta}  {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

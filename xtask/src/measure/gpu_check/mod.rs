//! `cargo xtask gpu-check`: what a machine with a GPU is asked, in at most eight minutes: whether it trains what a CPU
//! trains, and how fast.
//!
//! Nobody watches it, and the machine costs by the minute: each command has a time of its own and all have one together
//! ([`budget`]), a step that fails does not end the others, and the record is written in any case.
//!
//! | module | does |
//! |---|---|
//! | [`steps`] | what is asked |
//! | [`sizes`] | of how many rows, and in what time |
//! | [`compare`] | whether two devices computed the same |
//! | [`machine`] | what machine it is, and how busy its GPU |

mod budget;
mod compare;
mod machine;
mod sizes;
mod steps;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use xsfm_interchange::{atomic, output};

use self::budget::Budget;
use self::sizes::{ALL, REHEARSAL, WHOLE};
use self::steps::Check;
use super::provenance;
use crate::setup::{movielens, torch};
use crate::{cargo, command, workspace};

/// Flags of `cargo xtask gpu-check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Building, and fetching libtorch and MovieLens, come before the eight minutes; --trainer and \
                  --ratings bring what was built and fetched elsewhere. The record goes to \
                  benches/record/<GPU>/<date>-gpu.md. `--device cpu` is a rehearsal: every step in small, no record.")]
pub(crate) struct Args {
    /// Which GPU; `cpu` to rehearse.
    #[arg(long, default_value = "cuda:0")]
    device: String,
    /// The program `xsfm-train`, instead of building it.
    #[arg(long, value_name = "PATH")]
    trainer: Option<PathBuf>,
    /// Folder of MovieLens-100K, instead of fetching it.
    #[arg(long, value_name = "DIR")]
    ratings: Option<PathBuf>,
    /// Measure, but write no record.
    #[arg(long)]
    no_record: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let is_rehearsal = args.device == "cpu";
    if !is_rehearsal {
        machine::expect_gpu()?;
    }
    let (trainer, ratings) = programs(args)?;
    let folder = workspace::target().join("gpu-check");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut check = Check {
        device: args.device.clone(),
        sizes: if is_rehearsal { REHEARSAL } else { WHOLE },
        folder,
        trainer,
        budget: Budget::new(ALL),
        record: String::new(),
        failed: Vec::new(),
    };
    let name = check.devices()?;
    check.tried("rows", Check::rows);
    check.tried("a step against the CPU", Check::step);
    check.tried("evaluation against the CPU", Check::evaluate);
    check.tried("a MovieLens teacher", |check| check.teacher(&ratings));
    check.tried("rows per second", Check::speed);
    let spent = check.budget.spent().as_secs_f64();
    check.line(&format!("\nAll of it took {spent:.0} s of {}.", ALL.as_secs()));
    output::print(&check.record)?;
    if !(is_rehearsal || args.no_record) {
        let file = format!("{}-gpu.md", provenance::today()?);
        let path = workspace::root().join("benches/record").join(machine::slug(&name)).join(file);
        atomic::write(&path, |out| out.write_all(check.record.as_bytes()))
            .with_context(|| path.display().to_string())?;
        output::say(path.display());
    }
    ensure!(check.failed.is_empty(), "{} step(s) failed: {}", check.failed.len(), check.failed.join("; "));
    Ok(())
}

/// The trainer and the ratings, made or fetched where they were not given.
fn programs(args: &Args) -> Result<(PathBuf, PathBuf)> {
    let trainer = match &args.trainer {
        Some(path) => fs::canonicalize(path)?,
        None => {
            command::heading("build");
            let mut build = cargo::command(&["build", "--release", "--package", "xsfm-trainer"]);
            cargo::built(torch::set_up()?.use_in(&mut build), "xsfm-train")?
        }
    };
    let ratings = args.ratings.clone().map_or_else(movielens::set_up, Ok)?;
    Ok((trainer, ratings))
}

//! `cargo xtask bench-peers`: other engines on the same model, and the record of it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::Result;
use xsfm_interchange::output;

use super::provenance;
use crate::setup::peers::{self, Peers};
use crate::{cargo, command, workspace};

/// Flags of `cargo xtask bench-peers`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The record goes to benches/record/<CPU>/<date>.csv and .md; benches/README.md says how to read it. \
                  Models and converted files are left in target/peers."
)]
pub(crate) struct Args {
    /// Widths of the MLP's three hidden layers (of 16: two); `none` is FwFM.
    #[arg(long, value_delimiter = ',', default_value = "400,200,100,64,16,none", num_args = 1..)]
    widths: Vec<String>,
    /// Samples in a call.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,512", num_args = 1..)]
    batches: Vec<String>,
    /// Turns that every engine takes.
    #[arg(long, default_value_t = 101)]
    rounds: u32,
    /// Which engines, all by default; benches/README.md names them.
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    engines: Vec<String>,
    /// Quotient-remainder tables instead of full ones.
    #[arg(long)]
    qr: bool,
    /// Single calls that find nothing in the caches; 25 rounds do.
    #[arg(long)]
    cold: bool,
    /// Does everything work? Widths 64 and none, batches 1 and 64, few rounds, no record.
    #[arg(long, conflicts_with_all = ["widths", "batches", "rounds"])]
    quick: bool,
    /// Measure, but write no record.
    #[arg(long)]
    no_record: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let peers = peers::set_up()?;
    command::heading("build");
    let mut build = cargo::command(&["build", "--profile", "peers", "--package", "xsfm-peers"]);
    let program = cargo::built(&mut build, "xsfm-peers")?;

    let (widths, batches, rounds) = if args.quick {
        ("64,none".to_owned(), "1,64".to_owned(), 9)
    } else {
        (args.widths.join(","), args.batches.join(","), args.rounds)
    };
    let folder = workspace::target().join("peers");
    let models = |command: &mut Command| {
        command.arg("--folder").arg(&folder).args(["--widths", &widths]).args(args.qr.then_some("--qr"));
    };
    command::heading("models");
    let mut generate = Command::new(&program);
    models(generate.arg("generate"));
    command::run_to_stderr(&mut generate)?;
    let suffix = if args.qr { "-qr" } else { "" };
    let folders = widths.split(',').map(|width| folder.join(format!("{width}{suffix}"))).collect();
    convert(&peers, folders)?;

    command::heading("run");
    let mut measure = pinned(&program);
    models(measure.arg("run"));
    for (flag, library) in &peers.libraries {
        measure.arg(flag).arg(library);
    }
    measure.args(["--batches", &batches, "--rounds", &rounds.to_string()]);
    measure.args(args.cold.then_some("--cold"));
    if !args.engines.is_empty() {
        measure.args(["--engines", &args.engines.join(",")]);
    }
    if !(args.quick || args.no_record) {
        measure.arg("--record").arg(workspace::root().join("benches/record"));
    }
    let words: Vec<String> = env::args().skip(1).collect();
    measure.args(["--command", &format!("cargo xtask {}", words.join(" "))]);
    measure.args(["--versions", &format!("xsfm {}, {}", env!("CARGO_PKG_VERSION"), peers.versions)]);
    measure.args(["--date", &provenance::today()?, "--commit", &provenance::commit()]);
    command::run(measure.args(args.json.then_some("--json")))
}

/// Makes the other engines' files in the models' folders.
fn convert(peers: &Peers, folders: Vec<PathBuf>) -> Result<()> {
    let Some(python) = &peers.python else { return Ok(()) };
    command::heading("converted files");
    let script = workspace::root().join("benches/peers/convert.py");
    command::run_to_stderr(Command::new(python).arg(script).args(folders))
}

/// A command for `program` that stays on one core: not the first, where a machine has others, as interrupts land there.
fn pinned(program: &Path) -> Command {
    if !command::succeeds(Command::new("taskset").arg("--version")) {
        output::say("NOTE: there is no taskset: the engines move between cores, and the figures with them");
        return Command::new(program);
    }
    let core = if thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) { "1" } else { "0" };
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

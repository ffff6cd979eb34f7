//! The Cortex-M examples: built, run in QEMU, and compared with what they are known to print.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cross::{self, CORTEX_M4F, Toolchain};
use crate::setup::debian;
use crate::{command, rows, workspace};

/// Flags of `cargo xtask firmware`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Commit what the programs print now: rewrites the .out files, and the rows where they do not fit the model any more.
    #[arg(long, conflicts_with_all = ["model", "rows"])]
    bless: bool,
    /// Score with this packed model instead, and only print.
    #[arg(long, value_name = "M.xsfm", requires = "rows")]
    model: Option<PathBuf>,
    /// Rows for that model: one row of indices per line, a tab between fields, `|` inside a bag.
    #[arg(long, value_name = "FILE.tsv", requires = "model")]
    rows: Option<PathBuf>,
}

/// The version of the program that runs QEMU and decodes defmt's log.
const QEMU_RUN: &str = "0.3.1";
const PACKAGE: &str = "cortex-m4f";

/// What builds and runs the programs.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    toolchain: Toolchain,
    tools: PathBuf,
}

/// A model and rows for the firmware's flash; `None` for the committed ones.
pub(crate) type Flash<'a> = Option<(&'a Path, &'a Path)>;

impl Board {
    pub(crate) fn set_up() -> Result<Self> {
        debian::install(&["qemu-system-arm"])?;
        let toolchain = CORTEX_M4F.set_up()?;
        let tools = workspace::target().join("tools");
        // Does nothing where this version is there.
        let mut install =
            workspace::cargo(&["install", "--quiet", "--debug", "--locked", "--version", QEMU_RUN, "--root"]);
        command::run_to_stderr(install.arg(&tools).arg("qemu-run"))?;
        Ok(Board { toolchain, tools: tools.join("bin") })
    }

    /// Runs a program and gives its log.
    pub(crate) fn run(&self, program: &str, flash: Flash<'_>) -> Result<String> {
        let arguments = ["run", "--quiet", "--release", "--package", PACKAGE, "--bin", program];
        let mut run = self.toolchain.cargo(cross::EXAMPLES, &arguments)?;
        workspace::search_first(&mut run, &self.tools)?;
        // What is in the shell's environment is not for us.
        run.env_remove("XSFM_MODEL").env_remove("XSFM_ROWS");
        if let Some((model, rows)) = flash {
            run.env("XSFM_MODEL", absolute(model)?).env("XSFM_ROWS", absolute(rows)?);
        }
        command::output(&mut run)
    }

    pub(crate) fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| path.display().to_string())
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let board = Board::set_up()?;
    if let (Some(model), Some(rows)) = (&args.model, &args.rows) {
        print!("{}", board.run("score", Some((model, rows)))?);
        return Ok(());
    }
    if args.bless {
        rows::write(&workspace::pretrained().join("model.xsfm"), ROWS, SEED, &committed("rows.tsv"))?;
    }
    ["score", "refuse"].into_iter().try_for_each(|program| snapshot(&board, program, args.bless))
}

/// How the committed rows are made.
const ROWS: usize = 240;
const SEED: u64 = 1;

/// Compares a program's log with the committed one.
fn snapshot(board: &Board, program: &str, bless: bool) -> Result<()> {
    let path = committed(&format!("src/bin/{program}.out"));
    let log = board.run(program, None)?;
    if bless {
        return fs::write(&path, log).with_context(|| path.display().to_string());
    }
    let known = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    if let Some((line, known, found)) = first_difference(&known, &log) {
        bail!(
            "{}, line {line}:\n  known  {known}\n  found  {found}\n`cargo xtask firmware --bless` makes what is found known",
            path.display()
        );
    }
    eprintln!("{program}: {} lines as known", log.lines().count());
    Ok(())
}

fn committed(name: &str) -> PathBuf {
    workspace::root().join(cross::EXAMPLES).join(PACKAGE).join(name)
}

/// The first line in which two texts differ, counted from 1, and its two forms.
fn first_difference<'a>(known: &'a str, found: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let lines = known.lines().count().max(found.lines().count());
    let (mut known, mut found) = (known.lines(), found.lines());
    let mut pairs =
        (1..=lines).map(|line| (line, known.next().unwrap_or("nothing"), found.next().unwrap_or("nothing")));
    pairs.find(|(_, known, found)| known != found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_at_the_ends_too() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "b", "c")));
        assert_eq!(first_difference("a\n", "a\nc\n"), Some((2, "nothing", "c")));
        assert_eq!(first_difference("a\nb\n", ""), Some((1, "a", "nothing")));
    }
}

//! `cargo xtask cross`: the runtime for another target, on Linux in the scorer.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use fs_err as fs;
use xsfm_interchange::output;

use super::machines::score_in_log;
use super::target::ALL;
use super::toolchain::{Toolchain, build_ahead};
use crate::{cargo, command, workspace};

/// The runtime as a microcontroller has it.
const RUNTIME: [&str; 5] = ["build", "--release", "--package", "xsfm-runtime", "--no-default-features"];
/// The same with `defmt`, whose code the firmware examples link and run.
const WITH_DEFMT: [&str; 7] =
    ["check", "--release", "--package", "xsfm-runtime", "--no-default-features", "--features", "defmt"];
/// The Linux scorer.
const SCORER: [&str; 4] = ["build", "--release", "--package", "linux-arm"];

/// Flags of `cargo xtask cross`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// A target, for example aarch64-unknown-linux-gnu.
    #[arg(required_unless_present = "all")]
    target: Option<String>,
    /// Every target that there is a recipe for.
    #[arg(long, conflicts_with = "target")]
    all: bool,
}

/// `cargo xtask cross`: prints where the Linux scorer is, or the runtime's library.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(triple) = args.target.as_ref().filter(|_| !args.all) else { return all() };
    let Some(target) = ALL.into_iter().find(|target| target.triple == triple) else {
        let known: Vec<_> = ALL.iter().map(|target| format!("  {}", target.triple)).collect();
        bail!("no recipe for {triple:?}; there are some for\n{}", known.join("\n"));
    };
    output::line(build(&target.set_up()?)?.display())?;
    Ok(())
}

/// Builds for every target, and runs what a Linux emulator can; the firmware examples run the others.
pub(crate) fn all() -> Result<()> {
    let mut failed = Vec::new();
    let mut toolchains = Vec::new();
    for target in ALL {
        match target.set_up() {
            Ok(toolchain) => toolchains.push(toolchain),
            Err(error) if target.crates.is_none() => {
                command::heading(&format!("NOT BUILT: {}: {error:#}", target.triple));
            }
            Err(error) => {
                output::say(format_args!("error: {}: {error:#}", target.triple));
                failed.push(target.triple);
            }
        }
    }
    command::heading("cross, together");
    let (linux, bare): (Vec<_>, Vec<_>) = toolchains.iter().partition(|toolchain| toolchain.target.linux.is_some());
    build_ahead(bare, "", &RUNTIME, &[]);
    build_ahead(linux, workspace::EXAMPLES, &SCORER, &[]);
    for toolchain in toolchains {
        let target = toolchain.target;
        command::heading(&format!("cross {}", target.triple));
        let tested = build(&toolchain)
            .and_then(|program| if target.linux.is_some() { scores_as_known(&toolchain, &program) } else { Ok(()) });
        if let Err(error) = tested {
            output::say(format_args!("error: {error:#}"));
            failed.push(target.triple);
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} targets failed: {}", failed.len(), ALL.len(), failed.join(", "));
    }
    Ok(())
}

/// Builds the scorer on Linux, and elsewhere the runtime as a microcontroller has it; checks that with `defmt` too. It
/// gives that program, or the library.
fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    if toolchain.target.linux.is_some() {
        return scorer(toolchain);
    }
    command::run_to_stderr(&mut toolchain.cargo("", &RUNTIME)?)?;
    command::run_to_stderr(&mut toolchain.cargo("", &WITH_DEFMT)?)?;
    Ok(workspace::target().join(toolchain.target.triple).join("release/libxsfm_runtime.rlib"))
}

/// Builds the Linux scorer.
pub(crate) fn scorer(toolchain: &Toolchain) -> Result<PathBuf> {
    cargo::built(&mut toolchain.cargo(workspace::EXAMPLES, &SCORER)?, "scorer")
}

/// Runs the scorer on each of the target's CPUs: it must give the bits that the firmware examples are known to log.
fn scores_as_known(toolchain: &Toolchain, scorer: &Path) -> Result<()> {
    let folder = workspace::root().join(workspace::EXAMPLES).join("programs");
    let log = folder.join("out/score.out");
    let log = fs::read_to_string(&log)?;
    let known: String = log.lines().filter_map(score_in_log).map(|score| score + "\n").collect();
    let model = workspace::pretrained().join("model.xsfm");
    for (cpu, mut run) in toolchain.runs(scorer)? {
        let scores = command::output(run.arg(&model).arg(folder.join("rows.tsv")).arg("--bits"))?;
        ensure!(!known.is_empty() && scores == known, "{cpu}: other scores than the firmware examples have");
        output::say(format_args!("{cpu}: {} scores as known", scores.lines().count()));
    }
    Ok(())
}

//! What scores: this machine's back ends, ARM Linux, microcontrollers, WebAssembly.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use xsfm_runtime::Backend;

use super::score::{Score, Subject, checksum};
use crate::setup::debian;
use crate::targets::machines::{MACHINES, Machine, score_in_log};
use crate::targets::target::{ARM_LINUX, WASM32};
use crate::targets::web::{self, Instructions};
use crate::targets::{cross, toolchain};
use crate::{cargo, command, workspace};

/// Scores a subject somewhere; several may do so at the same time, for they write no files.
pub(super) struct Runner {
    pub(super) name: String,
    score: Box<Scoring>,
}

type Scoring = dyn Fn(&Subject) -> Result<Vec<Score>> + Send + Sync;

impl Runner {
    fn new(name: String, score: impl Fn(&Subject) -> Result<Vec<Score>> + Send + Sync + 'static) -> Self {
        Runner { name, score: Box::new(score) }
    }

    pub(super) fn scores(&self, subject: &Subject) -> Result<Vec<Score>> {
        (self.score)(subject).with_context(|| format!("{}, {}", subject.name, self.name))
    }
}

/// All; builds what they need.
pub(super) fn all() -> Result<Vec<Runner>> {
    let mut runners = back_ends()?;
    runners.extend(arm_linux()?);
    runners.extend(microcontrollers()?);
    runners.extend(web_assembly()?);
    Ok(runners)
}

/// The Linux scorer, once for each back end of this machine.
fn back_ends() -> Result<Vec<Runner>> {
    let mut build = cargo::command(&["build", "--release", "--package", "linux-arm"]);
    let program = cargo::built(build.current_dir(workspace::root().join(workspace::EXAMPLES)), "scorer")?;
    let host = toolchain::host()?;
    let runner = |backend: Backend| {
        let program = program.clone();
        Runner::new(format!("{host} ({})", backend.name()), move |subject| {
            let mut score = Command::new(&program);
            score.args([&subject.model, &subject.rows]).args(raw(subject)).args([
                "--bits",
                "--backend",
                backend.name(),
            ]);
            hexadecimal(command::output(&mut score)?.lines())
        })
    };
    Ok(Backend::ALL.into_iter().filter(|backend| backend.is_available()).map(runner).collect())
}

/// The Linux scorer on each CPU of each target.
fn arm_linux() -> Result<Vec<Runner>> {
    let mut runners = Vec::new();
    for target in ARM_LINUX {
        let toolchain = target.set_up()?;
        let program = cross::scorer(&toolchain)?;
        for &cpu in toolchain.cpus() {
            let (toolchain, program) = (toolchain.clone(), program.clone());
            runners.push(Runner::new(format!("{} ({cpu})", target.triple), move |subject| {
                let mut score = toolchain.emulated(cpu, &[], &program)?;
                score.args([&subject.model, &subject.rows]).args(raw(subject)).arg("--bits");
                hexadecimal(command::output(&mut score)?.lines())
            }));
        }
    }
    Ok(runners)
}

/// The program `files` on each machine.
fn microcontrollers() -> Result<Vec<Runner>> {
    let runner = |machine: Machine| {
        let board = machine.set_up()?;
        Ok(Runner::new(format!("{} ({})", machine.target.triple, machine.name), move |subject| {
            let words = [&*subject.model, &subject.words, Path::new("raw")];
            device_scores(&board.run("files", &words[..if subject.raw { 3 } else { 2 }])?)
        }))
    };
    MACHINES.into_iter().map(runner).collect()
}

/// The module in node, where there is one or it can be installed: compiled without vectors, and with.
fn web_assembly() -> Result<Vec<Runner>> {
    if let Err(error) = debian::provide("node", "nodejs") {
        command::heading(&format!("NOT TESTED: WebAssembly, which node is needed for: {error:#}"));
        return Ok(Vec::new());
    }
    let script = workspace::root().join(workspace::EXAMPLES).join("wasm/score.mjs");
    let runner = |set: Instructions| {
        let module = web::module(workspace::EXAMPLES, "wasm", "release", set)?;
        let script = script.clone();
        Ok(Runner::new(format!("{} (node, {})", WASM32.triple, set.backend().name()), move |subject| {
            let mut node = Command::new("node");
            node.args([&script, &module, &subject.model, &subject.words]).args(raw(subject));
            hexadecimal(command::output(&mut node)?.lines())
        }))
    };
    Instructions::ALL.into_iter().map(runner).collect()
}

/// The flag for rows of raw values.
fn raw(subject: &Subject) -> Option<&'static str> {
    subject.raw.then_some("--raw")
}

/// Lines of `logit<TAB>probability` as hexadecimal bits.
fn hexadecimal<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Score>> {
    let bits = |word: &str| u32::from_str_radix(word, 16).ok().map(f32::from_bits);
    let parse = |line: &str| {
        let (logit, probability) = line.split_once('\t')?;
        Some(Score { logit: bits(logit)?, probability: bits(probability)? })
    };
    lines.map(|line| parse(line).ok_or_else(|| anyhow!("not the bits of a score: {line:?}"))).collect()
}

/// The scores in the log of a bare-metal program, whose own checksum must agree with them.
fn device_scores(log: &str) -> Result<Vec<Score>> {
    let lines: Vec<String> = log.lines().filter_map(score_in_log).collect();
    let scores = hexadecimal(lines.iter().map(String::as_str))?;
    let stated = log.lines().find_map(|line| line.rsplit_once("rows, checksum ")).map(|(_, checksum)| checksum);
    let computed = format!("{:08x}", checksum(&scores));
    if stated != Some(&computed) {
        bail!("the device states the checksum {stated:?}, its {} scores have {computed}", scores.len());
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_lost_a_row_is_noticed() {
        let row = "INFO  row 0 logit 3fc00000 probability 3f400000\n";
        let scores = [Score { logit: 1.5, probability: 0.75 }];
        let log = format!("{row}INFO  1 rows, checksum {:08x}\n", checksum(&scores));
        assert_eq!(device_scores(&log).expect("a whole log").len(), 1);
        assert!(device_scores(log.strip_prefix(row).expect("its row")).is_err());
        assert!(device_scores(row).is_err());
    }
}

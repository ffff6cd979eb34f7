//! Whether a wheel keeps its promise: what it asks of a machine, and what it scores there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use object::{Architecture, Object};
use xsfm_interchange::output;

use super::machine::{GLIBC, Machine, policy};
use crate::setup::wheels::{self, Foreign, Tools};
use crate::setup::{debian, python};
use crate::targets::toolchain;
use crate::{cargo, command, workspace};

/// The numpy that the wheel is installed beside.
const NUMPY: &str = "numpy==2.4.6";
/// Of the Linux machines that numpy's wheels are for.
const OF_NUMPY: &str = "manylinux_2_28_aarch64";
const SCRIPT: &str = include_str!("scores.py");

/// The library in a wheel is for its machine, and asks for nothing that the policy does not have: neither a library
/// nor a newer glibc.
pub(super) fn needs(tools: &Tools, wheel: &Path, machine: Machine) -> Result<()> {
    let unpacked = tempfile::tempdir()?;
    command::run_to_stderr(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(unpacked.path()))?;
    let library = unpacked.path().join("xsfm/_xsfm.abi3.so");
    let bytes = fs::read(&library)?;
    let file = object::File::parse(&*bytes).with_context(|| library.display().to_string())?;
    let expected = match machine {
        Machine::X86_64 => Architecture::X86_64,
        Machine::Aarch64 => Architecture::Aarch64,
    };
    ensure!(
        file.architecture() == expected,
        "{}: a library for {:?}, {expected:?} expected",
        wheel.display(),
        file.architecture()
    );
    let told = command::output(tools.command("auditwheel")?.arg("show").arg(wheel))?;
    output::say(told.trim());
    let version =
        glibc(&told, machine).with_context(|| format!("{}: auditwheel tells no manylinux", wheel.display()))?;
    if version > GLIBC {
        bail!("{}: it needs glibc 2.{version}, 2.{GLIBC} is what it promises", wheel.display());
    }
    Ok(())
}

/// N of glibc 2.N that a wheel needs, as auditwheel tells it; it breaks lines where it likes.
fn glibc(told: &str, machine: Machine) -> Option<u32> {
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, rest) = words.split_once("platform tag: \"manylinux_2_")?;
    rest.split_once(&format!("_{}\"", machine.tag()))?.0.parse().ok()
}

/// A model and rows of raw values that it scores.
fn model_and_rows() -> [PathBuf; 2] {
    ["model.xsfm", "clicks.csv"].map(|name| workspace::with_vocabulary().join(name))
}

/// The logits that the program `xsfm` gives.
pub(super) fn expected() -> Result<Vec<f32>> {
    let [model, rows] = model_and_rows();
    let told = command::output(Command::new(cargo::xsfm()?).arg("score").arg(model).arg("--raw").arg(rows))?;
    logits(&told)
}

/// The first number of each line.
fn logits(text: &str) -> Result<Vec<f32>> {
    let number = |line: &str| {
        let cell = line.split('\t').next().unwrap_or_default();
        cell.parse().with_context(|| format!("`{line}` begins with no logit"))
    };
    text.lines().map(number).collect()
}

/// The wheel, installed in a fresh place by pip without an index, gives these logits, bit by bit.
pub(super) fn scores(wheel: &Path, machine: Machine, expected: &[f32]) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let script = scratch.path().join("scores.py");
    fs::write(&script, SCRIPT)?;
    let mut python = if is_host(machine)? {
        here(wheel, &scratch.path().join("environment"))?
    } else if machine == Machine::Aarch64 {
        emulated(wheel, &scratch.path().join("site"))?
    } else {
        output::say("NOTE: no Python of this machine here: the wheel is not installed");
        return Ok(());
    };
    let found = logits(&command::output(python.arg(script).args(model_and_rows()))?)?;
    let bits = |logits: &[f32]| logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>();
    ensure!(!found.is_empty() && bits(&found) == bits(expected), "{}: other scores than xsfm's", wheel.display());
    output::say(format_args!("{} rows: the same bits as `xsfm score`", found.len()));
    Ok(())
}

fn is_host(machine: Machine) -> Result<bool> {
    Ok(toolchain::host()? == machine.target().triple)
}

/// A Python of this machine that has the wheel.
fn here(wheel: &Path, environment: &Path) -> Result<Command> {
    python::environment(environment)?;
    let pip = |words: &[&str]| {
        let mut pip = python::pip(environment);
        pip.args(["install", "--quiet"]).args(words);
        pip
    };
    command::run_to_stderr(&mut pip(&[NUMPY]))?;
    command::run_to_stderr(pip(&["--no-index"]).arg(wheel))?;
    Ok(Command::new(environment.join("bin/python")))
}

/// A Python of AArch64 that has the wheel, in QEMU. pip chooses what it would choose there.
fn emulated(wheel: &Path, site: &Path) -> Result<Command> {
    let Foreign { root, python } = wheels::python_of_aarch64()?;
    debian::provide("qemu-aarch64", "qemu-user")?;
    let name = python.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let version = name.trim_start_matches("python").to_owned();
    let environment = tempfile::tempdir()?;
    python::environment(environment.path())?;
    let pip = |platform: &str| {
        let mut pip = python::pip(environment.path());
        pip.args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--implementation", "cp"]);
        pip.args(["--python-version", &version, "--platform", platform, "--target"]).arg(site);
        pip
    };
    command::run_to_stderr(pip(OF_NUMPY).arg(NUMPY))?;
    command::run_to_stderr(pip(&format!("{}_aarch64", policy())).args(["--no-index", "--upgrade"]).arg(wheel))?;
    let mut emulated = Command::new("qemu-aarch64");
    emulated.args(["-cpu", "max", "-L"]).arg(root).arg(python).env("PYTHONPATH", site);
    Ok(emulated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_auditwheel_tells_is_understood() {
        let told = "a.whl is\nconsistent with the following platform\ntag: \"manylinux_2_17_x86_64\".\n\nThe wheel";
        assert_eq!(glibc(told, Machine::X86_64), Some(17));
        assert_eq!(glibc(told, Machine::Aarch64), None);
        assert_eq!(
            glibc("a.whl is consistent with the following platform tag: \"linux_x86_64\".", Machine::X86_64),
            None
        );
    }
}

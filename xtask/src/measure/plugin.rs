//! QEMU's plugin that counts instructions (`benches/count/plugin.c`), and what is counted with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::setup::debian;
use crate::{command, workspace};

/// Compiles the plugin for a program of QEMU.
pub(super) fn compile(folder: &Path, qemu: &str) -> Result<PathBuf> {
    debian::provide("gcc", "gcc")?;
    let version = command::quiet_output(Command::new(qemu).arg("--version"))?;
    let plugin = folder.join("plugin.so");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]);
    gcc.arg(format!("-DINTERFACE={}", plugin_interface(&version)?)).arg("-o").arg(&plugin);
    command::run_to_stderr(gcc.arg(workspace::root().join("benches/count/plugin.c")))?;
    Ok(plugin)
}

/// What `run` takes more for the second number of calls than for the first, and what it printed: it runs a program with
/// the plugin, which writes to `out`. Numbers of as many digits each, so that reading them takes as long.
pub(super) fn difference(
    out: &Path,
    calls: [u32; 2],
    mut run: impl FnMut(u32) -> Result<String>,
) -> Result<(u64, String)> {
    let mut printed = String::new();
    let mut totals = [0; 2];
    for (total, calls) in totals.iter_mut().zip(calls) {
        printed = run(calls)?;
        let text = fs::read_to_string(out)?;
        *total = text.trim().parse::<u64>().with_context(|| format!("{}: {text:?}", out.display()))?;
        // What a run did not write must not be taken for its count.
        fs::remove_file(out)?;
    }
    Ok((totals[1].checked_sub(totals[0]).context("more calls took fewer instructions")?, printed))
}

/// The version of the plugin interface that every QEMU of that version knows.
fn plugin_interface(version: &str) -> Result<u32> {
    let number = version.split_once("version ").and_then(|(_, rest)| rest.split('.').next()?.parse::<u32>().ok());
    let major = number.with_context(|| format!("not the version of QEMU: {version:?}"))?;
    Ok(if major < 9 { 1 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_follows_the_version_of_qemu() {
        let debian_12 = "qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022";
        assert_eq!(plugin_interface(debian_12).expect("a version"), 1);
        assert_eq!(plugin_interface("qemu-aarch64 version 10.0.2").expect("a version"), 2);
        assert!(plugin_interface("").is_err());
    }
}

//! Cargo's own commands.

use std::collections::BTreeMap;
use std::env::consts::DLL_EXTENSION;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{command, workspace};

/// A cargo command at the project's root.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(workspace::cargo_program());
    command.args(arguments).current_dir(workspace::root());
    command
}

/// Features of [`workspace()`] without libtorch.
pub(crate) const WITHOUT_TORCH: [&str; 3] =
    ["--no-default-features", "--features", "xsfm-convert/raw,xsfm-runtime/std"];

/// A cargo command for this machine that selects all packages, whatever it builds: cargo chooses the features of other
/// crates by the selection, and would compile Arrow and Parquet anew for each.
pub(crate) fn workspace(verb: &str) -> Command {
    command(&[verb, "--workspace"])
}

/// Builds `xsfm` as tests run it.
pub(crate) fn xsfm() -> Result<PathBuf> {
    built(workspace("build").args(["--bin", "xsfm"]), "xsfm")
}

/// Runs a `cargo build` and gives the program `name` that it made.
pub(crate) fn built(build: &mut Command, name: &str) -> Result<PathBuf> {
    built_all(build)?.remove(name).with_context(|| format!("cargo built no program {name:?}"))
}

/// Runs a `cargo build` and gives the programs that it made, by name.
pub(crate) fn built_all(build: &mut Command) -> Result<BTreeMap<String, PathBuf>> {
    Ok(artifacts(build)?.into_iter().filter_map(|made| Some((made.target.name, made.executable?))).collect())
}

/// Runs a `cargo build` and gives the dynamic library `name` that it made.
pub(crate) fn library(build: &mut Command, name: &str) -> Result<PathBuf> {
    let mut files =
        artifacts(build)?.into_iter().filter(|made| made.target.name == name).flat_map(|made| made.filenames);
    let found = files.find(|file| file.extension() == Some(OsStr::new(DLL_EXTENSION)));
    found.with_context(|| format!("cargo built no library {name:?}"))
}

/// What a `cargo build` made.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn artifacts(build: &mut Command) -> Result<Vec<Artifact>> {
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let messages = command::output(build)?;
    // Other messages have other members.
    Ok(messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

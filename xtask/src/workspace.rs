//! Where things are, and cargo's own commands.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use xsfm_interchange::output;

use crate::command;

/// The project's root.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The small student that the project trained itself.
pub(crate) fn pretrained() -> PathBuf {
    root().join("tests/fixtures/movielens-student")
}

/// The folder of models that lie beside the project on some machines; `None`, said aloud, elsewhere.
pub(crate) fn golden_models() -> Result<Vec<PathBuf>> {
    let folder = root().join("../shared/golden");
    if !folder.is_dir() {
        output::say("NOTE: ../shared/golden is not there: its models are left out");
        return Ok(Vec::new());
    }
    let entries = folder.read_dir().with_context(|| folder.display().to_string())?;
    let mut models: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("config.json").exists()).collect();
    models.sort();
    if models.is_empty() {
        bail!("{}: no folder with a config.json in it", folder.display());
    }
    Ok(models)
}

/// Where cargo builds the project; installed tools and the demo's results lie there too.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Where cargo builds another workspace of the project.
pub(crate) fn target_of(folder: &str) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join(folder).join("target"), |folder| root().join(folder))
}

/// The folder that outlives a clone: `xsfm` under `$XDG_CACHE_HOME` or `~/.cache`.
pub(crate) fn cache() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".cache"));
    let base = absolute("XDG_CACHE_HOME").or_else(home);
    Ok(base.context("neither XDG_CACHE_HOME nor HOME names a folder for downloads")?.join("xsfm"))
}

/// A few letters that other texts do not have, for a folder's name.
pub(crate) fn short_digest(text: &str) -> String {
    Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The cargo that runs us.
pub(crate) fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A cargo command at the project's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_program());
    command.args(arguments).current_dir(root());
    command
}

/// Runs a `cargo build` and gives the program `name` that it made.
pub(crate) fn built(build: &mut Command, name: &str) -> Result<PathBuf> {
    built_all(build)?.remove(name).with_context(|| format!("cargo built no program {name:?}"))
}

/// Runs a `cargo build` and gives the programs that it made, by name.
pub(crate) fn built_all(build: &mut Command) -> Result<BTreeMap<String, PathBuf>> {
    #[derive(Deserialize)]
    struct Message {
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let messages = command::output(build)?;
    let programs = messages.lines().filter_map(|line| {
        let message: Message = serde_json::from_str(line).ok()?;
        Some((message.target?.name, message.executable?))
    });
    Ok(programs.collect())
}

/// Puts a folder at the front of a command's search path.
pub(crate) fn search_first(command: &mut Command, folder: &Path) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&path));
    command.env("PATH", env::join_paths(folders).with_context(|| folder.display().to_string())?);
    Ok(())
}

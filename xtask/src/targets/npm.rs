//! `cargo xtask npm`: the npm package, with its two modules.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err as fs;
use serde::Deserialize;
use xsfm_interchange::output;

use super::web::{self, Instructions};
use crate::setup::web as setup;
use crate::{command, workspace};

/// Where the package is, from the root.
pub(crate) const PACKAGE: &str = "bindings/npm";
/// The module's.
pub(crate) const CRATE: &str = "xsfm-wasm";
const PROFILE: &str = "npm";
/// What npm takes beside what is listed.
const ALWAYS: [&str; 2] = ["package.json", "README.md"];
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// What a `package.json` lists.
#[derive(Deserialize)]
struct Package {
    files: Vec<String>,
}

/// `cargo xtask npm`: prints where the archive is.
pub(crate) fn run() -> Result<()> {
    output::line(pack(&workspace::target().join("npm"))?.display())?;
    Ok(())
}

/// Builds the package and packs it into `folder`; gives the archive.
pub(crate) fn pack(folder: &Path) -> Result<PathBuf> {
    setup::node()?;
    let package = folder.join("package");
    lay(&package)?;
    let mut pack = setup::npm(&package, &["pack", "--json", "--pack-destination"]);
    let packed: serde_json::Value = serde_json::from_str(&command::output(pack.arg(folder))?)?;
    let name = packed[0]["filename"].as_str().context("`npm pack` names no archive")?;
    Ok(folder.join(name))
}

/// Builds the package's files into `folder`, as they are in the archive.
pub(crate) fn lay(folder: &Path) -> Result<()> {
    let modules = Instructions::ALL.map(|set| (set, web::module("", CRATE, PROFILE, set)));
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (set, module) in modules {
        fs::copy(module?, folder.join(format!("xsfm-{}.wasm", set.backend().name())))?;
    }
    let source = workspace::root().join(PACKAGE);
    let package: Package = serde_json::from_slice(&fs::read(source.join("package.json"))?)?;
    let scripts = package.files.iter().map(String::as_str).filter(|file| !file.ends_with(".wasm"));
    for file in scripts.chain(ALWAYS) {
        fs::copy(source.join(file), folder.join(file))?;
    }
    for file in LICENCES {
        fs::copy(workspace::root().join(file), folder.join(file))?;
    }
    Ok(())
}

//! Node with npm's packages, and a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::debian;
use super::once::once;
use crate::{command, workspace};

/// What tests take of npm: what drives a browser, and the compiler that reads our types.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "typescript@7.0.2"];
/// The oldest node that the package is for.
const NODE: u32 = 20;
const CHROMIUM: &str = "/usr/bin/chromium";

/// Makes sure that there are node, of a version that the package is for, and npm.
pub(crate) fn node() -> Result<()> {
    debian::provide("node", "nodejs")?;
    debian::provide("npm", "npm")?;
    let version = command::quiet_output(Command::new("node").arg("--version"))?;
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < NODE) {
        bail!("node is {}, {NODE} or later needed: Debian 13 has one, nodejs.org has others", version.trim());
    }
    Ok(())
}

/// An npm command in `folder`, that runs no package's scripts.
pub(crate) fn npm(folder: &Path, words: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]).args(words).current_dir(folder);
    npm
}

/// The folder with npm's packages for tests, in `node_modules`.
pub(crate) fn packages() -> Result<PathBuf> {
    node()?;
    let folder = workspace::cache()?.join(format!("npm-{}", workspace::short_digest(&PACKAGES.join(" "))));
    once(&folder, || {
        command::heading("playwright-core, TypeScript: a download of 12 MB, once per user");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), "{}")?;
        let mut install = npm(&folder, &["install", "--save-exact"]);
        command::run_to_stderr(install.args(PACKAGES))
    })?;
    Ok(folder)
}

/// Debian's Chromium.
pub(crate) fn chromium() -> Result<&'static str> {
    if !Path::new(CHROMIUM).exists() {
        debian::install(&["chromium"]).context("Chromium")?;
    }
    Ok(CHROMIUM)
}

//! Python, which fetches wheels. It runs the project's own package (`bindings/python`), and beside this project
//! converters of other engines (`benches/peers`), loops in PyTorch (`benches/training`), other libraries' models
//! (`benches/accuracy`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::debian;
use crate::command;

/// Makes sure that python3 can make virtual environments and fetch wheels into them.
pub(crate) fn set_up() -> Result<()> {
    if !command::succeeds(Command::new("python3").arg("--version")) {
        debian::install(&["python3", "python3-venv"])?;
    }
    // Debian keeps `ensurepip` in a package of its own.
    let complete = || command::succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"]));
    if !complete() {
        debian::install(&["python3-venv"])?;
        if !complete() {
            bail!("python3 cannot make virtual environments: its modules venv and ensurepip are missing");
        }
    }
    Ok(())
}

/// Makes a virtual environment.
pub(crate) fn environment(folder: &Path) -> Result<()> {
    set_up()?;
    command::run_to_stderr(Command::new("python3").args(["-m", "venv"]).arg(folder))
}

/// A `pip` command of a virtual environment.
pub(crate) fn pip(environment: &Path) -> Command {
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "--disable-pip-version-check"]);
    pip
}

/// Where a Python has its packages.
pub(crate) fn packages(python: &Path) -> Result<PathBuf> {
    let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
    Ok(PathBuf::from(command::quiet_output(Command::new(python).args(["-c", ask]))?.trim()))
}

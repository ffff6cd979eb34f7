//! The Python package: installed as a user would, then its own tests.

use std::process::Command;

use anyhow::Result;

use super::programs::{self, Programs};
use crate::setup::{package, torch};
use crate::{command, workspace};

/// Builds both programs, installs the package in a fresh environment, and runs its tests there.
pub(crate) fn test() -> Result<()> {
    let Programs { train, xsfm } = programs::build(&torch::set_up()?)?;
    let scratch = tempfile::tempdir()?;
    let environment = scratch.path().join("environment");
    let python = package::install(&environment)?;
    package::add_tests(&environment)?;
    let mut tests = Command::new(python);
    tests.args(["-m", "pytest", "-p", "no:cacheprovider"]).current_dir(workspace::root().join(package::PACKAGE));
    command::run(tests.env("XSFM", xsfm).env("XSFM_TRAIN", train))
}

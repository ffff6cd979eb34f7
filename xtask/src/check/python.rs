//! The Python package's own tests.

use std::process::Command;

use anyhow::Result;

use super::programs::{self, Programs};
use crate::setup::{package, torch};
use crate::{command, workspace};

/// Builds both programs and the package, and runs its tests in a fresh environment. `by_pip`: installs it as a user
/// does, which compiles it anew, optimised.
pub(crate) fn test(by_pip: bool) -> Result<()> {
    let Programs { train, xsfm } = programs::build(&torch::set_up()?)?;
    let scratch = tempfile::tempdir()?;
    let environment = scratch.path().join("environment");
    let python = if by_pip { package::install(&environment)? } else { package::place(&environment)? };
    package::add_tests(&environment)?;
    let mut tests = Command::new(python);
    tests.args(["-m", "pytest", "-p", "no:cacheprovider"]).current_dir(workspace::root().join(package::PACKAGE));
    command::run(tests.env("XSFM", xsfm).env("XSFM_TRAIN", train))
}

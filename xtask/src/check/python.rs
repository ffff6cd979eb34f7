//! The Python package's own tests.

use std::process::Command;

use anyhow::Result;

use super::programs::{self, Programs};
use crate::setup::{package, torch};
use crate::{cargo, command, workspace};

/// Builds both programs and the package, and runs its tests in a fresh environment. `by_pip`: installs it as a user
/// does, which compiles it anew, optimised.
pub(crate) fn test(by_pip: bool) -> Result<()> {
    let torch = torch::set_up()?;
    let Programs { train, xsfm } = programs::build(&torch)?;
    let scratch = tempfile::tempdir()?;
    let environment = scratch.path().join("environment");
    let python = match by_pip {
        true => package::install(&environment)?,
        false => package::place(&environment, torch.use_in(&mut cargo::workspace("build")))?,
    };
    package::add_tests(&environment)?;
    let mut tests = Command::new(python);
    // With the trainer's default features, as all crates are tested, it is linked with libtorch.
    torch.use_in(&mut tests);
    tests.args(["-m", "pytest", "-p", "no:cacheprovider"]).current_dir(workspace::root().join(package::PACKAGE));
    command::run(tests.env("XSFM", xsfm).env("XSFM_TRAIN", train))
}

//! When something was measured, and from which commit.

use std::process::Command;

use anyhow::Result;

use crate::{command, workspace};

/// The date, as records are named.
///
/// # Errors
/// There is no `date`.
pub(super) fn today() -> Result<String> {
    Ok(command::quiet_output(Command::new("date").arg("+%F"))?.trim().to_owned())
}

/// The commit, or a word where there is no git.
pub(super) fn commit() -> String {
    let mut describe = Command::new("git");
    describe.args(["describe", "--always", "--dirty", "--exclude=*"]).current_dir(workspace::root());
    let output = describe.output().ok().filter(|output| output.status.success());
    output.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

//! Debian packages: installed by root or a sudo that asks nothing; otherwise the user gets the one line to run.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::once::alone;
use crate::command;

/// Installs those of `packages` that are missing.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    // Whoever waits finds them installed.
    alone("debian", || install_missing(packages))
}

fn install_missing(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let prefix = match privilege() {
        Some(prefix) if has_apt() => prefix,
        _ => bail!("{}", instruction(&missing)),
    };
    command::heading(&format!("Debian packages: {}", missing.join(" ")));
    let apt = |arguments: &[&str]| {
        let mut words = prefix.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
        words.extend(arguments);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command::run_to_stderr(&mut command)
    };
    // A machine that was set up long ago, or just now, has no usable lists.
    apt(&["update"])?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install).with_context(|| instruction(&missing))
}

/// Makes sure that `program` can be started, by installing `package` where it cannot.
pub(crate) fn provide(program: &str, package: &str) -> Result<()> {
    if command::succeeds(Command::new(program).arg("--version")) { Ok(()) } else { install(&[package]) }
}

/// What a user who may not install packages has to do.
fn instruction(missing: &[&str]) -> String {
    format!(
        "packages are missing. Run this line, then the same task again:\n\n    \
         sudo apt-get update && sudo apt-get install --no-install-recommends {}\n\n\
         (On a system that is not Debian or Ubuntu, install what corresponds to them.)",
        missing.join(" ")
    )
}

/// The words before `apt-get`, where this user may install packages without being asked.
fn privilege() -> Option<&'static [&'static str]> {
    let id = command::quiet_output(Command::new("id").arg("-u")).unwrap_or_default();
    if id.trim() == "0" {
        return Some(&[]);
    }
    command::succeeds(Command::new("sudo").args(["-n", "true"])).then_some(&["sudo", "-n"])
}

fn has_apt() -> bool {
    Path::new("/usr/bin/apt-get").exists()
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", package]).stderr(Stdio::null());
    query.output().is_ok_and(|output| output.status.success() && output.stdout == b"installed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_is_one_line_to_run() {
        let text = instruction(&["qemu-user", "g++"]);
        let line = "    sudo apt-get update && sudo apt-get install --no-install-recommends qemu-user g++";
        assert!(text.lines().any(|l| l == line), "{text}");
    }

    #[test]
    fn a_package_that_does_not_exist_is_not_installed() {
        assert!(!is_installed("no-such-package-here"));
    }
}

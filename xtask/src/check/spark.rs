//! Preparation and scoring on Spark, a real cluster of several processes, and on Sail, against one machine.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use super::programs::{self, Programs};
use crate::setup::{movielens, package, python, spark, tables, torch};
use crate::{command, workspace};

/// Rows of Criteo's columns, and how many where rates are asked for.
const ROWS: &str = "160000";
const MEASURED_ROWS: &str = "2000000";

/// Installs the package in a fresh environment, and runs `tests/cluster/check.py` and `sail.py` with it. `measure`:
/// with rates, of programs that are optimised, and more rows; then not on Sail.
pub(crate) fn test(measure: bool) -> Result<()> {
    let environment = spark::set_up()?;
    let torch = torch::set_up()?;
    let Programs { train, xsfm } = if measure { programs::release()? } else { programs::build(&torch)? };
    let (movielens, reviews) = (movielens::set_up()?, tables::reviews()?);
    let scratch = tempfile::tempdir()?;
    let own = scratch.path().join("environment");
    // Rates are those of what pip installs.
    let python = if measure { package::install(&own)? } else { package::place(&own)? };
    let installed = python::packages(&python)?;
    let script = |python: &Path, name: &str| {
        let mut check = Command::new(python);
        check.arg(workspace::root().join(package::PACKAGE).join("tests/cluster").join(name));
        check.env("XSFM", &xsfm).env("XSFM_TRAIN", &train);
        check
    };
    // Spark's environment is found behind the package's own.
    find(&installed, &[&python::packages(&environment.join("bin/python"))?])?;
    let mut check = script(&python, "check.py");
    check.args(["--rows", if measure { MEASURED_ROWS } else { ROWS }]).args(measure.then_some("--measure"));
    command::run(check.arg("--movielens").arg(movielens).arg("--reviews").arg(reviews))?;
    if measure {
        return Ok(());
    }
    // The package as it was installed, behind what Sail wants.
    let with_sail = scratch.path().join("with-sail");
    python::environment(&with_sail)?;
    let python = with_sail.join("bin/python");
    find(&python::packages(&python)?, &[&python::packages(&spark::sail()?.join("bin/python"))?, &installed])?;
    command::run(&mut script(&python, "sail.py"))
}

/// Has a Python whose own packages are in `folder` look in others too.
fn find(folder: &Path, others: &[&Path]) -> Result<()> {
    let lines: String = others.iter().map(|folder| format!("{}\n", folder.display())).collect();
    Ok(fs::write(folder.join("others.pth"), lines)?)
}

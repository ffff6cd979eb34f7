//! Preparation and scoring on Spark: a real cluster of several processes against one machine.

use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use super::programs::{self, Programs};
use crate::setup::{movielens, package, python, spark, tables, torch};
use crate::{command, workspace};

/// Rows of Criteo's columns, and how many where rates are asked for.
const ROWS: &str = "160000";
const MEASURED_ROWS: &str = "2000000";

/// Installs the package in a fresh environment and runs `tests/cluster/check.py` there. `measure`: with rates, of
/// programs that are optimised, and more rows.
pub(crate) fn test(measure: bool) -> Result<()> {
    let environment = spark::set_up()?;
    let torch = torch::set_up()?;
    let Programs { train, xsfm } = if measure { programs::release()? } else { programs::build(&torch)? };
    let (movielens, reviews) = (movielens::set_up()?, tables::reviews()?);
    let scratch = tempfile::tempdir()?;
    let own = scratch.path().join("environment");
    let python = package::install(&own)?;
    // Spark's environment is found behind the package's own.
    let packages = python::packages(&environment.join("bin/python"))?;
    fs::write(python::packages(&python)?.join("spark.pth"), format!("{}\n", packages.display()))?;
    let mut check = Command::new(python);
    check.arg(workspace::root().join(package::PACKAGE).join("tests/cluster/check.py"));
    check.args(["--rows", if measure { MEASURED_ROWS } else { ROWS }]).args(measure.then_some("--measure"));
    check.arg("--movielens").arg(movielens).arg("--reviews").arg(reviews);
    command::run(check.env("XSFM", xsfm).env("XSFM_TRAIN", train))
}

//! Apache Spark: a Python that has it, and the Java that runs it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::once::once;
use super::{debian, python};
use crate::{command, workspace};

/// Spark hands batches to Python by pyarrow, and wants pandas to be there too; the helpers of our tests import pytest.
const PACKAGES: [&str; 5] = ["numpy==2.4.6", "pandas==3.1.1", "pyarrow==26.0.1", "pyspark==4.3.0", "pytest==9.2.0"];

/// An environment that has them, for packages of other environments to be found beside.
pub(crate) fn set_up() -> Result<PathBuf> {
    if !command::succeeds(Command::new("java").arg("-version")) {
        debian::install(&["openjdk-17-jre-headless"])?;
    }
    // Other versions are another folder.
    let environment = workspace::cache()?.join(format!("spark-{}", workspace::short_digest(&PACKAGES.join(" "))));
    once(&environment, || {
        command::heading("Apache Spark: a download of 450 MB, once per user");
        python::environment(&environment)?;
        let mut pip = python::pip(&environment);
        command::run_to_stderr(pip.args(["install", "--quiet", "--no-cache-dir"]).args(PACKAGES))
    })?;
    Ok(environment)
}

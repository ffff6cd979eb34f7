//! Apache Spark: a Python that has it, and the Java that runs it; and Sail, which has neither.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::once::once;
use super::{debian, python};
use crate::{command, workspace};

/// Spark hands batches to Python by pyarrow, and wants pandas to be there too; the helpers of our tests import pytest.
const PACKAGES: [&str; 5] = ["numpy==2.4.6", "pandas==3.1.1", "pyarrow==26.0.1", "pyspark==4.3.0", "pytest==9.2.0"];

/// Sail refuses later versions of pyspark.
const OF_SAIL: [&str; 6] =
    ["numpy==2.4.6", "pandas==2.3.3", "pyarrow==22.0.0", "pysail==0.7.2", "pyspark-client==4.2.0", "pytest==9.2.0"];

/// An environment that has Spark, for packages of other environments to be found beside.
pub(crate) fn set_up() -> Result<PathBuf> {
    if !command::succeeds(Command::new("java").arg("-version")) {
        debian::install(&["openjdk-17-jre-headless"])?;
    }
    environment("spark", "Apache Spark: a download of 450 MB, once per user", &PACKAGES)
}

/// The same with Sail.
pub(crate) fn sail() -> Result<PathBuf> {
    environment("sail", "Sail: a download of 200 MB, once per user", &OF_SAIL)
}

fn environment(name: &str, heading: &str, packages: &[&str]) -> Result<PathBuf> {
    // Other versions are another folder.
    let digest = workspace::short_digest(&packages.join(" "));
    let environment = workspace::cache()?.join(format!("{name}-{digest}"));
    once(&environment, || {
        command::heading(heading);
        python::environment(&environment)?;
        let mut pip = python::pip(&environment);
        command::run_to_stderr(pip.args(["install", "--quiet", "--no-cache-dir"]).args(packages))
    })?;
    Ok(environment)
}

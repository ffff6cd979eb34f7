//! The Python package, as a user installs it, and what its tests need beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fs_err as fs;
use xsfm_interchange::output;

use super::{python, torch};
use crate::{cargo, command, workspace};

/// Where the package is, from the root.
pub(crate) const PACKAGE: &str = "bindings/python";
/// What its tests import.
const TESTS: [&str; 7] = [
    "joblib==1.6.0",
    "matplotlib==3.11.2",
    "pandas==3.1.1",
    "polars==2.1.0",
    "pyarrow==26.0.1",
    "pytest==9.2.0",
    "scikit-learn==1.9.1",
];
/// All that the package may bring.
const BROUGHT: [&str; 2] = ["numpy", "xsfm"];
/// What the first installation may take.
const MOST: Duration = Duration::from_secs(300);
/// What the package asks for.
const NUMPY: &str = "numpy>=1.22";

/// Puts the package in a fresh environment at `folder` as a build of the workspace without libtorch makes it, which is
/// faster than pip's; gives its Python. Linked with libtorch, it crashes in a Python.
pub(crate) fn place(folder: &Path) -> Result<PathBuf> {
    python::environment(folder)?;
    command::run_to_stderr(python::pip(folder).args(["install", "--quiet", NUMPY]))?;
    let mut build = cargo::workspace("build");
    let library = cargo::library(build.arg("--lib").args(cargo::WITHOUT_TORCH), "xsfm_python")?;
    let python = folder.join("bin/python");
    let package = python::packages(&python)?.join("xsfm");
    copy(&workspace::root().join(PACKAGE).join("python/xsfm"), &package)?;
    fs::copy(library, package.join("_xsfm.abi3.so"))?;
    Ok(python)
}

/// Copies a folder of modules, and those in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() { copy(&path, &to)? } else { fs::copy(&path, &to).map(drop)? }
    }
    Ok(())
}

/// Installs the package by plain pip in a fresh environment at `folder`; gives its Python.
pub(crate) fn install(folder: &Path) -> Result<PathBuf> {
    python::environment(folder)?;
    let start = Instant::now();
    let mut pip = python::pip(folder);
    command::run_to_stderr(pip.args(["install", "--no-cache-dir"]).arg(workspace::root().join(PACKAGE)))?;
    let took = start.elapsed();
    output::say(format_args!("installed in {:.0} s", took.as_secs_f64()));
    if took > MOST {
        output::say(format_args!("NOTE: more than {:.0} s", MOST.as_secs_f64()));
    }
    let python = folder.join("bin/python");
    let ask = "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))";
    let found = command::quiet_output(Command::new(&python).args(["-c", ask]))?;
    let of_python = ["pip", "setuptools", "wheel"];
    let brought: Vec<&str> = found.split_whitespace().filter(|name| !of_python.contains(name)).collect();
    if brought != BROUGHT {
        bail!("the package brings {brought:?}, {BROUGHT:?} expected");
    }
    Ok(python)
}

/// Adds what the tests import to an environment; PyTorch is found where it is, after what the environment has itself.
pub(crate) fn add_tests(folder: &Path) -> Result<()> {
    let mut pip = python::pip(folder);
    command::run_to_stderr(pip.args(["install", "--quiet"]).args(TESTS))?;
    let own = python::packages(&folder.join("bin/python"))?;
    Ok(fs::write(own.join("torch.pth"), format!("{}\n", python::packages(&torch::python()?)?.display()))?)
}

//! libtorch, from PyPI's wheel, which brings CUDA too: `LIBTORCH` is used where it is set, else one copy per user.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::once::once;
use super::{debian, python};
use crate::{command, workspace};

/// The version that `tch` wants.
const VERSION: &str = "2.13.0";

/// A libtorch that is there.
#[derive(Debug)]
pub(crate) struct Torch {
    /// The folder with `include` and `lib`.
    pub(crate) folder: PathBuf,
}

/// Finds libtorch, or installs it.
pub(crate) fn set_up() -> Result<Torch> {
    // tch has a C++ part.
    debian::provide("c++", "g++")?;
    if let Some(folder) = env::var_os("LIBTORCH").filter(|folder| !folder.is_empty()) {
        return check(PathBuf::from(folder)).context("LIBTORCH is set");
    }
    package(&environment()?)
}

/// A Python that has PyTorch of the same version, whatever `LIBTORCH` is.
pub(crate) fn python() -> Result<PathBuf> {
    Ok(environment()?.join("bin/python"))
}

/// The virtual environment with PyTorch, made where it is missing.
fn environment() -> Result<PathBuf> {
    let environment = workspace::cache()?.join(format!("torch-{VERSION}"));
    once(&environment, || {
        command::heading(&format!("libtorch {VERSION}: a download of about 3 GB, 5 GB on disk, once per user"));
        python::environment(&environment)?;
        let wheel = format!("torch=={VERSION}");
        command::run_to_stderr(python::pip(&environment).args(["install", "--no-cache-dir", &wheel]))?;
        package(&environment).map(|_| ())
    })?;
    Ok(environment)
}

/// The package's folder in a virtual environment.
fn package(environment: &Path) -> Result<Torch> {
    check(python::packages(&environment.join("bin/python"))?.join("torch"))
}

fn check(folder: PathBuf) -> Result<Torch> {
    let torch = Torch { folder };
    let library = torch.library();
    if !library.exists() {
        bail!("no libtorch: {} is not there", library.display());
    }
    Ok(torch)
}

impl Torch {
    /// The file that says that it is there.
    pub(crate) fn library(&self) -> PathBuf {
        self.folder.join("lib/libtorch.so")
    }

    /// Lets cargo build with this libtorch. Programs find it by their rpath, but rustdoc's examples have none.
    pub(crate) fn use_in<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("LIBTORCH", &self.folder).env("LD_LIBRARY_PATH", self.folder.join("lib"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_libtorch_is_named() {
        let error = check(PathBuf::from("/nowhere/torch")).expect_err("not there").to_string();
        assert!(error.contains("/nowhere/torch/lib/libtorch.so"), "{error}");
    }
}

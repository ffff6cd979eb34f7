//! Other libraries that train models of clicks, from PyPI, beside the PyTorch that the project has.

use std::path::PathBuf;

use anyhow::Result;
use fs_err as fs;

use super::once::once;
use super::{python, torch};
use crate::{command, workspace};

/// What they import. The libraries ask for versions of ray that exclude each other, and for more that no model needs.
const NEEDED: [&str; 20] = [
    "colorama==0.4.4",
    "colorlog==4.7.2",
    "h5py==3.16.0",
    "lightgbm==4.7.0",
    "numpy==2.4.6",
    "pandas==3.1.1",
    "polars==2.1.0",
    "psutil==7.2.2",
    "pyarrow==26.0.1",
    "pydantic==2.14.4",
    "PyYAML==6.0.4",
    "ray==2.60.0",
    "scikit-learn==1.9.1",
    "scipy==1.17.1",
    "setuptools==65.5.0",
    "tabulate==0.10.0",
    "tensorboard==2.21.0",
    "texttable==1.7.2",
    "thop==0.1.1.post2209072238",
    "tqdm==4.70.1",
];
const LIBRARIES: [&str; 2] = ["fuxictr==2.3.10", "recbole==1.2.1"];

/// A Python that has the libraries, with the versions in their names.
pub(crate) fn set_up() -> Result<PathBuf> {
    let versions = [&NEEDED[..], &LIBRARIES].concat().join(" ");
    // Other versions are another folder.
    let environment = workspace::cache()?.join(format!("accuracy-{}", workspace::short_digest(&versions)));
    let with_torch = torch::python()?;
    once(&environment, || {
        command::heading("FuxiCTR, RecBole, LightGBM: a download of about 300 MB, 1 GB on disk, once per user");
        python::environment(&environment)?;
        // The modules of the Python that has PyTorch are found too, after its own.
        let paths = python::packages(&environment.join("bin/python"))?.join("torch.pth");
        fs::write(&paths, format!("{}\n", python::packages(&with_torch)?.display()))?;
        let pip = |words: &[&str]| {
            let mut pip = python::pip(&environment);
            command::run_to_stderr(pip.args(["install", "--quiet", "--no-cache-dir"]).args(words))
        };
        pip(&NEEDED)?;
        pip(&[&["--no-deps"][..], &LIBRARIES].concat())
    })?;
    Ok(environment.join("bin/python"))
}

//! Both programs, as tests run them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo;
use crate::setup::torch::Torch;

/// `xsfm-train` and `xsfm`.
pub(super) struct Programs {
    pub(super) train: PathBuf,
    pub(super) xsfm: PathBuf,
}

/// Builds them optimised, and without libtorch, which neither preparation nor scoring needs.
pub(super) fn release() -> Result<Programs> {
    let mut build = cargo::workspace("build");
    build.args(["--release", "--bin", "xsfm-train", "--bin", "xsfm"]).args(cargo::WITHOUT_TORCH);
    programs(cargo::built_all(&mut build)?)
}

/// Builds them with what the crates' tests are built with.
pub(super) fn build(torch: &Torch) -> Result<Programs> {
    let mut build = cargo::workspace("build");
    programs(cargo::built_all(torch.use_in(build.args(["--bin", "xsfm-train", "--bin", "xsfm"])))?)
}

fn programs(mut built: BTreeMap<String, PathBuf>) -> Result<Programs> {
    let mut program = |name: &str| built.remove(name).with_context(|| format!("cargo built no {name}"));
    Ok(Programs { train: program("xsfm-train")?, xsfm: program("xsfm")? })
}

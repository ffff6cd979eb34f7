//! Where things are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use sha2::{Digest, Sha256};
use xsfm_interchange::output;

/// The project's root.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Where the firmware examples' workspace is, from the root.
pub(crate) const EXAMPLES: &str = "firmware-examples";

/// The small student that the project trained itself.
pub(crate) fn pretrained() -> PathBuf {
    root().join("tests/fixtures/movielens-student")
}

/// One that it trained before, for its quotient-remainder tables.
pub(crate) fn with_products() -> PathBuf {
    root().join("tests/fixtures/movielens-student-qr")
}

/// A student whose file has what raw values mean.
pub(crate) fn with_vocabulary() -> PathBuf {
    root().join("tests/fixtures/raw-values")
}

/// Rows for it, a tab between fields, and the names of their columns in its training data.
pub(crate) fn raw_rows() -> (PathBuf, &'static str) {
    (root().join("firmware-examples/programs/raw.tsv"), "user,genres,price,when")
}

/// The folder of models that lie beside the project on some machines; `None`, said aloud, elsewhere.
pub(crate) fn golden_models() -> Result<Vec<PathBuf>> {
    let folder = root().join("../shared/golden");
    if !folder.is_dir() {
        output::say("NOTE: ../shared/golden is not there: its models are left out");
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder)?;
    let mut models: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("config.json").exists()).collect();
    models.sort();
    if models.is_empty() {
        bail!("{}: no folder with a config.json in it", folder.display());
    }
    Ok(models)
}

/// Where cargo builds the project; installed tools and the demo's results lie there too.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Where cargo builds another workspace of the project.
pub(crate) fn target_of(folder: &str) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join(folder).join("target"), |folder| root().join(folder))
}

/// The folder that outlives a clone: `xsfm` under `$XDG_CACHE_HOME` or `~/.cache`.
pub(crate) fn cache() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".cache"));
    let base = absolute("XDG_CACHE_HOME").or_else(home);
    Ok(base.context("neither XDG_CACHE_HOME nor HOME names a folder for downloads")?.join("xsfm"))
}

/// A few letters that other texts do not have, for a folder's name.
pub(crate) fn short_digest(text: &str) -> String {
    Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The cargo that runs us.
pub(crate) fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

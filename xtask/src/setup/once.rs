//! Folders that are made once and kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err::{self as fs, File};
use xsfm_interchange::output;

use crate::workspace;

/// Makes `folder` by `fill`, unless a whole one is there.
///
/// A marker written last tells a whole folder from a half-made one, which is made anew. A lock beside it keeps
/// two clones from making it at the same time.
pub(crate) fn once(folder: &Path, fill: impl FnOnce() -> Result<()>) -> Result<()> {
    let marker = folder.join(COMPLETE);
    if marker.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder.parent().with_context(|| folder.display().to_string())?)?;
    let mut lock_path = folder.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = File::create(PathBuf::from(lock_path))?;
    if lock.try_lock().is_err() {
        output::say(format_args!("waiting for whoever is making {}", folder.display()));
        lock.lock()?;
    }
    // By another since the first look.
    if marker.exists() {
        return Ok(());
    }
    if folder.exists() {
        output::say(format_args!("{}: half-made, made anew", folder.display()));
        fs::remove_dir_all(folder)?;
    }
    fill()?;
    Ok(fs::write(&marker, "")?)
}

/// Does `work` while no other process of this user does any of the same name.
pub(crate) fn alone<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let folder = workspace::cache()?;
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join(format!("{name}.lock")))?;
    lock.lock()?;
    work()
}

/// Name of the marker.
const COMPLETE: &str = "complete";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_half_made_folder_is_made_anew_and_a_whole_one_kept() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("sub/torch-1.2");
        let attempt = |name: &'static str, fails: bool| {
            let folder = folder.clone();
            once(&folder.clone(), move || {
                fs::create_dir_all(&folder)?;
                fs::write(folder.join(name), "")?;
                if fails { anyhow::bail!("cut off") } else { Ok(()) }
            })
        };
        assert!(attempt("first", true).is_err());
        assert!(folder.join("first").exists());
        attempt("second", false).unwrap();
        assert!(!folder.join("first").exists() && folder.join("second").exists());
        attempt("third", false).unwrap();
        assert!(folder.join("second").exists() && !folder.join("third").exists());
    }
}

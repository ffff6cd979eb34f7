//! One process at a time in a folder.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result};
use xsfm_interchange::output;

/// Name of the locked file: it stays, and says nothing. What is locked is known to the system, which unlocks it when
/// its process ends, however it ends.
const FILE: &str = "lock";

/// Keeps other processes out of a folder as long as the file is open, and waits while one is in it: one whose parent
/// was killed may still be at work there. `doing`: what is done there, `training`.
///
/// # Errors
/// Whatever the file system reports.
pub fn lock(folder: &Path, doing: &str) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(FILE);
    let at = || path.display().to_string();
    let file = File::create(&path).with_context(at)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            output::say(format_args!("{}: another {doing} is at work here; waiting for its end", folder.display()));
            file.lock().with_context(at)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(at),
    }
    Ok(file)
}

//! Outputs are written beside their place and renamed, so that a reader never sees half a file.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that is being written beside its place. Dropped before [`commit`](Pending::commit), it leaves nothing behind.
#[derive(Debug)]
pub struct Pending {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl Pending {
    /// Opens a temporary file in `path`'s folder, which is created where it is missing.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn create(path: &Path) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder)?;
        let temporary = tempfile::Builder::new().suffix(".tmp").tempfile_in(folder)?;
        Ok(Pending { file: BufWriter::new(temporary), path: path.to_owned() })
    }

    /// The place that the file will take.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is buffered and puts the file in its place.
    ///
    /// # Errors
    /// Whatever the file system reports; the place is then untouched.
    pub fn commit(self) -> io::Result<()> {
        let temporary = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        temporary.as_file().sync_all()?;
        // `tempfile` makes its files private; an output has the permissions that any new file would have.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o644))?;
        }
        temporary.persist(&self.path).map_err(|e| e.error)?;
        Ok(())
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes `path` through `fill`; the file appears whole or not at all.
///
/// # Errors
/// Whatever `fill` or the file system reports; `path` is then untouched.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut pending = Pending::create(path)?;
    fill(&mut pending)?;
    pending.commit()
}

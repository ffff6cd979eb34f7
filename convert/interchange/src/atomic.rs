//! Outputs are written beside their place and renamed, so that a reader never sees half a file.

use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes `path` through `fill`; the file appears whole or not at all.
///
/// # Errors
/// Whatever `fill` or the file system reports; `path` is then untouched.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut temporary = tempfile::Builder::new().suffix(".tmp").tempfile_in(folder)?;
    {
        let mut buffered = BufWriter::new(temporary.as_file_mut());
        fill(&mut buffered)?;
        buffered.flush()?;
    }
    temporary.as_file().sync_all()?;
    // `tempfile` makes its files private; an output has the permissions that any new file would have.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o644))?;
    }
    temporary.persist(path).map_err(|e| e.error)?;
    Ok(())
}

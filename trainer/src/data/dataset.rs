//! Opens folders of encoded rows.

use std::path::Path;

use xsfm_interchange::dataset::{Dataset, DatasetError};

/// Opens a folder that `prepare` or `fold` wrote, and says so where nothing can tell its rows from others.
///
/// # Errors
/// Those of [`Dataset::open`].
pub fn open(folder: &Path) -> Result<Dataset, DatasetError> {
    let data = Dataset::open(folder)?;
    if let Some(note) = data.note() {
        eprintln!("NOTE: {note}");
    }
    Ok(data)
}

//! Opens folders of encoded rows.

use std::path::Path;

use xsfm_interchange::dataset::{Dataset, DatasetError};
use xsfm_interchange::output;

/// Opens a folder that `prepare` or `fold` wrote, and says so where nothing can tell its rows from others.
///
/// # Errors
/// Those of [`Dataset::open`].
pub fn open(folder: &Path) -> Result<Dataset, DatasetError> {
    let data = Dataset::open(folder)?;
    if let Some(note) = data.note() {
        output::say(format_args!("NOTE: {note}"));
    }
    Ok(data)
}

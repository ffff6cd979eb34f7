//! A list of Arrow files whose rows are those of one, for data sets that several machines write.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::fingerprint;
use crate::rows::RowsError;

/// Files of rows in their order, in the folder of the manifest. Each but the last ends where a block of one file of all
/// rows would end, so that their blocks are the same: what is shuffled by blocks is shuffled alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The fingerprint of all rows.
    pub fingerprint: fingerprint::Rows,
    /// The files.
    pub files: Vec<ManifestFile>,
}

/// A file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
}

impl Manifest {
    /// By which a manifest is known.
    pub(super) const EXTENSION: &str = "parts";

    /// Reads a manifest.
    ///
    /// # Errors
    /// The file cannot be read, or is none; a name that leads out of its folder.
    pub fn load(path: &Path) -> Result<Self, RowsError> {
        let text = std::fs::read(path).map_err(RowsError::io(path))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| RowsError::malformed(path, format!("no manifest: {error}")))?;
        match manifest.files.iter().find(|file| !is_plain(&file.name)) {
            Some(file) => Err(RowsError::malformed(path, format!("{:?} is no name of an Arrow file", file.name))),
            None => Ok(manifest),
        }
    }

    /// Writes it; the file appears whole or not at all.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn save(&self, path: &Path) -> Result<(), RowsError> {
        let write = |output: &mut dyn Write| {
            serde_json::to_writer_pretty(&mut *output, self)?;
            output.write_all(b"\n")
        };
        atomic::write(path, write).map_err(RowsError::io(path))
    }
}

/// Whether a name is that of an Arrow file in the folder itself.
fn is_plain(name: &str) -> bool {
    name.ends_with(".arrow") && !name.contains(['/', '\\'])
}

//! The interface of a raw data set: its fields, and passes over its rows in the order of the file.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use xsfm_interchange::input::Input;

use crate::files::Files;
use crate::raw::{Blocks, RawField};

/// A raw data set. Every pass gives the same rows.
pub trait Source: Sync {
    /// The fields, in the order of a row.
    fn fields(&self) -> &[RawField];

    /// What a label of 1 means, in words.
    fn label(&self) -> &str;

    /// The files that the rows come from.
    fn files(&self) -> &Files;

    /// What the rows come from, as it was asked for: a file, a folder, or a pattern.
    fn path(&self) -> &Path {
        self.files().name()
    }

    /// All files that decide what the rows are.
    fn inputs(&self) -> Vec<PathBuf> {
        self.files().parts().to_vec()
    }

    /// Whether rows say when they happened.
    fn has_time(&self) -> bool {
        false
    }

    /// How the rows are read, for `schema.json`.
    fn input(&self) -> Input;

    /// Whether rows say what became of them.
    fn has_labels(&self) -> bool {
        true
    }

    /// Whether rows say how much they count.
    fn has_weights(&self) -> bool {
        false
    }

    /// Columns of the first row that nobody reads, where they have names.
    fn unread(&self) -> &[String] {
        &[]
    }

    /// Begins a pass over the rows in the order of the files. `progress` counts bytes of [`files`](Self::files).
    fn blocks(&self, progress: &ProgressBar) -> Blocks<'_>;
}

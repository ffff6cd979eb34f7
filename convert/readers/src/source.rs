//! The interface of a raw data set: its fields, and passes over its rows in the order of the file.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use xsfm_interchange::input::Input;

use crate::error::DataError;
use crate::files::Files;
use crate::raw::{Blocks, Place, RawField};

/// A raw data set. Every pass gives the same rows.
pub trait Source: Send + Sync {
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

    /// Begins to read one of the [`files`](Self::files), by its number: from its first row on, or from a place where a
    /// block of it has ended. `progress` counts its bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    fn open(&self, file: usize, from: Option<Place>, progress: &ProgressBar) -> Result<Blocks<'_>, DataError>;

    /// Begins a pass over the rows in the order of the files. `progress` counts bytes of [`files`](Self::files).
    fn blocks(&self, progress: &ProgressBar) -> Blocks<'_> {
        let progress = progress.clone();
        self.files().blocks(move |file| self.open(file, None, &progress))
    }

    /// Places that divide a file in spans of at least `rows` rows, as far as it has such places: where each span begins
    /// (the first one at no place), and how many rows it has.
    ///
    /// # Errors
    /// The file cannot be read.
    fn spans(&self, file: usize, rows: u64) -> Result<Vec<(Option<Place>, u64)>, DataError> {
        let (mut spans, mut from, mut count) = (Vec::new(), None, 0);
        for block in self.open(file, None, &ProgressBar::hidden())? {
            let block = block?;
            count += block.rows() as u64;
            if let Some(end) = block.end().filter(|_| count >= rows) {
                spans.push((from.replace(end), std::mem::take(&mut count)));
            }
        }
        if count > 0 || spans.is_empty() {
            spans.push((from, count));
        }
        Ok(spans)
    }
}

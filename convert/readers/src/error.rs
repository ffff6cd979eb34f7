//! Why raw data could not be read.

use std::io;
use std::path::{Path, PathBuf};

use xsfm_interchange::rows::RowsError;
use xsfm_interchange::schema::SchemaError;

/// Why raw data could not be read, or what they became not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file system.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it reported.
        source: io::Error,
    },
    /// A malformed row.
    #[error("{path}:{line}: {what}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong, with the field's name.
        what: String,
    },
    /// More malformed rows than are allowed.
    #[error(
        "{path}: {malformed} of {rows} rows are malformed, more than the {} % that --max-bad allows:\n  {}",
        100.0 * max_bad, examples.join("\n  ")
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Malformed rows so far.
        malformed: u64,
        /// Rows so far, the malformed ones included.
        rows: u64,
        /// The largest share that is allowed.
        max_bad: f64,
        /// The first few of them.
        examples: Vec<String>,
    },
    /// A file that is wrong as a whole.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Rows that are never without labels, asked for without.
    #[error("rows of {rows} have labels")]
    Labelled {
        /// Whose rows.
        rows: &'static str,
    },
    /// Encoded rows.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl DataError {
    /// An error of the file system.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> DataError + '_ {
        move |source| DataError::Io { path: path.to_owned(), source }
    }

    /// A malformed row.
    pub fn row(path: &Path, line: u64, what: impl Into<String>) -> DataError {
        DataError::Row { path: path.to_owned(), line, what: what.into() }
    }

    /// A file that is wrong as a whole.
    pub fn file(path: &Path, what: impl Into<String>) -> DataError {
        DataError::File { path: path.to_owned(), what: what.into() }
    }
}

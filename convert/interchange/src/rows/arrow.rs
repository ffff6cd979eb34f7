//! Encoded rows in an Arrow IPC file.
//!
//! Reading does not go through `arrow-ipc`'s array decoder: that one trusts lengths and offsets of the file (it panics
//! on some malformed files and allocates what they ask for). The layout of our four column types is a few buffers, so
//! they are read straight into the block, each length checked against the rows and the file first.

mod layout;
mod manifest;
mod reader;
mod writer;

pub use self::manifest::{Manifest, ManifestFile};
pub use self::reader::RowsReader;
pub use self::writer::RowsWriter;

/// Where a file says what its indices mean: in the metadata of its schema.
const VOCABULARY_KEY: &str = "xsfm.vocabulary";
/// Where it says which rows it has: in the metadata of its footer, since they are known in the end.
const ROWS_KEY: &str = "xsfm.rows";
/// The fraction bits of the weights of a column that has them.
const WEIGHTS_KEY: &str = "xsfm.weights";

/// What rows have beside their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// A label.
    pub labels: bool,
    /// A weight.
    pub weights: bool,
}

impl Beside {
    /// Their columns.
    fn count(self) -> usize {
        usize::from(self.labels) + usize::from(self.weights)
    }
}

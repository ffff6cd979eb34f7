//! What an engine is, and what its file says of it.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Serialize, Serializer};

/// A model that is ready to score batches of one size, on one thread.
pub(crate) trait Engine {
    /// Scores `indices`, `[batch, num_fields]`, to `logits`, `[batch]`.
    fn run(&mut self, indices: &[u32], logits: &mut [f32]) -> Result<()>;
}

/// An engine and the arithmetic that it is asked for.
#[derive(Debug)]
pub(crate) struct Kind {
    /// As on the command line, and in records.
    pub(crate) name: &'static str,
    /// What it is, in a line.
    pub(crate) about: &'static str,
    /// Whether its answers differ from the model's by rounding alone.
    pub(crate) is_f32: bool,
    /// Whether a model without layers has nothing for it.
    pub(crate) needs_layers: bool,
    /// What must be installed.
    pub(crate) library: Option<LibraryFlag>,
    /// The file in a model's folder that it reads.
    pub(crate) file: &'static str,
    /// Makes it ready for batches of some samples: of its library, empty where it needs none, and its file.
    pub(crate) load: fn(&Path, &Path, usize) -> Result<Box<dyn Engine>>,
}

/// The flag that says where a library is, which is loaded when the program runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LibraryFlag {
    /// Without its dashes.
    pub(crate) name: &'static str,
    /// What the library's file is called.
    pub(crate) file: &'static str,
}

impl Kind {
    /// Makes the engine ready for batches of `batch` samples of the model in `folder`.
    pub(crate) fn create(&self, library: &Path, folder: &Path, batch: usize) -> Result<Box<dyn Engine>> {
        let file = folder.join(self.file);
        (self.load)(library, &file, batch).with_context(|| format!("{}: {}", self.name, file.display()))
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

//! How models are scored while they are measured, and what can go wrong then.

use std::time::Duration;

use xsfm_runtime::{Backend, BatchError, LoadError, Model, ScoreError, ScratchBlock};

use crate::error::Error;

/// How to score.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rows of a call.
    pub batch: usize,
    /// Threads that score at the same time.
    pub threads: usize,
    /// The instructions; the fastest that the CPU has where none is named.
    pub backend: Option<Backend>,
    /// Whether layers are laid in tiles first.
    pub prepare: bool,
    /// Whether to measure the parts.
    pub profile: bool,
    /// Whether to time calls that find nothing in the caches.
    pub cold: bool,
    /// How long to watch single calls beside the usual time.
    pub soak: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Options { batch: 1, threads: 1, backend: None, prepare: true, profile: true, cold: false, soak: None }
    }
}

/// Memory for calls of `batch` rows.
pub(super) fn scratch(model: &Model<'_>, batch: usize) -> Vec<ScratchBlock> {
    vec![ScratchBlock::ZERO; if batch > 1 { model.batch_scratch_blocks() } else { model.scratch_blocks() }]
}

/// The error of a row of a call whose first row is `first`.
pub(super) fn of_row(first: usize) -> impl Fn(BatchError) -> Error {
    move |BatchError { row, error }: BatchError| Error::Row { row: first + row, source: error }
}

/// Why a model was not loaded.
pub(super) fn not_loaded(error: LoadError) -> Error {
    Error::Input(error.to_string())
}

/// Nothing else can be wrong with a model that was loaded.
pub(super) fn no_room(source: ScoreError) -> Error {
    Error::Row { row: 0, source }
}

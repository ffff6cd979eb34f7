//! Models that own their file and their prepared layers, for servers.

use std::boxed::Box;
use std::fmt;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use self_cell::{MutBorrow, self_cell};

use crate::error::{LoadError, ScoreError};
use crate::model::{LoadOptions, Model};
use crate::rank::SplitModel;
use crate::scratch::ScratchBlock;

/// A file, read or mapped: its bytes stay the same, wherever the file's owner moves.
type File = Box<dyn AsRef<[u8]> + Send + Sync>;
/// Memory that is written once, and then read by all.
type Once = MutBorrow<Vec<ScratchBlock>>;

self_cell!(
    struct ModelCell {
        owner: (File, Once),
        #[covariant]
        dependent: Model,
    }
);

self_cell!(
    struct SplitCell {
        owner: (Arc<OwnedModel>, Once),
        #[covariant]
        dependent: SplitModel,
    }
);

/// A model with the file that it lies in and its layers as this CPU wants them: what threads share in an [`Arc`].
///
/// Another one is loaded beside it, and takes its place at once for whoever asks next; the old one goes when the last
/// of those that score with it are done.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let packed = || std::fs::read("../tests/fixtures/movielens-student/model.xsfm");
/// use std::sync::{Arc, RwLock};
/// use xsfm_runtime::{LoadOptions, OwnedModel, Row, Scorer, ScratchBlock};
///
/// let current = RwLock::new(Arc::new(OwnedModel::new(packed()?, LoadOptions::default())?));
///
/// // A thread's request.
/// let model = Arc::clone(&current.read().expect("no writer panics"));
/// let mut scratch = vec![ScratchBlock::ZERO; model.get().scratch_blocks()];
/// let row = Row::with_bags(&[7, 42, 1, 1, 3, 5, 2, 9], &[0, 1, 2, 3, 4, 5, 6, 8]);
/// let score = Scorer::new(model.get(), &mut scratch)?.score(row)?;
///
/// // An update, meanwhile.
/// let next = Arc::new(OwnedModel::new(packed()?, LoadOptions::default())?);
/// *current.write().expect("no reader panics") = next;
/// # assert!(score.logit.is_finite());
/// # Ok(()) }
/// ```
pub struct OwnedModel(ModelCell);

impl OwnedModel {
    /// Loads a file from `bytes`, such as a `Vec<u8>` or a mapped file, and [prepares](Model::prepare) its layers.
    ///
    /// # Errors
    /// As [`Model::from_bytes_with`].
    pub fn new<B>(bytes: B, options: LoadOptions) -> Result<Self, LoadError>
    where
        B: AsRef<[u8]> + Send + Sync + 'static,
    {
        let blocks = Model::from_bytes_with(bytes.as_ref(), options)?.prepared_blocks();
        let checked = LoadOptions { skip_checksum: true, ..options };
        let owner: (File, Once) = (Box::new(bytes), MutBorrow::new(vec![ScratchBlock::ZERO; blocks]));
        let cell = ModelCell::try_new(owner, |(file, prepared)| {
            let model = Model::from_bytes_with((**file).as_ref(), checked)?;
            // There are as many blocks as it asks for.
            Ok(model.prepare(prepared.borrow_mut()).unwrap_or(model))
        })?;
        Ok(OwnedModel(cell))
    }

    /// The model, prepared.
    pub fn get(&self) -> &Model<'_> {
        self.0.borrow_dependent()
    }
}

impl fmt::Debug for OwnedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedModel").field(self.get()).finish()
    }
}

/// A [`SplitModel`] with the model that it is of: what threads that rank share in an [`Arc`].
pub struct OwnedSplit(SplitCell);

impl OwnedSplit {
    /// As [`SplitModel::new`].
    ///
    /// # Errors
    /// [`ScoreError::ContextField`].
    pub fn new(model: Arc<OwnedModel>, context_fields: &[usize]) -> Result<Self, ScoreError> {
        let memory = vec![ScratchBlock::ZERO; SplitModel::blocks(model.get(), context_fields)?];
        let owner = (model, MutBorrow::new(memory));
        SplitCell::try_new(owner, |(model, memory)| SplitModel::new(model.get(), context_fields, memory.borrow_mut()))
            .map(OwnedSplit)
    }

    /// The split model, for [`Ranker::with_split`](crate::Ranker::with_split).
    pub fn get(&self) -> &SplitModel<'_> {
        self.0.borrow_dependent()
    }
}

impl fmt::Debug for OwnedSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedSplit").field(self.get()).finish()
    }
}

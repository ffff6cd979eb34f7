//! Scores rows, one by one or in batches.

use std::fmt;

use crate::error::{BatchError, ScoreError};
use crate::model::Model;
use crate::network::Network;
use crate::row::Row;
use crate::score::{IntegerModel, Integers, RealModel, Reals, Score, check_lengths, score_each};
use crate::scratch::{ScratchBlock, check_room};

/// Scores rows with one model and the caller's scratch; a thread needs its own.
pub struct Scorer<'m> {
    model: Model<'m>,
    scratch: &'m mut [ScratchBlock],
}

impl fmt::Debug for Scorer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer").field("model", &self.model).finish_non_exhaustive()
    }
}

impl<'m> Scorer<'m> {
    /// A scorer that works in `scratch`, of at least [`Model::scratch_blocks`] blocks; with
    /// [`Model::batch_scratch_blocks`] it takes rows of a batch together.
    ///
    /// # Errors
    /// [`ScoreError::ScratchTooSmall`].
    pub fn new(model: &Model<'m>, scratch: &'m mut [ScratchBlock]) -> Result<Self, ScoreError> {
        check_room(model.scratch_blocks(), scratch)?;
        Ok(Scorer { model: *model, scratch })
    }

    /// The score of one row.
    ///
    /// # Errors
    /// Any [`ScoreError`] but `ScratchTooSmall`; the scorer can be used again after one.
    #[inline]
    pub fn score(&mut self, row: Row<'_>) -> Result<Score, ScoreError> {
        let mut score = [Score::default()];
        match self.score_batch(&[row], &mut score) {
            Ok(()) => Ok(score[0]),
            Err(error) => Err(error.error),
        }
    }

    /// The scores of `rows`, with the bits that [`Scorer::score`] gives.
    ///
    /// Rows go through the layers in groups where the model is [prepared](Model::prepare) and the scratch has room; two
    /// together on a Cortex-M4, M7 or M33, where the model is packed for it.
    ///
    /// # Errors
    /// The first row that has no score, by its number; those before it have theirs. [`ScoreError::BatchLength`] where
    /// there is not one score per row.
    pub fn score_batch(&mut self, rows: &[Row<'_>], scores: &mut [Score]) -> Result<(), BatchError> {
        check_lengths(rows, scores).map_err(|error| BatchError { row: 0, error })?;
        let in_groups = self.scratch.len() >= self.model.batch_scratch_blocks();
        let scratch = &mut *self.scratch;
        match &self.model.network {
            Network::Int8 { fwfm, layers, bias, terms } => {
                let model = IntegerModel { fwfm, layers, bias: *bias, terms, context: None };
                self.model.token.run(Integers { model, rows, scores, scratch, in_groups })
            }
            Network::F32 { fwfm, mlp, bias } => {
                let model = RealModel { fwfm, mlp: mlp.as_ref(), bias: *bias, context: None };
                self.model.token.run_reals(Reals { model, rows, scores, scratch, in_groups })
            }
        }
    }

    /// The outcome of each row, its score as [`Scorer::score`] gives it: rows that have none do not keep the others
    /// from theirs.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let packed = include_bytes!("../../tests/fixtures/movielens-student/model.xsfm");
    /// # use xsfm_runtime::{Aligned, Model, Row, Score, ScoreError, Scorer, ScratchBlock};
    /// # let bytes = Aligned(*packed); let bytes = &bytes.0;
    /// # let model = Model::from_bytes(bytes)?;
    /// # let mut scratch = [ScratchBlock::ZERO; 16];
    /// let mut scorer = Scorer::new(&model, &mut scratch)?;
    /// let rows = [7, 1_000_000, 8].map(|user| [user, 42, 1, 1, 3, 5, 2]);
    /// let mut outcomes = [Ok(Score::default()); 3];
    /// scorer.score_each(&rows.each_ref().map(|row| Row::new(row)), &mut outcomes)?;
    /// assert!(matches!(outcomes, [Ok(_), Err(ScoreError::IndexOutOfRange { field: 0, .. }), Ok(_)]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ScoreError::BatchLength`] where there is not one outcome per row.
    pub fn score_each(
        &mut self,
        rows: &[Row<'_>],
        outcomes: &mut [Result<Score, ScoreError>],
    ) -> Result<(), ScoreError> {
        score_each(rows, outcomes, |rows, scores| self.score_batch(rows, scores))
    }
}

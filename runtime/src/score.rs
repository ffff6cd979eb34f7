//! From rows to scores.

mod integer;
mod real;

use std::fmt;

use crate::embedding::SLACK;
use crate::error::{BatchError, ScoreError};
use crate::kernel::Task;
use crate::kernel::vector::{Vector, WIDE_GROUP};
use crate::model::{Model, Parts};
use crate::quant::sigmoid;
use crate::row::Row;
use crate::scratch::ScratchBlock;

pub(crate) use integer::{GatherIntegers, IntegerModel, IntegerSizes, Integers};
pub(crate) use real::{GatherReals, RealModel, Reals};

/// The score of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Score {
    /// Log-odds of a click. In int8 and dynamic mode a multiple of 2^-16 within ±128, the same bits on every CPU.
    pub logit: f32,
}

impl Score {
    /// The probability of a click, `1 / (1 + exp(-logit))`; equal logits give equal bits on every CPU.
    pub fn probability(self) -> f32 {
        sigmoid(self.logit)
    }
}

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
        let (needed, found) = (model.scratch_blocks(), scratch.len());
        if found < needed {
            return Err(ScoreError::ScratchTooSmall { needed, found });
        }
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
    /// Rows go through the layers in groups where the model is [prepared](Model::prepare) and the scratch has room; in pairs on
    /// a Cortex-M4, M7 or M33, where the model is packed for it.
    ///
    /// # Errors
    /// The first row that has no score, by its number; those before it have theirs. [`ScoreError::BatchLength`] where there is
    /// not one score per row.
    pub fn score_batch(&mut self, rows: &[Row<'_>], scores: &mut [Score]) -> Result<(), BatchError> {
        if rows.len() != scores.len() {
            let error = ScoreError::BatchLength { rows: rows.len(), scores: scores.len() };
            return Err(BatchError { row: 0, error });
        }
        let in_groups = self.scratch.len() >= self.model.batch_scratch_blocks();
        let scratch = &mut *self.scratch;
        match &self.model.parts {
            Parts::Int8 { shallow, deep, bias, terms } => {
                let model = IntegerModel { shallow, deep, bias: *bias, terms, context: None };
                self.model.chosen.run(Integers { model, rows, scores, scratch, in_groups })
            }
            Parts::F32 { shallow, mlp, bias } => {
                let model = RealModel { shallow, mlp: mlp.as_ref(), bias: *bias, context: None };
                self.model.chosen.run(Reals { model, rows, scores, scratch, in_groups })
            }
        }
    }
}

/// Rows of a batch that are worth a group of their own; fewer go one by one.
const LEAST_GROUP: usize = 3;

/// Rows that are scored together, one or a group.
#[derive(Clone, Copy)]
struct Turn<'t, 'r> {
    rows: &'t [Row<'r>],
    /// Rows that will be scored after them.
    next: &'t [Row<'r>],
    /// Whether nobody has asked for the table rows of `rows`.
    is_first: bool,
}

/// Calls `group` with the rows of a batch and their scores, `most` at a time, or `single` with one.
#[inline(always)]
fn in_turn<'r, S>(
    rows: &[Row<'r>],
    scores: &mut [Score],
    most: usize,
    state: &mut S,
    single: impl Fn(&mut S, Turn<'_, 'r>, &mut [Score]) -> Result<(), BatchError>,
    group: impl Fn(&mut S, Turn<'_, 'r>, &mut [Score]) -> Result<(), BatchError>,
) -> Result<(), BatchError> {
    let (mut done, mut end, mut failed) = (0, rows.len(), Ok(()));
    while done < end {
        let left = end - done;
        let count = match left.min(most) {
            count if count < LEAST_GROUP.min(most) => 1,
            // Groups that go together are whole.
            count if count > WIDE_GROUP => count / WIDE_GROUP * WIDE_GROUP,
            count => count,
        };
        let (rows, next) = rows[done..].split_at(count);
        let turn = Turn { rows, next: &next[..next.len().min(count)], is_first: done == 0 };
        let run = &mut scores[done..done + count];
        let result = if count == 1 { single(state, turn, run) } else { group(state, turn, run) };
        match result {
            Ok(()) => done += count,
            // The rows of its group that come before it are scored without it.
            Err(error) => {
                end = done + error.row;
                failed = Err(BatchError { row: end, ..error });
            }
        }
    }
    failed
}

/// From the vectors of a row to those of the next.
#[inline(always)]
pub(crate) fn stride<W>(inputs: usize) -> usize {
    (inputs + SLACK).next_multiple_of(ScratchBlock::LEN / size_of::<W>())
}

/// Blocks that scores take, one by one or in groups.
pub(crate) fn scratch_blocks(model: &Model<'_>, in_groups: bool) -> usize {
    model.chosen.run(ScratchBlocks { parts: &model.parts, in_groups })
}

struct ScratchBlocks<'t> {
    parts: &'t Parts<'t>,
    in_groups: bool,
}

impl Task for ScratchBlocks<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> usize {
        match self.parts {
            Parts::Int8 { shallow, deep, .. } => integer::blocks::<V>(shallow, deep, self.in_groups),
            Parts::F32 { shallow, mlp, .. } => real::blocks::<V>(shallow, mlp.as_ref(), self.in_groups),
        }
    }
}

//! From rows to scores: how rows of a batch go together, and what all of them share.

mod integer;
mod items;
mod real;

use crate::error::{BatchError, ScoreError};
use crate::kernel::vector::WIDE_GROUP;
use crate::quant::sigmoid;
use crate::row::Row;

pub(crate) use integer::{GatherIntegers, IntegerContext, IntegerModel, Integers, integer_blocks};
pub(crate) use items::{Across, IntegerItems, ItemIntegers, ItemReals, Items, NoScore, RealItems};
pub(crate) use real::{GatherReals, RealContext, RealModel, Reals, real_blocks};

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

/// Rows of a batch that are worth a group of their own; fewer go one by one.
const LEAST_GROUP: usize = 3;

/// Rows that are scored together, one or a group.
#[derive(Clone, Copy)]
struct Batch<'t, 'r> {
    rows: &'t [Row<'r>],
    /// Rows that will be scored after them.
    next: &'t [Row<'r>],
    /// Whether nobody has asked for the table rows of `rows`.
    is_first: bool,
}

/// Calls `group` with rows and their scores, `most` at a time, or `single` with one.
#[inline(always)]
fn in_batches<'r, S>(
    rows: &[Row<'r>],
    scores: &mut [Score],
    most: usize,
    state: &mut S,
    single: impl Fn(&mut S, Batch<'_, 'r>, &mut [Score]) -> Result<(), BatchError>,
    group: impl Fn(&mut S, Batch<'_, 'r>, &mut [Score]) -> Result<(), BatchError>,
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
        let batch = Batch { rows, next: &next[..next.len().min(count)], is_first: done == 0 };
        let run = &mut scores[done..done + count];
        let result = if count == 1 { single(state, batch, run) } else { group(state, batch, run) };
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

/// Whether there is one place for each row's score.
#[inline]
pub(crate) fn check_lengths<T>(rows: &[Row<'_>], scores: &[T]) -> Result<(), ScoreError> {
    let (rows, scores) = (rows.len(), scores.len());
    if rows == scores { Ok(()) } else { Err(ScoreError::BatchLength { rows, scores }) }
}

/// Gives every row its outcome: `score` stops at the first that has no score, and goes on behind it.
pub(crate) fn score_each(
    mut rows: &[Row<'_>],
    mut outcomes: &mut [Result<Score, ScoreError>],
    mut score: impl FnMut(&[Row<'_>], &mut [Score]) -> Result<(), BatchError>,
) -> Result<(), ScoreError> {
    /// Rows that are scored together, a few groups.
    const CHUNK: usize = 4 * WIDE_GROUP;
    check_lengths(rows, outcomes)?;
    let mut scores = [Score::default(); CHUNK];
    while !rows.is_empty() {
        let count = rows.len().min(CHUNK);
        let failed = score(&rows[..count], &mut scores[..count]).err();
        let done = failed.map_or(count, |failed| failed.row);
        for (outcome, &score) in outcomes.iter_mut().zip(&scores[..done]) {
            *outcome = Ok(score);
        }
        if let Some(failed) = failed {
            outcomes[done] = Err(failed.error);
        }
        let taken = done + usize::from(failed.is_some());
        (rows, outcomes) = (&rows[taken..], &mut outcomes[taken..]);
    }
    Ok(())
}

//! Many candidates for one context: what the context's fields add to each score is computed once.
//!
//! The fields of a model are split in two. The context's share of the first-order terms and of the pairs within it are
//! sums; its share of the first layer is where the candidates' sums begin; and its pairs with a candidate's field are
//! one vector per field, `t_j = sum_i r_ij v_i`, so that a candidate adds `<v_j, t_j>`. What remains is a model with
//! the candidate's fields alone.

mod catalogue;
mod context;
mod int8;
mod split;
mod top_k;

use std::fmt;

use crate::error::{BatchError, ScoreError};
use crate::kernel::{Backend, vector::GROUP};
use crate::model::Model;
use crate::row::Row;
use crate::score::{
    IntegerContext, IntegerModel, Integers, RealContext, RealModel, Reals, Score, check_lengths, score_each,
};
use crate::scratch::{Measure, Scratch, ScratchBlock, check_room};
use context::{Context, SetContext};
use split::{Fields, Split, split};

pub use catalogue::{Catalogue, CatalogueParts, CatalogueRanker};
pub use int8::Int8Ranker;
pub use top_k::{Ranked, TopK};

/// A model whose fields are split in a context's and a candidate's: what [rankers](Ranker::with_split) of several
/// threads share.
#[derive(Clone, Copy)]
pub struct SplitModel<'m> {
    model: Model<'m>,
    split: Split<'m>,
    /// Fields of a candidate.
    candidates: usize,
    in_groups: bool,
}

impl fmt::Debug for SplitModel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitModel").field("model", &self.model).finish_non_exhaustive()
    }
}

impl<'m> SplitModel<'m> {
    /// Blocks of memory that [`SplitModel::new`] needs.
    ///
    /// # Errors
    /// [`ScoreError::ContextField`].
    pub fn blocks(model: &Model<'_>, fields: &[usize]) -> Result<usize, ScoreError> {
        Ok(split_blocks(model, &Fields::new(model.num_fields(), fields)?))
    }

    /// Splits a model: `fields`, the context's by number in any order, and the others. `memory` has at least
    /// [`SplitModel::blocks`] blocks.
    ///
    /// # Errors
    /// [`ScoreError::ContextField`], [`ScoreError::ScratchTooSmall`].
    pub fn new(model: &Model<'m>, fields: &[usize], memory: &'m mut [ScratchBlock]) -> Result<Self, ScoreError> {
        let fields = Fields::new(model.num_fields(), fields)?;
        check_room(split_blocks(model, &fields), memory)?;
        let split = split(&model.network, &fields, &mut Scratch::new(memory))?;
        Ok(SplitModel { model: *model, split, candidates: fields.len(false), in_groups: goes_in_groups(model) })
    }

    /// Blocks of memory that [`Ranker::with_split`] needs.
    pub fn ranker_blocks(&self) -> usize {
        ranker_blocks(&self.model, self.candidates)
    }
}

// The split that is measured leaves the stack before the one that is kept comes.
#[inline(never)]
fn split_blocks(model: &Model<'_>, fields: &Fields) -> usize {
    Measure::of(|memory| split(&model.network, fields, memory))
}

/// Without vectors two rows go together at most, and need no other order of weights.
fn goes_in_groups(model: &Model<'_>) -> bool {
    model.is_prepared() || model.backend() == Backend::Portable
}

/// What a ranker needs whose candidates have so many fields.
fn ranker_blocks(model: &Model<'_>, candidates: usize) -> usize {
    model.batch_scratch_blocks() + Measure::of(|memory| Context::carve(&model.network, candidates, memory))
}

/// Scores candidates that share a context, with the bits of scoring each whole row; a thread needs its own.
///
/// In f32 mode the bits are equal where the context's fields come first, all pairs interact, the model is
/// [prepared](Model::prepare) and its MLP, if there is one, has a hidden layer; otherwise sums run in another order.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let packed = include_bytes!("../../tests/fixtures/movielens-student/model.xsfm");
/// use xsfm_runtime::{Aligned, Model, Ranked, Ranker, Row, ScratchBlock};
///
/// # let bytes = Aligned(*packed); let bytes = &bytes.0;
/// let model = Model::from_bytes(bytes)?;
/// // user, age, gender and occupation stay; item, release year and genres change
/// let context_fields = [0, 2, 3, 4];
/// let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(&model, &context_fields)?];
/// let mut ranker = Ranker::new(&model, &context_fields, &mut memory)?;
/// ranker.set_context(Row::new(&[7, 1, 1, 3]))?;
/// let films = [[42, 5, 2], [43, 6, 9], [44, 7, 1]];
/// let mut best = [Ranked::default(); 2];
/// let found = ranker.top_k(films.iter().map(|film| Row::new(film)), &mut best)?;
/// assert_eq!(found, 2);
/// assert!(best[0].score.logit >= best[1].score.logit);
/// # Ok(()) }
/// ```
pub struct Ranker<'m> {
    split: SplitModel<'m>,
    context: Context<'m>,
    has_context: bool,
    scratch: &'m mut [ScratchBlock],
}

impl fmt::Debug for Ranker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ranker").field("split", &self.split).finish_non_exhaustive()
    }
}

impl<'m> Ranker<'m> {
    /// Blocks of memory that [`Ranker::new`] needs.
    ///
    /// # Errors
    /// [`ScoreError::ContextField`].
    pub fn blocks(model: &Model<'_>, context_fields: &[usize]) -> Result<usize, ScoreError> {
        let fields = Fields::new(model.num_fields(), context_fields)?;
        Ok(split_blocks(model, &fields) + ranker_blocks(model, fields.len(false)))
    }

    /// A ranker whose rows are split: `context_fields`, by number in any order, and the others. Its first context has
    /// to be [set](Ranker::set_context).
    ///
    /// It copies the model's first layer, in two parts; `memory` has at least [`Ranker::blocks`] blocks. Several
    /// rankers of the same fields can [share](Ranker::with_split) these.
    ///
    /// # Errors
    /// [`ScoreError::ContextField`], [`ScoreError::ScratchTooSmall`].
    pub fn new(
        model: &Model<'m>,
        context_fields: &[usize],
        memory: &'m mut [ScratchBlock],
    ) -> Result<Self, ScoreError> {
        check_room(Self::blocks(model, context_fields)?, memory)?;
        let fields = Fields::new(model.num_fields(), context_fields)?;
        let (own, shared) = memory.split_at_mut(ranker_blocks(model, fields.len(false)));
        // Not by way of a split model, which would be on the stack once more: hundreds of bytes of a microcontroller's.
        let split = split(&model.network, &fields, &mut Scratch::new(shared))?;
        let (scratch, memory) = own.split_at_mut(model.batch_scratch_blocks());
        let candidates = fields.len(false);
        let context = Context::carve(&model.network, candidates, &mut Scratch::new(memory))?;
        let split = SplitModel { model: *model, split, candidates, in_groups: goes_in_groups(model) };
        Ok(Ranker { split, context, has_context: false, scratch })
    }

    /// A ranker of a model that was split before, with memory for its contexts and scores: at least
    /// [`SplitModel::ranker_blocks`] blocks.
    ///
    /// # Errors
    /// [`ScoreError::ScratchTooSmall`].
    pub fn with_split(split: &SplitModel<'m>, memory: &'m mut [ScratchBlock]) -> Result<Self, ScoreError> {
        check_room(split.ranker_blocks(), memory)?;
        let SplitModel { model, candidates, .. } = split;
        let (scratch, memory) = memory.split_at_mut(model.batch_scratch_blocks());
        let context = Context::carve(&model.network, *candidates, &mut Scratch::new(memory))?;
        Ok(Ranker { split: *split, context, has_context: false, scratch })
    }

    /// Computes what all candidates share. `row` has the context's fields alone, in the model's order.
    ///
    /// # Errors
    /// Any [`ScoreError`] of the row, its field counted among the context's; there is then no context until one is set.
    pub fn set_context(&mut self, row: Row<'_>) -> Result<(), ScoreError> {
        self.has_context = false;
        let Ranker { split: SplitModel { model, split, .. }, context, scratch, .. } = self;
        model.token.run(SetContext { split, context, row, scratch })?;
        self.has_context = true;
        Ok(())
    }

    /// Forgets the context: candidates have no score until the next one is set.
    pub fn clear_context(&mut self) {
        self.has_context = false;
    }

    /// The scores of candidates: rows of the other fields alone, in the model's order.
    ///
    /// # Errors
    /// As [`Scorer::score_batch`](crate::Scorer::score_batch), and [`ScoreError::NoContext`].
    pub fn score_batch(&mut self, rows: &[Row<'_>], scores: &mut [Score]) -> Result<(), BatchError> {
        if !self.has_context {
            return Err(BatchError { row: 0, error: ScoreError::NoContext });
        }
        check_lengths(rows, scores).map_err(|error| BatchError { row: 0, error })?;
        let Ranker { split: SplitModel { model: Model { token, .. }, split, in_groups, .. }, context, scratch, .. } =
            self;
        let in_groups = *in_groups;
        match (split, context) {
            (Split::Integer { sides, layers, bias, terms, .. }, Context::Integer { sums, cross, begun, start }) => {
                let context = Some(IntegerContext { sums: *sums, cross, start });
                let fwfm = &sides.candidate.going_on(begun);
                let model = IntegerModel { fwfm, layers, bias: *bias, terms, context };
                token.run(Integers { model, rows, scores, scratch, in_groups })
            }
            (Split::Real { sides, mlp, bias }, Context::Real { sum, carry, vectors, begun, start }) => {
                let context = Some(RealContext { sum: *sum, carry, vectors, start });
                let fwfm = &sides.candidate.going_on(begun);
                let mlp = mlp.as_ref().map(|(_, mlp)| mlp);
                let model = RealModel { fwfm, mlp, bias: *bias, context };
                token.run_reals(Reals { model, rows, scores, scratch, in_groups })
            }
            // Both are of one model.
            (Split::Integer { .. }, Context::Real { .. }) | (Split::Real { .. }, Context::Integer { .. }) => Ok(()),
        }
    }

    /// The outcome of each candidate: those that have no score do not keep the others from theirs.
    ///
    /// # Errors
    /// [`ScoreError::NoContext`], and [`ScoreError::BatchLength`] where there is not one outcome per row.
    pub fn score_each(
        &mut self,
        rows: &[Row<'_>],
        outcomes: &mut [Result<Score, ScoreError>],
    ) -> Result<(), ScoreError> {
        if !self.has_context {
            return Err(ScoreError::NoContext);
        }
        score_each(rows, outcomes, |rows, scores| self.score_batch(rows, scores))
    }

    /// The best of `candidates`, best first, at most as many as `best` has room for; gives how many they are.
    ///
    /// Equal logits stay in the order of the candidates. Memory does not grow with the number of candidates. [`TopK`]
    /// does the same where a program has something else to do in between.
    ///
    /// # Errors
    /// The first candidate that has no score, by its number.
    pub fn top_k<'r>(
        &mut self,
        candidates: impl IntoIterator<Item = Row<'r>>,
        best: &mut [Ranked],
    ) -> Result<usize, BatchError> {
        /// Candidates that are scored together: a few groups, so that table rows are asked for ahead.
        const CHUNK: usize = 4 * GROUP;
        let (mut rows, mut scores) = ([Row::new(&[]); CHUNK], [Score::default(); CHUNK]);
        let mut top = TopK::new(best);
        let mut candidates = candidates.into_iter();
        loop {
            let mut count = 0;
            for (slot, row) in rows.iter_mut().zip(candidates.by_ref()) {
                *slot = row;
                count += 1;
            }
            let (scores, done) = (&mut scores[..count], top.candidates());
            self.score_batch(&rows[..count], scores).map_err(|error| BatchError { row: done + error.row, ..error })?;
            top.push(scores);
            if count < CHUNK {
                return Ok(top.finish().len());
            }
        }
    }
}

//! Candidates for one context in small programs: int8 mode alone, the first layer read where it lies.

use std::fmt;

use crate::embedding::SLACK;
use crate::error::{ScoreError, Scored};
use crate::format::{Layout, Terms};
use crate::int8::Int8Model;
use crate::kernel::portable::Portable;
use crate::kernel::vector::Task;
use crate::mlp::{Mlp, Run};
use crate::network::Fwfm;
use crate::quant::logit_steps;
use crate::row::Row;
use crate::score::{GatherIntegers, IntegerContext};
use crate::scratch::{Measure, Memory, Scratch, ScratchBlock, check_room};

use super::context::cross_int8;
use super::split::{Fields, Sides, both_sides};

/// Scores candidates that share a context, row by row, with the logits of [`Int8Model::score`] on whole rows.
///
/// What [`Ranker`](crate::Ranker) is to [`Scorer`](crate::Scorer), for programs that must be small: int8 mode alone, no
/// floating point, and nothing of the layers copied.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let packed = include_bytes!("../../../tests/fixtures/movielens-student/model.xsfm");
/// use xsfm_runtime::{Aligned, Int8Model, Int8Ranker, Row, ScratchBlock};
///
/// # let bytes = Aligned(*packed); let bytes = &bytes.0;
/// let model = Int8Model::from_bytes(bytes)?;
/// // user, age, gender and occupation stay; item, release year and genres change
/// let mut memory = [ScratchBlock::ZERO; 40]; // at least Int8Ranker::blocks(&model, &[0, 2, 3, 4])
/// let mut ranker = Int8Ranker::new(&model, &[0, 2, 3, 4], &mut memory)?;
/// ranker.set_context(Row::new(&[7, 1, 1, 3]))?;
/// let steps = ranker.score(Row::new(&[42, 5, 2]))?;
/// # let mut scratch = [ScratchBlock::ZERO; 20];
/// assert_eq!(steps, model.score(Row::new(&[7, 42, 1, 1, 3, 5, 2]), &mut scratch)?);
/// # Ok(()) }
/// ```
pub struct Int8Ranker<'m> {
    sides: Sides<'m, i8, i16>,
    mlp: Option<Mlp<'m, i8, i32, i32>>,
    bias: i32,
    terms: Terms,
    fields: Fields,
    /// Of the candidate's inputs.
    runs: &'m [Run],
    context: Context<'m>,
    has_context: bool,
    scratch: &'m mut [ScratchBlock],
}

/// What a context leaves for its candidates.
struct Context<'m> {
    /// Feature weights, field vectors, pairs.
    sums: [i64; 3],
    cross: &'m mut [i32],
    /// \[rank, dim\]
    begun: &'m mut [i32],
    start: &'m mut [i32],
}

impl fmt::Debug for Int8Ranker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Int8Ranker").field("has_context", &self.has_context).finish_non_exhaustive()
    }
}

/// What a ranker has for long.
fn carve<'m>(
    model: &Int8Model<'m>,
    fields: &Fields,
    memory: &mut impl Memory<'m>,
) -> Scored<(Sides<'m, i8, i16>, &'m [Run], Context<'m>)> {
    let Int8Model { fwfm, mlp, .. } = model;
    let dim = fwfm.embedding.dim;
    let sides = both_sides(fwfm, fields, memory)?;
    let runs = match mlp {
        Some(mlp) => mlp.runs(dim, |field| fields.is_in(field, false), memory)?,
        None => &[],
    };
    let context = Context {
        sums: [0; 3],
        cross: memory.take(fields.len(false) * dim)?,
        begun: memory.take(fwfm.interaction.rank() * dim)?,
        start: memory.take(mlp.as_ref().map_or(0, |mlp| mlp.layer(0).biases.len()))?,
    };
    Ok((sides, runs, context))
}

/// Blocks that a context or a candidate is computed in.
fn working_blocks(model: &Int8Model<'_>) -> usize {
    let Int8Model { fwfm, mlp, .. } = model;
    Measure::of(|memory| {
        // Neither side has more than all fields.
        fwfm.carve_vectors(memory, 1)?;
        fwfm.carve_pairs::<Portable>(memory, 1)?;
        let Some(mlp) = mlp else { return Ok(()) };
        memory.take::<i8>(fwfm.embedding.inputs() + SLACK)?;
        match mlp.layout() {
            Layout::Rows => mlp.carve_rows(memory).map(drop),
            _ => mlp.carve_fours(memory, fwfm.embedding.inputs(), 1).map(drop),
        }
    })
}

impl<'m> Int8Ranker<'m> {
    /// Blocks of memory that [`Int8Ranker::new`] needs: all the RAM beside the stack.
    ///
    /// # Errors
    /// [`ScoreError::ContextField`].
    pub fn blocks(model: &Int8Model<'_>, context_fields: &[usize]) -> Result<usize, ScoreError> {
        let fields = Fields::new(model.num_fields(), context_fields)?;
        Ok(working_blocks(model) + Measure::of(|memory| carve(model, &fields, memory)))
    }

    /// A ranker whose rows are split: `context_fields`, by number in any order, and the others. Its first context has
    /// to be [set](Int8Ranker::set_context). `memory` has at least [`Int8Ranker::blocks`] blocks.
    ///
    /// # Errors
    /// [`ScoreError::ContextField`], [`ScoreError::ScratchTooSmall`].
    pub fn new(
        model: &Int8Model<'m>,
        context_fields: &[usize],
        memory: &'m mut [ScratchBlock],
    ) -> Result<Self, ScoreError> {
        let needed = Self::blocks(model, context_fields)?;
        check_room(needed, memory)?;
        let fields = Fields::new(model.num_fields(), context_fields)?;
        let (scratch, memory) = memory.split_at_mut_checked(working_blocks(model)).unwrap_or_default();
        let (sides, runs, context) = carve(model, &fields, &mut Scratch::new(memory))?;
        let Int8Model { mlp, bias, terms, .. } = *model;
        Ok(Int8Ranker { sides, mlp, bias, terms, fields, runs, context, has_context: false, scratch })
    }

    /// Computes what all candidates share. `row` has the context's fields alone, in the model's order.
    ///
    /// # Errors
    /// Any [`ScoreError`] of the row, its field counted among the context's; there is then no context until one is set.
    pub fn set_context(&mut self, row: Row<'_>) -> Result<(), ScoreError> {
        self.has_context = false;
        let Int8Ranker { sides, mlp, fields, runs, context, scratch, .. } = self;
        let Sides { context: fwfm, cross_weights, .. } = sides;
        let dim = fwfm.embedding.dim;
        let mut memory = Scratch::new(scratch);
        let (acc, e) = fwfm.carve_vectors(&mut memory, 1)?;
        let feature_weight = GatherIntegers { fwfm, row, acc, e: &mut *e, small: true }.run(Portable)?;
        let field_vector = fwfm.field_vectors(Portable, e);
        let pairs = fwfm.carve_pairs::<Portable>(&mut memory, 1)?;
        let of_pairs = fwfm.interaction.begin(Portable, fwfm.embedding.vectors(e), pairs, context.begun);
        context.sums = [feature_weight, field_vector, of_pairs];
        cross_int8(e.get(..fwfm.embedding.inputs()).unwrap_or_default(), cross_weights, dim, context.cross);
        if let Some(mlp) = mlp {
            let x = in_places(e, fields.of(true), dim, fields.count(), &mut memory)?;
            let read = match mlp.layout() {
                Layout::Rows => &mut [],
                _ => mlp.carve_fours(&mut memory, fields.count() * dim, 1)?.0,
            };
            context.start.iter_mut().zip(mlp.layer(0).biases).for_each(|(start, &bias)| *start = bias);
            // The whole layer, whose other inputs are zeros.
            mlp.begin(x, read, context.start);
            if !runs.is_empty() {
                let mut memory = Scratch::new(scratch);
                let zeros = memory.lay::<i8>(fields.count() * dim + SLACK, |_| ())?;
                let (read, _) = mlp.carve_fours(&mut memory, fields.count() * dim, 1)?;
                mlp.less_nothing(zeros, runs, read, context.start);
            }
        }
        self.has_context = true;
        Ok(())
    }

    /// The logit of a candidate in steps of 2^-16, as [`Int8Model::score`] gives that of its whole row. `row` has the
    /// other fields alone, in the model's order.
    ///
    /// # Errors
    /// Any [`ScoreError`] of the row, its field counted among the candidate's, and [`ScoreError::NoContext`].
    pub fn score(&mut self, row: Row<'_>) -> Result<i32, ScoreError> {
        if !self.has_context {
            return Err(ScoreError::NoContext);
        }
        let Int8Ranker { sides, mlp, bias, terms, fields, runs, context, scratch, .. } = self;
        let fwfm: &Fwfm<'_, i8, i16> = &sides.candidate.going_on(context.begun);
        let dim = fwfm.embedding.dim;
        let mut memory = Scratch::new(scratch);
        let (acc, e) = fwfm.carve_vectors(&mut memory, 1)?;
        let feature_weight = GatherIntegers { fwfm, row, acc, e: &mut *e, small: true }.run(Portable)?;
        let mut sums = [feature_weight, fwfm.field_vectors(Portable, e), 0];
        IntegerContext { sums: context.sums, cross: context.cross, start: context.start }.add(&mut sums, e);
        let pairs = fwfm.carve_pairs::<Portable>(&mut memory, 1)?;
        sums[2] += fwfm.interaction.accumulate(Portable, fwfm.embedding.vectors(e), pairs);
        let of_layers = match mlp {
            None => 0,
            Some(mlp) => {
                let x = in_places(e, fields.of(false), dim, fields.count(), &mut memory)?;
                if mlp.layout() == Layout::Rows {
                    let h = mlp.carve_rows(&mut memory)?;
                    mlp.rows_of_some(x, (fields.of(false), dim), context.start, h)
                } else {
                    let room = mlp.carve_fours(&mut memory, fields.count() * dim, 1)?;
                    mlp.fours_of_some(x, runs, context.start, room)
                }
            }
        };
        Ok(logit_steps(*bias, fwfm.steps(terms, sums), terms.mlp.steps(of_layers)))
    }
}

/// e \[some fields, dim\] to x \[num_fields, dim\] and slack, zeros in the places of the others
fn in_places<'s>(
    e: &[i8],
    fields: impl Iterator<Item = usize>,
    dim: usize,
    num_fields: usize,
    memory: &mut impl Memory<'s>,
) -> Scored<&'s [i8]> {
    memory.lay::<i8>(num_fields * dim + SLACK, |x| {
        for (field, e) in fields.zip(crate::run::rows(e, dim)) {
            let to = x.get_mut(field * dim..).unwrap_or_default();
            to.iter_mut().zip(e).for_each(|(x, &e)| *x = e);
        }
    })
}

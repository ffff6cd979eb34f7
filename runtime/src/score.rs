//! From rows to scores.

use std::fmt;

use crate::embedding::{self, Ahead, SLACK};
use crate::error::{BatchError, ScoreError};
use crate::format::layout::tile;
use crate::format::{Layout, Terms};
use crate::interaction::FieldPair;
use crate::kernel::vector::{GROUP, GROUPS, LANES, MATRIX_OUTPUTS, Quad, Vector, WIDE_GROUP};
use crate::kernel::{HAS_PAIRS, PAIR, Task};
use crate::mlp::{TileScratch, interleave_rows};
use crate::model::{Deep, Model, Parts, Shallow};
use crate::quant::{logit_from_steps, logit_steps, sigmoid, steps_of};
use crate::rank::{IntegerContext, RealContext};
use crate::row::Row;
use crate::scratch::{Scratch, ScratchBlock, blocks_of};

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
    /// Rows go through the layers in groups of eight where the model is [prepared](Model::prepare) and the scratch has room; in pairs on
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

/// What int8 and dynamic scores are computed from.
#[derive(Clone, Copy)]
pub(crate) struct IntegerModel<'m> {
    pub(crate) shallow: &'m Shallow<'m, i8, i16>,
    pub(crate) deep: &'m Deep<'m>,
    pub(crate) bias: i32,
    pub(crate) terms: &'m Terms,
    /// What fields that were scored before have added, and begun.
    pub(crate) context: Option<IntegerContext<'m>>,
}

/// Rows to score in int8 or dynamic mode.
pub(crate) struct Integers<'t, 'r> {
    pub(crate) model: IntegerModel<'t>,
    pub(crate) rows: &'t [Row<'r>],
    pub(crate) scores: &'t mut [Score],
    pub(crate) scratch: &'t mut [ScratchBlock],
    pub(crate) in_groups: bool,
}

impl Task for Integers<'_, '_> {
    type Output = Result<(), BatchError>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Self::Output {
        let Integers { model, rows, scores, mut scratch, in_groups } = self;
        in_turn(
            rows,
            scores,
            if in_groups && (V::WIDE || HAS_PAIRS) { model.deep.group::<V>() } else { 1 },
            &mut scratch,
            #[inline(always)]
            |scratch, turn, scores| integers::<V, 1>(v, model, turn, scores, scratch),
            #[inline(always)]
            |scratch, turn, scores| match V::WIDE {
                true if V::MATRIX && turn.rows.len() > GROUP => {
                    integers::<V, WIDE_GROUP>(v, model, turn, scores, scratch)
                }
                true => integers::<V, GROUP>(v, model, turn, scores, scratch),
                false if HAS_PAIRS => integers::<V, PAIR>(v, model, turn, scores, scratch),
                // Never called, and not in the program.
                false => Ok(()),
            },
        )
    }
}

/// scores \[1 to R\]: the scores of rows that go through the layers together
#[inline(always)]
fn integers<V: Vector, const R: usize>(
    v: V,
    model: IntegerModel<'_>,
    turn: Turn<'_, '_>,
    scores: &mut [Score],
    scratch: &mut [ScratchBlock],
) -> Result<(), BatchError> {
    let whole = |error| BatchError { row: 0, error };
    let IntegerModel { shallow, deep, bias, terms, context } = model;
    let (num_fields, dim) = (shallow.embedding.fields.len(), shallow.embedding.dim);
    let sizes = IntegerSizes::new::<V>(shallow, deep.widest(), R);
    let mut scratch = Scratch::new(scratch);
    let acc = scratch.take::<i32>(dim).map_err(whole)?;
    let e = scratch.take::<i8>(R * sizes.stride).map_err(whole)?;
    let Turn { rows, next, is_first } = turn;
    if R == 1 || is_first {
        Ahead::new(&shallow.embedding, rows, 1).finish(v);
    }
    let mut ahead = Ahead::new(&shallow.embedding, if V::WIDE && R > 1 { next } else { &[] }, deep.steps());
    // [R][feature weights, field vectors, pairs]
    let mut sums = [[0_i64; 3]; R];
    for (r, (row, e)) in rows.iter().zip(e.chunks_exact_mut(sizes.stride)).enumerate() {
        let gathered = v.run(GatherIntegers { shallow, row: *row, acc, e, small: false });
        sums[r][0] = gathered.map_err(|error| BatchError { row: r, error })?;
        if let Some(vectors) = &shallow.field_vector {
            sums[r][1] = vectors.accumulate(v, e);
        }
        if let Some(context) = &context {
            context.add(&mut sums[r], e);
        }
    }
    let pairs = scratch.for_now().take(sizes.pairs).map_err(whole)?;
    let of_pairs = v.run(PairsOfIntegers::<R> { shallow, e, stride: sizes.stride, pairs });
    for (sums, of_pairs) in sums.iter_mut().zip(of_pairs) {
        sums[2] += of_pairs;
    }
    let start = context.map(|context| context.start);
    let mut of_mlp = [0; R];
    // What no pair goes through is not in the program twice; see `Deep::group`.
    let only_dsp = HAS_PAIRS && R == PAIR;
    match deep {
        Deep::None => (),
        Deep::Static(mlp) => {
            let mut sums = [0; R];
            match mlp.layout() {
                Layout::Tiles if V::WIDE => {
                    let (x, y) = (scratch.take(sizes.quads).map_err(whole)?, scratch.take(sizes.quads).map_err(whole)?);
                    let work = TileScratch { x, y, real: &mut [] };
                    sums = mlp.tiles::<V, R>(v, e, sizes.stride, start, work, &mut ahead);
                }
                Layout::Rows if !only_dsp => {
                    let h0 = scratch.take(sizes.widest).map_err(whole)?;
                    let h1 = scratch.take(sizes.widest).map_err(whole)?;
                    for (sum, e) in sums.iter_mut().zip(e.chunks_exact(sizes.stride)) {
                        *sum = mlp.rows(&e[..num_fields * dim], start, h0, h1);
                    }
                }
                #[cfg(all(xsfm_dsp, not(xsfm_mve)))]
                Layout::Dsp if R == PAIR => {
                    let (read, h) = (scratch.take(R * mlp.strip_len(num_fields * dim)), scratch.take(R * sizes.widest));
                    let h = h.map_err(whole)?.split_at_mut(sizes.widest);
                    let e = e.split_at(sizes.stride);
                    let of_two = mlp.strips_of_two([e.0, e.1], start, read.map_err(whole)?, [h.0, h.1]);
                    sums.copy_from_slice(&of_two);
                }
                Layout::Tiles | Layout::Dsp | Layout::Mve if !only_dsp => {
                    let read = scratch.take(mlp.strip_len(num_fields * dim)).map_err(whole)?;
                    let h = scratch.take(sizes.widest).map_err(whole)?;
                    for (sum, e) in sums.iter_mut().zip(e.chunks_exact(sizes.stride)) {
                        *sum = mlp.strips(e, start, read, h);
                    }
                }
                Layout::Rows | Layout::Tiles | Layout::Dsp | Layout::Mve => (),
            }
            for (steps, sum) in of_mlp.iter_mut().zip(sums) {
                *steps = terms.mlp.steps(sum);
            }
        }
        Deep::Dynamic(mlp) if !only_dsp => {
            let outputs = if mlp.has_tiles_for::<V>() {
                let x = scratch.take(sizes.quads).map_err(whole)?;
                let real = scratch.take(sizes.widest / LANES).map_err(whole)?;
                mlp.tiles::<V, R>(v, e, sizes.stride, start, TileScratch { x, y: &mut [], real }, &mut ahead)
            } else {
                let (h, real) =
                    (scratch.take(sizes.widest).map_err(whole)?, scratch.take(sizes.widest).map_err(whole)?);
                let mut out = [0.0; R];
                for (out, e) in out.iter_mut().zip(e.chunks_exact(sizes.stride)) {
                    *out = mlp.rows(&e[..num_fields * dim], start, h, real);
                }
                out
            };
            for (steps, output) in of_mlp.iter_mut().zip(outputs) {
                *steps = steps_of(output);
            }
        }
        Deep::Dynamic(_) => (),
    }
    ahead.finish(v);
    for ((score, [feature_weight, field_vector, interaction]), mlp) in scores.iter_mut().zip(sums).zip(of_mlp) {
        let parts = [
            terms.feature_weight.steps(feature_weight),
            terms.field_vector.steps(field_vector),
            terms.interaction.steps(shallow.interaction.settled(interaction)),
            mlp,
        ];
        score.logit = logit_from_steps(logit_steps(bias, parts));
    }
    Ok(())
}

/// acc \[dim\], e \[num_fields, dim\] and [`SLACK`]: the vectors of a row; gives the sum of its feature weights
pub(crate) struct GatherIntegers<'t, 'm, 'r> {
    pub(crate) shallow: &'t Shallow<'m, i8, i16>,
    pub(crate) row: Row<'r>,
    pub(crate) acc: &'t mut [i32],
    pub(crate) e: &'t mut [i8],
    /// Whether fewer instructions in the program count for more than a shorter way for plain rows.
    pub(crate) small: bool,
}

impl Task for GatherIntegers<'_, '_, '_> {
    type Output = Result<i64, ScoreError>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Self::Output {
        let GatherIntegers { shallow, row, acc, e, small } = self;
        let (records, dim) = (shallow.embedding.fields, shallow.embedding.dim);
        if row.num_fields() != records.len() {
            return Err(ScoreError::FieldCount { expected: records.len(), found: row.num_fields() });
        }
        if let (false, Some(indices), None) = (small, row.single(), &shallow.feature_weight)
            && shallow.embedding.gather_plain(indices, e).is_some()
        {
            return Ok(0);
        }
        let mut feature_weight = 0;
        let mut to = 0;
        for (field, record) in records.iter().enumerate() {
            let indices = row.field(field).ok_or(ScoreError::Offsets { field })?;
            embedding::check(record, field, indices)?;
            shallow.embedding.gather(v, record, indices, acc, e.get_mut(to..).unwrap_or_default(), small);
            if let Some(weights) = &shallow.feature_weight {
                feature_weight += weights.accumulate(record, field, indices);
            }
            to += dim;
        }
        Ok(feature_weight)
    }
}

/// e \[R, stride\]: the sums of the pairs
struct PairsOfIntegers<'t, 'm, const R: usize> {
    shallow: &'t Shallow<'m, i8, i16>,
    e: &'t [i8],
    stride: usize,
    pairs: &'t mut [FieldPair],
}

impl<const R: usize> Task for PairsOfIntegers<'_, '_, R> {
    type Output = [i64; R];

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> [i64; R] {
        let PairsOfIntegers { shallow, e, stride, pairs } = self;
        let (num_fields, dim) = (shallow.embedding.fields.len(), shallow.embedding.dim);
        shallow.interaction.of_rows::<V, R>(v, e, stride, num_fields, dim, pairs)
    }
}

/// Numbers of scratch for R rows in int8 and dynamic mode.
pub(crate) struct IntegerSizes {
    /// From the vectors of a row to those of the next.
    pub(crate) stride: usize,
    /// Pairs of fields.
    pub(crate) pairs: usize,
    /// Layers in tiles: quads of inputs of the widest layer.
    quads: usize,
    /// Outputs of the widest layer.
    pub(crate) widest: usize,
}

impl IntegerSizes {
    #[inline(always)]
    pub(crate) fn new<V: Vector>(shallow: &Shallow<'_, i8, i16>, widest: usize, rows: usize) -> Self {
        let inputs = shallow.embedding.fields.len() * shallow.embedding.dim;
        IntegerSizes {
            stride: stride::<i8>(inputs),
            pairs: shallow.interaction.scratch_len::<V>(shallow.embedding.fields.len(), shallow.embedding.dim, rows),
            quads: inputs.max(widest).div_ceil(tile::DEPTH),
            widest,
        }
    }
}

/// From the vectors of a row to those of the next.
#[inline(always)]
pub(crate) fn stride<W>(inputs: usize) -> usize {
    (inputs + SLACK).next_multiple_of(ScratchBlock::LEN / size_of::<W>())
}

impl Deep<'_> {
    /// Rows that go through the layers together, at most; of a microcontroller's layers whether or not this is one, for a host
    /// states the scratch of others.
    #[inline(always)]
    fn group<V: Vector>(&self) -> usize {
        match self {
            _ if V::MATRIX && self.widest() >= MATRIX_OUTPUTS => WIDE_GROUP,
            _ if V::WIDE => GROUP,
            Deep::Static(mlp) if mlp.layout() == Layout::Dsp => PAIR,
            _ => 1,
        }
    }

    #[inline(always)]
    fn steps(&self) -> usize {
        match self {
            Deep::None => 0,
            Deep::Static(mlp) => mlp.steps(),
            Deep::Dynamic(mlp) => mlp.steps(),
        }
    }

    #[inline(always)]
    fn widest(&self) -> usize {
        match self {
            Deep::None => 0,
            Deep::Static(mlp) => mlp.widest(),
            Deep::Dynamic(mlp) => mlp.widest(),
        }
    }
}

/// What f32 scores are computed from.
#[derive(Clone, Copy)]
pub(crate) struct RealModel<'m> {
    pub(crate) shallow: &'m Shallow<'m, f32, f32>,
    pub(crate) mlp: Option<&'m crate::mlp::Mlp<'m, f32, f32, f32>>,
    pub(crate) bias: f32,
    /// What fields that were scored before have begun.
    pub(crate) context: Option<RealContext<'m>>,
}

/// Rows to score in f32 mode.
pub(crate) struct Reals<'t, 'r> {
    pub(crate) model: RealModel<'t>,
    pub(crate) rows: &'t [Row<'r>],
    pub(crate) scores: &'t mut [Score],
    pub(crate) scratch: &'t mut [ScratchBlock],
    pub(crate) in_groups: bool,
}

impl Task for Reals<'_, '_> {
    type Output = Result<(), BatchError>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Self::Output {
        let Reals { model, rows, scores, mut scratch, in_groups } = self;
        let groups = model.mlp.map_or(1, |mlp| mlp.groups::<V>());
        in_turn(
            rows,
            scores,
            if V::WIDE && in_groups { groups * WIDE_GROUP } else { 1 },
            &mut scratch,
            #[inline(always)]
            |scratch, turn, scores| reals::<V, 1, 1>(v, model, turn, scores, scratch),
            #[inline(always)]
            |scratch, turn, scores| match (V::WIDE, turn.rows.len() > GROUP) {
                (true, true) => reals::<V, WIDE_GROUP, GROUPS>(v, model, turn, scores, scratch),
                (true, false) => reals::<V, GROUP, 1>(v, model, turn, scores, scratch),
                // Never called, and not in the program.
                (false, _) => Ok(()),
            },
        )
    }
}

/// scores \[1 to R, or whole groups of R\]: the scores of rows that go through the layers together
#[inline(always)]
fn reals<V: Vector, const R: usize, const G: usize>(
    v: V,
    model: RealModel<'_>,
    turn: Turn<'_, '_>,
    scores: &mut [Score],
    scratch: &mut [ScratchBlock],
) -> Result<(), BatchError> {
    let whole = |error| BatchError { row: 0, error };
    let RealModel { shallow, mlp, bias, context } = model;
    let (num_fields, dim) = (shallow.embedding.fields.len(), shallow.embedding.dim);
    let inputs = num_fields * dim;
    let stride = stride::<f32>(inputs);
    let widest = mlp.map_or(0, |mlp| mlp.widest());
    let tiled = mlp.filter(|mlp| mlp.has_tiles_for::<V>());
    let Turn { rows, next, is_first } = turn;
    let groups = rows.len().div_ceil(R).clamp(1, G);
    let mut scratch = Scratch::new(scratch);
    let e = scratch.take::<f32>(R * stride).map_err(whole)?;
    let blocks = scratch.take(shallow.interaction.scratch_len(num_fields, dim, R)).map_err(whole)?;
    // Of each group the inputs and outputs of a layer, interleaved; or those of a row.
    let apart = inputs.max(widest);
    let count = if tiled.is_some() { groups * R * apart } else { widest };
    let (x, y) = (scratch.take(count).map_err(whole)?, scratch.take(count).map_err(whole)?);
    if R == 1 || is_first {
        Ahead::new(&shallow.embedding, rows, 1).finish(v);
    }
    let steps = groups * mlp.map_or(0, |mlp| mlp.steps());
    let mut ahead = Ahead::new(&shallow.embedding, if R == 1 { &[] } else { next }, steps);
    let (vectors, carry, start) = match &context {
        Some(context) => (Some(context.vectors), context.carry, Some(context.start)),
        None => (shallow.field_vector.map(|vectors| vectors.0), &[][..], None),
    };
    let mut sums = [[context.as_ref().map_or(bias, |context| context.sum); R]; G];
    let mut of_mlp = [[0.0; R]; G];
    for (group, rows) in rows.chunks(R).take(G).enumerate() {
        let (sums, of_mlp) = (&mut sums[group], &mut of_mlp[group]);
        for (r, (row, e)) in rows.iter().zip(e.chunks_exact_mut(stride)).enumerate() {
            let gathered = v.run(GatherReals { shallow, row: *row, sum: sums[r], e });
            sums[r] = gathered.map_err(|error| BatchError { row: group * R + r, error })?;
        }
        let of_pairs = v.run(PairsOfReals::<R> { shallow, e, stride, vectors, carry, blocks });
        for (sum, of_pairs) in sums.iter_mut().zip(of_pairs) {
            *sum += of_pairs;
        }
        match mlp {
            None => (),
            Some(_) if tiled.is_some() => {
                interleave_rows(v, e, stride, &mut x.as_chunks_mut::<R>().0[group * apart..][..inputs]);
            }
            Some(mlp) => {
                for (out, e) in of_mlp.iter_mut().zip(e.chunks_exact(stride)) {
                    *out = mlp.rows(&e[..inputs], start, x, y);
                }
            }
        }
    }
    if let Some(mlp) = tiled {
        let (x, y) = (x.as_chunks_mut().0, y.as_chunks_mut().0);
        of_mlp = mlp.tiles::<V, R, G>(v, groups, start, x, y, &mut ahead);
    }
    ahead.finish(v);
    for (r, (score, (sum, mlp))) in
        scores.iter_mut().zip(sums.as_flattened().iter().zip(of_mlp.as_flattened())).enumerate()
    {
        score.logit = sum + mlp;
        if !score.logit.is_finite() {
            return Err(BatchError { row: r, error: ScoreError::NotFinite });
        }
    }
    Ok(())
}

/// e \[num_fields, dim\] and [`SLACK`]: the vectors of a row; gives `sum` and its feature weights
pub(crate) struct GatherReals<'t, 'm, 'r> {
    pub(crate) shallow: &'t Shallow<'m, f32, f32>,
    pub(crate) row: Row<'r>,
    pub(crate) sum: f32,
    pub(crate) e: &'t mut [f32],
}

impl Task for GatherReals<'_, '_, '_> {
    type Output = Result<f32, ScoreError>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Self::Output {
        let GatherReals { shallow, row, mut sum, e } = self;
        let (records, dim) = (shallow.embedding.fields, shallow.embedding.dim);
        if row.num_fields() != records.len() {
            return Err(ScoreError::FieldCount { expected: records.len(), found: row.num_fields() });
        }
        if let (Some(indices), None) = (row.single(), &shallow.feature_weight)
            && shallow.embedding.gather_plain(indices, e).is_some()
        {
            return Ok(sum);
        }
        let mut to = 0;
        for (field, record) in records.iter().enumerate() {
            let indices = row.field(field).ok_or(ScoreError::Offsets { field })?;
            embedding::check(record, field, indices)?;
            shallow.embedding.gather(v, record, indices, &mut e[to..]);
            if let Some(weights) = &shallow.feature_weight {
                sum += weights.accumulate(record, indices);
            }
            to += dim;
        }
        Ok(sum)
    }
}

/// e \[R, stride\], vectors \[num_fields, dim\], carry \[dim\]: the sums of field vectors and pairs
struct PairsOfReals<'t, 'm, const R: usize> {
    shallow: &'t Shallow<'m, f32, f32>,
    e: &'t [f32],
    stride: usize,
    vectors: Option<&'t [f32]>,
    carry: &'t [f32],
    blocks: &'t mut [[f32; LANES]],
}

impl<const R: usize> Task for PairsOfReals<'_, '_, R> {
    type Output = [f32; R];

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> [f32; R] {
        let PairsOfReals { shallow, e, stride, vectors, carry, blocks } = self;
        let (num_fields, dim) = (shallow.embedding.fields.len(), shallow.embedding.dim);
        shallow.interaction.of_rows::<V, R>(v, e, stride, num_fields, dim, vectors, carry, blocks)
    }
}

/// Blocks that [`integers`] and [`reals`] take for single rows or groups, in the order in which they take them.
pub(crate) fn scratch_blocks(model: &Model<'_>, groups: bool) -> usize {
    model.chosen.run(ScratchBlocks { parts: &model.parts, groups })
}

struct ScratchBlocks<'t> {
    parts: &'t Parts<'t>,
    groups: bool,
}

impl Task for ScratchBlocks<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> usize {
        match self.parts {
            Parts::Int8 { shallow, deep, .. } => {
                let rows = if self.groups { deep.group::<V>() } else { 1 };
                let sizes = IntegerSizes::new::<V>(shallow, deep.widest(), rows);
                let layers = match deep {
                    Deep::None => 0,
                    Deep::Static(mlp) if mlp.has_tiles_for::<V>() => 2 * blocks_of::<Quad>(rows * sizes.quads),
                    Deep::Static(mlp) if mlp.layout() != Layout::Rows => {
                        let inputs = shallow.embedding.fields.len() * shallow.embedding.dim;
                        let rows = if rows == PAIR { PAIR } else { 1 };
                        blocks_of::<u32>(rows * mlp.strip_len(inputs)) + blocks_of::<u8>(rows * sizes.widest)
                    }
                    Deep::Static(_) => 2 * blocks_of::<u8>(sizes.widest),
                    Deep::Dynamic(mlp) if mlp.has_tiles_for::<V>() => {
                        blocks_of::<Quad>(rows * sizes.quads) + blocks_of::<f32>(rows * sizes.widest)
                    }
                    Deep::Dynamic(_) => blocks_of::<u8>(sizes.widest) + blocks_of::<f32>(sizes.widest),
                };
                let pairs = blocks_of::<FieldPair>(sizes.pairs);
                // Layers work where pairs have.
                blocks_of::<i32>(shallow.embedding.dim) + blocks_of::<i8>(rows * sizes.stride) + pairs.max(layers)
            }
            Parts::F32 { shallow, mlp, .. } => {
                let rows = if V::WIDE && self.groups { WIDE_GROUP } else { 1 };
                let groups = if rows > 1 { mlp.as_ref().map_or(1, |mlp| mlp.groups::<V>()) } else { 1 };
                let (num_fields, dim) = (shallow.embedding.fields.len(), shallow.embedding.dim);
                let inputs = num_fields * dim;
                let pairs = blocks_of::<[f32; LANES]>(shallow.interaction.scratch_len(num_fields, dim, rows));
                let layers = match mlp {
                    None => 0,
                    Some(mlp) if mlp.has_tiles_for::<V>() => {
                        2 * blocks_of::<f32>(groups * rows * inputs.max(mlp.widest()))
                    }
                    Some(mlp) => 2 * blocks_of::<f32>(mlp.widest()),
                };
                blocks_of::<f32>(rows * stride::<f32>(inputs)) + pairs + layers
            }
        }
    }
}

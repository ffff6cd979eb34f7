//! Scores of int8 and dynamic mode.

use super::{Score, Turn, in_turn, stride};
use crate::embedding::{self, Ahead};
use crate::error::{BatchError, ScoreError};
use crate::format::layout::tile;
use crate::format::{Layout, Terms};
use crate::kernel::vector::{
    FieldPair, GROUP, HAS_TWINS, LANES, MATRIX_OUTPUTS, Quad, TWINS, Task, Vector, WIDE_GROUP,
};
use crate::mlp::TileScratch;
use crate::network::{Fwfm, Layers};
use crate::quant::{logit_from_steps, logit_steps, steps_of};
use crate::row::Row;
use crate::scratch::{Scratch, ScratchBlock, blocks_of};

/// What int8 and dynamic scores are computed from.
#[derive(Clone, Copy)]
pub(crate) struct IntegerModel<'m> {
    pub(crate) fwfm: &'m Fwfm<'m, i8, i16>,
    pub(crate) layers: &'m Layers<'m>,
    pub(crate) bias: i32,
    pub(crate) terms: &'m Terms,
    /// What fields that were scored before have added, and begun.
    pub(crate) context: Option<IntegerContext<'m>>,
}

/// What the context has added to int8 and dynamic scores.
#[derive(Clone, Copy)]
pub(crate) struct IntegerContext<'c> {
    /// Feature weights, field vectors, pairs.
    pub(crate) sums: [i64; 3],
    /// \[candidate fields, dim\]: sum_i r_ij e_id over the context's fields.
    pub(crate) cross: &'c [i32],
    /// Start of the first layer's sums.
    pub(crate) start: &'c [i32],
}

impl IntegerContext<'_> {
    /// e \[candidate fields, dim\]: adds the context to a candidate's sums.
    #[inline(always)]
    pub(crate) fn add(&self, sums: &mut [i64; 3], e: &[i8]) {
        for (sum, of_context) in sums.iter_mut().zip(self.sums) {
            *sum += of_context;
        }
        // Each product is under 2^31, but their sum over all dimensions need not be: as i64, one SMLAL multiplies and adds.
        sums[2] += e.iter().zip(self.cross).map(|(&e, &t)| i64::from(e) * i64::from(t)).sum::<i64>();
    }
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
            if in_groups && (V::WIDE || HAS_TWINS) { model.layers.group::<V>() } else { 1 },
            &mut scratch,
            #[inline(always)]
            |scratch, turn, scores| integers::<V, 1>(v, model, turn, scores, scratch),
            #[inline(always)]
            |scratch, turn, scores| match V::WIDE {
                true if V::MATRIX && turn.rows.len() > GROUP => {
                    integers::<V, WIDE_GROUP>(v, model, turn, scores, scratch)
                }
                true => integers::<V, GROUP>(v, model, turn, scores, scratch),
                false if HAS_TWINS => integers::<V, TWINS>(v, model, turn, scores, scratch),
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
    let IntegerModel { fwfm, layers, bias, terms, context } = model;
    let (num_fields, dim) = (fwfm.embedding.fields.len(), fwfm.embedding.dim);
    let sizes = IntegerSizes::new::<V>(fwfm, layers.widest(), R);
    let mut scratch = Scratch::new(scratch);
    let acc = scratch.take::<i32>(dim).map_err(whole)?;
    let e = scratch.take::<i8>(R * sizes.stride).map_err(whole)?;
    let Turn { rows, next, is_first } = turn;
    if R == 1 || is_first {
        Ahead::new(&fwfm.embedding, rows, 1).finish(v);
    }
    let mut ahead = Ahead::new(&fwfm.embedding, if V::WIDE && R > 1 { next } else { &[] }, layers.steps());
    // [R][feature weights, field vectors, pairs]
    let mut sums = [[0_i64; 3]; R];
    for (r, (row, e)) in rows.iter().zip(e.chunks_exact_mut(sizes.stride)).enumerate() {
        let gathered = v.run(GatherIntegers { fwfm, row: *row, acc, e, small: false });
        sums[r][0] = gathered.map_err(|error| BatchError { row: r, error })?;
        if let Some(vectors) = &fwfm.field_vector {
            sums[r][1] = vectors.accumulate(v, e);
        }
        if let Some(context) = &context {
            context.add(&mut sums[r], e);
        }
    }
    let pairs = scratch.for_now().take(sizes.pairs).map_err(whole)?;
    let of_pairs = v.run(PairsOfIntegers::<R> { fwfm, e, stride: sizes.stride, pairs });
    for (sums, of_pairs) in sums.iter_mut().zip(of_pairs) {
        sums[2] += of_pairs;
    }
    let start = context.map(|context| context.start);
    let mut of_mlp = [0; R];
    // What no pair goes through is not in the program twice; see `Layers::group`.
    let only_dsp = HAS_TWINS && R == TWINS;
    match layers {
        Layers::None => (),
        Layers::Static(mlp) => {
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
                Layout::Dsp if R == TWINS => {
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
        Layers::Dynamic(mlp) if !only_dsp => {
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
        Layers::Dynamic(_) => (),
    }
    ahead.finish(v);
    for ((score, [feature_weight, field_vector, interaction]), mlp) in scores.iter_mut().zip(sums).zip(of_mlp) {
        let parts = [
            terms.feature_weight.steps(feature_weight),
            terms.field_vector.steps(field_vector),
            terms.interaction.steps(fwfm.interaction.settled(interaction)),
            mlp,
        ];
        score.logit = logit_from_steps(logit_steps(bias, parts));
    }
    Ok(())
}

/// acc \[dim\], e \[num_fields, dim\] and [`embedding::SLACK`]: the vectors of a row; gives the sum of its feature weights
pub(crate) struct GatherIntegers<'t, 'm, 'r> {
    pub(crate) fwfm: &'t Fwfm<'m, i8, i16>,
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
        let GatherIntegers { fwfm, row, acc, e, small } = self;
        let (records, dim) = (fwfm.embedding.fields, fwfm.embedding.dim);
        if row.num_fields() != records.len() {
            return Err(ScoreError::FieldCount { expected: records.len(), found: row.num_fields() });
        }
        if let (false, Some(indices), None) = (small, row.single(), &fwfm.feature_weight)
            && fwfm.embedding.gather_plain(indices, e).is_some()
        {
            return Ok(0);
        }
        let mut feature_weight = 0;
        let mut to = 0;
        for (field, record) in records.iter().enumerate() {
            let indices = row.field(field).ok_or(ScoreError::Offsets { field })?;
            embedding::check(record, field, indices)?;
            fwfm.embedding.gather(v, record, indices, acc, e.get_mut(to..).unwrap_or_default(), small);
            if let Some(weights) = &fwfm.feature_weight {
                feature_weight += weights.accumulate(record, field, indices);
            }
            to += dim;
        }
        Ok(feature_weight)
    }
}

/// e \[R, stride\]: the sums of the pairs
struct PairsOfIntegers<'t, 'm, const R: usize> {
    fwfm: &'t Fwfm<'m, i8, i16>,
    e: &'t [i8],
    stride: usize,
    pairs: &'t mut [FieldPair],
}

impl<const R: usize> Task for PairsOfIntegers<'_, '_, R> {
    type Output = [i64; R];

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> [i64; R] {
        let PairsOfIntegers { fwfm, e, stride, pairs } = self;
        let (num_fields, dim) = (fwfm.embedding.fields.len(), fwfm.embedding.dim);
        fwfm.interaction.of_rows::<V, R>(v, e, stride, num_fields, dim, pairs)
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
    pub(crate) fn new<V: Vector>(fwfm: &Fwfm<'_, i8, i16>, widest: usize, rows: usize) -> Self {
        let inputs = fwfm.embedding.fields.len() * fwfm.embedding.dim;
        IntegerSizes {
            stride: stride::<i8>(inputs),
            pairs: fwfm.interaction.scratch_len::<V>(fwfm.embedding.fields.len(), fwfm.embedding.dim, rows),
            quads: inputs.max(widest).div_ceil(tile::DEPTH),
            widest,
        }
    }
}

impl Layers<'_> {
    /// Rows that go through the layers together, at most; of a microcontroller's layers whether or not this is one, for a host
    /// states the scratch of others.
    #[inline(always)]
    fn group<V: Vector>(&self) -> usize {
        match self {
            _ if V::MATRIX && self.widest() >= MATRIX_OUTPUTS => WIDE_GROUP,
            _ if V::WIDE => GROUP,
            Layers::Static(mlp) if mlp.layout() == Layout::Dsp => TWINS,
            _ => 1,
        }
    }

    #[inline(always)]
    fn steps(&self) -> usize {
        match self {
            Layers::None => 0,
            Layers::Static(mlp) => mlp.steps(),
            Layers::Dynamic(mlp) => mlp.steps(),
        }
    }

    #[inline(always)]
    fn widest(&self) -> usize {
        match self {
            Layers::None => 0,
            Layers::Static(mlp) => mlp.widest(),
            Layers::Dynamic(mlp) => mlp.widest(),
        }
    }
}

/// Blocks that [`integers`] takes for single rows or groups, in the order in which it takes them.
#[inline(always)]
pub(crate) fn integer_blocks<V: Vector>(fwfm: &Fwfm<'_, i8, i16>, layers: &Layers<'_>, in_groups: bool) -> usize {
    let rows = if in_groups { layers.group::<V>() } else { 1 };
    let sizes = IntegerSizes::new::<V>(fwfm, layers.widest(), rows);
    let layers = match layers {
        Layers::None => 0,
        Layers::Static(mlp) if mlp.has_tiles_for::<V>() => 2 * blocks_of::<Quad>(rows * sizes.quads),
        Layers::Static(mlp) if mlp.layout() != Layout::Rows => {
            let inputs = fwfm.embedding.fields.len() * fwfm.embedding.dim;
            let rows = if rows == TWINS { TWINS } else { 1 };
            blocks_of::<u32>(rows * mlp.strip_len(inputs)) + blocks_of::<u8>(rows * sizes.widest)
        }
        Layers::Static(_) => 2 * blocks_of::<u8>(sizes.widest),
        Layers::Dynamic(mlp) if mlp.has_tiles_for::<V>() => {
            blocks_of::<Quad>(rows * sizes.quads) + blocks_of::<f32>(rows * sizes.widest)
        }
        Layers::Dynamic(_) => blocks_of::<u8>(sizes.widest) + blocks_of::<f32>(sizes.widest),
    };
    let pairs = blocks_of::<FieldPair>(sizes.pairs);
    // Layers work where pairs have.
    blocks_of::<i32>(fwfm.embedding.dim) + blocks_of::<i8>(rows * sizes.stride) + pairs.max(layers)
}

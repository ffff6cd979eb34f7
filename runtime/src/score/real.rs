//! Scores of f32 mode.

use super::{Batch, Score, in_batches};
use crate::embedding::{self, Ahead, Vectors};
use crate::error::{BatchError, ScoreError, Scored};
use crate::kernel::portable::Portable;
use crate::kernel::vector::{GROUP, GROUPS, LANES, Task, Vector, WIDE_GROUP};
use crate::linear::FirstOrder;
use crate::mlp::{Mlp, RealTiles, interleave_rows};
use crate::network::Fwfm;
use crate::row::Row;
use crate::scratch::{Measure, Memory, Scratch, ScratchBlock};

type RealMlp<'m> = Mlp<'m, f32, f32, f32>;

/// What f32 scores are computed from.
#[derive(Clone, Copy)]
pub(crate) struct RealModel<'m> {
    pub(crate) fwfm: &'m Fwfm<'m, f32, f32>,
    pub(crate) mlp: Option<&'m RealMlp<'m>>,
    pub(crate) bias: f32,
    /// What fields that were scored before have begun.
    pub(crate) context: Option<RealContext<'m>>,
}

/// What the context has begun in f32 mode.
#[derive(Clone, Copy)]
pub(crate) struct RealContext<'c> {
    /// Bias and feature weights.
    pub(crate) sum: f32,
    /// \[dim\]: the sums of first-order vectors and pairs.
    pub(crate) carry: &'c [f32],
    /// \[candidate fields, dim\]: w_jd + sum_i r_ij e_id over the context's fields.
    pub(crate) vectors: &'c [f32],
    /// Start of the first layer's sums.
    pub(crate) start: &'c [f32],
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
        in_batches(
            rows,
            scores,
            if V::GROUPED && in_groups { groups * WIDE_GROUP } else { 1 },
            &mut scratch,
            #[inline(always)]
            |scratch, batch, scores| reals::<V, 1, 1>(v, model, batch, scores, scratch),
            #[inline(always)]
            |scratch, batch, scores| match (V::GROUPED, batch.rows.len() > GROUP) {
                (true, true) => reals::<V, WIDE_GROUP, GROUPS>(v, model, batch, scores, scratch),
                (true, false) => reals::<V, GROUP, 1>(v, model, batch, scores, scratch),
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
    batch: Batch<'_, '_>,
    scores: &mut [Score],
    scratch: &mut [ScratchBlock],
) -> Result<(), BatchError> {
    let whole = |error| BatchError { row: 0, error };
    let RealModel { fwfm, mlp, bias, context } = model;
    let inputs = fwfm.embedding.inputs();
    let stride = fwfm.embedding.stride();
    let tiled = mlp.filter(|mlp| mlp.has_tiles_for::<V>());
    let Batch { rows, next, is_first } = batch;
    let groups = rows.len().div_ceil(R).clamp(1, G);
    let arrays = carve::<V>(&mut Scratch::new(scratch), fwfm, mlp, R, groups).map_err(whole)?;
    let Arrays { e, pairs, layers: [x, y], apart } = arrays;
    if R == 1 || is_first {
        Ahead::new(&fwfm.embedding, rows, 1).finish(v);
    }
    let steps = groups * mlp.map_or(0, |mlp| mlp.prefetch_steps());
    let mut ahead = Ahead::new(&fwfm.embedding, if R == 1 { &[] } else { next }, steps);
    let (first_order, start) = match &context {
        Some(context) => (FirstOrder { w: Some(context.vectors), carry: context.carry }, Some(context.start)),
        None => (FirstOrder { w: fwfm.field_vector.map(|vectors| vectors.0), carry: &[] }, None),
    };
    let mut sums = [[context.as_ref().map_or(bias, |context| context.sum); R]; G];
    let mut of_mlp = [[0.0; R]; G];
    for (group, rows) in rows.chunks(R).take(G).enumerate() {
        let (sums, of_mlp) = (&mut sums[group], &mut of_mlp[group]);
        for (r, (row, e)) in rows.iter().zip(e.chunks_exact_mut(stride)).enumerate() {
            let gathered = v.run(GatherReals { fwfm, row: *row, sum: sums[r], e });
            sums[r] = gathered.map_err(|error| BatchError { row: group * R + r, error })?;
        }
        let of_pairs = v.run(PairsOfReals::<R> { fwfm, e: fwfm.embedding.vectors(e), first_order, pairs });
        for (sum, of_pairs) in sums.iter_mut().zip(of_pairs) {
            *sum += of_pairs;
        }
        match (tiled, mlp) {
            (Some(_), _) => interleave_rows(v, e, stride, &mut x.as_chunks_mut::<R>().0[group * apart..][..inputs]),
            (None, Some(mlp)) => {
                for (out, e) in of_mlp.iter_mut().zip(e.chunks_exact(stride)) {
                    *out = mlp.rows(&e[..inputs], start, x, y);
                }
            }
            (None, None) => (),
        }
    }
    if let Some(mlp) = tiled {
        let (x, y) = (x.as_chunks_mut().0, y.as_chunks_mut().0);
        of_mlp = v.run_layers(RealTiles::<_, R, G> { mlp, groups, start, sums: None, x, y, ahead: &mut ahead });
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

impl Fwfm<'_, f32, f32> {
    /// The rest of [`GatherReals`], from field `first` on, whose words are not indices alone: with weights, or what is
    /// wrong with it. What rows without weights go through keeps nothing for it.
    #[cold]
    #[inline(never)]
    fn gather_rest(&self, row: Row<'_>, first: usize, sum: f32, e: &mut [f32]) -> Scored<f32> {
        self.gather_each((first..self.embedding.fields.len()).map(|field| (field, field)), row, sum, e)
    }

    /// e \[num_fields, dim\]: the vectors of a row that has some of the fields alone, zeros for all others; gives the
    /// sum of its feature weights
    pub(crate) fn gather_some(
        &self,
        fields: impl Iterator<Item = usize> + Clone,
        row: Row<'_>,
        e: &mut [f32],
    ) -> Scored<f32> {
        let (expected, found) = (fields.clone().count(), row.num_fields());
        if found != expected {
            return Err(ScoreError::FieldCount { expected, found });
        }
        e.fill(0.0);
        self.gather_each(fields.enumerate(), row, 0.0, e)
    }

    /// The fields of a row, each with its place in the row and its number in the model; gives `sum` and their feature
    /// weights. By plain loops, which write no more than a field's vector.
    fn gather_each(
        &self,
        fields: impl Iterator<Item = (usize, usize)>,
        row: Row<'_>,
        mut sum: f32,
        e: &mut [f32],
    ) -> Scored<f32> {
        let weights = self.feature_weight.as_ref();
        for (place, field) in fields {
            let record = &self.embedding.fields[field];
            let words = row.field(place).ok_or(ScoreError::Offsets { field: place })?;
            let out = &mut e[field * self.embedding.dim..];
            if embedding::check(record, place, words).is_ok() {
                self.embedding.gather(Portable, record, words, out);
                if let Some(weights) = weights {
                    sum += weights.accumulate(record, words);
                }
            } else {
                let indices = embedding::check_weighted(record, place, words)?;
                self.embedding.gather_weighted(record, indices.clone(), out);
                if let Some(weights) = weights {
                    sum += weights.accumulate_weighted(record, indices);
                }
            }
        }
        Ok(sum)
    }
}

/// e \[num_fields, dim\] and slack: the vectors of a row; gives `sum` and its feature weights
pub(crate) struct GatherReals<'t, 'm, 'r> {
    pub(crate) fwfm: &'t Fwfm<'m, f32, f32>,
    pub(crate) row: Row<'r>,
    pub(crate) sum: f32,
    pub(crate) e: &'t mut [f32],
}

impl Task for GatherReals<'_, '_, '_> {
    type Output = Scored<f32>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Self::Output {
        let GatherReals { fwfm, row, mut sum, e } = self;
        let (records, dim) = (fwfm.embedding.fields, fwfm.embedding.dim);
        if row.num_fields() != records.len() {
            return Err(ScoreError::FieldCount { expected: records.len(), found: row.num_fields() });
        }
        if let (Some(indices), None) = (row.single(), &fwfm.feature_weight)
            && fwfm.embedding.gather_plain(indices, e).is_some()
        {
            return Ok(sum);
        }
        let mut to = 0;
        for (field, record) in records.iter().enumerate() {
            let indices = row.field(field).ok_or(ScoreError::Offsets { field })?;
            if embedding::check(record, field, indices).is_err() {
                return fwfm.gather_rest(row, field, sum, e);
            }
            fwfm.embedding.gather(v, record, indices, &mut e[to..]);
            if let Some(weights) = &fwfm.feature_weight {
                sum += weights.accumulate(record, indices);
            }
            to += dim;
        }
        Ok(sum)
    }
}

/// e of R rows: the sums of field vectors and pairs
struct PairsOfReals<'t, 'm, const R: usize> {
    fwfm: &'t Fwfm<'m, f32, f32>,
    e: Vectors<'t, f32>,
    first_order: FirstOrder<'t>,
    pairs: &'t mut [[f32; LANES]],
}

impl<const R: usize> Task for PairsOfReals<'_, '_, R> {
    type Output = [f32; R];

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> [f32; R] {
        let PairsOfReals { fwfm, e, first_order, pairs } = self;
        fwfm.interaction.of_rows::<V, R>(v, e, first_order, pairs)
    }
}

/// What [`reals`] works in.
struct Arrays<'s> {
    /// \[R, stride\]
    e: &'s mut [f32],
    pairs: &'s mut [[f32; LANES]],
    /// Inputs and outputs of a layer: in tiles \[groups, apart, R\], interleaved, in rows \[outputs of the widest
    /// layer\].
    layers: [&'s mut [f32]; 2],
    apart: usize,
}

#[inline(always)]
fn carve<'s, V: Vector>(
    memory: &mut impl Memory<'s>,
    fwfm: &Fwfm<'_, f32, f32>,
    mlp: Option<&RealMlp<'_>>,
    rows: usize,
    groups: usize,
) -> Scored<Arrays<'s>> {
    let (num_fields, dim, inputs) = (fwfm.embedding.fields.len(), fwfm.embedding.dim, fwfm.embedding.inputs());
    let e = memory.take(rows * fwfm.embedding.stride())?;
    let pairs = memory.take(fwfm.interaction.scratch_len(num_fields, dim, rows))?;
    let widest = mlp.map_or(0, |mlp| mlp.widest());
    let apart = inputs.max(widest);
    let count = if mlp.is_some_and(|mlp| mlp.has_tiles_for::<V>()) { groups * rows * apart } else { widest };
    Ok(Arrays { e, pairs, layers: [memory.take(count)?, memory.take(count)?], apart })
}

/// Blocks that [`reals`] takes for single rows or groups.
#[inline(always)]
pub(crate) fn real_blocks<V: Vector>(fwfm: &Fwfm<'_, f32, f32>, mlp: Option<&RealMlp<'_>>, in_groups: bool) -> usize {
    let rows = if V::GROUPED && in_groups { WIDE_GROUP } else { 1 };
    let groups = if rows > 1 { mlp.map_or(1, |mlp| mlp.groups::<V>()) } else { 1 };
    Measure::of(
        #[inline(always)]
        |memory| carve::<V>(memory, fwfm, mlp, rows, groups),
    )
}

//! Scores of int8 and dynamic mode.

use super::{Batch, Score, in_batches};
use crate::embedding::{self, Ahead, Vectors};
use crate::error::{BatchError, ScoreError, Scored};
use crate::format::Terms;
use crate::kernel::portable::Portable;
use crate::kernel::vector::{FieldPair, GROUP, HAS_TWINS, TWINS, Task, Vector, WIDE_GROUP};
use crate::mlp::{Input, LayerSteps, Layers};
use crate::network::Fwfm;
use crate::quant::{logit_from_steps, logit_steps};
use crate::row::Row;
use crate::scratch::{Measure, Memory, Scratch, ScratchBlock};

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
        // Each product is under 2^31, but their sum over all dimensions need not be: as i64, one SMLAL multiplies and
        // adds.
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
        in_batches(
            rows,
            scores,
            if in_groups && (V::GROUPED || HAS_TWINS) { model.layers.rows_together::<V>() } else { 1 },
            &mut scratch,
            #[inline(always)]
            |scratch, batch, scores| integers::<V, 1>(v, model, batch, scores, scratch),
            #[inline(always)]
            |scratch, batch, scores| match V::GROUPED {
                true if V::MATRIX && batch.rows.len() > GROUP => {
                    integers::<V, WIDE_GROUP>(v, model, batch, scores, scratch)
                }
                true => integers::<V, GROUP>(v, model, batch, scores, scratch),
                false if HAS_TWINS => integers::<V, TWINS>(v, model, batch, scores, scratch),
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
    batch: Batch<'_, '_>,
    scores: &mut [Score],
    scratch: &mut [ScratchBlock],
) -> Result<(), BatchError> {
    let whole = |error| BatchError { row: 0, error };
    let IntegerModel { fwfm, layers, bias, terms, context } = model;
    let inputs = fwfm.embedding.inputs();
    let stride = fwfm.embedding.stride();
    let mut memory = Scratch::new(scratch);
    let (acc, e) = fwfm.carve_vectors(&mut memory, R).map_err(whole)?;
    let Batch { rows, next, is_first } = batch;
    if R == 1 || is_first {
        Ahead::new(&fwfm.embedding, rows, 1).finish(v);
    }
    let next = if V::WIDE && R > 1 { next } else { &[] };
    let mut ahead = Ahead::new(&fwfm.embedding, next, layers.prefetch_steps());
    // [R][feature weights, field vectors, pairs]
    let mut sums = [[0_i64; 3]; R];
    for (r, (row, e)) in rows.iter().zip(e.chunks_exact_mut(stride)).enumerate() {
        let gathered = v.run(GatherIntegers { fwfm, row: *row, acc, e, small: false });
        let gathered = gathered.or_else(|_| fwfm.gather_weighted(row, acc, e));
        sums[r][0] = gathered.map_err(|error| BatchError { row: r, error })?;
        sums[r][1] = fwfm.field_vectors(v, e);
        if let Some(context) = &context {
            context.add(&mut sums[r], e);
        }
    }
    let pairs = fwfm.carve_pairs::<V>(&mut memory, R).map_err(whole)?;
    let of_pairs = v.run(PairsOfIntegers::<R> { fwfm, e: fwfm.embedding.vectors(e), pairs });
    for (sums, of_pairs) in sums.iter_mut().zip(of_pairs) {
        sums[2] += of_pairs;
    }
    let input = Input { e, stride, inputs, start: context.map(|context| context.start), sums: None };
    let steps = LayerSteps::<_, R> { layers, input, term: terms.mlp, memory: &mut memory, ahead: &mut ahead };
    let of_layers = v.run_layers(steps).map_err(whole)?;
    ahead.finish(v);
    for ((score, sums), of_layers) in scores.iter_mut().zip(sums).zip(of_layers) {
        score.logit = logit_from_steps(logit_steps(bias, fwfm.steps(terms, sums), of_layers));
    }
    Ok(())
}

/// Blocks that [`integers`] takes for single rows or for as many as go together.
#[inline(always)]
pub(crate) fn integer_blocks<V: Vector>(fwfm: &Fwfm<'_, i8, i16>, layers: &Layers<'_>, in_groups: bool) -> usize {
    let rows = if in_groups { layers.rows_together::<V>() } else { 1 };
    Measure::of(
        #[inline(always)]
        |memory| {
            fwfm.carve_vectors(memory, rows)?;
            fwfm.carve_pairs::<V>(memory, rows)?;
            layers.carve::<V>(memory, fwfm.embedding.inputs(), rows)
        },
    )
}

impl Fwfm<'_, i8, i16> {
    /// acc \[dim\], e \[rows, stride\]: what the vectors of rows are gathered in and into
    #[inline(always)]
    pub(crate) fn carve_vectors<'s>(
        &self,
        memory: &mut impl Memory<'s>,
        rows: usize,
    ) -> Scored<(&'s mut [i32], &'s mut [i8])> {
        Ok((memory.take(self.embedding.dim)?, memory.take(rows * self.embedding.stride())?))
    }

    /// What the pairs of rows are summed in. Layers work in the same place, later.
    #[inline(always)]
    pub(crate) fn carve_pairs<'m, 's: 'm, V: Vector>(
        &self,
        memory: &'m mut impl Memory<'s>,
        rows: usize,
    ) -> Scored<&'m mut [FieldPair]> {
        let (num_fields, dim) = (self.embedding.fields.len(), self.embedding.dim);
        memory.for_now(self.interaction.scratch_len::<V>(num_fields, dim, rows))
    }

    /// A row that [`GatherIntegers`] has refused: one with weights, or what is wrong with it. From its beginning, and
    /// called where that one was: inside of it, what it would be given took an instruction for each field of all rows.
    /// So did the row itself, as a copy in memory that the loop would read.
    #[cold]
    #[inline(never)]
    pub(crate) fn gather_weighted(&self, row: &Row<'_>, acc: &mut [i32], e: &mut [i8]) -> Scored<i64> {
        let (expected, found) = (self.embedding.fields.len(), row.num_fields());
        if found != expected {
            return Err(ScoreError::FieldCount { expected, found });
        }
        self.gather_each((0..expected).map(|field| (field, field)), row, acc, e)
    }

    /// e \[num_fields, dim\]: the vectors of a row that has some of the fields alone, zeros for all others; gives the
    /// sum of its feature weights
    pub(crate) fn gather_some(
        &self,
        fields: impl Iterator<Item = usize> + Clone,
        row: &Row<'_>,
        acc: &mut [i32],
        e: &mut [i8],
    ) -> Scored<i64> {
        let (expected, found) = (fields.clone().count(), row.num_fields());
        if found != expected {
            return Err(ScoreError::FieldCount { expected, found });
        }
        e.fill(0);
        self.gather_each(fields.enumerate(), row, acc, e)
    }

    /// The fields of a row, each with its place in the row and its number in the model. By plain loops, which write no
    /// more than a field's vector.
    fn gather_each(
        &self,
        fields: impl Iterator<Item = (usize, usize)>,
        row: &Row<'_>,
        acc: &mut [i32],
        e: &mut [i8],
    ) -> Scored<i64> {
        let mut feature_weight = 0;
        let weights = self.feature_weight.as_ref();
        for (place, field) in fields {
            let Some(record) = self.embedding.fields.get(field) else { break };
            let words = row.field(place).ok_or(ScoreError::Offsets { field: place })?;
            let out = e.get_mut(field * self.embedding.dim..).unwrap_or_default();
            feature_weight += if embedding::check(record, place, words).is_ok() {
                self.embedding.gather(Portable, record, words, acc, out, true);
                weights.map_or(0, |weights| weights.accumulate(record, field, words))
            } else {
                let indices = embedding::check_weighted(record, place, words)?;
                self.embedding.gather_weighted(record, indices.clone(), acc, out);
                weights.map_or(0, |weights| weights.accumulate_weighted(record, field, indices))
            };
        }
        Ok(feature_weight)
    }

    /// e \[num_fields, dim\]: the sum of the field vectors' products
    #[inline(always)]
    pub(crate) fn field_vectors<V: Vector>(&self, v: V, e: &[i8]) -> i64 {
        // Not by a closure, which would be compiled without the back end's instructions.
        match &self.field_vector {
            Some(vectors) => vectors.accumulate(v, e),
            None => 0,
        }
    }

    /// What feature weights, field vectors and pairs add to a logit, in its steps.
    #[inline(always)]
    pub(crate) fn steps(&self, terms: &Terms, [feature_weight, field_vector, interaction]: [i64; 3]) -> [i64; 3] {
        [
            terms.feature_weight.steps(feature_weight),
            terms.field_vector.steps(field_vector),
            terms.interaction.steps(self.interaction.settled(interaction)),
        ]
    }
}

/// acc \[dim\], e \[num_fields, dim\] and slack: the vectors of a row; gives the sum of its feature
/// weights
pub(crate) struct GatherIntegers<'t, 'm, 'r> {
    pub(crate) fwfm: &'t Fwfm<'m, i8, i16>,
    pub(crate) row: Row<'r>,
    pub(crate) acc: &'t mut [i32],
    pub(crate) e: &'t mut [i8],
    /// Whether fewer instructions in the program count for more than a shorter way for plain rows.
    pub(crate) small: bool,
}

impl Task for GatherIntegers<'_, '_, '_> {
    type Output = Scored<i64>;

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

/// e of R rows: the sums of the pairs
struct PairsOfIntegers<'t, 'm, const R: usize> {
    fwfm: &'t Fwfm<'m, i8, i16>,
    e: Vectors<'t, i8>,
    pairs: &'t mut [FieldPair],
}

impl<const R: usize> Task for PairsOfIntegers<'_, '_, R> {
    type Output = [i64; R];

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> [i64; R] {
        let PairsOfIntegers { fwfm, e, pairs } = self;
        fwfm.interaction.of_rows::<V, R>(v, e, pairs)
    }
}

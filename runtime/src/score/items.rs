//! Scores of a catalogue's items: what each of them adds to a score was computed before, and what a context adds too.
//!
//! ```text
//! score = own sums of the context + own sums of the item + <vectors of the item, what the context weighs them with>
//!       + MLP(first layer's sums of the context + those of the item)
//! ```

use super::{LEAST_GROUP, Score};
use crate::embedding::{Ahead, SLACK};
use crate::error::{ScoreError, Scored};
use crate::format::{Terms, limit};
use crate::kernel::portable;
use crate::kernel::vector::{
    GROUP, HAS_TWINS, LANES, TWINS, Task, Vector, WIDE_GROUP, load_f32, sixteen, total_f32, widen_i8,
};
use crate::mlp::{Input, LayerSteps, Layers, Mlp, RealTiles, interleave_rows};
use crate::network::Fwfm;
use crate::quant::{logit_from_steps, logit_steps};
use crate::run::run;
use crate::scratch::{Measure, Memory, Scratch, ScratchBlock};

/// What a catalogue has: S its items' own sums, W numbers of vectors, A sums of the first layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Items<'a, S, W, A> {
    /// \[items\]
    pub(crate) sums: &'a [S],
    /// \[items, stride\]: the vectors of an item's fields, \[fields, dim\], and zeros.
    pub(crate) vectors: &'a [W],
    pub(crate) stride: usize,
    /// \[items, outputs\]: the sums of the first layer, and zeros; none where the layer is computed from the vectors.
    pub(crate) layer_sums: &'a [A],
    pub(crate) outputs: usize,
}

/// int8 and dynamic mode: feature weights, field vectors, pairs.
pub(crate) type IntegerItems<'a> = Items<'a, [i64; 3], i8, i32>;
/// f32 mode.
pub(crate) type RealItems<'a> = Items<'a, f32, f32, f32>;

impl<'a, S: Copy, W, A> Items<'a, S, W, A> {
    /// An item's own sums; the file has as many as it says.
    #[inline(always)]
    fn own(&self, item: u32, none: S) -> S {
        self.sums.get(item as usize).copied().unwrap_or(none)
    }

    /// Its vectors, and what lies behind them.
    #[inline(always)]
    fn vectors_from(&self, item: u32) -> &'a [W] {
        self.vectors.get(item as usize * self.stride..).unwrap_or_default()
    }

    /// Its sums of the first layer.
    #[inline(always)]
    fn layer_sums_of(&self, item: u32) -> &'a [A] {
        run(self.layer_sums, item as usize * self.outputs, self.outputs)
    }

    /// The vectors of items to e \[items, stride of `e`\]
    #[inline(always)]
    fn copy_vectors(&self, items: &[u32], inputs: usize, stride: usize, e: &mut [W])
    where
        W: Copy,
    {
        for (&item, e) in items.iter().zip(e.chunks_exact_mut(stride.max(1))) {
            e.iter_mut().zip(run(self.vectors_from(item), 0, inputs)).for_each(|(e, &number)| *e = number);
        }
    }
}

/// What the vectors of an item's fields are weighed with: t \[fields, dim\], and zeros.
#[derive(Clone, Copy)]
pub(crate) enum Across<'c> {
    /// Weights of pairs: `128 * sum|r|` is under 2^24.
    Narrow(&'c [i32]),
    /// Factors: under `2 * 64 * 2^15 * 2^22 = 2^44`.
    Wide(&'c [i64]),
}

impl Across<'_> {
    /// e \[fields, dim\] and what lies behind: <e, t>
    ///
    /// Of each dimension the products of all fields stay within 2^31, whatever `e` is: `128^2 * sum|r|`. A lane has one
    /// dimension of a field at most where a vector fits a register, and otherwise the same one of each field.
    #[inline(always)]
    fn sum<V: Vector>(&self, v: V, e: &[i8], inputs: usize, dim: usize) -> i64 {
        match *self {
            Across::Narrow(t) if V::WIDE && dim <= LANES => {
                let mut sum = v.splat(0);
                for (n, t) in t.as_chunks::<LANES>().0.iter().enumerate() {
                    sum = v.add(sum, v.mul(widen_i8(v, e, n * LANES), v.load(t)));
                }
                v.store(sum).into_iter().map(i64::from).sum()
            }
            Across::Narrow(t) if V::WIDE => {
                let mut total = 0;
                for first in (0..dim).step_by(LANES) {
                    let mut sum = v.splat(0);
                    for at in (first..inputs).step_by(dim) {
                        let Some(t) = sixteen(t, at) else { break };
                        sum = v.add(sum, v.mul(widen_i8(v, e, at), v.load(t)));
                    }
                    total += v.store(sum).into_iter().take(dim - first).map(i64::from).sum::<i64>();
                }
                total
            }
            Across::Narrow(t) => portable::dot_across(run(e, 0, inputs), t),
            Across::Wide(t) => portable::dot_across(run(e, 0, inputs), t),
        }
    }

    /// Numbers of `t`, with those behind it that are read.
    pub(crate) const fn len(inputs: usize, dim: usize) -> usize {
        (inputs + if dim > LANES { LANES } else { 0 }).next_multiple_of(LANES)
    }
}

/// Items to score in int8 or dynamic mode.
pub(crate) struct ItemIntegers<'t> {
    pub(crate) fwfm: &'t Fwfm<'t, i8, i16>,
    /// All of them, or those whose first layer has the inputs of an item alone, where it is computed from vectors.
    pub(crate) layers: &'t Layers<'t>,
    pub(crate) bias: i32,
    pub(crate) terms: &'t Terms,
    /// The context's own sums, as [`Items::sums`].
    pub(crate) own: [i64; 3],
    pub(crate) across: Across<'t>,
    /// Start of the first layer's sums.
    pub(crate) start: &'t [i32],
    pub(crate) catalogue: IntegerItems<'t>,
    /// Numbers of an item's vectors.
    pub(crate) inputs: usize,
    /// Which to score; all are there.
    pub(crate) items: &'t [u32],
    /// One for each.
    pub(crate) scores: &'t mut [Score],
    pub(crate) scratch: &'t mut [ScratchBlock],
    pub(crate) in_groups: bool,
}

impl Task for ItemIntegers<'_> {
    type Output = Scored<()>;

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) -> Scored<()> {
        let has_sums = !self.catalogue.layer_sums.is_empty();
        // Two rows gain by sharing the weights of the first layer, which is not read then.
        let in_groups = self.in_groups && (V::GROUPED || (HAS_TWINS && !has_sums));
        let most = if in_groups { self.layers.rows_together::<V>() } else { 1 };
        let scores = std::mem::take(&mut self.scores);
        each_group(
            self.items,
            scores,
            most,
            #[inline(always)]
            |items, scores| match items.len() {
                1 => self.integers::<V, 1>(v, items, scores),
                count if V::MATRIX && count > GROUP => self.integers::<V, WIDE_GROUP>(v, items, scores),
                _ if V::GROUPED => self.integers::<V, GROUP>(v, items, scores),
                _ if HAS_TWINS => self.integers::<V, TWINS>(v, items, scores),
                // Never called, and not in the program.
                _ => Ok(()),
            },
        )
    }
}

/// Calls `group` with items and their scores, `most` at a time or one.
#[inline(always)]
fn each_group(
    mut items: &[u32],
    mut scores: &mut [Score],
    most: usize,
    mut group: impl FnMut(&[u32], &mut [Score]) -> Scored<()>,
) -> Scored<()> {
    while !items.is_empty() {
        let count = match items.len().min(most) {
            count if count < LEAST_GROUP.min(most) => 1,
            count => count,
        };
        let Some((these, rest)) = items.split_at_checked(count) else { break };
        let Some((of_these, others)) = scores.split_at_mut_checked(count) else { break };
        group(these, of_these)?;
        (items, scores) = (rest, others);
    }
    Ok(())
}

impl ItemIntegers<'_> {
    /// items \[1 to R\]
    #[inline(always)]
    fn integers<V: Vector, const R: usize>(&mut self, v: V, items: &[u32], scores: &mut [Score]) -> Scored<()> {
        let ItemIntegers { fwfm, layers, catalogue, across, inputs, start, .. } = *self;
        let mut memory = Scratch::new(self.scratch);
        let mut sums = [[0_i64; 3]; R];
        for (sums, &item) in sums.iter_mut().zip(items) {
            let own = catalogue.own(item, [0; 3]);
            for ((sum, &of_item), &of_context) in sums.iter_mut().zip(&own).zip(&self.own) {
                *sum = of_item.wrapping_add(of_context);
            }
            let across = across.sum(v, catalogue.vectors_from(item), inputs, fwfm.embedding.dim);
            sums[2] = sums[2].wrapping_add(across);
        }
        let mut of_rows = [&[][..]; R];
        let input = match layers {
            Layers::None => Input { e: &[], stride: 1, inputs, start: None, sums: None },
            _ if !catalogue.layer_sums.is_empty() => {
                for (of_row, &item) in of_rows.iter_mut().zip(items) {
                    *of_row = catalogue.layer_sums_of(item);
                }
                let sums = of_rows.get(..items.len());
                Input { e: &[], stride: 1, inputs: 0, start: Some(start), sums }
            }
            _ => {
                let (stride, e) = carve_vectors(&mut memory, inputs, R)?;
                catalogue.copy_vectors(items, inputs, stride, e);
                Input { e, stride, inputs, start: Some(start), sums: None }
            }
        };
        let ahead = &mut Ahead::new(&fwfm.embedding, &[], 0);
        let of_layers =
            v.run_layers(LayerSteps::<_, R> { layers, input, term: self.terms.mlp, memory: &mut memory, ahead })?;
        let most = [limit::SUM, limit::SUM, fwfm.interaction.largest()];
        for ((score, mut sums), of_layers) in scores.iter_mut().zip(sums).zip(of_layers) {
            // Whatever a file has, the sums stay in their types; those of items are within these limits.
            sums.iter_mut().zip(most).for_each(|(sum, most)| *sum = (*sum).clamp(-most, most));
            score.logit = logit_from_steps(logit_steps(self.bias, fwfm.steps(self.terms, sums), of_layers));
        }
        Ok(())
    }

    /// Blocks of scratch that items take, one by one or as many together as go.
    #[inline(always)]
    pub(crate) fn blocks<V: Vector>(layers: &Layers<'_>, inputs: usize, has_sums: bool, in_groups: bool) -> usize {
        let rows = if in_groups { layers.rows_together::<V>() } else { 1 };
        Measure::of(
            #[inline(always)]
            |memory| {
                if has_sums {
                    return layers.carve::<V>(memory, 0, rows);
                }
                if !matches!(layers, Layers::None) {
                    carve_vectors::<i8>(memory, inputs, rows)?;
                }
                layers.carve::<V>(memory, inputs, rows)
            },
        )
    }
}

/// \[rows, stride\], and the stride: room for vectors of items as layers read them, with numbers behind each row.
#[inline(always)]
fn carve_vectors<'s, W: crate::scratch::Plain>(
    memory: &mut impl Memory<'s>,
    inputs: usize,
    rows: usize,
) -> Scored<(usize, &'s mut [W])> {
    let stride = (inputs + SLACK).next_multiple_of(ScratchBlock::LEN / size_of::<W>());
    Ok((stride, memory.take(rows * stride)?))
}

type RealMlp<'m> = Mlp<'m, f32, f32, f32>;

/// Items to score in f32 mode; what is not said is as in [`ItemIntegers`].
pub(crate) struct ItemReals<'t> {
    pub(crate) fwfm: &'t Fwfm<'t, f32, f32>,
    pub(crate) mlp: Option<&'t RealMlp<'t>>,
    /// The context's own sum, with the bias.
    pub(crate) own: f32,
    /// t \[fields, dim\], and zeros to fill \[[`Across::len`]\].
    pub(crate) across: &'t [f32],
    pub(crate) start: &'t [f32],
    pub(crate) catalogue: RealItems<'t>,
    pub(crate) inputs: usize,
    pub(crate) items: &'t [u32],
    pub(crate) scores: &'t mut [Score],
    pub(crate) scratch: &'t mut [ScratchBlock],
    pub(crate) in_groups: bool,
}

/// An item of f32 mode that has no score, by its place among those that were asked for.
pub(crate) struct NoScore {
    pub(crate) place: usize,
    pub(crate) error: ScoreError,
}

impl Task for ItemReals<'_> {
    type Output = Result<(), NoScore>;

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) -> Self::Output {
        let most = if V::GROUPED && self.in_groups { WIDE_GROUP } else { 1 };
        let scores = std::mem::take(&mut self.scores);
        let done = each_group(
            self.items,
            &mut *scores,
            most,
            #[inline(always)]
            |items, scores| match items.len() {
                1 => self.reals::<V, 1>(v, items, scores),
                _ if V::GROUPED => self.reals::<V, WIDE_GROUP>(v, items, scores),
                // Never called, and not in the program.
                _ => Ok(()),
            },
        );
        done.map_err(|error| NoScore { place: 0, error })?;
        match scores.iter().position(|score| !score.logit.is_finite()) {
            Some(place) => Err(NoScore { place, error: ScoreError::NotFinite }),
            None => Ok(()),
        }
    }
}

impl ItemReals<'_> {
    /// items \[1 to R\]
    #[inline(always)]
    fn reals<V: Vector, const R: usize>(&mut self, v: V, items: &[u32], scores: &mut [Score]) -> Scored<()> {
        let ItemReals { fwfm, mlp, catalogue, across, inputs, start, .. } = *self;
        let mut memory = Scratch::new(self.scratch);
        let mut sums = [self.own; R];
        for (sum, &item) in sums.iter_mut().zip(items) {
            let e = run(catalogue.vectors, item as usize * catalogue.stride, catalogue.stride);
            let mut lanes = v.splat_f32(0.0);
            for at in (0..across.len().min(e.len())).step_by(LANES) {
                lanes = v.mul_add_f32(load_f32(v, e, at), load_f32(v, across, at), lanes);
            }
            *sum += catalogue.own(item, 0.0) + total_f32(v.store_f32(lanes));
        }
        let mut of_mlp = [0.0; R];
        if let Some(mlp) = mlp {
            let mut of_rows = [&[][..]; R];
            let (start, ahead) = (Some(start), &mut Ahead::new(&fwfm.embedding, &[], 0));
            if catalogue.layer_sums.is_empty() {
                let (stride, e) = carve_vectors::<f32>(&mut memory, inputs, R)?;
                catalogue.copy_vectors(items, inputs, stride, e);
                let [x, y] = carve_layers::<V>(&mut memory, mlp, inputs, R)?;
                if mlp.has_tiles_for::<V>() {
                    let (x, y) = (x.as_chunks_mut::<R>().0, y.as_chunks_mut::<R>().0);
                    interleave_rows(v, e, stride, x.get_mut(..inputs).unwrap_or_default());
                    let tiles = RealTiles::<_, R, 1> { mlp, groups: 1, start, sums: None, x, y, ahead };
                    [of_mlp] = v.run_layers(tiles);
                } else {
                    for (of_mlp, e) in of_mlp.iter_mut().zip(e.chunks_exact(stride)).take(items.len()) {
                        *of_mlp = mlp.rows(run(e, 0, inputs), start, x, y);
                    }
                }
            } else {
                // A group is whole, its last item as often as it takes.
                for (n, of_row) in of_rows.iter_mut().enumerate() {
                    let item = items.get(n).or(items.last()).copied().unwrap_or(0);
                    *of_row = catalogue.layer_sums_of(item);
                }
                let [x, y] = carve_layers::<V>(&mut memory, mlp, 0, R)?;
                if mlp.has_tiles_for::<V>() {
                    let (x, y) = (x.as_chunks_mut::<R>().0, y.as_chunks_mut::<R>().0);
                    let tiles = RealTiles::<_, R, 1> { mlp, groups: 1, start, sums: Some(of_rows), x, y, ahead };
                    [of_mlp] = v.run_layers(tiles);
                } else {
                    for (of_mlp, of_row) in of_mlp.iter_mut().zip(of_rows).take(items.len()) {
                        *of_mlp = mlp.rows_of_sums(of_row, self.start, x, y);
                    }
                }
            }
        }
        for ((score, sum), of_mlp) in scores.iter_mut().zip(sums).zip(of_mlp) {
            score.logit = sum + of_mlp;
        }
        Ok(())
    }

    /// As [`ItemIntegers::blocks`].
    #[inline(always)]
    pub(crate) fn blocks<V: Vector>(
        mlp: Option<&RealMlp<'_>>,
        inputs: usize,
        has_sums: bool,
        in_groups: bool,
    ) -> usize {
        let rows = if V::GROUPED && in_groups { WIDE_GROUP } else { 1 };
        let Some(mlp) = mlp else { return 0 };
        Measure::of(
            #[inline(always)]
            |memory| {
                if has_sums {
                    return carve_layers::<V>(memory, mlp, 0, rows);
                }
                carve_vectors::<f32>(memory, inputs, rows)?;
                carve_layers::<V>(memory, mlp, inputs, rows)
            },
        )
    }
}

/// Inputs and outputs of a layer: in tiles \[those of the widest, rows\], interleaved, in rows \[outputs of the
/// widest\].
#[inline(always)]
fn carve_layers<'s, V: Vector>(
    memory: &mut impl Memory<'s>,
    mlp: &RealMlp<'_>,
    inputs: usize,
    rows: usize,
) -> Scored<[&'s mut [f32]; 2]> {
    let widest = mlp.widest();
    let count = if mlp.has_tiles_for::<V>() { rows * inputs.max(widest) } else { widest };
    Ok([memory.take(count)?, memory.take(count)?])
}

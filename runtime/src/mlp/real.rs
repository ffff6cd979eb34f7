//! f32 mode, in tiles where the back end has vectors of sixteen and they lie so, and in rows otherwise.

use super::Mlp;
use crate::kernel::vector::{
    FEW, FinishReal, GROUPS, LANES, Prefetch, Task, Vector, interleave_f32, layer_f32, load_f32,
};
use crate::kernel::{portable, vector};

/// x \[inputs, R\] = e \[R, stride\], interleaved
#[inline(always)]
pub(crate) fn interleave_rows<V: Vector, const R: usize>(v: V, e: &[f32], stride: usize, x: &mut [[f32; R]]) {
    if R == 1 {
        for (x, &e) in x.iter_mut().zip(e) {
            x[0] = e;
        }
        return;
    }
    let (tiles, rest) = x.as_chunks_mut();
    for (few, e) in e.chunks_exact(FEW * stride).enumerate() {
        for (n, tile) in tiles.iter_mut().enumerate() {
            let mut rows = [v.splat_f32(0.0); FEW];
            for (row, e) in rows.iter_mut().zip(e.chunks_exact(stride)) {
                *row = load_f32(v, e, n * LANES);
            }
            interleave_f32::<V, R, FEW>(v, rows, few * FEW, tile);
        }
    }
    for (row, e) in e.chunks_exact(stride).enumerate() {
        for (x, &e) in rest.iter_mut().zip(&e[tiles.len() * LANES..]) {
            x[row] = e;
        }
    }
}

/// y \[groups, apart, R\] = max(0, acc): a hidden layer of f32 mode
struct StoreReal<'y, const R: usize> {
    y: &'y mut [[f32; R]],
    apart: usize,
}

impl<V: Vector, const R: usize> FinishReal<V> for StoreReal<'_, R> {
    #[inline(always)]
    fn rows<const N: usize>(&mut self, v: V, group: usize, tile: usize, first: usize, mut acc: [V::F32; N]) {
        for acc in &mut acc {
            *acc = v.at_least(*acc, 0.0);
        }
        let outputs = self.y[group * self.apart..].as_chunks_mut().0;
        interleave_f32(v, acc, first, &mut outputs[tile]);
    }
}

/// out \[G, R\] += sum_o w_o y_o in sixteen lanes: the last hidden layer of f32 mode, whose outputs are not kept
struct OutputReal<'l, V: Vector, const R: usize, const G: usize> {
    /// \[outputs\] of the output layer.
    w: &'l [f32],
    out: [[V::F32; R]; G],
}

impl<V: Vector, const R: usize, const G: usize> FinishReal<V> for OutputReal<'_, V, R, G> {
    #[inline(always)]
    fn rows<const N: usize>(&mut self, v: V, group: usize, tile: usize, first: usize, acc: [V::F32; N]) {
        let w = load_f32(v, self.w, tile * LANES);
        for (out, acc) in self.out[group][first..].iter_mut().zip(acc) {
            *out = v.mul_add_f32(v.at_least(acc, 0.0), w, *out);
        }
    }
}

/// start \[tiles\], sums \[R\]\[outputs\], padded: gives `finish` the sums of every tile for every row of a group,
/// which were computed before but for what they begin with
#[inline(always)]
fn finish_sums<V: Vector, const R: usize>(
    v: V,
    start: &[[f32; LANES]],
    sums: [&[f32]; R],
    finish: &mut impl FinishReal<V>,
) {
    for (tile, start) in start.iter().enumerate() {
        let start = v.load_f32(start);
        if R == 1 {
            finish.rows(v, 0, tile, 0, [v.add_f32(start, load_f32(v, sums[0], tile * LANES))]);
        }
        for (few, rows) in sums.as_chunks::<FEW>().0.iter().enumerate() {
            let mut acc = [start; FEW];
            for (acc, row) in acc.iter_mut().zip(rows) {
                *acc = v.add_f32(*acc, load_f32(v, row, tile * LANES));
            }
            finish.rows(v, 0, tile, few * FEW, acc);
        }
    }
}

/// The outputs of up to G groups, by layers in tiles. Work of its own, as [`LayerSteps`](super::LayerSteps), and shared
/// where G is the same: items by what takes several groups took 10 % more instructions.
pub(crate) struct RealTiles<'t, 'm, P, const R: usize, const G: usize> {
    pub(crate) mlp: &'t Mlp<'m, f32, f32, f32>,
    pub(crate) groups: usize,
    /// What the sums of the first layer begin with in place of its biases.
    pub(crate) start: Option<&'t [f32]>,
    /// The rest of these sums for each row of a single group, where they were computed before: `x` is then room alone.
    pub(crate) sums: Option<[&'t [f32]; R]>,
    /// \[groups, inputs or outputs of the widest layer, R\]
    pub(crate) x: &'t mut [[f32; R]],
    pub(crate) y: &'t mut [[f32; R]],
    pub(crate) ahead: &'t mut P,
}

impl<P: Prefetch, const R: usize, const G: usize> Task for RealTiles<'_, '_, P, R, G> {
    type Output = [[f32; R]; G];

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> [[f32; R]; G] {
        let RealTiles { mlp, groups, start, sums, mut x, mut y, ahead } = self;
        let (hidden, output) = mlp.split();
        let apart = (x.len() / groups.max(1)).max(1);
        for n in 0..hidden {
            let layer = mlp.layer(n);
            let w = layer.weights.as_chunks().0;
            let start = start.filter(|_| n == 0).unwrap_or(layer.biases).as_chunks().0;
            let begun = if n == 0 { sums } else { None };
            if let (Some(sums), true) = (begun, n + 1 < hidden) {
                finish_sums(v, start, sums, &mut StoreReal { y: x, apart });
                continue;
            }
            let inputs = x.chunks_exact(apart).map(
                #[inline(always)]
                |x| &x[..layer.inputs],
            );
            if n + 1 == hidden {
                let mut finish = OutputReal { w: output.weights, out: [[v.splat_f32(0.0); R]; G] };
                if let Some(sums) = begun {
                    finish_sums(v, start, sums, &mut finish);
                } else {
                    layer_f32(v, w, start, inputs, &mut finish, ahead);
                }
                let bias = output.biases.iter().sum::<f32>();
                let mut outputs = [[0.0; R]; G];
                for (outputs, sums) in outputs.iter_mut().zip(finish.out).take(groups) {
                    for (output, sums) in outputs.iter_mut().zip(sums) {
                        *output = bias + vector::total_f32(v.store_f32(sums));
                    }
                }
                return outputs;
            }
            layer_f32(v, w, start, inputs, &mut StoreReal { y, apart }, ahead);
            (x, y) = (y, x);
        }
        [[0.0; R]; G]
    }
}

/// Weights of layers whose groups go through them [`GROUPS`] at a time: what a second-level cache may have no room for.
const FAR_WEIGHTS: usize = 1 << 18;

impl Mlp<'_, f32, f32, f32> {
    /// Groups of [`vector::WIDE_GROUP`] rows that go through the layers together, at most.
    #[inline(always)]
    pub(crate) fn groups<V: Vector>(&self) -> usize {
        if self.has_tiles_for::<V>() && self.weights.len() > FAR_WEIGHTS { GROUPS } else { 1 }
    }

    /// e \[num_fields * dim\], h0 and h1 scratch of [`Mlp::widest`]: the output, by layers in rows
    ///
    /// `start`: what the sums of the first layer begin with in place of its biases.
    #[inline(always)]
    pub(crate) fn rows(&self, e: &[f32], start: Option<&[f32]>, h0: &mut [f32], h1: &mut [f32]) -> f32 {
        let (hidden, output) = self.split();
        if hidden == 0 {
            return portable::dot_f32(e, output.weights) + start.unwrap_or(output.biases).iter().sum::<f32>();
        }
        let layer = self.layer(0);
        portable::layer_f32(e, layer.laid(), start.unwrap_or(layer.biases), &mut h0[..layer.outputs]);
        self.behind_first(layer.outputs, h0, h1)
    }

    /// sums and start \[outputs of the first layer\]: as [`Mlp::rows`], with that layer's sums computed before
    #[inline(always)]
    pub(crate) fn rows_of_sums(&self, sums: &[f32], start: &[f32], h0: &mut [f32], h1: &mut [f32]) -> f32 {
        let layer = self.layer(0);
        if self.split().0 == 0 {
            return sums.iter().zip(start).take(1).map(|(sum, start)| sum + start).sum();
        }
        for ((h, sum), start) in h0[..layer.outputs].iter_mut().zip(sums).zip(start) {
            let sum = start + sum;
            *h = if sum < 0.0 { 0.0 } else { sum };
        }
        self.behind_first(layer.outputs, h0, h1)
    }

    /// The layers behind the first, whose `width` outputs are in `h0`.
    #[inline(always)]
    fn behind_first<'s>(&self, mut width: usize, mut h0: &'s mut [f32], mut h1: &'s mut [f32]) -> f32 {
        let (hidden, output) = self.split();
        for n in 1..hidden {
            let layer = self.layer(n);
            portable::layer_f32(&h0[..width], layer.laid(), layer.biases, &mut h1[..layer.outputs]);
            (h0, h1, width) = (h1, h0, layer.outputs);
        }
        portable::dot_f32(&h0[..width], output.weights) + output.biases.iter().sum::<f32>()
    }
}

//! int8 mode where hidden layers lie in tiles and the back end has vectors of sixteen: integers from layer to layer,
//! any number of rows together.

use super::{Input, Layer, Mlp};
use crate::error::Scored;
use crate::format::layout::tile;
use crate::kernel::vector::{Finish, LANES, Prefetch, Quad, RUN, Vector, is_matrix, layer_int8, place, widen_i8};
use crate::scratch::Memory;

/// The sixteen numbers of a tile.
#[inline(always)]
pub(super) fn of_tile<T>(numbers: &[T], tile: usize) -> &[T; LANES] {
    &numbers.as_chunks().0[tile]
}

/// What the sums of a tile need, so that u8 and i8 inputs mean the same: a back end's inputs are shifted by 128 in the
/// first layer or in all others ([`Vector::UNSIGNED`]), which adds `128 * sum_i w_oi` to each channel or takes it away.
#[inline(always)]
pub(crate) fn shifted<V: Vector>(v: V, sums: &[i32], is_first: bool, tile: usize) -> V::I32 {
    if V::UNSIGNED == is_first {
        let shift = if V::UNSIGNED { -128 } else { 128 };
        v.mul(v.load(of_tile(sums, tile)), v.splat(shift))
    } else {
        v.splat(0)
    }
}

/// What is xored to the bytes of a layer's inputs.
const fn flip<V: Vector>(is_first: bool) -> u32 {
    if V::UNSIGNED == is_first { 0x8080_8080 } else { 0 }
}

/// y \[outputs / 4, R\] = clamp(requantize(acc + b, m), 0, 255): a hidden layer of int8 mode
struct Store<'l, 'y, const R: usize> {
    layer: Layer<'l, i8, i32, i32>,
    is_first: bool,
    y: &'y mut [[Quad; R]],
}

impl<V: Vector, const R: usize> Finish<V> for Store<'_, '_, R> {
    type Channels = (V::I32, V::I32);

    #[inline(always)]
    fn channels(&self, v: V, tile: usize) -> Self::Channels {
        let bias = v.add(v.load(of_tile(self.layer.biases, tile)), shifted(v, self.layer.sums, self.is_first, tile));
        (bias, v.load(of_tile(self.layer.multipliers, tile)))
    }

    #[inline(always)]
    fn row(&mut self, v: V, (bias, multiplier): Self::Channels, tile: usize, row: usize, acc: V::I32) {
        let y = v.clamp(v.requantize(v.add(acc, bias), multiplier), 0, 255);
        store_quads::<V, R>(v.bytes(y), tile, row, self.y);
    }
}

/// Sixteen outputs of a row to where the next layer reads them.
#[inline(always)]
pub(super) fn store_quads<V: Vector, const R: usize>(bytes: [u8; LANES], tile: usize, row: usize, y: &mut [[Quad; R]]) {
    let flipped = |bytes: &Quad| (u32::from_ne_bytes(*bytes) ^ flip::<V>(false)).to_ne_bytes();
    if is_matrix::<V, R>() {
        let at = place::<R>(tile * (LANES / tile::DEPTH), row, y.len());
        let quads = &mut y.as_flattened_mut()[at..at + LANES / tile::DEPTH];
        quads.iter_mut().zip(bytes.as_chunks().0).for_each(|(quad, bytes)| *quad = flipped(bytes));
        return;
    }
    let quads = &mut y.as_chunks_mut::<{ LANES / tile::DEPTH }>().0[tile];
    for (quad, bytes) in quads.iter_mut().zip(bytes.as_chunks().0) {
        quad[row] = flipped(bytes);
    }
}

/// out \[R\] += sum_o w_o y_o in sixteen lanes: the last hidden layer of int8 mode, whose outputs are not kept
struct Output<'l, V: Vector, const R: usize> {
    layer: Layer<'l, i8, i32, i32>,
    is_first: bool,
    /// \[outputs\] of the output layer.
    w: &'l [i8],
    out: [V::I32; R],
}

impl<V: Vector, const R: usize> Finish<V> for Output<'_, V, R> {
    type Channels = (V::I32, V::I32, V::I32);

    #[inline(always)]
    fn channels(&self, v: V, tile: usize) -> Self::Channels {
        let bias = v.add(v.load(of_tile(self.layer.biases, tile)), shifted(v, self.layer.sums, self.is_first, tile));
        (bias, v.load(of_tile(self.layer.multipliers, tile)), widen_i8(v, self.w, tile * LANES))
    }

    #[inline(always)]
    fn row(&mut self, v: V, (bias, multiplier, w): Self::Channels, _tile: usize, row: usize, acc: V::I32) {
        let y = v.clamp(v.requantize(v.add(acc, bias), multiplier), 0, 255);
        self.out[row] = v.add(self.out[row], v.mul(y, w));
    }
}

impl<V: Vector, const R: usize> Output<'_, V, R> {
    /// The accumulators of the output layer.
    #[inline(always)]
    fn outputs(self, v: V, output: Layer<'_, i8, i32, i32>) -> [i64; R] {
        let bias = output.biases.first().map_or(0, |&bias| i64::from(bias));
        let mut outputs = [bias; R];
        for (output, sums) in outputs.iter_mut().zip(self.out) {
            *output += total(v, sums);
        }
        outputs
    }
}

/// sums \[rows\]\[outputs\], padded: gives `finish` the sums of every tile for every row, which were computed before.
///
/// They are sums of the inputs as they are: where `finish` is told that its layer is the [first](shifted) of a back end
/// that shifts later ones, or the other way round, it adds no shift.
#[inline(always)]
pub(super) fn finish_sums<V: Vector>(v: V, sums: &[&[i32]], tiles: usize, finish: &mut impl Finish<V>) {
    for tile in 0..tiles {
        let channels = finish.channels(v, tile);
        for (row, sums) in sums.iter().enumerate() {
            finish.row(v, channels, tile, row, v.load(of_tile(sums, tile)));
        }
    }
}

/// e \[R, stride\], x \[inputs / 4, R\]: the field vectors as the first layer reads them.
#[inline(always)]
pub(crate) fn interleave<V: Vector, const R: usize>(e: &[i8], stride: usize, x: &mut [[Quad; R]]) {
    let flipped =
        |quad: &[i8; tile::DEPTH]| (u32::from_ne_bytes(quad.map(i8::cast_unsigned)) ^ flip::<V>(true)).to_ne_bytes();
    let quads = x.len();
    for (row, e) in e.chunks(stride.max(1)).take(R).enumerate() {
        let e = e.as_chunks().0;
        if is_matrix::<V, R>() {
            for (first, e) in (0..quads).step_by(RUN).zip(e.chunks(RUN)) {
                let at = place::<R>(first, row, quads);
                let run = &mut x.as_flattened_mut()[at..at + RUN.min(quads - first)];
                run.iter_mut().zip(e).for_each(|(x, quad)| *x = flipped(quad));
            }
            continue;
        }
        for (x, quad) in x.iter_mut().zip(e) {
            x[row] = flipped(quad);
        }
    }
}

/// Quads of a layer's inputs as they lie in the scratch: whole tiles of those that a layer before it has written, where
/// they lie in [runs](place).
#[inline(always)]
pub(super) fn quads<V: Vector, const R: usize>(inputs: usize, is_first: bool) -> usize {
    let depth = inputs.div_ceil(tile::DEPTH);
    if is_first || !is_matrix::<V, R>() { depth } else { depth.next_multiple_of(LANES / tile::DEPTH) }
}

/// The sum of all lanes.
#[inline(always)]
pub(super) fn total<V: Vector>(v: V, lanes: V::I32) -> i64 {
    v.store(lanes).into_iter().map(i64::from).sum()
}

impl Mlp<'_, i8, i32, i32> {
    /// x and y of [`Mlp::tiles`] for so many rows.
    #[inline(always)]
    pub(super) fn carve_tiles<'s>(
        &self,
        memory: &mut impl Memory<'s>,
        inputs: usize,
        rows: usize,
    ) -> Scored<[&'s mut [Quad]; 2]> {
        let quads = inputs.max(self.widest()).div_ceil(tile::DEPTH);
        Ok([memory.take(rows * quads)?, memory.take(rows * quads)?])
    }

    /// x and y \[inputs or outputs / 4 of the widest layer, R\]: the accumulators of the output layer
    #[inline(always)]
    pub(super) fn tiles<V: Vector, const R: usize>(
        &self,
        v: V,
        input: Input<'_>,
        [x, y]: [&mut [Quad]; 2],
        ahead: &mut impl Prefetch,
    ) -> [i64; R] {
        let Input { e, stride, start, sums, .. } = input;
        let (mut x, mut y) = (x.as_chunks_mut().0, y.as_chunks_mut().0);
        let (hidden, output) = self.split();
        if sums.is_none() {
            interleave::<V, R>(e, stride, &mut x[..quads::<V, R>(self.layer(0).inputs, true)]);
        }
        for n in 0..hidden {
            let mut layer = self.layer(n);
            if let (0, Some(start)) = (n, start) {
                layer.biases = start;
            }
            let (w, is_first) = (layer.weights.as_chunks().0, n == 0);
            if let (true, Some(sums)) = (is_first, sums) {
                let is_first = !V::UNSIGNED;
                if n + 1 == hidden {
                    let mut finish = Output { layer, is_first, w: output.weights, out: [v.splat(0); R] };
                    finish_sums(v, sums, layer.biases.len() / LANES, &mut finish);
                    return finish.outputs(v, output);
                }
                let y = &mut x[..layer.biases.len() / tile::DEPTH];
                finish_sums(v, sums, layer.biases.len() / LANES, &mut Store { layer, is_first, y });
                continue;
            }
            let depth = layer.inputs.div_ceil(tile::DEPTH);
            let inputs = &x[..quads::<V, R>(layer.inputs, is_first)];
            if n + 1 == hidden {
                let mut finish = Output { layer, is_first, w: output.weights, out: [v.splat(0); R] };
                layer_int8(v, w, depth, inputs, &mut finish, ahead);
                return finish.outputs(v, output);
            }
            let outputs = layer.biases.len() / tile::DEPTH;
            layer_int8(v, w, depth, inputs, &mut Store { layer, is_first, y: &mut y[..outputs] }, ahead);
            (x, y) = (y, x);
        }
        [0; R]
    }
}

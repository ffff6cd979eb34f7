//! Dynamic mode, in tiles where the back end has vectors of sixteen and in rows otherwise: layer outputs in f32,
//! quantised anew for each row (`docs/quantization.md`).

use super::tiles::{finish_sums, interleave, of_tile, quads, shifted, store_quads, total};
use super::{Input, Layer, Mlp};
use crate::error::Scored;
use crate::format::layout::tile;
use crate::kernel::portable;
use crate::kernel::vector::{Finish, LANES, Prefetch, Quad, Vector, layer_int8, widen_i8};
use crate::quant;
use crate::scratch::Memory;

/// y \[outputs, R\] in f32, and the largest of each row: a hidden layer of dynamic mode (`docs/quantization.md`)
struct Real<'l, 'y, V: Vector, const R: usize> {
    layer: Layer<'l, i8, f32, f32>,
    is_first: bool,
    /// \[R\]: what a step of the layer's input is worth.
    input_scale: [f32; R],
    /// Start of the sums, where the context's share is in it already: \[outputs\]
    start: Option<&'l [i32]>,
    /// \[outputs / 16, R\]
    y: &'y mut [[[f32; LANES]; R]],
    largest: [V::F32; R],
}

impl<V: Vector, const R: usize> Finish<V> for Real<'_, '_, V, R> {
    type Channels = (V::I32, V::F32, V::F32);

    #[inline(always)]
    fn channels(&self, v: V, tile: usize) -> Self::Channels {
        let shifted = shifted(v, self.layer.sums, self.is_first, tile);
        let start = match self.start {
            Some(start) => v.add(shifted, v.load(of_tile(start, tile))),
            None => shifted,
        };
        let scale = v.load_f32(of_tile(self.layer.multipliers, tile));
        (start, scale, v.load_f32(of_tile(self.layer.biases, tile)))
    }

    #[inline(always)]
    fn row(&mut self, v: V, (start, scale, bias): Self::Channels, tile: usize, row: usize, acc: V::I32) {
        let sum = v.mul_f32(v.to_f32(v.add(acc, start)), scale);
        let y = v.add_f32(v.mul_f32(sum, v.splat_f32(self.input_scale[row])), bias);
        let y = v.min_f32(v.at_least(y, 0.0), v.splat_f32(quant::DYNAMIC_MAX));
        self.y[tile][row] = v.store_f32(y);
        self.largest[row] = v.max_f32(self.largest[row], y);
    }
}

impl Mlp<'_, i8, f32, f32> {
    /// x and real of [`Mlp::dynamic_tiles`] for so many rows.
    #[inline(always)]
    pub(super) fn carve_dynamic_tiles<'s>(
        &self,
        memory: &mut impl Memory<'s>,
        inputs: usize,
        rows: usize,
    ) -> Scored<(&'s mut [Quad], &'s mut [f32])> {
        let quads = inputs.max(self.widest()).div_ceil(tile::DEPTH);
        Ok((memory.take(rows * quads)?, memory.take(rows * self.widest())?))
    }

    /// x \[inputs or outputs / 4 of the widest layer, R\], real \[outputs of the widest layer, R\]: the outputs, by
    /// layers in tiles
    #[inline(always)]
    pub(super) fn dynamic_tiles<V: Vector, const R: usize>(
        &self,
        v: V,
        input: Input<'_>,
        (x, real): (&mut [Quad], &mut [f32]),
        ahead: &mut impl Prefetch,
    ) -> [f32; R] {
        let Input { e, stride, start, sums: begun, .. } = input;
        let (x, real) = (x.as_chunks_mut::<R>().0, real.as_chunks_mut().0.as_chunks_mut().0);
        let (hidden, output) = self.split();
        if begun.is_none() {
            interleave::<V, R>(e, stride, &mut x[..quads::<V, R>(self.layer(0).inputs, true)]);
        }
        let mut input_scale = [1.0; R];
        for n in 0..hidden {
            let layer = self.layer(n);
            let (w, is_first) = (layer.weights.as_chunks().0, n == 0);
            let depth = layer.inputs.div_ceil(tile::DEPTH);
            let start = start.filter(|_| is_first);
            let largest = [v.splat_f32(0.0); R];
            let tiles = layer.biases.len() / LANES;
            let mut finish = Real { layer, is_first, input_scale, start, y: real, largest };
            if let (true, Some(begun)) = (is_first, begun) {
                finish.is_first = !V::UNSIGNED;
                finish_sums(v, begun, tiles, &mut finish);
            } else {
                layer_int8(v, w, depth, &x[..quads::<V, R>(layer.inputs, is_first)], &mut finish, ahead);
            }
            let largest = finish.largest;
            let is_last = n + 1 == hidden;
            let mut sums = [v.splat(0); R];
            for row in 0..R {
                let largest = v.store_f32(largest[row]).into_iter().fold(0.0, f32::max);
                let (inverse, scale) = quant::dynamic_scale(largest);
                input_scale[row] = scale;
                for (tile, real) in real[..tiles].iter().enumerate() {
                    let real = v.mul_f32(v.load_f32(&real[row]), v.splat_f32(inverse));
                    let y = v.clamp(v.truncate(v.add_f32(real, v.splat_f32(0.5))), 0, 255);
                    if is_last {
                        let w = widen_i8(v, output.weights, tile * LANES);
                        sums[row] = v.add(sums[row], v.mul(y, w));
                    } else {
                        store_quads::<V, R>(v.bytes(y), tile, row, &mut x[..tiles * (LANES / tile::DEPTH)]);
                    }
                }
            }
            if is_last {
                let mut outputs = [0.0; R];
                for (row, out) in outputs.iter_mut().enumerate() {
                    *out = self.output(total(v, sums[row]) as i32, input_scale[row]);
                }
                return outputs;
            }
        }
        [0.0; R]
    }

    /// The real output, given the output layer's sum and what a step of its input is worth.
    #[inline(always)]
    fn output(&self, acc: i32, input_scale: f32) -> f32 {
        let (_, output) = self.split();
        let (scale, bias) = (output.multipliers.first(), output.biases.first());
        acc as f32 * scale.copied().unwrap_or(0.0) * input_scale + bias.copied().unwrap_or(0.0)
    }

    /// h and real of [`Mlp::dynamic_rows`].
    #[inline(always)]
    pub(super) fn carve_dynamic_rows<'s>(&self, memory: &mut impl Memory<'s>) -> Scored<(&'s mut [u8], &'s mut [f32])> {
        Ok((memory.take(self.widest())?, memory.take(self.widest())?))
    }

    /// e \[inputs\], h and real \[[`Mlp::widest`]\]: the output, by layers in rows
    #[inline(always)]
    pub(super) fn dynamic_rows(&self, e: &[i8], start: Option<&[i32]>, (h, real): (&mut [u8], &mut [f32])) -> f32 {
        let (hidden, output) = self.split();
        if hidden == 0 {
            let start = start.and_then(|start| start.first()).copied().unwrap_or(0);
            return self.output(portable::dot_int8(e, output.weights).wrapping_add(start), 1.0);
        }
        let layer = self.layer(0);
        let (w, m, b) = (layer.laid(), layer.multipliers, layer.biases);
        let largest = portable::layer_dynamic(e, 1.0, start, w, m, b, &mut real[..layer.outputs]);
        self.behind_first(layer.outputs, largest, (h, real))
    }

    /// sums and start \[outputs of the first layer\]: as [`Mlp::dynamic_rows`], with that layer's sums computed before
    #[inline(always)]
    pub(super) fn dynamic_sums(&self, sums: &[i32], start: &[i32], (h, real): (&mut [u8], &mut [f32])) -> f32 {
        if self.split().0 == 0 {
            let first = |numbers: &[i32]| numbers.first().copied().unwrap_or(0);
            return self.output(first(sums).wrapping_add(first(start)), 1.0);
        }
        let layer = self.layer(0);
        let (m, b) = (layer.multipliers, layer.biases);
        let largest = portable::finish_dynamic(sums, start, m, b, &mut real[..layer.outputs]);
        self.behind_first(layer.outputs, largest, (h, real))
    }

    /// The layers behind the first, whose `width` outputs are in `real`, and the largest of them.
    #[inline(always)]
    fn behind_first(&self, mut width: usize, mut largest: f32, (h, real): (&mut [u8], &mut [f32])) -> f32 {
        let (hidden, output) = self.split();
        for n in 1..hidden {
            let scale = portable::quantize_dynamic(&real[..width], largest, &mut h[..width]);
            let layer = self.layer(n);
            let (w, m, b) = (layer.laid(), layer.multipliers, layer.biases);
            largest = portable::layer_dynamic(&h[..width], scale, None, w, m, b, &mut real[..layer.outputs]);
            width = layer.outputs;
        }
        let scale = portable::quantize_dynamic(&real[..width], largest, &mut h[..width]);
        self.output(portable::dot_int8(&h[..width], output.weights), scale)
    }
}

//! f32 mode.

use super::Mlp;
use crate::embedding::Ahead;
use crate::kernel::vector::{FinishReal, LANES, Vector, layer_f32, load_f32};
use crate::kernel::{portable, vector};

/// y \[outputs, R\] = max(0, acc): a hidden layer of f32 mode
struct StoreReal<'y, const R: usize> {
    y: &'y mut [[f32; R]],
}

impl<V: Vector, const R: usize> FinishReal<V> for StoreReal<'_, R> {
    #[inline(always)]
    fn row(&mut self, v: V, tile: usize, row: usize, acc: V::F32) {
        let values = v.store_f32(v.at_least(acc, 0.0));
        let outputs = &mut self.y.as_chunks_mut::<LANES>().0[tile];
        for (y, value) in outputs.iter_mut().zip(values) {
            y[row] = value;
        }
    }
}

/// out \[R\] += sum_o w_o y_o in sixteen lanes: the last hidden layer of f32 mode, whose outputs are not kept
struct OutputReal<'l, V: Vector, const R: usize> {
    /// \[outputs\] of the output layer.
    w: &'l [f32],
    out: [V::F32; R],
}

impl<V: Vector, const R: usize> FinishReal<V> for OutputReal<'_, V, R> {
    #[inline(always)]
    fn row(&mut self, v: V, tile: usize, row: usize, acc: V::F32) {
        let w = load_f32(v, self.w, tile * LANES);
        self.out[row] = v.mul_add_f32(v.at_least(acc, 0.0), w, self.out[row]);
    }
}

impl Mlp<'_, f32, f32, f32> {
    /// e \[R, stride\], x and y \[inputs or outputs, R\] of the widest layer: the outputs, by layers in tiles
    ///
    /// `start`: what the sums of the first layer begin with in place of its biases.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "a layer's equation and its scratch")]
    pub(crate) fn tiles<'s, V: Vector, const R: usize>(
        &self,
        v: V,
        e: &[f32],
        stride: usize,
        start: Option<&[f32]>,
        mut x: &'s mut [[f32; R]],
        mut y: &'s mut [[f32; R]],
        ahead: &mut Ahead<'_, '_, f32>,
    ) -> [f32; R] {
        let (hidden, output) = self.split();
        for (row, e) in e.chunks(stride.max(1)).take(R).enumerate() {
            for (x, &e) in x.iter_mut().zip(e) {
                x[row] = e;
            }
        }
        for n in 0..hidden {
            let layer = self.layer(n);
            let (w, inputs) = (layer.weights.as_chunks().0, &x[..layer.inputs]);
            let start = start.filter(|_| n == 0).unwrap_or(layer.biases).as_chunks().0;
            if n + 1 == hidden {
                let mut finish = OutputReal { w: output.weights, out: [v.splat_f32(0.0); R] };
                layer_f32(v, w, start, inputs, &mut finish, ahead);
                let bias = output.biases.iter().sum::<f32>();
                let mut outputs = [bias; R];
                for (output, sums) in outputs.iter_mut().zip(finish.out) {
                    *output += vector::total_f32(v.store_f32(sums));
                }
                return outputs;
            }
            layer_f32(v, w, start, inputs, &mut StoreReal { y }, ahead);
            (x, y) = (y, x);
        }
        [0.0; R]
    }

    /// e \[num_fields * dim\], h0 and h1 scratch of [`Mlp::widest`]: the output, by layers in rows
    ///
    /// `start`: what the sums of the first layer begin with in place of its biases.
    #[inline(always)]
    pub(crate) fn rows<'s>(
        &self,
        e: &[f32],
        start: Option<&[f32]>,
        mut h0: &'s mut [f32],
        mut h1: &'s mut [f32],
    ) -> f32 {
        let (hidden, output) = self.split();
        let dot = |x: &[f32], biases: &[f32]| portable::dot_f32(x, output.weights) + biases.iter().sum::<f32>();
        if hidden == 0 {
            return dot(e, start.unwrap_or(output.biases));
        }
        let layer = self.layer(0);
        let mut width = layer.outputs;
        portable::layer_f32(e, layer, start.unwrap_or(layer.biases), &mut h0[..width]);
        for n in 1..hidden {
            let layer = self.layer(n);
            portable::layer_f32(&h0[..width], layer, layer.biases, &mut h1[..layer.outputs]);
            (h0, h1, width) = (h1, h0, layer.outputs);
        }
        dot(&h0[..width], output.biases)
    }
}

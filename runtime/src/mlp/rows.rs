//! int8 mode where hidden layers lie in rows: one row of a batch at a time, on any CPU.

use super::Mlp;
use crate::error::Scored;
use crate::kernel::portable;
use crate::run::{run, run_mut};
use crate::scratch::Memory;

impl Mlp<'_, i8, i32, i32> {
    /// h0 and h1 of [`Mlp::rows`].
    #[inline(always)]
    pub(crate) fn carve_rows<'s>(&self, memory: &mut impl Memory<'s>) -> Scored<[&'s mut [u8]; 2]> {
        let widest = self.widest();
        Ok([memory.take(widest)?, memory.take(widest)?])
    }

    /// e \[inputs\], h0 and h1 \[[`Mlp::widest`]\]: the accumulator of the output layer
    ///
    /// `start`: what the sums of the first layer begin with in place of its biases.
    #[inline(always)]
    pub(crate) fn rows(&self, e: &[i8], start: Option<&[i32]>, [h0, h1]: [&mut [u8]; 2]) -> i64 {
        let (hidden, output) = self.split();
        if hidden == 0 {
            let biases = start.unwrap_or(output.biases);
            return portable::output_int8(e, output.weights, biases);
        }
        let layer = self.layer(0);
        let biases = start.unwrap_or(layer.biases);
        portable::layer_int8(e, layer.weights, biases, layer.multipliers, run_mut(h0, 0, layer.outputs));
        self.behind_first(layer.outputs, [h0, h1])
    }

    /// sums and start \[outputs of the first layer\]: as [`Mlp::rows`], with that layer's sums computed before
    #[inline(always)]
    pub(super) fn rows_of_sums(&self, sums: &[i32], start: &[i32], [h0, h1]: [&mut [u8]; 2]) -> i64 {
        let layer = self.layer(0);
        if self.split().0 == 0 {
            return sums.iter().zip(start).take(1).map(|(&sum, &start)| i64::from(sum.wrapping_add(start))).sum();
        }
        portable::finish_int8(sums, start, layer.multipliers, run_mut(h0, 0, layer.outputs));
        self.behind_first(layer.outputs, [h0, h1])
    }

    /// The layers behind the first, whose `width` outputs are in `h0`.
    #[inline(always)]
    pub(super) fn behind_first(&self, mut width: usize, [mut h0, mut h1]: [&mut [u8]; 2]) -> i64 {
        let (hidden, output) = self.split();
        for n in 1..hidden {
            let layer = self.layer(n);
            portable::layer_int8(
                run(h0, 0, width),
                layer.weights,
                layer.biases,
                layer.multipliers,
                run_mut(h1, 0, layer.outputs),
            );
            (h0, h1, width) = (h1, h0, layer.outputs);
        }
        portable::output_int8(run(h0, 0, width), output.weights, output.biases)
    }
}

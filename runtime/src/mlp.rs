//! The deep part: hidden layers with ReLU, then one output.

use crate::format::LayerRecord;
use crate::kernel::imp as kernel;

/// All layers. `W` is i8 and `B` i32, or both f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mlp<'a, W, B> {
    pub(crate) layers: &'a [LayerRecord],
    pub(crate) weights: &'a [W],
    pub(crate) biases: &'a [B],
    /// Beside `biases`; empty in f32 mode.
    pub(crate) multipliers: &'a [i32],
}

/// One layer: weights \[outputs, inputs\], biases and multipliers \[outputs\].
struct Layer<'a, W, B> {
    weights: &'a [W],
    biases: &'a [B],
    multipliers: &'a [i32],
}

impl<'a, W, B> Mlp<'a, W, B> {
    fn layer(&self, record: &LayerRecord) -> Layer<'a, W, B> {
        let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
        let channels = record.channel_offset.get() as usize..record.channel_offset.get() as usize + outputs;
        Layer {
            weights: &self.weights[record.weight_offset.get() as usize..][..inputs * outputs],
            biases: &self.biases[channels.clone()],
            multipliers: self.multipliers.get(channels).unwrap_or_default(),
        }
    }

    /// Width of the widest hidden layer.
    pub(crate) fn widest(&self) -> usize {
        let hidden = self.layers.split_last().map_or(&[][..], |(_, hidden)| hidden);
        hidden.iter().map(|layer| layer.outputs.get() as usize).max().unwrap_or(0)
    }
}

impl Mlp<'_, i8, i32> {
    /// e \[num_fields * dim\], h0 and h1 scratch of [`Mlp::widest`]: the accumulator of the output layer
    pub(crate) fn accumulate<'s>(&self, e: &[i8], mut h0: &'s mut [u8], mut h1: &'s mut [u8]) -> i64 {
        let Some((output, hidden)) = self.layers.split_last() else { return 0 };
        let output = self.layer(output);
        let Some((first, others)) = hidden.split_first() else {
            return only(kernel::accumulators_int8(e, output.weights, output.biases));
        };
        let layer = self.layer(first);
        let mut width = first.outputs.get() as usize;
        kernel::layer_int8(e, layer.weights, layer.biases, layer.multipliers, &mut h0[..width]);
        for record in others {
            let layer = self.layer(record);
            let outputs = record.outputs.get() as usize;
            kernel::layer_int8(&h0[..width], layer.weights, layer.biases, layer.multipliers, &mut h1[..outputs]);
            (h0, h1, width) = (h1, h0, outputs);
        }
        only(kernel::accumulators_int8(&h0[..width], output.weights, output.biases))
    }
}

/// The single accumulator of an output layer.
fn only(mut accumulators: impl Iterator<Item = i32>) -> i64 {
    accumulators.next().map_or(0, i64::from)
}

impl Mlp<'_, f32, f32> {
    /// e \[num_fields * dim\], h0 and h1 scratch of [`Mlp::widest`]: the output
    pub(crate) fn accumulate<'s>(&self, e: &'s [f32], mut h0: &'s mut [f32], mut h1: &'s mut [f32]) -> f32 {
        let Some((output, hidden)) = self.layers.split_last() else { return 0.0 };
        let output = self.layer(output);
        let dot = |x: &[f32]| kernel::dot_f32(x, output.weights) + output.biases.iter().sum::<f32>();
        let Some((first, others)) = hidden.split_first() else { return dot(e) };
        let layer = self.layer(first);
        let mut width = first.outputs.get() as usize;
        kernel::layer_f32(e, layer.weights, layer.biases, &mut h0[..width]);
        for record in others {
            let layer = self.layer(record);
            let outputs = record.outputs.get() as usize;
            kernel::layer_f32(&h0[..width], layer.weights, layer.biases, &mut h1[..outputs]);
            (h0, h1, width) = (h1, h0, outputs);
        }
        dot(&h0[..width])
    }
}

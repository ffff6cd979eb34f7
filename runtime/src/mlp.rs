//! The deep part: hidden layers with ReLU, then one output.

mod dynamic;
mod int8;
mod real;
mod strips;

use zerocopy::little_endian::{F32, U32};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::error::ScoreError;
use crate::format::layout::{Bias, Laid, Weight, tile};
use crate::format::{LayerRecord, Layout};
use crate::kernel::vector::Vector;
use crate::run::run;
use crate::scratch::{Scratch, blocks_of};

pub(crate) use int8::{TileScratch, interleave, shifted};
pub(crate) use real::interleave_rows;
pub(crate) use strips::{Strips, read_len};

/// All layers: W weights, B biases, M multipliers.
///
/// int8 mode: i8, i32, i32. Dynamic mode: i8, f32, f32. f32 mode: f32, f32, and no multipliers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mlp<'a, W, B, M> {
    pub(crate) layers: &'a [LayerRecord],
    pub(crate) weights: &'a [W],
    pub(crate) biases: &'a [B],
    /// Beside `biases`.
    pub(crate) multipliers: &'a [M],
    /// Beside `biases`, where i8 layers lie in tiles.
    pub(crate) sums: &'a [i32],
    /// What the first layer has for some of the fields, where not for all.
    pub(crate) first: Option<First<'a, W>>,
}

/// Some of the inputs of a first layer: its weights \[outputs, inputs\], and their sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct First<'a, W> {
    pub(crate) inputs: usize,
    pub(crate) weights: &'a [W],
    pub(crate) sums: &'a [i32],
}

/// A layer that is not there: without inputs and outputs.
const NO_LAYER: LayerRecord = LayerRecord {
    inputs: U32::ZERO,
    outputs: U32::ZERO,
    weight_offset: U32::ZERO,
    channel_offset: U32::ZERO,
    scale: F32::ZERO,
    layout: U32::ZERO,
    reserved: [U32::ZERO; 2],
};

/// One layer: weights \[outputs, inputs\] as the layout has them, biases, multipliers and sums \[outputs\], padded with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer<'a, W, B, M> {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) layout: Layout,
    pub(crate) weights: &'a [W],
    pub(crate) biases: &'a [B],
    pub(crate) multipliers: &'a [M],
    pub(crate) sums: &'a [i32],
}

impl<'a, W: Weight, B: Bias, M: Copy> Mlp<'a, W, B, M> {
    /// Layer `n`, counted from 0.
    pub(crate) fn layer(&self, n: usize) -> Layer<'a, W, B, M> {
        let mut layer = self.of_record(self.layers.get(n).unwrap_or(&NO_LAYER));
        if let (0, Some(First { inputs, weights, sums })) = (n, self.first) {
            (layer.inputs, layer.weights, layer.sums) = (inputs, weights, sums);
        }
        layer
    }

    fn of_record(&self, record: &LayerRecord) -> Layer<'a, W, B, M> {
        let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
        let (channels, weights) = shape::<W>(record);
        let first = record.channel_offset.get() as usize;
        Layer {
            inputs,
            outputs,
            layout: layout(record),
            weights: part(self.weights, record.weight_offset.get() as usize, weights),
            biases: part(self.biases, first, channels),
            multipliers: part(self.multipliers, first, channels),
            sums: part(self.sums, first, channels),
        }
    }

    /// The records of the hidden layers; the loader has seen that there is an output layer behind them.
    fn hidden(&self) -> &'a [LayerRecord] {
        self.layers.split_last().map_or(&[], |(_, hidden)| hidden)
    }

    /// The number of hidden layers, and the output layer.
    #[inline]
    pub(crate) fn split(&self) -> (usize, Layer<'a, W, B, M>) {
        let hidden = self.hidden().len();
        (hidden, self.layer(hidden))
    }

    /// How the hidden layers lie; where there are none, the output layer.
    pub(crate) fn layout(&self) -> Layout {
        self.layers.first().map_or(Layout::Rows, layout)
    }

    /// Whether the hidden layers lie in tiles; there is at least one then.
    fn is_tiled(&self) -> bool {
        self.layout() == Layout::Tiles
    }

    /// Whether the back end takes the layers in tiles.
    #[inline(always)]
    pub(crate) fn has_tiles_for<V: Vector>(&self) -> bool {
        V::WIDE && self.is_tiled()
    }

    /// About how often a group's way through the layers may [ask](crate::kernel::vector::Prefetch::step) for table rows.
    pub(crate) fn steps(&self) -> usize {
        self.hidden().iter().map(|record| (record.outputs.get() as usize).div_ceil(2 * tile::OUTPUTS)).sum()
    }

    /// Width of the widest hidden layer, padded as the layout has it.
    pub(crate) fn widest(&self) -> usize {
        self.hidden().iter().map(|record| shape::<W>(record).0).max().unwrap_or(0)
    }
}

impl<'a, W, B, M> Mlp<'a, W, B, M>
where
    W: Weight + FromBytes + IntoBytes + KnownLayout,
    B: Bias + FromBytes + IntoBytes + KnownLayout,
    M: Copy + FromBytes + IntoBytes + KnownLayout,
{
    /// Whether there is nothing to lay in tiles.
    pub(crate) fn is_prepared(&self) -> bool {
        // Offsets are 32 bits; a model whose tiles would need more stays as it is.
        self.layers.len() < 2 || self.is_tiled() || self.tiled_sizes().0 > u32::MAX as usize
    }

    /// Weights and channels of all layers, if the hidden ones lie in tiles.
    fn tiled_sizes(&self) -> (usize, usize) {
        let (hidden, output) = self.split();
        self.layers[..hidden].iter().fold((output.inputs, 1), |(weights, channels), record| {
            let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
            (weights + Layout::Tiles.weights::<W>(inputs, outputs), channels + Layout::Tiles.channels(outputs))
        })
    }

    /// Multipliers and sums beside `channels` biases.
    fn counts_beside(&self, channels: usize) -> (usize, usize) {
        (if self.multipliers.is_empty() { 0 } else { channels }, if W::DEPTH > 1 { channels } else { 0 })
    }

    /// Blocks that [`Mlp::prepare`] takes.
    pub(crate) fn prepared_blocks(&self) -> usize {
        if self.is_prepared() {
            return 0;
        }
        let (weights, channels) = self.tiled_sizes();
        let (multipliers, sums) = self.counts_beside(channels);
        blocks_of::<LayerRecord>(self.layers.len())
            + blocks_of::<W>(weights)
            + blocks_of::<B>(channels)
            + blocks_of::<M>(multipliers)
            + blocks_of::<i32>(sums)
    }

    /// The same layers in tiles.
    pub(crate) fn prepare<'p>(&self, memory: &mut Scratch<'p>) -> Result<Mlp<'p, W, B, M>, ScoreError>
    where
        'a: 'p,
    {
        if self.is_prepared() {
            return Ok(*self);
        }
        let (num_weights, num_channels) = self.tiled_sizes();
        let layers = memory.take::<LayerRecord>(self.layers.len())?;
        let weights = memory.take::<W>(num_weights)?;
        let biases = memory.take::<B>(num_channels)?;
        let (num_multipliers, num_sums) = self.counts_beside(num_channels);
        let multipliers = memory.take::<M>(num_multipliers)?;
        let sums = memory.take::<i32>(num_sums)?;
        layers.copy_from_slice(self.layers);
        for bytes in [weights.as_mut_bytes(), biases.as_mut_bytes(), multipliers.as_mut_bytes(), sums.as_mut_bytes()] {
            bytes.fill(0);
        }
        let (mut weight_offset, mut channel_offset) = (0, 0);
        let last = layers.len() - 1;
        for (l, record) in layers.iter_mut().enumerate() {
            let layer = self.layer(l);
            // Fits, as the loader has seen: tiles at most multiply a count by 64, and counts are products of two 2^15.
            record.weight_offset.set(weight_offset as u32);
            record.channel_offset.set(channel_offset as u32);
            if l < last {
                record.layout.set(Layout::Tiles.number());
            }
            let (channels, count) = shape::<W>(record);
            let to = &mut weights[weight_offset..][..count];
            biases[channel_offset..][..layer.outputs].copy_from_slice(&layer.biases[..layer.outputs]);
            if l < last {
                let sums = sums.get_mut(channel_offset..).unwrap_or_default();
                layer.lay_in_tiles(l == 0, to, sums, &mut biases[channel_offset..]);
            } else {
                to.copy_from_slice(layer.weights);
            }
            let multipliers = multipliers.get_mut(channel_offset..).unwrap_or_default();
            let own = layer.multipliers.get(..layer.outputs).unwrap_or_default();
            multipliers[..own.len()].copy_from_slice(own);
            weight_offset += count;
            channel_offset += channels;
        }
        Ok(Mlp { layers, weights, biases, multipliers, sums, first: None })
    }

    /// Weights and biases, without padding.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.layers.iter().fold((0, 0), |(weights, biases), record| {
            let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
            (weights + inputs * outputs, biases + outputs)
        })
    }
}

impl<W: Weight, B: Bias, M> Layer<'_, W, B, M> {
    /// tiles: zero; sums, where they are needed, and biases \[outputs\]: takes from the biases what this layout has added
    fn lay_in_tiles(&self, is_first: bool, tiles: &mut [W], sums: &mut [i32], biases: &mut [B]) {
        let Layer { inputs, outputs, layout, weights, .. } = *self;
        if layout == Layout::Rows {
            Layout::Tiles.lay(weights, inputs, tiles);
        }
        for (o, bias) in biases.iter_mut().enumerate().take(outputs) {
            if layout != Layout::Rows {
                for i in 0..inputs {
                    Layout::Tiles.set(tiles, inputs, o, i, layout.weight(weights, inputs, o, i));
                }
                *bias = bias.shifted(-layout.shift(is_first, weights, inputs, o));
            }
            if let Some(sum) = sums.get_mut(o) {
                *sum = (0..inputs).map(|i| layout.weight(weights, inputs, o, i).integer()).sum();
            }
        }
    }
}

/// [`run`]; out of line in small programs, because what a layer has of its model is looked up at many places.
#[cfg_attr(feature = "std", inline(always))]
#[cfg_attr(not(feature = "std"), inline(never))]
fn part<T>(numbers: &[T], first: usize, count: usize) -> &[T] {
    run(numbers, first, count)
}

/// The record's layout; the loader has refused all others.
pub(crate) fn layout(record: &LayerRecord) -> Layout {
    Layout::from_number(record.layout.get()).unwrap_or(Layout::Rows)
}

impl<'a, W, B, M> Layer<'a, W, B, M> {
    /// Its weights as they lie.
    pub(crate) fn laid(&self) -> Laid<'a, W> {
        Laid { layout: self.layout, inputs: self.inputs, weights: self.weights }
    }
}

/// Channels and weights of a layer, with the padding of its layout.
pub(crate) fn shape<W: Weight>(record: &LayerRecord) -> (usize, usize) {
    let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
    let layout = layout(record);
    (layout.channels(outputs), layout.weights::<W>(inputs, outputs))
}

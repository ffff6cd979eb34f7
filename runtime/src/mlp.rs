//! The MLP: hidden layers with ReLU, then one output.

mod dynamic;
mod fours;
mod layers;
mod real;
mod rows;
mod some;
mod tiles;
#[cfg(all(xsfm_dsp, not(xsfm_mve)))]
mod twins;

use zerocopy::little_endian::{F32, U32};

use crate::error::Scored;
use crate::format::layout::{Bias, Laid, Weight, tile};
use crate::format::{LayerRecord, Layout};
use crate::kernel::vector::Vector;
use crate::run::run;
use crate::scratch::{Memory, Plain};

pub(crate) use fours::{Fours, read_len};
pub(crate) use layers::{LayerSteps, Layers};
pub(crate) use real::{RealTiles, interleave_rows};
pub(crate) use some::Run;
pub(crate) use tiles::{interleave, shifted};

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

/// What the first layer of some rows reads in int8 and dynamic mode.
#[derive(Clone, Copy)]
pub(crate) struct Input<'e> {
    /// \[rows, stride\]: the field vectors.
    pub(crate) e: &'e [i8],
    pub(crate) stride: usize,
    /// Numbers of a row.
    pub(crate) inputs: usize,
    /// What the sums begin with, where a context is in them: int8 mode: in place of the biases.
    pub(crate) start: Option<&'e [i32]>,
    /// The sums of each row without what they begin with, where they were computed before: nobody reads `e` then.
    pub(crate) sums: Option<&'e [&'e [i32]]>,
}

impl<'e> Input<'e> {
    /// The field vectors of each row, and what lies behind them.
    #[inline(always)]
    fn rows(&self) -> impl Iterator<Item = &'e [i8]> {
        self.e.chunks_exact(self.stride)
    }
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

/// One layer: weights \[outputs, inputs\] as the layout has them, biases, multipliers and sums \[outputs\], padded with
/// it.
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

    /// About how often a group's way through the layers may [ask](crate::kernel::vector::Prefetch::step) for table
    /// rows.
    pub(crate) fn prefetch_steps(&self) -> usize {
        self.hidden().iter().map(|record| (record.outputs.get() as usize).div_ceil(2 * tile::OUTPUTS)).sum()
    }

    /// Width of the widest hidden layer, padded as the layout has it.
    pub(crate) fn widest(&self) -> usize {
        self.hidden().iter().map(|record| shape::<W>(record).0).max().unwrap_or(0)
    }
}

impl<'a, W: Weight + Plain, B: Bias + Plain, M: Plain> Mlp<'a, W, B, M> {
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

    /// The same layers in tiles.
    pub(crate) fn prepare<'p>(&self, memory: &mut impl Memory<'p>) -> Scored<Mlp<'p, W, B, M>>
    where
        'a: 'p,
    {
        if self.is_prepared() {
            return Ok(*self);
        }
        let (num_weights, num_channels) = self.tiled_sizes();
        let (num_multipliers, num_sums) = self.counts_beside(num_channels);
        let layers = memory.lay(self.layers.len(), |layers| self.lay_records(layers))?;
        let both = || layers.iter().enumerate().map(|(l, record)| (record, self.layer(l)));
        let weights = memory.lay(num_weights, |weights| {
            for (record, layer) in both() {
                let to = &mut weights[record.weight_offset.get() as usize..][..shape::<W>(record).1];
                layer.laid().lay_as(layout(record), to);
            }
        })?;
        let of_channels = |record: &LayerRecord| record.channel_offset.get() as usize..;
        let biases = memory.lay(num_channels, |biases: &mut [B]| {
            for (l, (record, layer)) in both().enumerate() {
                let to = biases[of_channels(record)].iter_mut().zip(layer.biases).take(layer.outputs);
                for (o, (to, bias)) in to.enumerate() {
                    // Without what this layout has added.
                    *to = bias.shifted(-layer.layout.shift(l == 0, layer.weights, layer.inputs, o));
                }
            }
        })?;
        let multipliers = memory.lay(num_multipliers, |multipliers: &mut [M]| {
            for (record, layer) in both() {
                let to = multipliers.get_mut(of_channels(record)).unwrap_or_default();
                to.iter_mut().zip(layer.multipliers).take(layer.outputs).for_each(|(to, &multiplier)| *to = multiplier);
            }
        })?;
        let sums = memory.lay(num_sums, |sums: &mut [i32]| {
            for (record, layer) in both().take(self.hidden().len()) {
                let to = sums.get_mut(of_channels(record)).unwrap_or_default();
                for (o, sum) in to.iter_mut().enumerate().take(layer.outputs) {
                    *sum = layer.laid().row(o).map(W::integer).sum();
                }
            }
        })?;
        Ok(Mlp { layers, weights, biases, multipliers, sums, first: None })
    }

    /// The records of the same layers in tiles.
    fn lay_records(&self, layers: &mut [LayerRecord]) {
        let (mut weight_offset, mut channel_offset) = (0, 0);
        let hidden = self.hidden().len();
        for (l, (to, record)) in layers.iter_mut().zip(self.layers).enumerate() {
            *to = *record;
            // Fits, as the loader has seen: tiles at most multiply a count by 64, and counts are products of two 2^15.
            to.weight_offset.set(weight_offset as u32);
            to.channel_offset.set(channel_offset as u32);
            if l < hidden {
                to.layout.set(Layout::Tiles.number());
            }
            let (channels, weights) = shape::<W>(to);
            weight_offset += weights;
            channel_offset += channels;
        }
    }

    /// Weights and biases, without padding.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.layers.iter().fold((0, 0), |(weights, biases), record| {
            let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
            (weights + inputs * outputs, biases + outputs)
        })
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

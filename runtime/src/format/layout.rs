//! How the weights of a layer lie, for the instructions that will read them.

/// The order of a hidden layer's weights. The output layer, and every layer of a neutral file, lie in [`Layout::Rows`].
///
/// All but rows put a few outputs side by side, and pad outputs and inputs with weights of 0; biases and multipliers
/// are padded with the outputs. Offsets in the file count the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Layout {
    /// `[outputs, inputs]`.
    Rows,
    /// Sixteen outputs side by side, as vector instructions want them: i8 weights `[outputs / 16][inputs / 4][16][4]`,
    /// f32 weights `[outputs / 16][inputs][16]`.
    Tiles,
    /// i8 of int8 mode, for the multiplications of two 16-bit halves that Cortex-M4, M7 and M33 have (SMLAD):
    /// `[outputs / 4][inputs / 4][4][4]`, inputs padded to a multiple of 8.
    ///
    /// Two neighbours `a, b` are the 16-bit number `a - 256 b`, so that one sign extension serves four weights instead
    /// of two ([`Weight::coupled`]; `docs/quantization.md`, "Fours"). They are -127 to 127.
    Dsp,
    /// i8 of int8 mode, for sixteen multiplications at once as Cortex-M55 has them (VMLADAVA):
    /// `[outputs / 4][inputs / 16][4][16]`.
    Mve,
}

/// What a layout puts side by side, as powers of two.
struct Block {
    outputs: u32,
    /// Inputs of an output, before those of the next.
    inputs: u32,
    /// Inputs are padded to a multiple of it.
    padded: u32,
}

/// `n` rounded up to a multiple of `2^power`.
const fn padded(n: usize, power: u32) -> usize {
    ((n + (1 << power) - 1) >> power) << power
}

impl Layout {
    /// All, in the order of their numbers.
    pub const ALL: [Layout; 4] = [Layout::Rows, Layout::Tiles, Layout::Dsp, Layout::Mve];

    /// Its number in [`LayerRecord::layout`](super::LayerRecord::layout).
    pub const fn number(self) -> u32 {
        match self {
            Layout::Rows => 0,
            Layout::Tiles => 16,
            Layout::Dsp => 17,
            Layout::Mve => 18,
        }
    }

    /// The layout with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.number() == number)
    }

    /// Whether it is one of int8 mode alone, for a microcontroller: four outputs side by side, and biases that make up
    /// for the instructions' signs ([`Layout::shift`]).
    pub const fn is_strips(self) -> bool {
        matches!(self, Layout::Dsp | Layout::Mve)
    }

    const fn block<W: Weight>(self) -> Block {
        let (outputs, inputs, padded) = match self {
            Layout::Rows => (0, 0, 0),
            Layout::Tiles => (tile::OUTPUTS.trailing_zeros(), W::DEPTH.trailing_zeros(), W::DEPTH.trailing_zeros()),
            Layout::Dsp => (strip::OUTPUTS.trailing_zeros(), 2, 3),
            Layout::Mve => (strip::OUTPUTS.trailing_zeros(), 4, 4),
        };
        Block { outputs, inputs, padded }
    }

    /// Channels of a layer with this many outputs.
    pub const fn channels(self, outputs: usize) -> usize {
        // The type of weights matters to inputs only.
        padded(outputs, self.block::<i8>().outputs)
    }

    /// Inputs of a layer with this many.
    pub const fn inputs<W: Weight>(self, inputs: usize) -> usize {
        padded(inputs, self.block::<W>().padded)
    }

    /// Weights of a layer.
    pub const fn weights<W: Weight>(self, inputs: usize, outputs: usize) -> usize {
        self.channels(outputs) * self.inputs::<W>(inputs)
    }

    /// Where weight `[output, input]` lies.
    fn place<W: Weight>(self, inputs: usize, output: usize, input: usize) -> usize {
        let block = self.block::<W>();
        let in_block = |n: usize, power: u32| n & ((1 << power) - 1);
        let first = ((output >> block.outputs) << block.outputs) * self.inputs::<W>(inputs);
        let run = ((input >> block.inputs) << block.outputs) + in_block(output, block.outputs);
        first + (run << block.inputs) + in_block(input, block.inputs)
    }

    /// Weight `[output, input]` of a layer; 0 where it is not there.
    pub fn weight<W: Weight>(self, laid: &[W], inputs: usize, output: usize, input: usize) -> W {
        let at = self.place::<W>(inputs, output, input);
        let of = |at: usize| laid.get(at).copied().unwrap_or_default();
        if self == Layout::Dsp && at % 2 == 1 { of(at).coupled(of(at - 1)) } else { of(at) }
    }

    /// Makes `weight` the weight `[output, input]` of a layer.
    ///
    /// # Panics
    /// Where there is no room for it.
    pub fn set<W: Weight>(self, laid: &mut [W], inputs: usize, output: usize, input: usize, weight: W) {
        let at = self.place::<W>(inputs, output, input);
        if self != Layout::Dsp {
            laid[at] = weight;
            return;
        }
        let even = at - at % 2;
        let (a, b) = (laid[even], laid[even + 1].coupled(laid[even]));
        let (a, b) = if at == even { (weight, b) } else { (a, weight) };
        (laid[even], laid[even + 1]) = (a, b.coupled(a));
    }

    /// w: `[outputs, inputs]` row by row; laid: [`Layout::weights`], zero.
    ///
    /// # Panics
    /// Where the lengths are not these.
    pub fn lay<W: Weight>(self, w: &[W], inputs: usize, laid: &mut [W]) {
        let side_by_side = 1 << self.block::<W>().inputs;
        for (o, row) in w.chunks_exact(inputs).enumerate() {
            if self == Layout::Dsp {
                for (i, &weight) in row.iter().enumerate() {
                    self.set(laid, inputs, o, i, weight);
                }
                continue;
            }
            for (n, run) in row.chunks(side_by_side).enumerate() {
                laid[self.place::<W>(inputs, o, n * side_by_side)..][..run.len()].copy_from_slice(run);
            }
        }
    }

    /// What the bias of channel `output` has beside the model's own, because the instructions read inputs less 128
    /// (strips alone).
    ///
    /// Dsp: the first layer's i8 inputs are read as u8, its even ones less 128 again; later layers' even inputs less
    /// 128. Mve: later layers' inputs less 128.
    pub fn shift<W: Weight>(self, is_first: bool, laid: &[W], inputs: usize, output: usize) -> i32 {
        // Which inputs those are.
        let (first, step, factor) = match (self, is_first) {
            (Layout::Dsp, true) => (1, 2, -128),
            (Layout::Dsp, false) => (0, 2, 128),
            (Layout::Mve, false) => (0, 1, 128),
            _ => return 0,
        };
        let (mut sum, mut input) = (0, first);
        while input < inputs {
            sum += self.weight(laid, inputs, output, input).integer();
            input += step;
        }
        factor * sum
    }
}

/// Weights `[outputs, inputs]` as a layout has them.
#[derive(Clone, Copy)]
pub(crate) struct Laid<'a, W> {
    pub(crate) layout: Layout,
    pub(crate) inputs: usize,
    pub(crate) weights: &'a [W],
}

impl<W: Weight> Laid<'_, W> {
    /// The weights of output `o`, whatever the layout: for CPUs that the layout is not for.
    pub(crate) fn row(&self, o: usize) -> impl Iterator<Item = W> {
        (0..self.inputs).map(move |i| self.layout.weight(self.weights, self.inputs, o, i))
    }

    /// The same weights in another layout: laid is as long as that calls for, and zero.
    pub(crate) fn lay_as(&self, layout: Layout, laid: &mut [W]) {
        if self.layout == layout {
            laid.copy_from_slice(self.weights);
        } else if self.layout == Layout::Rows {
            layout.lay(self.weights, self.inputs, laid);
        } else {
            for o in 0..laid.len() / layout.inputs::<W>(self.inputs) {
                for (i, weight) in self.row(o).enumerate() {
                    layout.set(laid, self.inputs, o, i, weight);
                }
            }
        }
    }
}

/// A weight of a layer.
pub trait Weight: Copy + Default {
    /// Inputs of an output that lie side by side in a tile.
    const DEPTH: usize;

    /// What it adds to the sum of its channel's weights; nothing where sums are not needed.
    fn integer(self) -> i32;

    /// The high byte of `even - 256 self`, and back; only integers are coupled.
    fn coupled(self, even: Self) -> Self;
}

impl Weight for i8 {
    const DEPTH: usize = tile::DEPTH;

    fn integer(self) -> i32 {
        self.into()
    }

    fn coupled(self, even: i8) -> i8 {
        // A negative low byte borrows from the high one.
        self.wrapping_neg().wrapping_sub(i8::from(even < 0))
    }
}

impl Weight for f32 {
    const DEPTH: usize = 1;

    fn integer(self) -> i32 {
        0
    }

    fn coupled(self, _even: f32) -> f32 {
        self
    }
}

/// A bias of a layer, to which a layout of strips adds [`Layout::shift`].
pub trait Bias: Copy + Default {
    /// Whether its layer may lie in strips.
    const IN_STRIPS: bool;

    /// Plus `shift` steps; only integers are shifted.
    fn shifted(self, shift: i32) -> Self;
}

impl Bias for i32 {
    const IN_STRIPS: bool = true;

    fn shifted(self, shift: i32) -> i32 {
        self.wrapping_add(shift)
    }
}

impl Bias for f32 {
    const IN_STRIPS: bool = false;

    fn shifted(self, _shift: i32) -> f32 {
        self
    }
}

/// The size of a tile.
pub mod tile {
    /// Outputs of a tile.
    pub const OUTPUTS: usize = 16;
    /// i8 inputs that lie side by side for each output.
    pub const DEPTH: usize = 4;
}

/// The size of a strip.
pub mod strip {
    /// Outputs of a strip.
    pub const OUTPUTS: usize = 4;
}

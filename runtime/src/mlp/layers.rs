//! The layers of int8 and dynamic mode, and the sequence that computes them.
//!
//! It depends on the file's layout and on whether the back end has vectors of sixteen: the one is fixed when a model is
//! loaded, the other when the back end is compiled.

use super::{Input, Layer, Mlp};
use crate::error::Scored;
use crate::format::{Layout, Term};
use crate::kernel::vector::{GROUP, MATRIX_OUTPUTS, Prefetch, TWINS, Task, Vector, WIDE_GROUP};
use crate::quant::steps_of;
use crate::scratch::{Memory, Scratch};

/// The MLP of int8 mode, with layer outputs whose scales are in the file, or of dynamic mode, with a scale for each
/// row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layers<'a> {
    None,
    Static(Mlp<'a, i8, i32, i32>),
    Dynamic(Mlp<'a, i8, f32, f32>),
}

impl<'a> Layers<'a> {
    /// The first layer, for sums of its inputs alone: without multipliers, and in dynamic mode without biases.
    pub(crate) fn first(&self) -> Option<Layer<'a, i8, i32, i32>> {
        match self {
            Layers::None => None,
            Layers::Static(mlp) => Some(Layer { multipliers: &[], ..mlp.layer(0) }),
            Layers::Dynamic(mlp) => {
                let Layer { inputs, outputs, layout, weights, sums, .. } = mlp.layer(0);
                Some(Layer { inputs, outputs, layout, weights, biases: &[], multipliers: &[], sums })
            }
        }
    }
}

impl Layers<'_> {
    /// Rows that go through the layers together, at most; of a microcontroller's layers whether or not this is one, for
    /// a host states the scratch of others.
    #[inline(always)]
    pub(crate) fn rows_together<V: Vector>(&self) -> usize {
        match self {
            _ if V::MATRIX && self.widest() >= MATRIX_OUTPUTS => WIDE_GROUP,
            _ if V::GROUPED => GROUP,
            Layers::Static(mlp) if mlp.layout() == Layout::Dsp => TWINS,
            _ => 1,
        }
    }

    #[inline(always)]
    pub(crate) fn prefetch_steps(&self) -> usize {
        match self {
            Layers::None => 0,
            Layers::Static(mlp) => mlp.prefetch_steps(),
            Layers::Dynamic(mlp) => mlp.prefetch_steps(),
        }
    }

    #[inline(always)]
    fn widest(&self) -> usize {
        match self {
            Layers::None => 0,
            Layers::Static(mlp) => mlp.widest(),
            Layers::Dynamic(mlp) => mlp.widest(),
        }
    }

    /// Takes what [`LayerSteps`] works in, for so many rows.
    #[inline(always)]
    pub(crate) fn carve<'s, V: Vector>(&self, memory: &mut impl Memory<'s>, inputs: usize, rows: usize) -> Scored<()> {
        match self {
            Layers::None => Ok(()),
            Layers::Static(mlp) => match mlp.layout() {
                Layout::Tiles if V::WIDE => mlp.carve_tiles(memory, inputs, rows).map(drop),
                Layout::Rows => mlp.carve_rows(memory).map(drop),
                _ => mlp.carve_fours(memory, inputs, if rows == TWINS { TWINS } else { 1 }).map(drop),
            },
            Layers::Dynamic(mlp) => match mlp.layout() {
                Layout::Tiles if V::WIDE => mlp.carve_dynamic_tiles(memory, inputs, rows).map(drop),
                _ => mlp.carve_dynamic_rows(memory).map(drop),
            },
        }
    }
}

/// What the layers add to the logits of R rows, in its steps. Work of its own: what scores rows and what scores items
/// of a catalogue then share its code, the most that there is.
pub(crate) struct LayerSteps<'t, 'm, 's, P, const R: usize> {
    pub(crate) layers: &'t Layers<'m>,
    pub(crate) input: Input<'t>,
    pub(crate) term: Term,
    pub(crate) memory: &'t mut Scratch<'s>,
    pub(crate) ahead: &'t mut P,
}

impl<P: Prefetch, const R: usize> Task for LayerSteps<'_, '_, '_, P, R> {
    type Output = Scored<[i64; R]>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Scored<[i64; R]> {
        let LayerSteps { layers, input, term, memory, ahead } = self;
        let mut steps = [0; R];
        match layers {
            Layers::None => (),
            // The sequences of single rows are not in the program twice: see [`Layers::rows_together`].
            #[cfg(all(xsfm_dsp, not(xsfm_mve)))]
            _ if R == TWINS => {
                if let Layers::Static(mlp) = layers {
                    let sums = mlp.twins(input, mlp.carve_fours(memory, input.inputs, TWINS)?);
                    steps.copy_from_slice(&sums.map(|sum| term.steps(sum)));
                }
            }
            Layers::Static(mlp) => {
                let mut sums = [0; R];
                match mlp.layout() {
                    Layout::Tiles if V::WIDE => {
                        sums = mlp.tiles(v, input, mlp.carve_tiles(memory, input.inputs, R)?, ahead);
                    }
                    Layout::Rows => {
                        let [h0, h1] = mlp.carve_rows(memory)?;
                        if let (Some(of_rows), Some(start)) = (input.sums, input.start) {
                            for (sum, sums) in sums.iter_mut().zip(of_rows) {
                                *sum = mlp.rows_of_sums(sums, start, [h0, h1]);
                            }
                        } else {
                            for (sum, e) in sums.iter_mut().zip(input.rows()) {
                                *sum = mlp.rows(&e[..input.inputs], input.start, [h0, h1]);
                            }
                        }
                    }
                    _ => {
                        let (read, h) = mlp.carve_fours(memory, input.inputs, 1)?;
                        if let (Some(of_rows), Some(start)) = (input.sums, input.start) {
                            for (sum, sums) in sums.iter_mut().zip(of_rows) {
                                *sum = mlp.fours_of_sums(sums, start, (read, h));
                            }
                        } else {
                            for (sum, e) in sums.iter_mut().zip(input.rows()) {
                                *sum = mlp.fours(e, input.start, (read, h));
                            }
                        }
                    }
                }
                for (steps, sum) in steps.iter_mut().zip(sums) {
                    *steps = term.steps(sum);
                }
            }
            Layers::Dynamic(mlp) => {
                let mut outputs = [0.0; R];
                match mlp.layout() {
                    Layout::Tiles if V::WIDE => {
                        outputs = mlp.dynamic_tiles(v, input, mlp.carve_dynamic_tiles(memory, input.inputs, R)?, ahead);
                    }
                    _ => {
                        let (h, real) = mlp.carve_dynamic_rows(memory)?;
                        if let (Some(of_rows), Some(start)) = (input.sums, input.start) {
                            for (output, sums) in outputs.iter_mut().zip(of_rows) {
                                *output = mlp.dynamic_sums(sums, start, (h, real));
                            }
                        } else {
                            for (output, e) in outputs.iter_mut().zip(input.rows()) {
                                *output = mlp.dynamic_rows(&e[..input.inputs], input.start, (h, real));
                            }
                        }
                    }
                }
                for (steps, output) in steps.iter_mut().zip(outputs) {
                    *steps = steps_of(output);
                }
            }
        }
        Ok(steps)
    }
}

//! Hidden layers with BatchNorm and ReLU, and the output layer, in training.
//!
//! A layer takes the batch in parts of a few rows, which fit a core's second cache: what the layer before gave is
//! normalised and multiplied, and summed for the next BatchNorm; the same way back. libtorch multiplies.

use std::iter;

use tch::{Kind, Tensor, no_grad};

use super::libtorch::{for_each, map, numbers, numbers_mut, with_gradient};
use super::norm::{Columns, GradientSums, Moments};
use super::{SAMPLES, parts};
use crate::model::layers::{BatchNorm, Linear};

/// x `[n, inputs]`, n >= 2 -> `[n]`. The running statistics of the hidden layers' BatchNorm move.
pub(crate) fn mlp(x: &Tensor, hidden: &[(&Linear, &BatchNorm)], output: &Linear, dropout: f64) -> Tensor {
    let mut inputs = vec![x];
    hidden.iter().for_each(|(layer, norm)| inputs.extend([&layer.weight, &norm.weight, &norm.bias]));
    inputs.extend([&output.weight, &output.bias]);
    let (logits, pass) = no_grad(|| Pass::new(x, hidden, output, masks(x.size()[0], hidden, dropout)));
    with_gradient(&logits, &inputs, |gradient| pass.gradients(gradient))
}

/// Dropout's factors of each hidden layer of `n` samples, 0 or `1 / (1 - dropout)`.
pub(super) fn masks(n: i64, hidden: &[(&Linear, &BatchNorm)], dropout: f64) -> Vec<Option<Tensor>> {
    let mask = |(layer, _): &(&Linear, &BatchNorm)| {
        let mut mask = Tensor::empty([n, layer.weight.size()[0]], (Kind::Float, layer.weight.device()));
        (dropout > 0.0).then(|| mask.bernoulli_float_(1.0 - dropout) / (1.0 - dropout))
    };
    hidden.iter().map(mask).collect()
}

/// What the forward pass leaves for the gradients.
#[derive(Debug)]
pub(super) struct Pass {
    hidden: Vec<Hidden>,
    /// Of the output layer, `[n, inputs]` and `[inputs]`.
    x: Tensor,
    weight: Tensor,
}

#[derive(Debug)]
struct Hidden {
    /// `[outputs, inputs]`
    weight: Tensor,
    /// `[n, inputs]`
    x: Tensor,
    /// `[n, outputs]`: x W^T
    z: Tensor,
    columns: Columns,
    /// `[n, outputs]`: dropout's factors.
    mask: Option<Tensor>,
}

/// Some rows of what a hidden layer gives: `relu(scale (z - mean) + offset) mask`.
#[derive(Debug)]
struct Outputs<'a> {
    z: &'a [f32],
    columns: &'a Columns,
    mask: Option<&'a [f32]>,
}

/// The parts of a batch, in numbers.
fn chunks(all: &Tensor) -> impl Iterator<Item = &[f32]> {
    numbers(all).chunks(SAMPLES * all.size()[1] as usize)
}

/// Of each part of a batch; without end where there is no hidden layer.
fn outputs(hidden: Option<&Hidden>) -> impl Iterator<Item = Option<Outputs<'_>>> {
    let mut z = hidden.map(|hidden| chunks(&hidden.z));
    let mut masks = hidden.and_then(|hidden| hidden.mask.as_ref()).map(chunks);
    iter::repeat_with(move || {
        let (z, mask) = (z.as_mut()?.next()?, masks.as_mut().and_then(Iterator::next));
        Some(Outputs { z, columns: &hidden?.columns, mask })
    })
}

/// Some rows that a layer multiplies by its matrix, forward or back.
struct Product<'a> {
    /// What is multiplied: forward `[rows, inputs]`, to be filled by the layer below; back `[rows, outputs]`, the
    /// gradient.
    from: Tensor,
    /// What it gives.
    to: Tensor,
    /// A handle of the matrix for each thread.
    weight: Tensor,
    /// The layer below, where there is one.
    below: Option<Outputs<'a>>,
}

/// The parts of a batch. `from` and `to`: `[n, ...]`; `below`: the layer that gives the inputs.
fn products<'a>(
    from: &Tensor,
    to: &Tensor,
    weight: &Tensor,
    below: Option<&'a Hidden>,
) -> impl Iterator<Item = Product<'a>> {
    let all = parts(from, 1).zip(parts(to, 1)).zip(outputs(below));
    all.map(|((from, to), below)| Product { from, to, weight: weight.shallow_clone(), below })
}

impl Outputs<'_> {
    fn write(&self, x: &mut [f32]) {
        self.columns.normalize(self.z, x);
        self.multiply_by_mask(x);
    }

    /// Of the gradient of these, which becomes that of ReLU's outputs.
    fn sum_gradients(&self, gradient: &mut [f32]) -> GradientSums {
        self.multiply_by_mask(gradient);
        self.columns.sum_gradients(self.z, gradient)
    }

    fn multiply_by_mask(&self, x: &mut [f32]) {
        if let Some(mask) = self.mask {
            x.iter_mut().zip(mask).for_each(|(x, mask)| *x *= mask);
        }
    }
}

impl Product<'_> {
    /// Forward: what the layer below gives becomes the inputs.
    fn fill_inputs(&mut self) {
        if let Some(below) = &self.below {
            below.write(numbers_mut(&mut self.from));
        }
    }

    /// Back: sums of the gradient for the layer below, whose outputs it is of.
    fn sum_gradients_below(&mut self) -> Option<GradientSums> {
        let gradient = numbers_mut(&mut self.to);
        self.below.as_ref().map(|below| below.sum_gradients(gradient))
    }
}

impl Pass {
    pub(super) fn new(
        x: &Tensor,
        hidden: &[(&Linear, &BatchNorm)],
        output: &Linear,
        masks: Vec<Option<Tensor>>,
    ) -> (Tensor, Self) {
        let options = (Kind::Float, x.device());
        let mut done: Vec<Hidden> = Vec::with_capacity(hidden.len());
        let mut x = x.detach().contiguous();
        for ((layer, norm), mask) in hidden.iter().zip(masks) {
            let (weight, width) = (layer.weight.detach(), layer.weight.size()[0]);
            let z = Tensor::empty([x.size()[0], width], options);
            let moments = map(products(&x, &z, &weight.tr(), done.last()), |mut part| {
                part.fill_inputs();
                let _ = part.from.mm_out(&part.to, &part.weight);
                Moments::new(numbers(&part.to), width as usize)
            });
            let columns = Columns::new(&moments, norm);
            let next = z.empty_like();
            done.push(Hidden { weight, x, z, columns, mask });
            x = next;
        }
        let weight = output.weight.detach().squeeze_dim(0);
        let logits = Tensor::empty([x.size()[0]], options);
        for_each(products(&x, &logits, &weight, done.last()), |mut part| {
            part.fill_inputs();
            let _ = part.from.mv_out(&part.to, &part.weight);
        });
        (logits + output.bias.detach(), Pass { hidden: done, x, weight })
    }

    /// Those of x, of each hidden layer's matrix, gains and offsets, and of the output layer.
    pub(super) fn gradients(mut self, gradient: &Tensor) -> Vec<Tensor> {
        let gradient = gradient.contiguous();
        let mut last_first =
            vec![gradient.sum_dim_intlist([0].as_slice(), true, None::<Kind>), self.x.tr().mv(&gradient).unsqueeze(0)];
        // Of the outputs of the layer below, and their sums for its BatchNorm.
        let mut of_x = self.x.empty_like();
        let mut sums = map(products(&gradient, &of_x, &self.weight, self.hidden.last()), |mut part| {
            let _ = part.from.outer_out(&part.to, &part.weight);
            part.sum_gradients_below()
        });
        while let Some(Hidden { weight, x, z, columns, .. }) = self.hidden.pop() {
            let (of_z, lines) = (of_x, columns.gradient(sums.iter().flatten(), z.size()[0]));
            of_x = x.empty_like();
            let all = products(&of_z, &of_x, &weight, self.hidden.last()).zip(chunks(&z));
            sums = map(all, |(mut part, z)| {
                lines.apply(&columns, z, numbers_mut(&mut part.from));
                let _ = part.from.mm_out(&part.to, &part.weight);
                part.sum_gradients_below()
            });
            last_first.extend([lines.of_offset(), lines.of_gain(), of_z.tr().mm(&x)]);
        }
        last_first.push(of_x);
        last_first.reverse();
        last_first
    }
}

#[cfg(test)]
impl Pass {
    pub(super) fn inputs_of_output(&self) -> &Tensor {
        &self.x
    }
}

//! Hidden layers with BatchNorm and ReLU, and the output layer, in training.
//!
//! A layer takes the batch in parts of a few rows, which fit a core's second cache: what the layer before gave is normalised and
//! multiplied, and summed for the next BatchNorm; the same way back. libtorch multiplies.

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
    std::iter::repeat_with(move || {
        let (z, mask) = (z.as_mut()?.next()?, masks.as_mut().and_then(Iterator::next));
        Some(Outputs { z, columns: &hidden?.columns, mask })
    })
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
            let all = parts(&x, 1).zip(parts(&z, 1)).zip(outputs(done.last())).map(|part| (part, weight.tr()));
            let moments = map(all, |(((mut x, z), below), weight)| {
                if let Some(below) = below {
                    below.write(numbers_mut(&mut x));
                }
                let _ = x.mm_out(&z, &weight);
                Moments::new(numbers(&z), width as usize)
            });
            let columns = Columns::new(&moments, norm);
            let next = z.empty_like();
            done.push(Hidden { weight, x, z, columns, mask });
            x = next;
        }
        let weight = output.weight.detach().squeeze_dim(0);
        let logits = Tensor::empty([x.size()[0]], options);
        let all =
            parts(&x, 1).zip(parts(&logits, 1)).zip(outputs(done.last())).map(|part| (part, weight.shallow_clone()));
        for_each(all, |(((mut x, logits), below), weight)| {
            if let Some(below) = below {
                below.write(numbers_mut(&mut x));
            }
            let _ = x.mv_out(&logits, &weight);
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
        let all = parts(&of_x, 1).zip(parts(&gradient, 1)).zip(outputs(self.hidden.last()));
        let mut sums =
            map(all.map(|part| (part, self.weight.shallow_clone())), |(((mut of_x, gradient), below), weight)| {
                let _ = gradient.outer_out(&of_x, &weight);
                below.map(|below| below.sum_gradients(numbers_mut(&mut of_x)))
            });
        while let Some(Hidden { weight, x, z, columns, .. }) = self.hidden.pop() {
            let (of_z, lines) = (of_x, columns.gradient(sums.iter().flatten(), z.size()[0]));
            of_x = x.empty_like();
            let all = parts(&of_z, 1).zip(chunks(&z)).zip(parts(&of_x, 1)).zip(outputs(self.hidden.last()));
            sums =
                map(all.map(|part| (part, weight.shallow_clone())), |((((mut of_z, z), mut of_x), below), weight)| {
                    lines.apply(&columns, z, numbers_mut(&mut of_z));
                    let _ = of_z.mm_out(&of_x, &weight);
                    below.map(|below| below.sum_gradients(numbers_mut(&mut of_x)))
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

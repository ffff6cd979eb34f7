//! A training step's work on a CPU in f32, where libtorch would go over a batch again and again: each part of it is
//! read, used for all that needs it, and written once. libtorch has the threads, the matrix products and the graph of
//! gradients; GPUs and other numbers take its own operations instead, and tests hold one against the other.

pub(crate) mod adam;
pub(crate) mod libtorch;
pub(crate) mod mlp;
mod norm;
pub(crate) mod pairs;
#[cfg(test)]
mod tests;

use tch::{Device, Kind, Tensor};

use crate::tensors::size;

/// Samples of a part: multiplied as fast as a whole batch. Sums over parts are added in their order, so that their bits
/// do not depend on the number of threads.
const SAMPLES: usize = 128;

/// The parts of a batch, of which each sample has so many rows.
fn parts(all: &Tensor, rows_of_sample: usize) -> impl Iterator<Item = Tensor> {
    let (count, rows) = (all.size()[0], size(SAMPLES * rows_of_sample));
    (0..count).step_by(SAMPLES * rows_of_sample).map(move |from| all.narrow(0, from, rows.min(count - from)))
}

/// Whether a tensor is of the kind that is computed here.
pub(crate) fn takes(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float
}

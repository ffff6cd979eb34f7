//! A training step's work on a CPU in f32, where libtorch would go over a batch again and again: each part of it is read, used for all that
//! needs it, and written once. libtorch has the threads, the matrix products and the graph of gradients; GPUs and other numbers
//! take its own operations instead, and tests hold one against the other.

pub(crate) mod adam;
pub(crate) mod libtorch;
pub(crate) mod mlp;
mod norm;
pub(crate) mod pairs;
#[cfg(test)]
mod tests;

use tch::{Device, Kind, Tensor};

/// Whether a tensor is of the kind that is computed here.
pub(crate) fn takes(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float
}

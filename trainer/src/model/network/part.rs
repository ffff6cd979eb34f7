//! What the networks have in common.

use std::fmt::Debug;

use tch::{Device, Tensor};

use crate::model::layers::{Pass, matrix};
use crate::model::role::Role;

/// What a network gives.
#[derive(Debug, Default)]
pub struct Given {
    /// `[n]`: added to the logits of the other parts.
    pub logits: Option<Tensor>,
    /// `[n, mlp_inputs]`: what the hidden layers read in place of the concatenated vectors.
    pub inputs: Option<Tensor>,
}

impl Given {
    pub(super) fn logits(logits: Tensor) -> Self {
        Given { logits: Some(logits), inputs: None }
    }

    pub(super) fn inputs(inputs: Tensor) -> Self {
        Given { logits: None, inputs: Some(inputs) }
    }
}

/// A network on a device.
pub trait Network: Debug + Send {
    /// Its trained numbers and statistics, by their names in a checkpoint after `network.`; shallow clones.
    fn named(&self) -> Vec<(String, Tensor, Role)>;

    /// v `[n, F, k]`: the vectors of the fields
    fn pass(&self, v: &Tensor, pass: Pass) -> Given;
}

/// Sizes that every network is built from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// F
    pub(super) fields: i64,
    /// k
    pub(super) dim: i64,
    pub(super) device: Device,
}

/// Weights `[inputs]` of an output.
pub(super) fn output(inputs: i64, device: Device) -> Tensor {
    matrix(1, inputs, device).squeeze_dim(0)
}

/// A matrix or an output's weights, by name.
pub(super) fn weights(name: impl Into<String>, tensor: &Tensor) -> (String, Tensor, Role) {
    (name.into(), tensor.shallow_clone(), Role::Matrix)
}

/// A bias or a trained vector, by name.
pub(super) fn vector(name: impl Into<String>, tensor: &Tensor) -> (String, Tensor, Role) {
    (name.into(), tensor.shallow_clone(), Role::Other)
}

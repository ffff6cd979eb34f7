//! Linear layers and BatchNorm by the names of their tensors.

use super::builder::{BatchNorm, Linear};
use crate::error::Error;
use crate::tensors::Tensors;

/// Where layers are read from.
#[derive(Clone, Copy)]
pub(super) struct LayerReader<'t> {
    pub(super) tensors: &'t Tensors<'t>,
    /// Of every BatchNorm.
    pub(super) epsilon: f64,
}

impl LayerReader<'_> {
    /// `{name}.weight`, and `{name}.bias` where it has one.
    pub(super) fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear, Error> {
        let weight = self.tensors.real(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = match bias {
            true => self.tensors.real(&format!("{name}.bias"), &[outputs])?,
            false => vec![0.0; outputs],
        };
        Ok(Linear { inputs, outputs, weight, bias, norm: None })
    }

    /// The BatchNorm1d `name`.
    pub(super) fn norm(&self, name: &str, width: usize) -> Result<BatchNorm, Error> {
        // How many batches training saw: of no influence afterwards.
        self.tensors.leave_out(&format!("{name}.num_batches_tracked"));
        let vector = |part: &str| self.tensors.real(&format!("{name}.{part}"), &[width]);
        let norm = BatchNorm {
            gamma: vector("weight")?,
            beta: vector("bias")?,
            mean: vector("running_mean")?,
            var: vector("running_var")?,
            epsilon: self.epsilon,
        };
        match norm.var.iter().position(|&var| var < 0.0) {
            None => Ok(norm),
            Some(at) => {
                let message = format!("tensor `{name}.running_var` is negative at [{at}]; a variance cannot be");
                Err(Error::config(self.tensors.path(), message))
            }
        }
    }
}

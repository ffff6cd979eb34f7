//! Adaptive factorisation network (Cheng et al. 2020, arXiv:1909.03276): the hidden layers read logarithmic neurons
//! (section "Logarithmic Transformation Layer"), `y_j = exp(sum_i w_ij ln |v_i|) = prod_i |v_i|^w_ij`, number by
//! number.
//!
//! As in public implementations there is BatchNorm of the logarithms, by field, and of the neurons, and |v_i| is at
//! least 1e-5.

use tch::Tensor;

use super::part::{Given, Network, Shape, weights};
use crate::model::layers::{BatchNorm, Pass, matrix};
use crate::model::role::Role;
use crate::tensors::size;

/// The least magnitude whose logarithm is taken.
const LEAST: f64 = 1e-5;

/// The logarithmic transformation layer.
#[derive(Debug)]
pub struct LogarithmicNeurons {
    /// By field.
    log_norm: BatchNorm,
    /// `[neurons, F]`
    exponents: Tensor,
    /// By neuron.
    exp_norm: BatchNorm,
}

impl LogarithmicNeurons {
    pub(super) fn new(neurons: usize, Shape { fields, device, .. }: Shape) -> Self {
        let neurons = size(neurons);
        LogarithmicNeurons {
            log_norm: BatchNorm::new(fields, device),
            exponents: matrix(neurons, fields, device),
            exp_norm: BatchNorm::new(neurons, device),
        }
    }
}

impl Network for LogarithmicNeurons {
    fn named(&self) -> Vec<(String, Tensor, Role)> {
        let mut all = vec![weights("exponents", &self.exponents)];
        all.extend(self.log_norm.named("log_norm"));
        all.extend(self.exp_norm.named("exp_norm"));
        all
    }

    fn pass(&self, v: &Tensor, pass: Pass) -> Given {
        let is_training = pass.is_training();
        // [n, F, k] -> [n, neurons, k]
        let logarithms = self.log_norm.apply(&v.abs().clamp_min(LEAST).log(), is_training);
        let neurons = self.exponents.matmul(&logarithms).exp();
        Given::inputs(self.exp_norm.apply(&neurons, is_training).flatten(1, 2))
    }
}

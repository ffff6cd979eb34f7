//! Adam's step on a GPU: libtorch's fused kernel, which goes over all parameters and moments in one pass, some microseconds for a model.
//! libtorch has the same for CPUs, where the tests hold it against the step of `cpu::adam`.

use anyhow::Result;
use tch::{Kind, Tensor};

use super::libtorch::fused_adam;
use crate::optimizer::{Move, Step};

/// All moves of a step.
///
/// # Errors
/// libtorch's, where there is no memory.
pub(crate) fn apply(step: Step, moves: &[Move]) -> Result<()> {
    let Some(first) = moves.first() else { return Ok(()) };
    // It tells all tensors the number of the step, without a copy from the CPU.
    let number = Tensor::full([1], f64::from(step.number), (Kind::Float, first.parameter.device()));
    let gradient = |m: &Move| m.gradient.as_ref().map_or_else(|| m.parameter.zeros_like(), Tensor::contiguous);
    let gradients: Vec<Tensor> = moves.iter().map(gradient).collect();
    // A call has one decay; there are two, that of the layers' matrices and none.
    let mut decays: Vec<f64> = moves.iter().map(|m| m.decay).collect();
    decays.sort_by(f64::total_cmp);
    decays.dedup();
    for decay in decays {
        let of_decay = moves.iter().zip(&gradients).filter(|(m, _)| m.decay == decay);
        let parts: Vec<_> = of_decay.map(|(m, gradient)| [&m.parameter, gradient, &m.mean, &m.square]).collect();
        let weight_decay = if decay == 1.0 { 0.0 } else { (1.0 - decay) / step.learning_rate };
        fused_adam(&parts, &number, step.learning_rate, weight_decay)?;
    }
    Ok(())
}

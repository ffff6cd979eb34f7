//! Adam's step on a GPU: libtorch's fused kernel, which goes over all parameters and moments in one pass, some
//! microseconds for a model. libtorch has the same for CPUs, where the tests hold it against the step of `cpu::adam`.

use std::cmp::Ordering;

use anyhow::Result;
use tch::{Kind, Tensor};

use super::libtorch::fused_adam;
use crate::adam::{Move, Step};

/// All moves of a step.
///
/// # Errors
/// libtorch's, where there is no memory.
pub(crate) fn apply(step: Step, moves: &[Move]) -> Result<()> {
    let Some(first) = moves.first() else { return Ok(()) };
    // It tells all tensors the number of the step, without a copy from the CPU.
    let number = Tensor::full([1], f64::from(step.number), (Kind::Float, first.parameter.device()));
    let gradient = |m: &Move| {
        let of_loss = m.gradient.as_ref().map_or_else(|| m.parameter.zeros_like(), Tensor::contiguous);
        if m.rule.l2 == 0.0 { of_loss } else { of_loss + &m.parameter * m.rule.l2 }
    };
    let gradients: Vec<Tensor> = moves.iter().map(gradient).collect();
    // A call has one decay and one rate; there are few.
    let mut calls: Vec<[f64; 2]> = moves.iter().map(call).collect();
    calls.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    calls.dedup();
    for [decay, rate] in calls {
        let of_call = moves.iter().zip(&gradients).filter(|(m, _)| call(m) == [decay, rate]);
        let parts: Vec<_> = of_call.map(|(m, gradient)| [&m.parameter, gradient, &m.mean, &m.square]).collect();
        let learning_rate = step.learning_rate * rate;
        let weight_decay = if decay == 1.0 { 0.0 } else { (1.0 - decay) / learning_rate };
        fused_adam(&parts, &number, learning_rate, weight_decay)?;
    }
    Ok(())
}

/// Decay and factor on the learning rate.
fn call(m: &Move) -> [f64; 2] {
    [m.decay, m.rule.rate]
}

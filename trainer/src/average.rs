//! An exponential moving average of the weights over the steps (Polyak and Juditsky 1992, doi:10.1137/0330046): what single batches pulled
//! the weights to, one way and the other, is averaged away, and the model that is measured differs less from one evaluation to the next.

use std::collections::HashMap;

use anyhow::{Context, Result};
use tch::{Tensor, no_grad};

use crate::model::parameters::Parameters;

/// Steps from one average to the next: it goes over all tables.
const EVERY: u64 = 8;

/// The average of a model's numbers, BatchNorm's statistics included.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    numbers: Vec<(String, Tensor)>,
}

impl Average {
    /// Of the weights before the first step, or of none where `decay` is 0.
    pub fn new(parameters: &Parameters, decay: f64) -> Option<Self> {
        (decay > 0.0).then(|| Average { decay, numbers: copy_of(parameters) })
    }

    /// After so many steps of the optimiser, from 1.
    pub fn step(&mut self, parameters: &Parameters, steps: u64) {
        if !steps.is_multiple_of(EVERY) {
            return;
        }
        // The first weights are random, and count the less the younger the average is.
        let times = steps / EVERY;
        let decay = self.decay.powf(EVERY as f64).min(times as f64 / (times as f64 + 9.0));
        no_grad(|| {
            for ((_, average), (_, now, _)) in self.numbers.iter_mut().zip(parameters.named()) {
                let _ = average.lerp_(&now, 1.0 - decay);
            }
        });
    }

    /// The numbers, which share memory with the average's own.
    pub fn numbers(&self) -> Vec<(String, Tensor)> {
        self.numbers.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// Takes numbers that were saved.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn restore(&mut self, saved: &HashMap<String, Tensor>) -> Result<()> {
        for (name, tensor) in &mut self.numbers {
            let saved = saved.get(name).with_context(|| format!("`average.{name}` is missing"))?;
            tensor.f_copy_(saved).with_context(|| format!("`average.{name}`"))?;
        }
        Ok(())
    }
}

fn copy_of(parameters: &Parameters) -> Vec<(String, Tensor)> {
    parameters.named().into_iter().map(|(name, tensor, _)| (name, tensor.detach().copy())).collect()
}

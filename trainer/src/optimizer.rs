//! Adam (Kingma and Ba 2015, arXiv:1412.6980) on tensors, because tch's cannot save its moments. Weight decay is decoupled
//! (Loshchilov and Hutter 2019, arXiv:1711.05101) and applies to the MLP's matrices; tables are regularised in the loss.

use std::collections::HashMap;

use anyhow::{Context, Result};
use tch::{Tensor, no_grad};

use crate::model::parameters::{Parameters, Role};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Adam's moments for every trained tensor of a model.
#[derive(Debug)]
pub struct Adam {
    slots: Vec<Slot>,
    steps: i32,
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
    decays: bool,
}

impl Adam {
    /// Moments of zero.
    pub fn new(parameters: &Parameters) -> Self {
        let trained = parameters.named().into_iter().filter(|(.., role)| *role != Role::Statistic);
        let slots = trained.map(|(name, parameter, role)| Slot {
            mean: parameter.zeros_like(),
            square: parameter.zeros_like(),
            decays: role == Role::Matrix,
            name,
            parameter,
        });
        Adam { slots: no_grad(|| slots.collect()), steps: 0 }
    }

    /// Forgets the gradients of the step before.
    pub fn zero_gradients(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.parameter.zero_grad());
    }

    /// One step along the gradients that `backward` left.
    pub fn step(&mut self, learning_rate: f64, weight_decay: f64) {
        self.steps += 1;
        let (correction_1, correction_2) = (1.0 - BETA_1.powi(self.steps), 1.0 - BETA_2.powi(self.steps));
        no_grad(|| {
            for slot in &mut self.slots {
                let gradient = slot.parameter.grad();
                if !gradient.defined() {
                    continue;
                }
                if slot.decays && weight_decay > 0.0 {
                    let _ = slot.parameter.g_mul_scalar_(1.0 - learning_rate * weight_decay);
                }
                let _ = slot.mean.lerp_(&gradient, 1.0 - BETA_1);
                let _ = slot.square.lerp_(&gradient.square(), 1.0 - BETA_2);
                // p -= lr * (m / c1) / (sqrt(v / c2) + eps)
                let deviation = slot.square.sqrt() / correction_2.sqrt() + EPSILON;
                let step = &slot.mean / deviation * (learning_rate / correction_1);
                let _ = slot.parameter.g_sub_(&step);
            }
        });
    }

    /// Number of steps and all moments, for a training state.
    pub fn snapshot(&self) -> (i32, Vec<(String, Tensor)>) {
        let moments = self.slots.iter().flat_map(|slot| {
            [(format!("{}.mean", slot.name), slot.mean.copy()), (format!("{}.square", slot.name), slot.square.copy())]
        });
        (self.steps, moments.collect())
    }

    /// Takes all moments from a [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// A moment is missing or has another shape.
    pub fn restore(&mut self, steps: i32, moments: &HashMap<String, Tensor>) -> Result<()> {
        self.steps = steps;
        for slot in &mut self.slots {
            for (part, moment) in [("mean", &mut slot.mean), ("square", &mut slot.square)] {
                let name = format!("{}.{part}", slot.name);
                let saved = moments.get(&name).with_context(|| format!("moment `{name}` is missing"))?;
                moment.f_copy_(saved).with_context(|| format!("moment `{name}`"))?;
            }
        }
        Ok(())
    }
}

//! Adam (Kingma and Ba 2015, arXiv:1412.6980) on tensors, because tch's cannot save its moments. Weight decay is decoupled
//! (Loshchilov and Hutter 2019, arXiv:1711.05101) and applies to the MLP's matrices; tables are regularised in the loss.
//!
//! A batch uses a few rows of each table. [`Optimizer::Adam`] moves all others too, as the equations say: their moments fade, and they
//! go on in the direction of their past gradients. [`Optimizer::LazyAdam`] is Adam for the rows of the batch, and leaves the others
//! and their moments as they are: the rule of PyTorch's `SparseAdam` and of `LazyAdam` in TensorFlow. The number of
//! steps, which corrects the moments' bias, is that of the run for every row.

use std::collections::HashMap;

use anyhow::{Context, Result};
use tch::{Device, Tensor, no_grad};

use crate::model::lookup::{Entries, Gathered};
use crate::model::parameters::{Parameters, Role};
use crate::settings::Optimizer;
use crate::tensors::size;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// So many numbers are moved at a time by a thread of a CPU: what a step of Adam reads and writes of them stays in a core's cache, and libtorch takes
/// the memory of intermediate results from its last use. A table with ten million numbers took ten times as long all at once.
const CHUNK: i64 = 1 << 15;

/// Adam's moments for every trained tensor of a model.
#[derive(Debug)]
pub struct Adam {
    slots: Vec<Slot>,
    rule: Optimizer,
    steps: i32,
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
    decays: bool,
    /// Which of the tables it is, as in [`Parameters::tables`].
    table: Option<usize>,
    /// A table's gradient, where all its rows move: 0 between steps.
    gradient: Option<Tensor>,
}

/// A step's factors.
#[derive(Clone, Copy, Debug)]
struct Step {
    learning_rate: f64,
    /// `1 - beta^t` of either moment.
    corrections: [f64; 2],
}

impl Step {
    /// The new values of as many numbers, in place.
    fn apply(self, parameter: &mut Tensor, mean: &mut Tensor, square: &mut Tensor, gradient: &Tensor) {
        let [correction_1, correction_2] = self.corrections;
        let _ = mean.lerp_(gradient, 1.0 - BETA_1);
        let _ = square.lerp_(&gradient.square(), 1.0 - BETA_2);
        // p -= lr * (m / c1) / (sqrt(v / c2) + eps)
        let mut deviation = square.sqrt();
        let _ = deviation.g_div_scalar_(correction_2.sqrt());
        let _ = deviation.g_add_scalar_(EPSILON);
        let mut step = &*mean / deviation;
        let _ = step.g_mul_scalar_(self.learning_rate / correction_1);
        let _ = parameter.g_sub_(&step);
    }
}

impl Slot {
    fn move_all(&mut self, step: Step, gradient: &Tensor) {
        // A share for each of the threads among which libtorch divides an operation.
        let chunk = CHUNK * i64::from(tch::get_num_threads().max(1));
        let count = size(self.parameter.numel());
        if count <= chunk || self.parameter.device() != Device::Cpu {
            return step.apply(&mut self.parameter, &mut self.mean, &mut self.square, gradient);
        }
        let all = [&self.parameter, &self.mean, &self.square, gradient].map(|t| t.reshape([-1]));
        for from in (0..count).step_by(chunk as usize) {
            let [mut parameter, mut mean, mut square, gradient] =
                all.each_ref().map(|t| t.narrow(0, from, chunk.min(count - from)));
            step.apply(&mut parameter, &mut mean, &mut square, &gradient);
        }
    }

    /// All rows of a table, those of the batch by its gradient, all others by one of 0.
    fn move_table(&mut self, step: Step, rows: &Tensor, gradient: &Tensor) {
        let mut whole = self.gradient.take().unwrap_or_else(|| self.parameter.zeros_like());
        let _ = whole.index_copy_(0, rows, gradient);
        self.move_all(step, &whole);
        let _ = whole.index_fill_(0, rows, 0.0);
        self.gradient = Some(whole);
    }

    fn move_rows(&mut self, step: Step, rows: &Tensor, values: &Tensor, gradient: &Tensor) {
        let (mut parameter, mut mean) = (values.shallow_clone(), self.mean.index_select(0, rows));
        let mut square = self.square.index_select(0, rows);
        step.apply(&mut parameter, &mut mean, &mut square, gradient);
        let moved = [(&mut self.parameter, parameter), (&mut self.mean, mean), (&mut self.square, square)];
        for (all, moved) in moved {
            let _ = all.index_copy_(0, rows, &moved);
        }
    }
}

impl Adam {
    /// Moments of zero.
    pub fn new(parameters: &Parameters, rule: Optimizer) -> Self {
        let tables = parameters.tables().map(|table| table.map(Tensor::data_ptr));
        let trained = parameters.named().into_iter().filter(|(.., role)| *role != Role::Statistic);
        let slots = trained.map(|(name, parameter, role)| Slot {
            mean: parameter.zeros_like(),
            square: parameter.zeros_like(),
            decays: role == Role::Matrix,
            table: tables.iter().position(|table| *table == Some(parameter.data_ptr())),
            gradient: None,
            name,
            parameter,
        });
        Adam { slots: no_grad(|| slots.collect()), rule, steps: 0 }
    }

    /// Forgets the gradients of the step before.
    pub fn zero_gradients(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.parameter.zero_grad());
    }

    /// One step along the gradients that `backward` left in the parameters and in the batch's rows of the tables.
    pub fn step(&mut self, learning_rate: f64, weight_decay: f64, entries: &Entries) {
        self.steps += 1;
        let corrections = [BETA_1, BETA_2].map(|beta| 1.0 - beta.powi(self.steps));
        let step = Step { learning_rate, corrections };
        let lookups = [Some(&entries.first), entries.second.as_ref(), entries.feature.as_ref()];
        no_grad(|| {
            for slot in &mut self.slots {
                let gathered = slot.table.and_then(|table| lookups[table]?.gathered.as_ref());
                let gradient = gathered.map_or_else(|| slot.parameter.grad(), Gathered::gradient);
                if !gradient.defined() {
                    continue;
                }
                if slot.decays && weight_decay > 0.0 {
                    let _ = slot.parameter.g_mul_scalar_(1.0 - learning_rate * weight_decay);
                }
                match (gathered, self.rule) {
                    (None, _) => slot.move_all(step, &gradient),
                    (Some(Gathered { rows, .. }), Optimizer::Adam) => slot.move_table(step, rows, &gradient),
                    (Some(Gathered { rows, values, .. }), Optimizer::LazyAdam) => {
                        slot.move_rows(step, rows, values, &gradient);
                    }
                }
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

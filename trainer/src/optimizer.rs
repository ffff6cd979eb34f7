//! Adam (Kingma and Ba 2015, arXiv:1412.6980) on tensors, because tch's cannot save its moments. Weight decay is decoupled
//! (Loshchilov and Hutter 2019, arXiv:1711.05101) and applies to the MLP's matrices; tables are regularised in the loss.
//!
//! A batch uses a few rows of each table. [`Optimizer::Adam`] moves all others too, as the equations say: their moments fade, and they
//! go on in the direction of their past gradients. [`Optimizer::LazyAdam`] is Adam for the rows of the batch, and leaves the others
//! and their moments as they are: the rule of PyTorch's `SparseAdam` and of `LazyAdam` in TensorFlow. The number of
//! steps, which corrects the moments' bias, is that of the run for every row.

use std::collections::HashMap;

use anyhow::{Context, Result};
use tch::{Tensor, no_grad};

use crate::cpu;
use crate::model::lookup::{Entries, Gathered};
use crate::model::parameters::{Parameters, Role};
use crate::settings::Optimizer;

pub(crate) const BETA_1: f64 = 0.9;
pub(crate) const BETA_2: f64 = 0.999;
pub(crate) const EPSILON: f64 = 1e-8;

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
}

/// A step's factors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) learning_rate: f64,
    /// `1 - beta^t` of either moment.
    pub(crate) corrections: [f64; 2],
}

/// Numbers that a step moves, with their moments, all of the same shape and changed in place.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) parameter: Tensor,
    pub(crate) mean: Tensor,
    pub(crate) square: Tensor,
    /// None where all of it is 0.
    pub(crate) gradient: Option<Tensor>,
    /// The parameter is multiplied by it first.
    pub(crate) decay: f64,
}

impl Step {
    fn apply(self, moves: &mut [Move]) {
        if moves.iter().all(|m| cpu::takes(&m.parameter)) {
            cpu::adam::apply(self, moves);
        } else {
            moves.iter_mut().for_each(|m| self.apply_by_libtorch(m));
        }
    }

    fn apply_by_libtorch(self, Move { parameter, mean, square, gradient, decay }: &mut Move) {
        let [correction_1, correction_2] = self.corrections;
        let (_, _) = (mean.g_mul_scalar_(BETA_1), square.g_mul_scalar_(BETA_2));
        if let Some(gradient) = gradient {
            let _ = mean.g_add_(&(&*gradient * (1.0 - BETA_1)));
            let _ = square.g_add_(&(gradient.square() * (1.0 - BETA_2)));
        }
        // p -= lr * (m / c1) / (sqrt(v / c2) + eps)
        let deviation = square.sqrt() / correction_2.sqrt() + EPSILON;
        let _ = parameter.g_mul_scalar_(*decay);
        let _ = parameter.g_sub_(&(&*mean / deviation * (self.learning_rate / correction_1)));
    }
}

impl Slot {
    fn all(&self, gradient: Option<Tensor>, decay: f64) -> Move {
        let [parameter, mean, square] = [&self.parameter, &self.mean, &self.square].map(Tensor::shallow_clone);
        Move { parameter, mean, square, gradient, decay }
    }

    /// Moves a batch's rows of a table, by the gradient of its entries.
    fn move_rows(&mut self, step: Step, gathered: &Gathered, gradient: &Tensor) {
        if cpu::takes(&self.parameter) {
            let tables = [&mut self.parameter, &mut self.mean, &mut self.square];
            cpu::adam::apply_to_rows(step, tables, &gathered.uses, gradient);
        } else {
            self.move_rows_by_libtorch(step, gathered, gradient);
        }
    }

    fn move_rows_by_libtorch(&mut self, step: Step, gathered: &Gathered, gradient: &Tensor) {
        let mut moved = self.copy_of(&gathered.rows);
        moved.gradient = Some(gathered.gradient(gradient));
        step.apply_by_libtorch(&mut moved);
        self.replace(&gathered.rows, &moved);
    }

    fn copy_of(&self, rows: &Tensor) -> Move {
        let [parameter, mean, square] =
            [&self.parameter, &self.mean, &self.square].map(|all| all.index_select(0, rows));
        Move { parameter, mean, square, gradient: None, decay: 1.0 }
    }

    fn replace(&mut self, rows: &Tensor, by: &Move) {
        let all = [(&mut self.parameter, &by.parameter), (&mut self.mean, &by.mean), (&mut self.square, &by.square)];
        for (all, by) in all {
            let _ = all.index_copy_(0, rows, by);
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
            name,
            parameter,
        });
        Adam { slots: no_grad(|| slots.collect()), rule, steps: 0 }
    }

    /// One step down the gradient of a batch's loss, in the parameters and in the batch's rows of the tables.
    pub fn step(&mut self, loss: &Tensor, learning_rate: f64, weight_decay: f64, entries: &Entries) {
        let lookups = [Some(&entries.first), entries.second.as_ref(), entries.feature.as_ref()];
        let gathered = |slot: &Slot| slot.table.and_then(|table| lookups[table]?.gathered.as_ref());
        let trained = self.slots.iter().map(|slot| gathered(slot).map_or(&slot.parameter, |rows| &rows.entries));
        let gradients = Tensor::run_backward(&[loss], &trained.collect::<Vec<_>>(), false, false);
        self.steps += 1;
        let corrections = [BETA_1, BETA_2].map(|beta| 1.0 - beta.powi(self.steps));
        let step = Step { learning_rate, corrections };
        no_grad(|| {
            let (mut moves, mut of_tables) = (Vec::new(), Vec::new());
            for (n, (slot, gradient)) in self.slots.iter().zip(gradients).enumerate().filter(|(_, (_, g))| g.defined())
            {
                let decay = if slot.decays { 1.0 - learning_rate * weight_decay } else { 1.0 };
                let Some(gathered) = gathered(slot) else {
                    moves.push(slot.all(Some(gradient), decay));
                    continue;
                };
                // The batch's rows are put back after all have moved without a gradient.
                let kept = (self.rule == Optimizer::Adam).then(|| slot.copy_of(&gathered.rows));
                moves.extend(kept.is_some().then(|| slot.all(None, 1.0)));
                of_tables.push((n, gathered, gradient, kept));
            }
            step.apply(&mut moves);
            for (n, gathered, gradient, kept) in of_tables {
                let slot = &mut self.slots[n];
                if let Some(kept) = kept {
                    slot.replace(&gathered.rows, &kept);
                }
                slot.move_rows(step, gathered, &gradient);
            }
        });
    }

    /// Number of steps, and for every trained tensor its two moments: means and means of squares. They share memory with Adam's own.
    pub fn snapshot(&self) -> (i32, [Vec<(String, Tensor)>; 2]) {
        let moments = |of: fn(&Slot) -> &Tensor| {
            self.slots.iter().map(|slot| (slot.name.clone(), of(slot).shallow_clone())).collect()
        };
        (self.steps, [moments(|slot| &slot.mean), moments(|slot| &slot.square)])
    }

    /// Takes all moments of a [`snapshot`](Self::snapshot).
    ///
    /// # Errors
    /// A moment is missing or has another shape.
    pub fn restore(&mut self, steps: i32, [means, squares]: [&HashMap<String, Tensor>; 2]) -> Result<()> {
        self.steps = steps;
        for slot in &mut self.slots {
            let name = &slot.name;
            for (part, moment, saved) in [("mean", &mut slot.mean, means), ("square", &mut slot.square, squares)] {
                let saved = saved.get(name).with_context(|| format!("moment `{part}.{name}` is missing"))?;
                moment.f_copy_(saved).with_context(|| format!("moment `{part}.{name}`"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn slot(shape: &[i64]) -> Slot {
        let options = (Kind::Float, Device::Cpu);
        let parameter = Tensor::rand(shape, options) - 0.5;
        let [mean, square] = [Tensor::rand(shape, options) - 0.5, Tensor::rand(shape, options)];
        Slot { name: String::new(), parameter, mean, square, decays: true, table: None }
    }

    fn copy(slot: &Slot) -> Slot {
        let [parameter, mean, square] = [&slot.parameter, &slot.mean, &slot.square].map(Tensor::copy);
        Slot { name: String::new(), parameter, mean, square, decays: true, table: None }
    }

    fn check(what: &str, found: &Slot, expected: &Slot) {
        let all = [("parameter", &found.parameter, &expected.parameter), ("mean", &found.mean, &expected.mean)];
        for (part, found, expected) in all.into_iter().chain([("square", &found.square, &expected.square)]) {
            let error = (found - expected).abs().max().double_value(&[]);
            assert!(error < 1e-6, "{what}: {part} is {error} off");
        }
    }

    const STEP: Step = Step { learning_rate: 0.01, corrections: [0.271, 0.002997] };

    /// What GPUs compute, here on the CPU.
    #[test]
    fn both_ways_of_a_step_are_the_same() {
        for shape in [&[1][..], &[3, 5], &[5000], &[70, 90]] {
            for (gradient, decay) in [(Some(Tensor::randn(shape, (Kind::Float, Device::Cpu))), 0.9), (None, 1.0)] {
                let (one, other) = {
                    let slot = slot(shape);
                    (copy(&slot), slot)
                };
                let of = |slot: &Slot| slot.all(gradient.as_ref().map(Tensor::shallow_clone), decay);
                STEP.apply(&mut [of(&one)]);
                STEP.apply_by_libtorch(&mut of(&other));
                check(&format!("{shape:?}, decay {decay}"), &one, &other);
            }
        }
    }

    #[test]
    fn both_ways_move_the_same_rows() {
        for (shape, rows) in [(&[90, 10][..], 40), (&[90][..], 500), (&[4000, 3], 3000), (&[1, 1], 2), (&[7, 2], 0)] {
            let (mut one, mut other) = {
                let slot = slot(shape);
                (copy(&slot), slot)
            };
            let before = copy(&one);
            let used: Vec<i64> = (0..rows).map(|n: i64| n * n % (shape[0] / 2 + 1)).collect();
            let gathered = Gathered::of(&one.parameter, &used);
            let gradient = Tensor::randn(gathered.entries.size(), (Kind::Float, Device::Cpu));
            one.move_rows(STEP, &gathered, &gradient);
            if rows > 0 {
                other.move_rows_by_libtorch(STEP, &gathered, &gradient);
            }
            check(&format!("{rows} entries of {shape:?}"), &one, &other);
            let is_used = |row: i64| used.contains(&row);
            for row in 0..shape[0] {
                let moved = one.parameter.get(row) != before.parameter.get(row);
                assert_eq!(moved, is_used(row), "row {row} of {shape:?}");
            }
        }
    }
}

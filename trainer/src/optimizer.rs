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
use crate::cuda;
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
    /// Its number, from 1.
    pub(crate) number: i32,
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

/// A slot's number, the rows of it that a batch gathered, and the gradient: of those entries, or of the whole parameter.
struct Learned<'a> {
    slot: usize,
    gathered: Option<&'a Gathered>,
    gradient: Tensor,
}

impl Step {
    fn new(number: i32, learning_rate: f64) -> Self {
        Step { learning_rate, number, corrections: [BETA_1, BETA_2].map(|beta| 1.0 - beta.powi(number)) }
    }
}

impl Slot {
    fn all(&self, gradient: Option<Tensor>, decay: f64) -> Move {
        let [parameter, mean, square] = [&self.parameter, &self.mean, &self.square].map(Tensor::shallow_clone);
        Move { parameter, mean, square, gradient, decay }
    }

    /// Moves a batch's rows of a table, by the gradient of its entries.
    fn move_rows(&mut self, step: Step, gathered: &Gathered, gradient: &Tensor) {
        let tables = [&mut self.parameter, &mut self.mean, &mut self.square];
        cpu::adam::apply_to_rows(step, tables, &gathered.uses, gradient);
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
    ///
    /// # Errors
    /// libtorch's, where a GPU has no memory.
    pub fn step(&mut self, loss: &Tensor, learning_rate: f64, weight_decay: f64, entries: &Entries) -> Result<()> {
        let lookups = [Some(&entries.first), entries.second.as_ref(), entries.feature.as_ref()];
        let gathered = |slot: &Slot| slot.table.and_then(|table| lookups[table]?.gathered.as_ref());
        let trained = self.slots.iter().map(|slot| gathered(slot).map_or(&slot.parameter, |rows| &rows.entries));
        let gradients = Tensor::run_backward(&[loss], &trained.collect::<Vec<_>>(), false, false);
        self.steps += 1;
        let step = Step::new(self.steps, learning_rate);
        let learned = self.slots.iter().zip(gradients).enumerate().filter(|(_, (_, gradient))| gradient.defined());
        let learned = learned.map(|(n, (slot, gradient))| Learned { slot: n, gathered: gathered(slot), gradient });
        let learned: Vec<Learned<'_>> = learned.collect();
        no_grad(|| {
            if self.slots.iter().all(|slot| cpu::takes(&slot.parameter)) {
                self.move_on_cpu(step, weight_decay, learned);
                return Ok(());
            }
            self.move_by_libtorch(step, weight_decay, learned)
        })
    }

    /// What a slot is multiplied by first.
    fn decay(&self, slot: usize, step: Step, weight_decay: f64) -> f64 {
        if self.slots[slot].decays { 1.0 - step.learning_rate * weight_decay } else { 1.0 }
    }

    fn move_on_cpu(&mut self, step: Step, weight_decay: f64, learned: Vec<Learned<'_>>) {
        let (mut moves, mut of_tables) = (Vec::new(), Vec::new());
        for Learned { slot: n, gathered, gradient } in learned {
            let (slot, decay) = (&self.slots[n], self.decay(n, step, weight_decay));
            let Some(gathered) = gathered else {
                moves.push(slot.all(Some(gradient), decay));
                continue;
            };
            // The batch's rows are put back after all have moved without a gradient.
            let kept = (self.rule == Optimizer::Adam).then(|| slot.copy_of(&gathered.rows));
            moves.extend(kept.is_some().then(|| slot.all(None, 1.0)));
            of_tables.push((n, gathered, gradient, kept));
        }
        cpu::adam::apply(step, &mut moves);
        for (n, gathered, gradient, kept) in of_tables {
            let slot = &mut self.slots[n];
            if let Some(kept) = kept {
                slot.replace(&gathered.rows, &kept);
            }
            slot.move_rows(step, gathered, &gradient);
        }
    }

    /// All in one kernel, which takes as long as the numbers need to go by once. A table whose rows all move has a gradient of zeros but
    /// for the batch's rows; of one that moves lazily those rows are copied, and put back.
    fn move_by_libtorch(&mut self, step: Step, weight_decay: f64, learned: Vec<Learned<'_>>) -> Result<()> {
        let (mut moves, mut copies) = (Vec::new(), Vec::new());
        for Learned { slot: n, gathered, gradient } in learned {
            let (slot, decay) = (&self.slots[n], self.decay(n, step, weight_decay));
            let Some(gathered) = gathered else {
                moves.push(slot.all(Some(gradient), decay));
                continue;
            };
            let of_rows = gathered.gradient(&gradient);
            match self.rule {
                Optimizer::Adam => {
                    let of_table = slot.parameter.zeros_like().index_copy_(0, &gathered.rows, &of_rows);
                    moves.push(slot.all(Some(of_table), 1.0));
                }
                Optimizer::LazyAdam => {
                    copies.push((n, gathered, moves.len()));
                    moves.push(Move { gradient: Some(of_rows), ..slot.copy_of(&gathered.rows) });
                }
            }
        }
        cuda::adam::apply(step, &moves)?;
        for (n, gathered, at) in copies {
            self.slots[n].replace(&gathered.rows, &moves[at]);
        }
        Ok(())
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
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::HashSet;

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

    /// What GPUs compute, here on the CPU.
    #[test]
    fn both_ways_of_a_step_are_the_same() {
        for (shape, number) in [(&[1][..], 1), (&[3, 5], 2), (&[5000], 30), (&[70, 90], 4000)] {
            for (gradient, decay) in [(Some(Tensor::randn(shape, (Kind::Float, Device::Cpu))), 0.9), (None, 1.0)] {
                let step = Step::new(number, 0.01);
                let (one, other) = {
                    let slot = slot(shape);
                    (copy(&slot), slot)
                };
                let of = |slot: &Slot| slot.all(gradient.as_ref().map(Tensor::shallow_clone), decay);
                cpu::adam::apply(step, &mut [of(&one)]);
                cuda::adam::apply(step, &[of(&other)]).unwrap();
                check(&format!("{shape:?}, decay {decay}, step {number}"), &one, &other);
            }
        }
    }

    /// Whole optimisers: tables of which batches use some rows, some of them again, matrices that decay, and parameters that no batch
    /// moves.
    #[test]
    fn both_ways_of_an_optimizer_are_the_same() {
        for rule in [Optimizer::Adam, Optimizer::LazyAdam] {
            let shapes: [&[i64]; 4] = [&[90, 10], &[90], &[8, 10], &[5]];
            let slots: Vec<Slot> = shapes.iter().map(|shape| slot(shape)).collect();
            let before: Vec<Slot> = slots.iter().map(copy).collect();
            let mut one = Adam { slots: slots.iter().map(copy).collect(), rule, steps: 0 };
            let mut other = Adam { slots, rule, steps: 0 };
            let mut all_used = HashSet::new();
            for number in 1..=5 {
                let used: Vec<i64> = (0..60).map(|n: i64| (n * n + i64::from(number)) % 46).collect();
                all_used.extend(used.clone());
                let step = Step::new(number, 0.01);
                let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
                let gradients = [random(&[60, 10]), random(&[60]), random(&[8, 10])];
                let gathered = [0, 1].map(|n| Gathered::of(&before[n].parameter, &used));
                let learned = || {
                    let of = |(slot, gradient): (usize, &Tensor)| Learned {
                        slot,
                        gathered: gathered.get(slot),
                        gradient: gradient.shallow_clone(),
                    };
                    gradients.iter().enumerate().map(of).collect()
                };
                one.move_on_cpu(step, 0.3, learned());
                other.move_by_libtorch(step, 0.3, learned()).unwrap();
            }
            for (n, (one, other)) in one.slots.iter().zip(&other.slots).enumerate() {
                check(&format!("{rule:?}, slot {n}"), one, other);
                for row in (0..before[n].parameter.size()[0]).filter(|_| n < 2) {
                    let moved = other.parameter.get(row) != before[n].parameter.get(row);
                    let moves = rule == Optimizer::Adam || all_used.contains(&row);
                    assert_eq!(moved, moves, "{rule:?}: row {row} of slot {n}");
                    assert_eq!(one.parameter.get(row) != before[n].parameter.get(row), moves);
                }
            }
            assert!(one.slots[3].parameter == before[3].parameter, "a parameter without a gradient moved");
        }
    }

    #[test]
    fn the_rows_of_a_batch_move() {
        for (shape, rows) in [(&[90, 10][..], 40), (&[90][..], 500), (&[4000, 3], 3000), (&[1, 1], 2), (&[7, 2], 0)] {
            let mut slot = slot(shape);
            let before = copy(&slot);
            let used: Vec<i64> = (0..rows).map(|n: i64| n * n % (shape[0] / 2 + 1)).collect();
            let gathered = Gathered::of(&slot.parameter, &used);
            let gradient = Tensor::randn(gathered.entries.size(), (Kind::Float, Device::Cpu));
            slot.move_rows(Step::new(3, 0.01), &gathered, &gradient);
            for row in 0..shape[0] {
                let moved = slot.parameter.get(row) != before.parameter.get(row);
                assert_eq!(moved, used.contains(&row), "row {row} of {shape:?}");
            }
        }
    }
}

//! Adam (Kingma and Ba 2015, arXiv:1412.6980) on tensors, because tch's cannot save its moments. Weight decay is
//! decoupled (Loshchilov and Hutter 2019, arXiv:1711.05101) and applies to the MLP's matrices. L2 of whole tables is
//! not: it is a part of the gradient, `lambda w` of every row in every step, before the moments see it. Adam divides a
//! gradient by its own size, so that a row which batches use seldom, and whose gradient is L2's alone most of the time,
//! goes to 0 about as fast as the learning rate says.
//!
//! A batch uses a few rows of each table. [`Optimizer::Adam`] moves all others too, as the equations say: their moments
//! fade, and they go on in the direction of their past gradients. [`Optimizer::LazyAdam`] is Adam for the rows of the
//! batch, and leaves the others and their moments as they are: the rule of PyTorch's `SparseAdam` and of `LazyAdam` in
//! TensorFlow. The number of steps, which corrects the moments' bias, is that of the run for every row. L2 of whole
//! tables is then that of the batch's rows, once each.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor, no_grad};

use crate::adam::{Move, Rule, Step};
use crate::cpu;
use crate::cuda;
use crate::model::Model;
use crate::model::lookup::{Entries, Gathered};
use crate::model::role::Role;
use crate::settings::{Optimizer, Training};

/// Adam's moments for every trained tensor of a model.
#[derive(Debug)]
pub struct Adam {
    slots: Vec<Slot>,
    rule: Optimizer,
    /// The largest norm of a gradient; 0 for none.
    clip_norm: f64,
    steps: i32,
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
    decays: bool,
    /// Which of the tables it is, as in [`Parameters::tables`](crate::model::parameters::Parameters::tables).
    table: Option<usize>,
    /// All rows, in their order.
    parts: Vec<Part>,
}

/// Rows that learn alike.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    rows: Range<i64>,
    rule: Rule,
}

/// A slot's number, the rows of it that a batch gathered, and the gradient: of those entries, or of the whole
/// parameter.
struct Learned<'a> {
    slot: usize,
    gathered: Option<&'a Gathered>,
    gradient: Tensor,
}

/// The parts of a parameter: one, or where it is a table, and fields learn by rules of their own, one for each field.
fn parts(model: &Model, training: &Training, table_l2: f64, table: Option<usize>, length: i64) -> Result<Vec<Part>> {
    let whole = |rule| Ok(vec![Part { rows: 0..length, rule }]);
    let Some(table) = table else { return whole(Rule::PLAIN) };
    let is_vectors = table < 2;
    let l2 = if is_vectors { table_l2 } else { training.first_order_l2 };
    let of_field = |f: usize, l2_of: &[f64], rate_of: &[f64]| {
        // The gradient of a factor is a multiple of the other: where both are 0 they stay so.
        let is_product = is_vectors && model.config.fields[f].is_product();
        Rule { l2: if is_product { 0.0 } else { l2 * l2_of[f] }, rate: rate_of[f] }
    };
    let [l2_of, rate_of] = [&training.field_l2, &training.field_rate].map(|factors| factors.of(&model.config));
    let (l2_of, rate_of) = (l2_of.context("--field-l2")?, rate_of.context("--field-rate")?);
    let fields: Vec<(usize, Range<i64>)> = if is_vectors {
        let tables = model.layout.tables().into_iter().filter(|t| t.is_second == (table == 1));
        tables.map(|t| (t.field, t.from..t.from + t.rows)).collect()
    } else {
        model.layout.features().enumerate().map(|(f, (from, rows))| (f, from..from + rows)).collect()
    };
    let rules = |(f, rows): (usize, Range<i64>)| Part { rows, rule: of_field(f, &l2_of, &rate_of) };
    let all: Vec<Part> = fields.into_iter().map(rules).collect();
    if let Some(first) = all.first().filter(|first| all.iter().all(|part| part.rule == first.rule)) {
        return whole(first.rule);
    }
    let mut parts = Vec::new();
    let mut end = 0;
    for part in all {
        // The neutral row of the second tensor.
        if part.rows.start > end {
            parts.push(Part { rows: end..part.rows.start, rule: Rule::PLAIN });
        }
        end = part.rows.end;
        parts.push(part);
    }
    Ok(parts)
}

/// Scales gradients by `min(1, most / norm)` (Pascanu et al. 2013, arXiv:1211.5063), where the norm is that of all
/// together: a table's is that of its rows. Nothing waits for a GPU.
fn clip(learned: &mut [Learned<'_>], most: f64) {
    let squares = learned.iter().map(|Learned { gathered, gradient, .. }| {
        let of_rows = gathered.map(|gathered| gathered.gradient(gradient));
        of_rows.as_ref().unwrap_or(gradient).square().sum(Kind::Float)
    });
    let norm = squares.sum::<Tensor>().sqrt();
    let factor = (norm.clamp_min(f64::MIN_POSITIVE).reciprocal() * most).clamp_max(1.0);
    for Learned { gradient, .. } in learned {
        *gradient = &*gradient * &factor;
    }
}

impl Slot {
    /// All of it, a move for each part.
    fn all(&self, gradient: Option<&Tensor>, decay: f64) -> impl Iterator<Item = Move> {
        self.parts.iter().map(move |Part { rows, rule }| {
            let part = |tensor: &Tensor| tensor.narrow(0, rows.start, rows.end - rows.start);
            let [parameter, mean, square] = [&self.parameter, &self.mean, &self.square].map(part);
            Move { parameter, mean, square, gradient: gradient.map(part), decay, rule: *rule }
        })
    }

    /// Moves a batch's rows of a table, by the gradient of its entries.
    fn move_rows(&mut self, step: Step, gathered: &Gathered, gradient: &Tensor) {
        let rules: Vec<(i64, Rule)> = self.parts.iter().map(|part| (part.rows.end, part.rule)).collect();
        let tables = [&mut self.parameter, &mut self.mean, &mut self.square];
        cpu::adam::apply_to_rows(step, &rules, tables, &gathered.uses, gradient);
    }

    fn copy_of(&self, rows: &Tensor) -> Move {
        let [parameter, mean, square] =
            [&self.parameter, &self.mean, &self.square].map(|all| all.index_select(0, rows));
        Move { parameter, mean, square, gradient: None, decay: 1.0, rule: Rule::PLAIN }
    }

    /// The rules of rows, and the places among them of those that have it; `None` where all do.
    fn places(&self, rows: &[i64], device: Device) -> Vec<(Rule, Option<Tensor>)> {
        if let [Part { rule, .. }] = self.parts[..] {
            return vec![(rule, None)];
        }
        let places = |part: &Part| -> Vec<i64> {
            (0..).zip(rows).filter(|(_, row)| part.rows.contains(row)).map(|(place, _)| place).collect()
        };
        let parts = self.parts.iter().map(|part| (part.rule, places(part))).filter(|(_, places)| !places.is_empty());
        parts.map(|(rule, places)| (rule, Some(Tensor::from_slice(&places).to_device(device)))).collect()
    }

    fn replace(&mut self, rows: &Tensor, by: &Move) {
        let all = [(&mut self.parameter, &by.parameter), (&mut self.mean, &by.mean), (&mut self.square, &by.square)];
        for (all, by) in all {
            let _ = all.index_copy_(0, rows, by);
        }
    }
}

impl Adam {
    /// Moments of zero. `table_l2`: what [`Training::table_l2`] is in this training.
    ///
    /// # Errors
    /// Settings for a field that the model does not have.
    pub fn new(model: &Model, training: &Training, table_l2: f64) -> Result<Self> {
        let tables = model.parameters.tables().map(|table| table.map(Tensor::data_ptr));
        let trained = model.parameters.named().into_iter().filter(|(.., role)| *role != Role::Statistic);
        let slots = trained.map(|(name, parameter, role)| {
            let table = tables.iter().position(|table| *table == Some(parameter.data_ptr()));
            Ok(Slot {
                mean: parameter.zeros_like(),
                square: parameter.zeros_like(),
                decays: role == Role::Matrix,
                parts: parts(model, training, table_l2, table, parameter.size()[0])?,
                table,
                name,
                parameter,
            })
        });
        let slots = no_grad(|| slots.collect::<Result<_>>())?;
        Ok(Adam { slots, rule: training.optimizer, clip_norm: training.clip_norm, steps: 0 })
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
        let mut learned: Vec<Learned<'_>> = learned.collect();
        no_grad(|| {
            if self.clip_norm > 0.0 {
                clip(&mut learned, self.clip_norm);
            }
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
                moves.extend(slot.all(Some(&gradient), decay));
                continue;
            };
            // The batch's rows are put back after all have moved without a gradient.
            let kept = (self.rule == Optimizer::Adam).then(|| slot.copy_of(&gathered.rows));
            if kept.is_some() {
                moves.extend(slot.all(None, 1.0));
            }
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

    /// All in one kernel, which takes as long as the numbers need to go by once. A table whose rows all move has a
    /// gradient of zeros but for the batch's rows; of one that moves lazily those rows are copied, and put back.
    fn move_by_libtorch(&mut self, step: Step, weight_decay: f64, learned: Vec<Learned<'_>>) -> Result<()> {
        let (mut moves, mut copies) = (Vec::new(), Vec::new());
        for Learned { slot: n, gathered, gradient } in learned {
            let (slot, decay) = (&self.slots[n], self.decay(n, step, weight_decay));
            let Some(gathered) = gathered else {
                moves.extend(slot.all(Some(&gradient), decay));
                continue;
            };
            let of_rows = gathered.gradient(&gradient);
            match self.rule {
                Optimizer::Adam => {
                    let of_table = slot.parameter.zeros_like().index_copy_(0, &gathered.rows, &of_rows);
                    moves.extend(slot.all(Some(&of_table), 1.0));
                }
                Optimizer::LazyAdam => {
                    for (rule, places) in slot.places(gathered.uses.rows(), gathered.rows.device()) {
                        let of = |tensor: &Tensor| match &places {
                            None => tensor.shallow_clone(),
                            Some(places) => tensor.index_select(0, places),
                        };
                        let rows = of(&gathered.rows);
                        let part = Move { gradient: Some(of(&of_rows)), rule, ..slot.copy_of(&rows) };
                        copies.push((n, rows, moves.len()));
                        moves.push(part);
                    }
                }
            }
        }
        cuda::adam::apply(step, &moves)?;
        for (n, rows, at) in copies {
            self.slots[n].replace(&rows, &moves[at]);
        }
        Ok(())
    }

    /// Moments of zero for the tables: they are new.
    pub fn forget_tables(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.table.is_some()) {
            for moment in [&mut slot.mean, &mut slot.square] {
                let _ = no_grad(|| moment.zero_());
            }
        }
    }

    /// Number of steps, and for every trained tensor its two moments: means and means of squares. They share memory
    /// with Adam's own.
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
    use crate::tensors::size;

    /// With rules of their own for the rows before `end` and behind it.
    fn slot(shape: &[i64], rules: &[Rule]) -> Slot {
        let options = (Kind::Float, Device::Cpu);
        let parameter = Tensor::rand(shape, options) - 0.5;
        let [mean, square] = [Tensor::rand(shape, options) - 0.5, Tensor::rand(shape, options)];
        let end = |n: usize| shape[0] * size(n) / size(rules.len());
        let parts = rules.iter().enumerate().map(|(n, &rule)| Part { rows: end(n)..end(n + 1), rule }).collect();
        Slot { name: String::new(), parameter, mean, square, decays: true, table: None, parts }
    }

    fn copy(slot: &Slot) -> Slot {
        let [parameter, mean, square] = [&slot.parameter, &slot.mean, &slot.square].map(Tensor::copy);
        Slot { name: String::new(), parameter, mean, square, decays: true, table: None, parts: slot.parts.clone() }
    }

    const RULES: [&[Rule]; 3] = [
        &[Rule::PLAIN],
        &[Rule { l2: 0.05, rate: 1.0 }],
        &[Rule { l2: 0.3, rate: 0.5 }, Rule { l2: 0.0, rate: 1.0 }, Rule { l2: 0.7, rate: 3.0 }],
    ];

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
                for rules in RULES {
                    let step = Step::new(number, 0.01);
                    let (one, other) = {
                        let slot = slot(shape, rules);
                        (copy(&slot), slot)
                    };
                    let of = |slot: &Slot| slot.all(gradient.as_ref(), decay).collect::<Vec<_>>();
                    cpu::adam::apply(step, &mut of(&one));
                    cuda::adam::apply(step, &of(&other)).unwrap();
                    check(&format!("{shape:?}, decay {decay}, step {number}, {rules:?}"), &one, &other);
                }
            }
        }
    }

    /// Whole optimisers: tables of which batches use some rows, some of them again, matrices that decay, and parameters
    /// that no batch moves.
    #[test]
    fn both_ways_of_an_optimizer_are_the_same() {
        for (rule, rules) in
            [Optimizer::Adam, Optimizer::LazyAdam].into_iter().flat_map(|rule| RULES.map(|r| (rule, r)))
        {
            let shapes: [&[i64]; 4] = [&[90, 10], &[90], &[8, 10], &[5]];
            let slots: Vec<Slot> = shapes.iter().map(|shape| slot(shape, rules)).collect();
            let before: Vec<Slot> = slots.iter().map(copy).collect();
            let mut one = Adam { slots: slots.iter().map(copy).collect(), rule, clip_norm: 0.0, steps: 0 };
            let mut other = Adam { slots, rule, clip_norm: 0.0, steps: 0 };
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
                check(&format!("{rule:?}, slot {n}, {rules:?}"), one, other);
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

    /// One step by hand, from moments of 0: the gradient is that of the loss and of the squares of all rows, and Adam's
    /// first step is the learning rate in the direction of their sum.
    #[test]
    fn l2_of_whole_tables_is_in_the_gradient_of_every_row() {
        for (rule, moved) in [(Optimizer::Adam, [true, true, true]), (Optimizer::LazyAdam, [true, false, true])] {
            let mut slot = slot(&[3, 1], &[Rule { l2: 0.5, rate: 1.0 }]);
            slot.parameter = Tensor::from_slice(&[2.0_f32, -3.0, 4.0]).view([3, 1]);
            for moment in [&mut slot.mean, &mut slot.square] {
                let _ = moment.zero_();
            }
            let before = copy(&slot);
            let mut adam = Adam { slots: vec![slot], rule, clip_norm: 0.0, steps: 0 };
            let gathered = Gathered::of(&before.parameter, &[0, 2, 0]);
            // Row 0: -0.5 - 0.25 + 0.5 * 2 > 0; row 2: -3 + 0.5 * 4 < 0.
            let gradient = Tensor::from_slice(&[-0.5_f32, -3.0, -0.25]).view([3, 1]);
            adam.move_on_cpu(Step::new(1, 0.1), 0.0, vec![Learned { slot: 0, gathered: Some(&gathered), gradient }]);
            for (row, (direction, moved)) in [-1.0, 1.0, 1.0].into_iter().zip(moved).enumerate() {
                let by = (&adam.slots[0].parameter - &before.parameter).double_value(&[size(row), 0]);
                let expected = if moved { 0.1 * direction } else { 0.0 };
                assert!((by - expected).abs() < 1e-6, "{rule:?}: row {row} moved by {by}");
            }
        }
    }

    #[test]
    fn long_gradients_are_shortened_and_short_ones_are_not() {
        let table = Tensor::zeros([4, 1], (Kind::Float, Device::Cpu));
        let gathered = Gathered::of(&table, &[1, 3, 1]);
        // Row 1 has 1 + 2 and row 3 has 4 of the table's, another parameter 12: a norm of 13.
        let norm = |most: f64| {
            let gradient = Tensor::from_slice(&[1.0_f32, 4.0, 2.0]).view([3, 1]);
            let other = Tensor::from_slice(&[12.0_f32]);
            let mut all = [
                Learned { slot: 0, gathered: Some(&gathered), gradient },
                Learned { slot: 1, gathered: None, gradient: other },
            ];
            clip(&mut all, most);
            [gathered.gradient(&all[0].gradient).double_value(&[0, 0]), all[1].gradient.double_value(&[0])]
        };
        for (most, factor) in [(26.0, 1.0), (13.0, 1.0), (6.5, 0.5), (0.13, 0.01)] {
            let found = norm(most);
            assert!(found.iter().zip([3.0, 12.0]).all(|(f, g)| (f - g * factor).abs() < 1e-5), "{most}: {found:?}");
        }
    }

    #[test]
    fn the_rows_of_a_batch_move() {
        for (shape, rows) in [(&[90, 10][..], 40), (&[90][..], 500), (&[4000, 3], 3000), (&[1, 1], 2), (&[7, 2], 0)] {
            let mut slot = slot(shape, &[Rule::PLAIN]);
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

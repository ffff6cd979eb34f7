//! The training loop: epochs of Adam, early stopping on validation rows, a state after each epoch from which a killed
//! run goes on.
//!
//! A model that was trained before is measured before the first step, and kept where no epoch is better: fine-tuning,
//! in integers or not, never ends below its start on the validation rows.
//!
//! Batches are read, shuffled and turned into rows of the tables by a thread of their own, ahead of the one that
//! trains.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::config::Scales;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::output;
use xsfm_interchange::rows::RowsError;

use crate::average::Average;
use crate::checkpoint;
use crate::cuda::{Tf32, upload};
use crate::data::ahead::ahead;
use crate::data::batches::{Batch, Batches, Order};
use crate::data::unknown::Unknown;
use crate::device::preparing_threads;
use crate::distill::Objective;
use crate::divergence::{self, Diverged};
use crate::evaluate::Scorer;
use crate::lock::lock;
use crate::losses::{Losses, NotFinite};
use crate::model::lookup::{DistinctRows, Entries, NumberingPool, Uploaded};
use crate::model::{Dropout, Model, Output};
use crate::optimizer::Adam;
use crate::prune::Pruner;
use crate::quantized::Quantized;
use crate::quantized::scales::refresh_table_scales;
use crate::report::{Epoch, Report};
use crate::schedule::Schedule;
use crate::settings::{Initialization, StopOn, Training};
use crate::state::{Course, Keeper, State};

/// Rows of a batch in evaluation.
pub const EVALUATION_ROWS: usize = 4096;
/// Batches that are ready and wait to be trained on: enough while the next window of rows is read.
const WAITING: usize = 8;
/// Steps after which losses are read. Training in int8 reads its tables' scales in every step.
const LOSSES_READ: [usize; 2] = [64, 1];

/// Tables that are drawn anew have random numbers of their own: those of an epoch are for its dropout.
const REDRAW: u64 = 1 << 63;

/// One training run: a model, what it learns, and where it is kept.
#[derive(Debug)]
pub struct TrainingLoop<'a> {
    /// The rows.
    pub data: &'a Dataset,
    /// Checkpoint folder.
    pub out: &'a Path,
    /// The model at the start.
    pub model: Model,
    /// Whether it was trained before: it is then kept where no epoch is better.
    pub is_trained: bool,
    /// Scales wanted of the integers, to train in int8; tables follow their weights.
    pub scales: Option<Scales>,
    /// What is minimised.
    pub objective: &'a Objective,
    /// How.
    pub training: &'a Training,
    /// How tables are drawn anew.
    pub initialization: &'a Initialization,
    /// What becomes or stays 0.
    pub pruning: Option<Pruner>,
    /// Every setting that decides the result: recorded, and compared when a run goes on.
    pub settings: serde_json::Value,
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The checkpoint is written.
    Finished,
    /// Its state is: it can go on.
    Paused,
}

/// Seeds libtorch for an epoch; epoch 0 is initialisation. A run that goes on has the random numbers of an unbroken
/// one.
pub fn seed_torch(seed: u64, epoch: u64) {
    // Two rounds of a 64-bit mixer (splitmix64), so that neighbouring seeds and epochs are unrelated.
    let mix = |mut z: u64| {
        z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    tch::manual_seed(mix(mix(seed) ^ epoch).cast_signed());
}

/// A batch that is ready to be trained on.
enum Ready {
    Here { labels: Vec<u8>, weights: Option<Vec<f32>>, teacher: Option<Vec<f32>>, rows: DistinctRows },
    There(OnDevice),
}

/// A batch in the memory of the device that trains.
struct OnDevice {
    count: usize,
    /// `[count]`, u8.
    labels: Tensor,
    /// `[count]`, with a mean of 1 over all training rows; absent where rows have none.
    weights: Option<Tensor>,
    /// `[count]`
    teacher: Option<Tensor>,
    rows: Uploaded,
}

impl Ready {
    fn upload(self, device: Device) -> Result<OnDevice> {
        let (labels, weights, teacher, rows) = match self {
            Ready::There(batch) => return Ok(batch),
            Ready::Here { labels, weights, teacher, rows } => (labels, weights, teacher, rows),
        };
        Ok(OnDevice {
            count: labels.len(),
            labels: upload(&labels, device)?,
            weights: weights.map(|weights| upload(&weights, device)).transpose()?,
            teacher: teacher.map(|teacher| upload(&teacher, device)).transpose()?,
            rows: rows.upload(device)?,
        })
    }
}

impl TrainingLoop<'_> {
    /// Trains to the end and saves the best epoch, or pauses. With `resume`, goes on from the state in the folder if
    /// there is one.
    ///
    /// # Errors
    /// Files that cannot be read or written, data that do not fit, a state of other settings, a loss that is not
    /// finite.
    pub fn run(mut self, resume: bool, pause_after: Option<u64>) -> Result<Ended> {
        let data = self.data;
        let (path, bounds) = (data.path(Part::Train), data.bounds());
        let rows = Batches::open(&path, bounds.clone(), 1)?.num_rows();
        let mut train = Batches::open(&path, bounds, self.training.batch_size.of(rows))?;
        let mut valid = Batches::open(&data.path(Part::Valid), data.bounds(), EVALUATION_ROWS)?;
        if train.num_rows() < 2 || valid.num_rows() == 0 {
            let folder = data.folder().display();
            bail!("{folder}: {} training and {} validation rows", train.num_rows(), valid.num_rows());
        }
        let _lock = lock(self.out, "training")?;
        self.model.mixed_precision = self.training.mixed_precision;
        let mut keeper = Keeper::new(self.out);
        let mut course = self.course(train.num_rows(), train.num_batches())?;
        if resume && keeper.read(&mut course, data, &self.model)? {
            if course.state.finished {
                output::say(format_args!("{}: already finished", self.out.display()));
                return Ok(Ended::Finished);
            }
            self.scales.clone_from(&course.state.scales);
            let epochs = course.state.epochs.last().map_or(0, |last| last.epoch);
            output::say(format_args!("{}: going on after epoch {epochs}", self.out.display()));
        } else {
            self.begin(&mut course.state, &mut valid)?;
            keeper.forget()?;
            keeper.begin(data)?;
        }

        let done = course.state.epochs.last().map_or(0, |last| last.epoch);
        if let Some(pruner) = &mut self.pruning {
            pruner.start(done * train.num_batches(), train.num_batches());
        }
        let bar = progress(self.training.epochs * train.num_batches());
        bar.set_position(done * train.num_batches());
        for epoch in done + 1..=self.training.epochs {
            if self.schedule(&course.state).stop {
                break;
            }
            if pause_after.is_some_and(|last| epoch > last) {
                bar.finish_and_clear();
                output::say(format_args!("{}: paused after epoch {}", self.out.display(), epoch - 1));
                return Ok(Ended::Paused);
            }
            bar.set_message(format!("epoch {epoch}/{}", self.training.epochs));
            if epoch > 1 && epoch <= 1 + self.training.redraw_tables {
                seed_torch(self.training.seed ^ REDRAW, epoch);
                self.model.redraw_tables(self.initialization)?;
                course.adam.forget_tables();
            }
            self.train_epoch(epoch, &mut train, &mut valid, &mut course, &bar)?;
            keeper.write(&mut course, &self.model)?;
        }
        bar.finish_and_clear();
        let Course { mut state, best, .. } = course;
        self.model.parameters.restore(&best.into_iter().collect())?;
        let report = self.finish(&state, &mut valid)?;
        keeper.finish(&mut state)?;
        report.say(self.out);
        Ok(Ended::Finished)
    }

    /// A run that has not begun.
    fn course(&self, rows: u64, steps_of_epoch: u64) -> Result<Course> {
        let state = State {
            settings: self.settings.clone(),
            data: Some(self.data.fingerprint().clone()),
            start: None,
            epochs: Vec::new(),
            best: None,
            scales: self.scales.clone(),
            optimizer_steps: 0,
            finished: false,
        };
        let parameters = &self.model.parameters;
        let between_evaluations = steps_of_epoch as f64 / self.training.evaluations as f64;
        let average = Average::new(parameters, self.training.average * between_evaluations);
        let is_taught = matches!(self.objective, Objective::Distill { .. });
        let table_l2 = self.training.table_l2.of(&self.model.config, rows, is_taught);
        Ok(Course {
            state,
            adam: Adam::new(&self.model, self.training, table_l2)?,
            average,
            best: parameters.snapshot(),
        })
    }

    /// Before the first step.
    fn begin(&self, state: &mut State, valid: &mut Batches) -> Result<()> {
        let start = self.measure(valid).context("before the first step")?;
        let auc = start.auc.with_context(|| {
            format!("{}: all validation rows have the same label, so there is no AUC", self.data.folder().display())
        })?;
        state.start = Some(start);
        state.best = self.start_figure(state).map(|_| 0);
        if self.is_trained {
            let mark = if state.best.is_some() { " *" } else { "" };
            output::say(format_args!(
                "epoch   0  as it was          valid LogLoss {:.5}  AUC {auc:.5}{mark}",
                start.log_loss
            ));
        }
        Ok(())
    }

    /// Whether an evaluation may be the best: not before all is pruned that shall be.
    fn is_candidate(&self, epoch: u64, part: Option<u64>) -> bool {
        let pruning = &self.training.pruning;
        let is_end = part.is_none_or(|part| part == self.training.evaluations);
        !pruning.is_some() || epoch > pruning.prune_epochs || (epoch == pruning.prune_epochs && is_end)
    }

    /// What the rate is, and which evaluation is the best.
    fn schedule(&self, state: &State) -> Schedule {
        let figure = |e: &Epoch| self.is_candidate(e.epoch, e.part).then(|| self.figure(e.valid_auc, e.valid_log_loss));
        let figures = state.epochs.iter().map(|e| (e.epoch, figure(e)));
        Schedule::after(self.training, self.start_figure(state), figures)
    }

    /// The figure before the first step, where that model may be kept.
    fn start_figure(&self, state: &State) -> Option<f64> {
        let start = state.start.filter(|_| self.is_trained && self.is_candidate(0, None))?;
        Some(self.figure(start.auc?, start.log_loss))
    }

    /// What chooses among evaluations, the larger the better.
    fn figure(&self, auc: f64, log_loss: f64) -> f64 {
        match self.training.stop_on {
            StopOn::Auc => auc,
            StopOn::LogLoss => -log_loss,
            StopOn::Both => auc - log_loss,
        }
    }

    /// Figures on the validation rows in an epoch, of the average where there is one.
    fn measure_epoch(&self, number: u64, train_loss: f64, course: &Course, valid: &mut Batches) -> Result<Metrics> {
        let diverged = |what: String| self.diverged(what, number);
        let own = course.average.as_ref().map(|average| -> Result<_> {
            let own = self.model.parameters.snapshot();
            self.model.parameters.restore(&average.numbers().into_iter().collect())?;
            Ok(own)
        });
        let own = own.transpose()?;
        let measured = self.measure(valid);
        if let Some(own) = own {
            self.model.parameters.restore(&own.into_iter().collect())?;
        }
        let valid = measured.map_err(|error| match divergence::not_finite(&error) {
            Some(what) => diverged(format!("after epoch {number} {what}")).into(),
            None => error,
        })?;
        let start = &course.state.start.context("a run without a start")?;
        match (divergence::Epoch { number, train_loss, start, valid: &valid }).explosion() {
            Some(what) => Err(diverged(what).into()),
            None => Ok(valid),
        }
    }

    fn diverged(&self, what: String, epoch: u64) -> Diverged {
        Diverged { what, learning_rate: self.learning_rate(epoch) }
    }

    /// That of an epoch, without the factors of plateaus and of the first steps.
    fn learning_rate(&self, epoch: u64) -> f64 {
        let exponent = i32::try_from(epoch - 1).unwrap_or(i32::MAX);
        self.training.learning_rate * self.training.learning_rate_decay.powi(exponent)
    }

    fn check(&self, loss: Option<NotFinite>, epoch: u64) -> Result<()> {
        match loss {
            None => Ok(()),
            Some(NotFinite { step, loss }) => {
                Err(self.diverged(format!("the loss is {loss} in step {step} of epoch {epoch}"), epoch).into())
            }
        }
    }

    /// One pass over the training rows, measured at its end, or in between too.
    fn train_epoch(
        &mut self,
        epoch: u64,
        train: &mut Batches,
        valid: &mut Batches,
        course: &mut Course,
        bar: &ProgressBar,
    ) -> Result<()> {
        let t = self.training;
        let begun = Instant::now();
        seed_torch(t.seed, epoch);
        let mut factor = self.schedule(&course.state).factor;
        let (steps, mut measuring) = (train.num_batches(), Duration::ZERO);
        let part_of = |step: u64| step * t.evaluations / steps;
        let is_int8 = self.scales.is_some();
        // Sums of integers are exact, and figures are measured, without rounded inputs.
        let _tf32 = Tf32::allow(!is_int8);
        let mut losses = Losses::read_every(LOSSES_READ[usize::from(is_int8)]);
        let (objective, device) = (self.objective, self.model.device());
        let (indexer, numberings) = (self.model.layout.indexer().clone(), NumberingPool::default());
        let mean_weight = train.mean_weight()?;
        let batches = train.pass(Order::Shuffled { seed: t.seed, epoch });
        let may_be = Unknown::fields(self.data.schema());
        let unknown = Unknown { share: t.unknown_share, seed: t.seed, epoch, may_be };
        let prepare = move |batch: Result<Batch, RowsError>| {
            let Batch { rows: mut block, numbers } = batch?;
            unknown.replace(&mut block, &numbers);
            let rows = numberings.distinct(indexer.rows(&block)?);
            // A mean of 1, so that weights say how rows relate to each other and L2 stays what it is.
            let relative = |weight: &f32| (f64::from(*weight) / mean_weight) as f32;
            let weights = (!block.weights.is_empty()).then(|| block.weights.iter().map(relative).collect());
            let ready = Ready::Here { labels: block.labels, weights, teacher: objective.teacher(&numbers), rows };
            // On a GPU they go ahead. On a CPU there is nothing to copy, and a thread that is new to libtorch costs the
            // others time.
            if device == Device::Cpu { anyhow::Ok(ready) } else { ready.upload(device).map(Ready::There) }
        };
        thread::scope(|scope| {
            for (step, batch) in (1..).zip(ahead(scope, WAITING, preparing_threads(device), batches, prepare)) {
                let OnDevice { count, labels, weights, teacher, rows } = batch?.upload(device)?;
                bar.inc(1);
                // BatchNorm has no variance of a single row.
                if count > 1 {
                    let entries = self.model.gather(rows)?;
                    let output = self.train_pass(&entries).map_err(|error| match step {
                        1 if epoch == 1 => error,
                        // Before the first step the integers could carry the model.
                        _ => self.diverged(format!("{error:#}, in step {step} of epoch {epoch}"), epoch).into(),
                    })?;
                    let labels = labels.to_kind(Kind::Float);
                    let loss = objective.loss(&output.logits, &labels, weights.as_ref(), teacher.as_ref());
                    let loss = if t.l2 > 0.0 { loss + output.squares() * (t.l2 / 2.0) } else { loss };
                    self.check(losses.add(&loss, count)?, epoch)?;
                    let number = (epoch - 1) * steps + step;
                    let warm = (number as f64 / t.warm_up as f64).min(1.0);
                    let learning_rate = self.learning_rate(epoch) * factor * warm;
                    course.adam.step(&loss, learning_rate, t.weight_decay, &entries)?;
                    if let Some(pruner) = &mut self.pruning {
                        pruner.step();
                    }
                    if let Some(average) = &mut course.average {
                        average.step(&self.model.parameters, number);
                    }
                }
                if part_of(step) == part_of(step - 1) {
                    continue;
                }
                self.check(losses.read()?, epoch)?;
                if let (Some(average), true) = (&mut course.average, self.pruning.is_some()) {
                    average.prune(&self.model.parameters);
                }
                let since = Instant::now();
                let part = (t.evaluations > 1).then(|| part_of(step));
                let trained = begun.elapsed() - measuring;
                let rows_per_second = Some(losses.rows() / trained.as_secs_f64());
                let measured = self.measure_epoch(epoch, losses.mean(), course, valid)?;
                course.state.epochs.push(Epoch {
                    epoch,
                    part,
                    train_loss: losses.mean(),
                    valid_log_loss: measured.log_loss,
                    valid_auc: measured.auc.context("no AUC")?,
                    rate_factor: factor,
                    seconds: begun.elapsed().as_secs_f64(),
                    rows_per_second,
                });
                let schedule = self.after_evaluation(course, bar)?;
                measuring += since.elapsed();
                factor = schedule.factor;
                if schedule.stop {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Keeps the numbers of an evaluation that is the best so far, or goes back to those.
    fn after_evaluation(&self, course: &mut Course, bar: &ProgressBar) -> Result<Schedule> {
        let schedule = self.schedule(&course.state);
        let is_best = schedule.best == Some(course.state.epochs.len() as u64);
        bar.suspend(|| {
            let mark = if is_best { " *" } else { "" };
            if let Some(last) = course.state.epochs.last() {
                output::say(format_args!("{last}{mark}"));
            }
        });
        course.state.best = schedule.best;
        if is_best {
            course.best = course.measured(&self.model);
        } else if schedule.dropped && self.training.plateau_rewind {
            let best = course.best.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
            self.model.parameters.restore(&best)?;
            if let Some(average) = &mut course.average {
                average.restore(&best)?;
            }
        }
        Ok(schedule)
    }

    fn train_pass(&mut self, entries: &Entries) -> Result<Output> {
        let t = self.training;
        let network = t.network_dropout.unwrap_or(t.dropout);
        let dropout = Dropout { embedding: t.embedding_dropout, hidden: t.dropout, network };
        match &mut self.scales {
            None => Ok(self.model.train_pass(entries, dropout)),
            Some(scales) => {
                refresh_table_scales(&self.model, scales)?;
                Ok(Quantized::new(&self.model, scales, Kind::Float)?.pass(entries, dropout))
            }
        }
    }

    /// The scales of the integers of the weights as they are.
    fn current_scales(&self) -> Result<Option<Scales>> {
        let Some(mut scales) = self.scales.clone() else { return Ok(None) };
        refresh_table_scales(&self.model, &mut scales)?;
        Ok(Some(Quantized::new(&self.model, &scales, Kind::Double)?.scales))
    }

    fn measure(&self, rows: &mut Batches) -> Result<Metrics> {
        match self.current_scales()? {
            None => Scorer::Float(&self.model).metrics(rows),
            Some(scales) => Scorer::Int8(Box::new(Quantized::new(&self.model, &scales, Kind::Double)?)).metrics(rows),
        }
    }

    /// Measures the model that is kept, and saves it.
    fn finish(&self, state: &State, valid: &mut Batches) -> Result<Report> {
        let test = match self.data.has(Part::Test) {
            false => None,
            true => {
                let path = self.data.path(Part::Test);
                Some(self.measure(&mut Batches::open(&path, self.data.bounds(), EVALUATION_ROWS)?)?)
            }
        };
        let kept = state.best.and_then(|best| state.epochs.get(usize::try_from(best).ok()?.checked_sub(1)?));
        let report = Report {
            settings: state.settings.clone(),
            data: Some(self.data.fingerprint().clone()),
            parameters: self.model.parameters.count(&self.model.config),
            nonzero: self
                .pruning
                .as_ref()
                .map(|pruner| self.model.parameters.count(&self.model.config) - pruner.zeros()),
            start: state.start,
            epochs: state.epochs.clone(),
            best_epoch: kept.map_or(0, |e| e.epoch),
            valid: self.measure(valid)?,
            test,
        };
        checkpoint::save(self.out, &self.model, self.current_scales()?.as_ref(), self.data.schema(), &report)?;
        Ok(report)
    }
}

/// A bar with the time that remains; hidden where standard error is not a terminal.
pub fn progress(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} ETA at most {eta}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

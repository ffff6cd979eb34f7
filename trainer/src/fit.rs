//! The training loop: epochs of Adam, early stopping on validation AUC, a state after each epoch from which a killed run goes on.
//!
//! Batches are read, shuffled and turned into rows of the tables by a thread of their own, ahead of the one that trains.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::config::Scales;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::output;
use xsfm_interchange::rows::{Bounds, RowsError};
use xsfm_interchange::schema::Schema;

use crate::checkpoint;
use crate::cuda::{Tf32, upload};
use crate::data::ahead::ahead;
use crate::data::batches::{Batch, Batches, Order};
use crate::device::preparing_threads;
use crate::distill::Objective;
use crate::evaluate::Scorer;
use crate::losses::{Diverged, Losses};
use crate::model::lookup::{DistinctRows, Entries, NumberingPool, Uploaded};
use crate::model::{Dropout, Model, Output};
use crate::optimizer::Adam;
use crate::prune::Pruner;
use crate::quantized::{Quantized, refresh_table_scales};
use crate::settings::Training;
use crate::tensors;

/// The state of an unfinished run, in its checkpoint folder.
pub const STATE_FILE: &str = "training-state.safetensors";
/// Rows of a batch in evaluation.
pub const EVALUATION_ROWS: usize = 4096;
/// Batches that are ready and wait to be trained on: enough while the next window of rows is read.
const WAITING: usize = 8;
/// Steps after which losses are read. Training in int8 reads its tables' scales in every step.
const LOSSES_READ: [usize; 2] = [64, 1];

/// One training run: a model, what it learns, and where it is kept.
#[derive(Debug)]
pub struct Fit<'a> {
    /// Folder of encoded rows.
    pub data: &'a Path,
    /// Checkpoint folder.
    pub out: &'a Path,
    /// The data's fields.
    pub schema: &'a Schema,
    /// The model at the start.
    pub model: Model,
    /// Scales wanted of the integers, to train in int8; tables follow their weights.
    pub scales: Option<Scales>,
    /// What is minimised.
    pub objective: &'a Objective,
    /// How.
    pub training: &'a Training,
    /// What becomes or stays 0.
    pub pruning: Option<Pruner>,
    /// Every setting that decides the result: recorded, and compared when a run goes on.
    pub settings: serde_json::Value,
}

/// `metrics.json`: what training measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Every setting that decided the result.
    pub settings: serde_json::Value,
    /// Trained numbers that scoring uses.
    pub parameters: usize,
    /// Those of them that are not 0, where some were pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonzero: Option<usize>,
    /// One entry per epoch.
    pub epochs: Vec<Epoch>,
    /// The epoch that was kept.
    pub best_epoch: u64,
    /// Its figures on the validation rows.
    pub valid: Metrics,
    /// Its figures on the test rows, where there are any.
    pub test: Option<Metrics>,
}

/// What one epoch measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// Mean loss of its batches, regularisation included.
    pub train_loss: f64,
    /// Validation LogLoss after it.
    pub valid_log_loss: f64,
    /// Validation AUC after it.
    pub valid_auc: f64,
    /// Time that it took, validation included.
    pub seconds: f64,
    /// Training rows per second, validation not included; absent in runs of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_second: Option<f64>,
}

/// What a state file says beside its tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    settings: serde_json::Value,
    epochs: Vec<Epoch>,
    best_epoch: u64,
    scales: Option<Scales>,
    optimizer_steps: i32,
    finished: bool,
}

/// Seeds libtorch for an epoch; epoch 0 is initialisation. A run that goes on has the random numbers of an unbroken one.
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
    Here { labels: Vec<u8>, teacher: Option<Vec<f32>>, rows: DistinctRows },
    There(OnDevice),
}

/// A batch in the memory of the device that trains.
struct OnDevice {
    count: usize,
    /// `[count]`, u8.
    labels: Tensor,
    /// `[count]`
    teacher: Option<Tensor>,
    rows: Uploaded,
}

impl Ready {
    fn upload(self, device: Device) -> Result<OnDevice> {
        let (labels, teacher, rows) = match self {
            Ready::There(batch) => return Ok(batch),
            Ready::Here { labels, teacher, rows } => (labels, teacher, rows),
        };
        Ok(OnDevice {
            count: labels.len(),
            labels: upload(&labels, device)?,
            teacher: teacher.map(|teacher| upload(&teacher, device)).transpose()?,
            rows: rows.upload(device)?,
        })
    }
}

impl Fit<'_> {
    /// Trains to the end and saves the best epoch. With `resume`, goes on from the state in the folder if there is one.
    ///
    /// # Errors
    /// Files that cannot be read or written, data that do not fit, a state of other settings, a loss that is not finite.
    pub fn run(mut self, resume: bool) -> Result<()> {
        let bounds = || Bounds::from(self.schema);
        let mut train = Batches::open(&self.data.join("train.arrow"), bounds(), self.training.batch_size)?;
        let mut valid = Batches::open(&self.data.join("valid.arrow"), bounds(), EVALUATION_ROWS)?;
        if train.num_rows() < 2 || valid.num_rows() == 0 {
            bail!("{}: {} training and {} validation rows", self.data.display(), train.num_rows(), valid.num_rows());
        }
        let _lock = checkpoint::lock(self.out)?;
        self.model.mixed_precision = self.training.mixed_precision;
        let mut adam = Adam::new(&self.model.parameters, self.training.optimizer);
        let mut best = self.model.parameters.snapshot();
        let mut state = State {
            settings: self.settings.clone(),
            epochs: Vec::new(),
            best_epoch: 0,
            scales: self.scales.clone(),
            optimizer_steps: 0,
            finished: false,
        };
        if resume && let Some((saved, tensors)) = self.read_state()? {
            if saved.finished {
                output::say(format_args!("{}: already finished", self.out.display()));
                return Ok(());
            }
            self.model.parameters.restore(&with_prefix(&tensors, "model."))?;
            adam.restore(saved.optimizer_steps, &with_prefix(&tensors, "adam."))?;
            best = with_prefix(&tensors, "best.").into_iter().collect();
            self.scales.clone_from(&saved.scales);
            output::say(format_args!("{}: going on after epoch {}", self.out.display(), saved.epochs.len()));
            state = saved;
        }

        if let Some(pruner) = &mut self.pruning {
            pruner.start(state.epochs.len() as u64 * train.num_batches(), train.num_batches());
        }
        let bar = progress(self.training.epochs * train.num_batches());
        bar.set_position(state.epochs.len() as u64 * train.num_batches());
        let from = state.epochs.len() as u64 + 1;
        for epoch in from..=self.training.epochs {
            if epoch > state.best_epoch + self.training.patience && state.best_epoch > 0 {
                break;
            }
            bar.set_message(format!("epoch {epoch}/{}", self.training.epochs));
            let start = Instant::now();
            let train_loss = self.train_epoch(epoch, &mut train, &mut adam, &bar)?;
            let rows_per_second = train.num_rows() as f64 / start.elapsed().as_secs_f64();
            let valid = self.measure(&mut valid)?;
            let Some(valid_auc) = valid.auc else {
                bail!(
                    "{}: all validation rows have the same label, so there is no AUC to stop by",
                    self.data.display()
                );
            };
            let best_auc = self.candidates(&state.epochs).map(|e| e.valid_auc).fold(f64::NEG_INFINITY, f64::max);
            let is_best = epoch >= self.first_candidate() && valid_auc > best_auc;
            let seconds = start.elapsed().as_secs_f64();
            bar.suspend(|| {
                let mark = if is_best { " *" } else { "" };
                let log_loss = valid.log_loss;
                output::say(format_args!(
                    "epoch {epoch:>3}  train loss {train_loss:.5}  valid LogLoss {log_loss:.5}  AUC {valid_auc:.5}  {seconds:.1} s  \
                     {rows_per_second:.0} rows/s{mark}"
                ));
            });
            if is_best {
                state.best_epoch = epoch;
                best = self.model.parameters.snapshot();
            }
            let rows_per_second = Some(rows_per_second);
            state.epochs.push(Epoch {
                epoch,
                train_loss,
                valid_log_loss: valid.log_loss,
                valid_auc,
                seconds,
                rows_per_second,
            });
            self.write_state(&mut state, &adam, &best)?;
        }
        bar.finish_and_clear();
        self.finish(state, best.into_iter().collect(), &mut valid)
    }

    /// The first epoch that may be kept: the one at whose end all is pruned that shall be.
    fn first_candidate(&self) -> u64 {
        if self.training.pruning.is_some() { self.training.pruning.prune_epochs.max(1) } else { 1 }
    }

    fn candidates<'e>(&self, epochs: &'e [Epoch]) -> impl Iterator<Item = &'e Epoch> {
        let first = self.first_candidate();
        epochs.iter().filter(move |e| e.epoch >= first)
    }

    /// One pass over the training rows; gives the mean loss.
    fn train_epoch(&mut self, epoch: u64, train: &mut Batches, adam: &mut Adam, bar: &ProgressBar) -> Result<f64> {
        let t = self.training;
        seed_torch(t.seed, epoch);
        let exponent = i32::try_from(epoch - 1).unwrap_or(i32::MAX);
        let learning_rate = t.learning_rate * t.learning_rate_decay.powi(exponent);
        let is_int8 = self.scales.is_some();
        // Sums of integers are exact, and figures are measured, without rounded inputs.
        let _tf32 = Tf32::allow(!is_int8);
        let mut losses = Losses::read_every(LOSSES_READ[usize::from(is_int8)]);
        let check = |diverged: Option<Diverged>| match diverged {
            None => Ok(()),
            Some(Diverged { step, loss }) => bail!(
                "the loss is {loss} in step {step} of epoch {epoch}: training diverged; lower --learning-rate (now {learning_rate:e}) or \
                 --init-std"
            ),
        };
        let (objective, device) = (self.objective, self.model.device());
        let (indexer, numberings) = (self.model.layout.indexer().clone(), NumberingPool::default());
        let batches = train.pass(Order::Shuffled { seed: t.seed, epoch });
        let prepare = move |batch: Result<Batch, RowsError>| {
            let Batch { rows: block, numbers } = batch?;
            let rows = numberings.distinct(indexer.rows(&block)?);
            let ready = Ready::Here { labels: block.labels, teacher: objective.teacher(&numbers), rows };
            // On a GPU they go ahead. On a CPU there is nothing to copy, and a thread that is new to libtorch costs the others time.
            if device == Device::Cpu { anyhow::Ok(ready) } else { ready.upload(device).map(Ready::There) }
        };
        thread::scope(|scope| {
            for batch in ahead(scope, WAITING, preparing_threads(device), batches, prepare) {
                let OnDevice { count, labels, teacher, rows } = batch?.upload(device)?;
                bar.inc(1);
                if count < 2 {
                    // BatchNorm has no variance of a single row.
                    continue;
                }
                let entries = self.model.gather(rows)?;
                let output = self.train_pass(&entries)?;
                let loss = objective.loss(&output.logits, &labels.to_kind(Kind::Float), teacher.as_ref());
                let loss = if t.l2 > 0.0 { loss + output.squares() * (t.l2 / 2.0) } else { loss };
                check(losses.add(&loss, count)?)?;
                adam.step(&loss, learning_rate, t.weight_decay, &entries)?;
                if let Some(pruner) = &mut self.pruning {
                    pruner.step();
                }
            }
            check(losses.read()?)?;
            Ok(losses.mean())
        })
    }

    fn train_pass(&mut self, entries: &Entries) -> Result<Output> {
        let dropout = Dropout { embedding: self.training.embedding_dropout, hidden: self.training.dropout };
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

    fn finish(self, mut state: State, best: HashMap<String, Tensor>, valid: &mut Batches) -> Result<()> {
        self.model.parameters.restore(&best)?;
        let test = self.data.join("test.arrow");
        let test = match test.try_exists().with_context(|| test.display().to_string())? {
            false => None,
            true => Some(self.measure(&mut Batches::open(&test, Bounds::from(self.schema), EVALUATION_ROWS)?)?),
        };
        let report = Report {
            settings: state.settings.clone(),
            parameters: self.model.parameters.count(&self.model.config),
            nonzero: self
                .pruning
                .as_ref()
                .map(|pruner| self.model.parameters.count(&self.model.config) - pruner.zeros()),
            epochs: state.epochs.clone(),
            best_epoch: state.best_epoch,
            valid: self.measure(valid)?,
            test,
        };
        checkpoint::save(self.out, &self.model, self.current_scales()?.as_ref(), self.schema, &report)?;
        state.finished = true;
        tensors::write(&self.state_path(), &[], Some(serde_json::to_string(&state)?))?;
        let figures = |m: &Metrics| format!("AUC {:.5}  LogLoss {:.5}", m.auc.unwrap_or(f64::NAN), m.log_loss);
        output::say(format_args!(
            "{}: epoch {} kept, {} parameters, valid {}{}",
            self.out.display(),
            report.best_epoch,
            report.parameters,
            figures(&report.valid),
            report.test.map(|test| format!(", test {}", figures(&test))).unwrap_or_default()
        ));
        Ok(())
    }

    fn state_path(&self) -> PathBuf {
        self.out.join(STATE_FILE)
    }

    fn write_state(&self, state: &mut State, adam: &Adam, best: &[(String, Tensor)]) -> Result<()> {
        let (steps, moments) = adam.snapshot();
        state.optimizer_steps = steps;
        let prefixed = |prefix: &str, tensors: &[(String, Tensor)]| -> Vec<(String, Tensor)> {
            tensors.iter().map(|(name, t)| (format!("{prefix}{name}"), t.shallow_clone())).collect()
        };
        let mut all = prefixed("model.", &self.model.parameters.snapshot());
        all.extend(prefixed("best.", best));
        all.extend(prefixed("adam.", &moments));
        tensors::write(&self.state_path(), &all, Some(serde_json::to_string(state)?))
    }

    fn read_state(&self) -> Result<Option<(State, HashMap<String, Tensor>)>> {
        let path = self.state_path();
        if !path.try_exists().with_context(|| path.display().to_string())? {
            return Ok(None);
        }
        let (tensors, text) = tensors::read(&path)?;
        let text = text.with_context(|| format!("{}: not a training state", path.display()))?;
        let state: State =
            serde_json::from_str(&text).with_context(|| format!("{}: not a training state", path.display()))?;
        if state.settings != self.settings {
            bail!(
                "{}: a run with other settings ({}); repeat its settings, or train without --resume",
                path.display(),
                difference(&state.settings, &self.settings)
            );
        }
        Ok(Some((state, tensors)))
    }
}

fn with_prefix(tensors: &HashMap<String, Tensor>, prefix: &str) -> HashMap<String, Tensor> {
    let named = tensors.iter().filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_owned(), t.shallow_clone())));
    named.collect()
}

/// The first setting that differs, with both values.
fn difference(before: &serde_json::Value, now: &serde_json::Value) -> String {
    let (Some(a), Some(b)) = (before.as_object(), now.as_object()) else {
        return format!("it had {before}, now {now}");
    };
    let null = serde_json::Value::Null;
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort();
    let of = |map: &serde_json::Map<String, serde_json::Value>, name: &str| map.get(name).unwrap_or(&null).clone();
    match names.into_iter().find(|name| of(a, name) != of(b, name)) {
        Some(name) if of(a, name).is_object() && of(b, name).is_object() => difference(&of(a, name), &of(b, name)),
        Some(name) => format!("{name} was {}, now {}", of(a, name), of(b, name)),
        None => "none differs".to_owned(),
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

//! `train`, `distill` and `evaluate`: from flags to a run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tch::Device;
use xsfm_interchange::atomic;
use xsfm_interchange::output;
use xsfm_interchange::rows::{Bounds, RowBlock};
use xsfm_interchange::schema::Schema;

use crate::allocator;
use crate::checkpoint;
use crate::data::batches::{Batches, Order};
use crate::device;
use crate::distill::Objective;
use crate::evaluate::Scorer;
use crate::fit::{EVALUATION_ROWS, Fit, progress, seed_torch};
use crate::model::Model;
use crate::prune::Pruner;
use crate::qat;
use crate::settings::{Architecture, Distillation, Place, Pruning, Quantization, Training};
use crate::teacher;

/// Flags of `train`.
#[derive(Args, Clone, Debug)]
pub struct TrainArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    architecture: Architecture,
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    quantization: Quantization,
}

impl TrainArgs {
    /// What the model is made of.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Where to compute, checked.
    fn device(&self) -> Result<Device> {
        let device = device::parse(&self.place.device)?;
        if self.training.mixed_precision {
            device::check_bfloat16(device)?;
        }
        Ok(device)
    }
}

/// Flags of `distill`.
#[derive(Args, Clone, Debug)]
pub struct DistillArgs {
    #[command(flatten)]
    distillation: Distillation,
    #[command(flatten)]
    train: TrainArgs,
}

/// Flags of `evaluate`.
#[derive(Args, Clone, Debug)]
pub struct EvaluateArgs {
    /// Checkpoint folder; given several times, their logits are averaged
    #[arg(long, required = true)]
    checkpoint: Vec<PathBuf>,
    /// Folder of encoded rows
    #[arg(long)]
    data: PathBuf,
    /// Which rows
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// Figures as JSON on standard output
    #[arg(long)]
    json: bool,
    /// Also write the logits, one per line in the order of the rows; their digits restore the f32 bits
    #[arg(long)]
    logits: Option<PathBuf>,
    /// Where to compute: `cpu`, `cuda:0`, …
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Rows to measure on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Split {
    Train,
    Valid,
    Test,
}

/// Runs `train`.
///
/// # Errors
/// Settings out of range, files that cannot be read or written, training that diverges.
pub fn train(args: &TrainArgs) -> Result<()> {
    let device = args.device()?;
    run(args, &Objective::Labels, None, device)
}

/// Runs `distill`.
///
/// # Errors
/// Those of [`train`]; a teacher that cannot be loaded or reads other fields.
pub fn distill(args: &DistillArgs) -> Result<()> {
    let Distillation { teacher, teacher_data, alpha, temperature } = &args.distillation;
    if !(0.0..=1.0).contains(alpha) {
        bail!("--alpha is {alpha}; it is 0 (teacher only) to 1 (labels only)");
    }
    if !(*temperature > 0.0 && temperature.is_finite()) {
        bail!("--temperature is {temperature}; it is more than 0");
    }
    let device = args.train.device()?;
    tch::set_num_threads(i32::from(args.train.place.threads.max(1)));
    let data = &args.train.place.data;
    if let Some(teacher_data) = teacher_data {
        teacher::check_rows(teacher_data, data)?;
    }
    let teacher = teacher::mean_logits(teacher, teacher_data.as_ref().unwrap_or(data), device)?;
    let objective = Objective::Distill { teacher, alpha: *alpha, temperature: *temperature };
    run(&args.train, &objective, Some(&args.distillation), device)
}

/// Every setting that decides a result.
#[derive(Serialize)]
struct Settings<'a> {
    architecture: Option<&'a Architecture>,
    training: &'a Training,
    quantization: Option<&'a Quantization>,
    distillation: Option<&'a Distillation>,
}

fn run(args: &TrainArgs, objective: &Objective, distillation: Option<&Distillation>, device: Device) -> Result<()> {
    let TrainArgs { place, architecture, training, quantization } = args;
    training.check()?;
    allocator::keep_freed_memory();
    tch::set_num_threads(i32::from(place.threads.max(1)));
    let schema = Schema::load(&place.data.join("schema.json"))?;
    let is_direct = quantization.from.is_some() || !quantization.quantize;
    let float_out = if is_direct { place.out.clone() } else { place.out.join("float") };

    if !quantization.quantize || quantization.from.is_none() {
        let model = match &quantization.from {
            Some(folder) => start_from(folder, device)?,
            None => {
                seed_torch(training.seed, 0);
                architecture.check()?;
                Model::new(architecture.model_config(&schema), architecture.init_std, device)?
            }
        };
        let settings = Settings {
            architecture: quantization.from.is_none().then_some(architecture),
            training,
            quantization: quantization.from.is_some().then_some(quantization),
            distillation,
        };
        let settings = serde_json::to_value(settings)?;
        let (data, out) = (&place.data, &float_out);
        let pruning = Pruner::gradual(&model, &training.pruning);
        Fit { data, out, schema: &schema, model, scales: None, objective, training, pruning, settings }
            .run(place.resume)?;
    }
    if quantization.quantize {
        let from = quantization.from.as_ref().unwrap_or(&float_out);
        let model = start_from(from, device)?;
        if !qat::has_integers(&model.config) {
            bail!("--quantize: {}", qat::NO_INTEGERS);
        }
        let model = qat::fold_batch_norm(&model)?;
        // What was pruned stays so: the schedule is over.
        let pruning = Pruning { prune_epochs: 0, ..training.pruning.clone() };
        let training = Training {
            pruning,
            epochs: quantization.quantize_epochs,
            learning_rate: quantization.quantize_learning_rate,
            ..training.clone()
        };
        training.check()?;
        let blocks = calibration_blocks(&place.data, &schema, quantization.calibration_rows, training.seed)?;
        let scales = Some(qat::calibrate(&model, quantization.bits(), &blocks)?);
        let pruning = training.pruning.is_some().then(|| Pruner::constant(&model));
        let settings = Settings {
            architecture: quantization.from.is_none().then_some(architecture),
            training: &training,
            quantization: Some(quantization),
            distillation,
        };
        let settings = serde_json::to_value(settings)?;
        let (data, out, training) = (&place.data, &place.out, &training);
        Fit { data, out, schema: &schema, model, scales, objective, training, pruning, settings }.run(place.resume)?;
    }
    Ok(())
}

/// A checkpoint as the start of training: in real numbers, whatever it was before.
fn start_from(folder: &Path, device: Device) -> Result<Model> {
    let mut model = checkpoint::load(folder, device)?;
    model.config.quantization = None;
    Ok(model)
}

fn calibration_blocks(data: &Path, schema: &Schema, rows: usize, seed: u64) -> Result<Vec<RowBlock>> {
    let mut train = Batches::open(&data.join("train.arrow"), Bounds::from(schema), EVALUATION_ROWS.min(rows.max(1)))?;
    let batches = rows.div_ceil(EVALUATION_ROWS).max(1);
    let pass = train.pass(Order::Shuffled { seed, epoch: 0 });
    pass.take(batches).map(|batch| Ok(batch?.rows)).collect()
}

/// Labels of the rows, and the mean of the checkpoints' logits.
fn mean_logits(checkpoints: &[PathBuf], rows: &Path, device: Device) -> Result<(Vec<u8>, Vec<f64>)> {
    let mut sum: Option<(Vec<u8>, Vec<f64>)> = None;
    for folder in checkpoints {
        let model = checkpoint::load(folder, device)?;
        let mut rows = Batches::open(rows, Bounds::from(&model.config), EVALUATION_ROWS)?;
        let bar = progress(rows.num_rows());
        let (labels, logits) = Scorer::new(&model)?.score(&mut rows, |n| bar.inc(n))?;
        bar.finish_and_clear();
        match &mut sum {
            None => sum = Some((labels, logits)),
            Some((_, sum)) => sum.iter_mut().zip(logits).for_each(|(sum, logit)| *sum += logit),
        }
    }
    let (labels, mut logits) = sum.context("no checkpoint")?;
    logits.iter_mut().for_each(|logit| *logit /= checkpoints.len() as f64);
    Ok((labels, logits))
}

/// Runs `evaluate`.
///
/// # Errors
/// A checkpoint or rows that cannot be read or do not fit each other.
pub fn evaluate(args: &EvaluateArgs) -> Result<()> {
    tch::set_num_threads(1);
    let device = device::parse(&args.device)?;
    let split = match args.split {
        Split::Train => "train.arrow",
        Split::Valid => "valid.arrow",
        Split::Test => "test.arrow",
    };
    let (labels, logits) = mean_logits(&args.checkpoint, &args.data.join(split), device)?;
    let metrics = xsfm_interchange::metrics::Metrics::from_logits(&labels, &logits)?;
    if let Some(path) = &args.logits {
        // An integer logit is exact in f32, and Rust prints the shortest digits that restore an f32.
        atomic::write(path, |output| logits.iter().try_for_each(|&logit| writeln!(output, "{}", logit as f32)))
            .with_context(|| path.display().to_string())?;
    }
    if args.json {
        output::json(&metrics)?;
        return Ok(());
    }
    let figure = |value: Option<f64>| value.map_or("undefined".to_owned(), |v| format!("{v:.5}"));
    output::line(format_args!("rows     {}", metrics.rows))?;
    output::line(format_args!("CTR      {:.5}", metrics.positives as f64 / metrics.rows as f64))?;
    output::line(format_args!("LogLoss  {:.5}", metrics.log_loss))?;
    output::line(format_args!("AUC      {}", figure(metrics.auc)))?;
    output::line(format_args!("PRAUC    {}", figure(metrics.prauc)))?;
    output::line(format_args!("RCE      {}", figure(metrics.rce)))?;
    Ok(())
}

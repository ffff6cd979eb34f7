//! `train` and `distill`: from flags to a run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use tch::Device;
use xsfm_interchange::config::Scales;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::rows::{RowBlock, variety};

use crate::allocator;
use crate::checkpoint;
use crate::data::batches::{Batches, Order};
use crate::data::{classes, dataset, same};
use crate::device;
use crate::distill::Objective;
use crate::model::Model;
use crate::prune::Pruner;
use crate::qat;
use crate::settings::{Architecture, Distillation, Place, Quantization, Start, Training};
use crate::teacher;
use crate::teacher_logits;
use crate::training_loop::{EVALUATION_ROWS, Ended, TrainingLoop, seed_torch};
use crate::warm;

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

/// Runs `train`.
///
/// # Errors
/// Settings out of range, files that cannot be read or written, training that diverges.
pub fn train(args: &TrainArgs) -> Result<()> {
    let device = args.device()?;
    run(args, &dataset::open(&args.place.data)?, &Objective::Labels, None, device)
}

/// Runs `distill`.
///
/// # Errors
/// Those of [`train`]; a teacher that cannot be loaded or reads other fields.
pub fn distill(args: &DistillArgs) -> Result<()> {
    let Distillation { teacher, teacher_logits, teacher_data, alpha, temperature } = &args.distillation;
    if !(0.0..=1.0).contains(alpha) {
        bail!("--alpha is {alpha}; it is 0 (teacher only) to 1 (labels only)");
    }
    if !(*temperature > 0.0 && temperature.is_finite()) {
        bail!("--temperature is {temperature}; it is more than 0");
    }
    let device = args.train.device()?;
    tch::set_num_threads(i32::from(args.train.place.threads.max(1)));
    let Place { data, other_rows, .. } = &args.train.place;
    let data = dataset::open(data)?;
    classes::check(&data)?;
    let others = teacher_data.as_deref().map(dataset::open).transpose()?;
    if let Some(others) = &others {
        same::check_rows(others, &data)?;
    }
    let rows = data.rows(Part::Train)?.num_rows();
    let read = |path: &PathBuf| teacher_logits::read(path, rows).context("--teacher-logits");
    let given = teacher_logits.iter().map(read).collect::<Result<Vec<_>>>()?;
    let teacher = teacher::mean_logits(teacher, &given, others.as_ref().unwrap_or(&data), *other_rows, device)?;
    let lesson =
        Lesson { flags: &args.distillation, teacher_logits: given.into_iter().map(|given| given.hash).collect() };
    let objective = Objective::Distill { teacher, alpha: *alpha, temperature: *temperature };
    run(&args.train, &data, &objective, Some(&lesson), device)
}

/// What a student learns from.
#[derive(Serialize)]
struct Lesson<'a> {
    #[serde(flatten)]
    flags: &'a Distillation,
    /// Hashes of the files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    teacher_logits: Vec<String>,
}

/// Every setting that decides a result.
#[derive(Serialize)]
struct Settings<'a> {
    architecture: Option<&'a Architecture>,
    training: &'a Training,
    quantization: Option<&'a Quantization>,
    distillation: Option<&'a Lesson<'a>>,
}

/// What a command trains, in one step or two: in real numbers, and then, with `--quantize`, in integers. The second
/// step alone is `--quantize --from CHECKPOINT`.
struct Plan<'a> {
    args: &'a TrainArgs,
    data: &'a Dataset,
    objective: &'a Objective,
    distillation: Option<&'a Lesson<'a>>,
    device: Device,
}

/// What training in integers needs, known before the first of many epochs in real numbers.
struct Integers {
    training: Training,
    calibration: Vec<RowBlock>,
}

fn run(
    args: &TrainArgs,
    data: &Dataset,
    objective: &Objective,
    distillation: Option<&Lesson<'_>>,
    device: Device,
) -> Result<()> {
    let TrainArgs { place, training, quantization, .. } = args;
    training.check()?;
    if quantization.map_tokens && quantization.from.is_none() {
        bail!("--map-tokens is for --from: there are no rows to map");
    }
    if !quantization.map_tokens && quantization.new_tokens != Start::Oov {
        bail!("--new-tokens is for --map-tokens: there are no new tokens");
    }
    allocator::keep_freed_memory();
    tch::set_num_threads(i32::from(place.threads.max(1)));
    classes::check(data)?;
    let plan = Plan { args, data, objective, distillation, device };
    if !quantization.quantize {
        return plan.train_floats(&place.out).map(|_| ());
    }
    let integers = Integers {
        training: quantization.training(training)?,
        calibration: calibration_rows(data, quantization.calibration_rows, training.seed)?,
    };
    if let Some(from) = &quantization.from {
        return plan.train_integers(from, &integers);
    }
    let floats = place.out.join("float");
    match plan.train_floats(&floats)? {
        Ended::Paused => Ok(()),
        Ended::Finished => plan.train_integers(&floats, &integers),
    }
}

impl Plan<'_> {
    /// A new model, or that of `--from`, in real numbers, to the folder `out`.
    fn train_floats(&self, out: &Path) -> Result<Ended> {
        let TrainArgs { architecture, training, quantization, .. } = self.args;
        let from = quantization.from.as_ref();
        let model = match from {
            Some(folder) => self.start_from(folder)?.0,
            None => {
                seed_torch(training.seed, 0);
                architecture.check()?;
                let config = architecture.model_config(self.data.schema())?;
                Model::new(config, &architecture.initialization, self.device)?
            }
        };
        if quantization.quantize {
            check_integers(&model)?;
        }
        let pruning = Pruner::gradual(&model, &training.pruning);
        let settings = self.settings(training, from.map(|_| quantization))?;
        self.fit(TrainingLoop {
            is_trained: from.is_some(),
            pruning,
            ..self.training_loop(out, model, training, settings)
        })
    }

    /// The checkpoint `from`, in integers, to the command's folder.
    fn train_integers(&self, from: &Path, integers: &Integers) -> Result<()> {
        let Integers { training, calibration } = integers;
        let quantization = &self.args.quantization;
        let (model, trained) = self.start_from(from)?;
        check_integers(&model)?;
        let model = qat::fold_batch_norm(&model)?;
        // A model that was trained in int8 goes on with the scales that it has, from where it was.
        let scales = match trained.filter(|scales| scales.table_bits == quantization.bits()) {
            Some(scales) => scales,
            None => qat::calibrate(&model, quantization.bits(), calibration)?,
        };
        let pruning = training.pruning.is_some().then(|| Pruner::constant(&model));
        let settings = self.settings(training, Some(quantization))?;
        let ordinary = self.training_loop(&self.args.place.out, model, training, settings);
        self.fit(TrainingLoop { is_trained: true, scales: Some(scales), pruning, ..ordinary }).map(|_| ())
    }

    /// A run of a new model in real numbers, of which nothing is pruned.
    fn training_loop<'a>(
        &'a self,
        out: &'a Path,
        model: Model,
        training: &'a Training,
        settings: serde_json::Value,
    ) -> TrainingLoop<'a> {
        TrainingLoop {
            data: self.data,
            out,
            model,
            is_trained: false,
            initialization: &self.args.architecture.initialization,
            scales: None,
            objective: self.objective,
            training,
            pruning: None,
            settings,
        }
    }

    fn fit(&self, training_loop: TrainingLoop<'_>) -> Result<Ended> {
        training_loop.run(self.args.place.resume, self.args.place.pause_after)
    }

    /// What is recorded: the architecture where the command decides it, the quantisation where it acts on the step.
    fn settings(&self, training: &Training, quantization: Option<&Quantization>) -> Result<serde_json::Value> {
        let TrainArgs { architecture, quantization: flags, .. } = self.args;
        let architecture = flags.from.is_none().then_some(architecture);
        let settings = Settings { architecture, training, quantization, distillation: self.distillation };
        Ok(serde_json::to_value(settings)?)
    }

    /// A checkpoint as the start of training: in real numbers, whatever it was before, and the scales of its integers,
    /// if it had any.
    fn start_from(&self, folder: &Path) -> Result<(Model, Option<Scales>)> {
        let mut model = if self.args.quantization.map_tokens {
            warm::load(folder, self.data, self.args.quantization.new_tokens, self.device)?
        } else {
            checkpoint::check_data(folder, self.data, self.args.place.other_rows)
                .context("--from (--map-tokens lets tokens keep their rows)")?;
            checkpoint::load(folder, self.device)?
        };
        let scales = model.config.quantization.take();
        Ok((model, scales))
    }
}

fn check_integers(model: &Model) -> Result<()> {
    match qat::problem(&model.config) {
        None => Ok(()),
        Some(problem) => bail!("--quantize: {problem}"),
    }
}

/// Training rows that choose scales, of which enough differ.
fn calibration_rows(data: &Dataset, rows: usize, seed: u64) -> Result<Vec<RowBlock>> {
    let (path, bounds) = (data.path(Part::Train), data.bounds());
    let mut train = Batches::open(&path, bounds.clone(), EVALUATION_ROWS.min(rows.max(1)))?;
    let batches = rows.div_ceil(EVALUATION_ROWS).max(1);
    let pass = train.pass(Order::Shuffled { seed, epoch: 0 });
    let blocks: Vec<RowBlock> = pass.take(batches).map(|batch| Ok(batch?.rows)).collect::<Result<_>>()?;
    let checked = variety::check(&blocks, &bounds);
    checked.with_context(|| format!("{}, of which --calibration-rows is {rows}", path.display()))?;
    Ok(blocks)
}

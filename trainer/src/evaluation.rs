//! `evaluate`: figures of checkpoints on a part of a data set, and how they compare with others'.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tch::Device;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::metrics::auc::AucDifference;
use xsfm_interchange::metrics::calibration::Reliability;
use xsfm_interchange::metrics::grouped::Grouped;
use xsfm_interchange::metrics::platt::{Platt, negative_rate};
use xsfm_interchange::rows::Bounds;
use xsfm_interchange::{atomic, figure, output};

use crate::checkpoint;
use crate::data::batches::Batches;
use crate::data::dataset;
use crate::device;
use crate::evaluate::{Scored, Scorer};
use crate::model::Model;
use crate::training_loop::{EVALUATION_ROWS, progress};

/// Flags of `evaluate`.
#[derive(Args, Clone, Debug)]
pub struct EvaluateArgs {
    /// Checkpoint folder; given several times, their logits are averaged
    #[arg(long, required = true)]
    checkpoint: Vec<PathBuf>,
    /// Folder of encoded rows
    #[arg(long)]
    data: PathBuf,
    /// Checkpoint folder to compare with, on the same rows; given several times, their logits are averaged
    #[arg(long, value_name = "CHECKPOINT")]
    against: Vec<PathBuf>,
    /// Which rows
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// The rows may be others than those that the checkpoint was trained beside; their vocabulary is the same
    #[arg(long)]
    other_rows: bool,
    /// Also measure the ranking of each group, the rows with one index in this field, such as the user: GAUC, MRR, NDCG
    #[arg(long, value_name = "FIELD")]
    group_by: Option<String>,
    /// Rows of a group that NDCG counts; several with commas between
    #[arg(long, value_name = "K", value_delimiter = ',', default_value = "5,10", requires = "group_by")]
    at: Vec<NonZeroUsize>,
    /// Share of the negatives that the training rows kept: probabilities are corrected by its logarithm before they are
    /// measured, on rows that have all their negatives. The ranking and --logits stay as they are
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = negative_rate)]
    negative_rate: Platt,
    /// Also draw click rates against predictions
    #[arg(long, value_name = "FILE.svg")]
    reliability: Option<PathBuf>,
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

/// What is printed: figures, by group too where that was asked for, and how they compare with another model's on the
/// same rows.
#[derive(Clone, Debug, Serialize)]
struct Evaluation {
    #[serde(flatten)]
    figures: Metrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_group: Option<Grouped>,
    /// Absent where there is nothing to compare with.
    #[serde(flatten)]
    comparison: Option<Comparison>,
}

/// Another model on the same rows.
#[derive(Clone, Debug, Serialize)]
struct Comparison {
    against: Metrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_by_group: Option<Grouped>,
    /// How much more the AUC of the first is; absent with one class only.
    auc_difference: Option<AucDifference>,
}

/// The groups of rows.
struct Groups<'a> {
    field: &'a str,
    /// `[rows]`
    indices: Vec<u32>,
    cuts: &'a [NonZeroUsize],
}

/// Runs `evaluate`.
///
/// # Errors
/// A checkpoint or rows that cannot be read or do not fit each other; a field to group by that is none, or a bag.
pub fn run(args: &EvaluateArgs) -> Result<()> {
    tch::set_num_threads(1);
    let device = device::parse(&args.device)?;
    let part = match args.split {
        Split::Train => Part::Train,
        Split::Valid => Part::Valid,
        Split::Test => Part::Test,
    };
    let data = dataset::open(&args.data)?;
    let checkpoints = args.checkpoint.iter().chain(&args.against);
    checkpoints.into_iter().try_for_each(|folder| checkpoint::check_data(folder, &data, args.other_rows))?;
    let groups = args.group_by.as_deref().map(|field| Groups::read(&data, part, field, &args.at)).transpose()?;
    let by_group = |labels: &[u8], logits: &[f64]| groups.as_ref().map(|g| g.figures(labels, logits)).transpose();

    let rows = data.path(part);
    let scored = mean_logits(&args.checkpoint, &rows, device)?;
    let (observed, logits) = (scored.observed(), &scored.logits);
    let corrected = args.negative_rate.applied(logits);
    let figures = Metrics::from_logits(observed, &corrected)?;
    let against = (!args.against.is_empty()).then(|| -> Result<_> {
        let others = mean_logits(&args.against, &rows, device)?.logits;
        Ok(Comparison {
            against: Metrics::from_logits(observed, &args.negative_rate.applied(&others))?,
            against_by_group: by_group(observed.labels, &others)?,
            auc_difference: AucDifference::new(observed, logits, &others)?,
        })
    });
    let report = Evaluation { figures, by_group: by_group(observed.labels, logits)?, comparison: against.transpose()? };
    if let Some(path) = &args.logits {
        // An integer logit is exact in f32, and Rust prints the shortest digits that restore an f32.
        atomic::write(path, |output| logits.iter().try_for_each(|&logit| writeln!(output, "{}", logit as f32)))
            .with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &args.reliability {
        let names: Vec<String> = args.checkpoint.iter().map(|folder| folder.display().to_string()).collect();
        let of_model = Reliability::from_logits(observed, &corrected)?;
        let title = format!("Reliability on {}", rows.display());
        let svg = figure::reliability(&title, &[(&names.join(", "), &of_model)])?;
        atomic::write(path, |output| output.write_all(svg.as_bytes())).with_context(|| path.display().to_string())?;
    }
    if args.json {
        output::json(&report)?;
    } else {
        output::print(report)?;
    }
    Ok(())
}

impl<'a> Groups<'a> {
    fn read(data: &Dataset, part: Part, field: &'a str, cuts: &'a [NonZeroUsize]) -> Result<Self> {
        let number = data.bounds().group_field(&data.path(part), field).context("--group-by")?;
        let mut indices = Vec::new();
        for block in data.rows(part)?.blocks() {
            indices.extend(block?.column(number));
        }
        Ok(Groups { field, indices, cuts })
    }

    fn figures(&self, labels: &[u8], scores: &[f64]) -> Result<Grouped> {
        Ok(Grouped::new(self.field, &self.indices, labels, scores, self.cuts)?)
    }
}

/// The rows, and the mean of the checkpoints' logits.
pub(crate) fn mean_logits(checkpoints: &[PathBuf], rows: &Path, device: Device) -> Result<Scored> {
    let mut sum: Option<Scored> = None;
    for folder in checkpoints {
        let model: Model = checkpoint::load(folder, device)?;
        let mut rows = Batches::open(rows, Bounds::from(&model.config), EVALUATION_ROWS)?;
        let bar = progress(rows.num_rows());
        let scored = Scorer::new(&model)?.score(&mut rows, |n| bar.inc(n))?;
        bar.finish_and_clear();
        match &mut sum {
            None => sum = Some(scored),
            Some(sum) => sum.logits.iter_mut().zip(scored.logits).for_each(|(sum, logit)| *sum += logit),
        }
    }
    let mut mean = sum.context("no checkpoint")?;
    mean.logits.iter_mut().for_each(|logit| *logit /= checkpoints.len() as f64);
    Ok(mean)
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.figures;
        let figure = |value: Option<f64>| value.map_or("undefined".to_owned(), |v| format!("{v:.5}"));
        let auc = |metrics: &Metrics| metrics.shown_auc(5).unwrap_or_else(|| "undefined".to_owned());
        writeln!(f, "rows         {}", m.rows)?;
        writeln!(f, "CTR          {:.5}", m.positives as f64 / m.rows as f64)?;
        writeln!(f, "LogLoss      {:.5}", m.log_loss)?;
        writeln!(f, "AUC          {}", auc(m))?;
        writeln!(f, "PRAUC        {}", figure(m.prauc))?;
        writeln!(f, "RCE          {}", figure(m.rce))?;
        writeln!(f, "ECE          {}", figure(m.ece))?;
        writeln!(f, "calibration  {}", figure(m.calibration))?;
        self.by_group.iter().try_for_each(|groups| write!(f, "{groups}"))?;
        let Some(Comparison { against, against_by_group, auc_difference }) = &self.comparison else { return Ok(()) };
        writeln!(f, "\nagainst      AUC {}  LogLoss {:.5}", auc(against), against.log_loss)?;
        match auc_difference {
            Some(difference) => writeln!(f, "AUC          {difference}")?,
            None => writeln!(f, "AUC          undefined: the labels are all the same")?,
        }
        against_by_group.iter().try_for_each(|groups| write!(f, "{groups}"))
    }
}

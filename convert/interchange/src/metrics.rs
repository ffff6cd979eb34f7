//! LogLoss, AUC, PRAUC, RCE and calibration: the figures of the literature on click models, in f64.
//!
//! | figure | definition |
//! |---|---|
//! | LogLoss | mean of `-y ln p - (1 - y) ln(1 - p)` |
//! | AUC | probability that a random positive scores above a random negative, ties counting one half (mid-ranks) |
//! | PRAUC | area under the precision-recall curve: trapezoids, a point per distinct score, from (0, 1) |
//! | RCE | `100 (1 - LogLoss / LogLoss of always predicting the data's own click rate)` (RecSys Challenge 2020) |
//! | standard error | of the AUC, as a sample of rows gives it (DeLong 1988): see [`auc`] |
//! | ECE, calibration | distance of predictions from click rates, in bins; their ratio: see [`calibration`] |
//! | GAUC, NDCG, MRR | of every group's ranking, averaged: see [`grouped`] |
//!
//! Where rows have weights, a row of weight w counts as w rows of weight 1 do: in every mean, in every pair of AUC (by
//! the product of both weights), in every bin. Standard errors are absent then: weights say how much a row counts, not
//! how many were drawn.

pub mod auc;
pub mod calibration;
pub mod grouped;
mod observed;
pub mod platt;
mod scores;

use serde::{Deserialize, Serialize};

use self::auc::AucShares;
use self::calibration::Reliability;
use self::scores::{probability, ranking};

pub use self::observed::Observed;
pub use self::scores::MetricsError;

/// Probabilities are kept this far from 0 and 1 when only the probability is known.
const PROBABILITY_MIN: f64 = 1e-15;

/// Figures of a model on a set of rows. `None` where a figure is not defined: with positives only or negatives only.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Number of rows, whatever they weigh.
    pub rows: u64,
    /// Rows with label 1, whatever they weigh.
    pub positives: u64,
    /// Mean cross entropy, in nats.
    pub log_loss: f64,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Standard error of the AUC: how far these rows, which are a sample, may be off. Also absent with a single
    /// positive or negative, and in figures of older programs.
    #[serde(default)]
    pub auc_standard_error: Option<f64>,
    /// Area under the precision-recall curve.
    pub prauc: Option<f64>,
    /// Relative cross entropy, in percent; 0 for the constant predictor.
    pub rce: Option<f64>,
    /// Expected calibration error, in [`calibration::BINS`] bins of equal mass. Absent in figures of older programs.
    #[serde(default)]
    pub ece: Option<f64>,
    /// Mean prediction over click rate. Absent without positives, and in figures of older programs.
    #[serde(default)]
    pub calibration: Option<f64>,
}

impl Metrics {
    /// `AUC ± its standard error` with so many digits, as far as they are defined.
    pub fn shown_auc(&self, digits: usize) -> Option<String> {
        let error = self.auc_standard_error.map(|error| format!(" ± {error:.digits$}")).unwrap_or_default();
        self.auc.map(|auc| format!("{auc:.digits$}{error}"))
    }

    /// Figures of logits. LogLoss is `max(x, 0) - x y + ln(1 + exp(-|x|))`, which needs no clamping.
    ///
    /// `rows`, `logits`: `[rows]`.
    ///
    /// # Errors
    /// No rows, lengths that differ, a label other than 0 and 1, a weight that is none, a logit that is not finite.
    pub fn from_logits<'a>(rows: impl Into<Observed<'a>>, logits: &[f64]) -> Result<Self, MetricsError> {
        let rows = rows.into();
        rows.check(logits, "a finite logit", f64::is_finite)?;
        let loss = |y: f64, x: f64| x.max(0.0) - x * y + (-x.abs()).exp().ln_1p();
        Ok(Self::new(rows, logits, loss, probability))
    }

    /// Figures of probabilities, clamped to `1e-15..=1 - 1e-15` in LogLoss.
    ///
    /// `rows`, `probabilities`: `[rows]`.
    ///
    /// # Errors
    /// No rows, lengths that differ, a label other than 0 and 1, a weight that is none, a probability outside 0 to 1.
    pub fn from_probabilities<'a>(rows: impl Into<Observed<'a>>, probabilities: &[f64]) -> Result<Self, MetricsError> {
        let rows = rows.into();
        rows.check(probabilities, "a probability", |p| (0.0..=1.0).contains(&p))?;
        let loss = |y: f64, p: f64| {
            let p = p.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN);
            if y == 1.0 { -p.ln() } else { -(-p).ln_1p() }
        };
        Ok(Self::new(rows, probabilities, loss, |p| p))
    }

    fn new(
        rows: Observed<'_>,
        scores: &[f64],
        loss: impl Fn(f64, f64) -> f64,
        probability: impl Fn(f64) -> f64,
    ) -> Self {
        let all = rows.all();
        let positives = rows.labels.iter().filter(|&&y| y == 1).count() as u64;
        let losses = scores.iter().enumerate().map(|(row, &x)| rows.weight(row) * loss(f64::from(rows.labels[row]), x));
        let log_loss = losses.sum::<f64>() / all.total();
        let ranking = ranking(scores);
        let (auc, prauc) = areas(rows, &ranking).unzip();
        let auc_standard_error = AucShares::of_ranking(rows, &ranking).and_then(|shares| shares.standard_error());
        let rate = all.positive / all.total();
        let constant = -rate * rate.ln() - (1.0 - rate) * (1.0 - rate).ln();
        let rce = auc.map(|_| 100.0 * (1.0 - log_loss / constant));
        let reliability = Reliability::of_ranking(rows, &ranking, probability);
        let (ece, calibration) = (Some(reliability.ece()), reliability.calibration());
        let count = rows.labels.len() as u64;
        Metrics { rows: count, positives, log_loss, auc, auc_standard_error, prauc, rce, ece, calibration }
    }
}

/// AUC and PRAUC in one walk down the ranking; `None` with one class only.
///
/// Rows of equal score are one step. In AUC a step's positives win against the negatives below it and half of its own.
fn areas(rows: Observed<'_>, ranking: &[(f64, usize)]) -> Option<(f64, f64)> {
    let all = rows.all().both_classes()?;
    let (mut hits, mut misses, mut wins) = (0.0, 0.0, 0.0);
    let (mut precision, mut area) = (1.0, 0.0);
    for step in ranking.chunk_by(|a, b| a.0 == b.0) {
        let step = rows.mass(step);
        // Rows that count nothing are no step.
        if step.total() == 0.0 {
            continue;
        }
        hits += step.positive;
        misses += step.negative;
        wins += step.positive * (all.negative - misses + step.negative / 2.0);
        let next = hits / (hits + misses);
        area += step.positive / all.positive * (precision + next) / 2.0;
        precision = next;
    }
    Some((wins / (all.positive * all.negative), area))
}

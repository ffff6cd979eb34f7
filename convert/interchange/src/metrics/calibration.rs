//! Whether probabilities are those of clicks: of the rows that are predicted 0.1, a tenth should be clicks.
//!
//! Rows are sorted by their prediction and divided into [`BINS`] bins of equal mass (Nixon et al. 2019,
//! arXiv:1904.01685). Bins of equal width (Guo et al. 2017, arXiv:1706.04599) would have nearly all rows in the first,
//! since most click rates are far from one half; those of equal mass also estimate with less bias (Roelofs et al. 2022,
//! arXiv:2012.08668). With n_b rows in bin b,
//!
//! ```text
//! ECE = sum_b n_b / n |mean prediction of b - click rate of b|    expected calibration error (Naeini et al. 2015)
//! calibration = sum of the predictions / number of clicks                   (He et al. 2014, section 3)
//! ```
//!
//! Rows of equal prediction share a bin, so that no figure depends on the order of rows: the one that the middle of
//! their ranks falls in, `floor(15 (below + m / 2) / n)` of m such rows above `below` others.

use super::observed::Observed;
use super::scores::{MetricsError, probability, ranking};

/// Bins, at most: rows of equal prediction are not divided.
pub const BINS: usize = 15;

/// Predictions beside clicks.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    /// Not empty, the lowest predictions first.
    bins: Vec<Bin>,
}

/// Rows of similar prediction. What is said of rows counts each by its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Number of rows, at least one.
    pub rows: u64,
    /// What they weigh, more than 0: their number, where they have no weights.
    pub weight: f64,
    /// What those with label 1 weigh.
    pub positive: f64,
    /// Sum of the predicted probabilities.
    pub predicted: f64,
}

impl Bin {
    /// Mean of the predicted probabilities.
    pub fn mean_prediction(&self) -> f64 {
        self.predicted / self.weight
    }

    /// Share of rows with label 1.
    pub fn click_rate(&self) -> f64 {
        self.positive / self.weight
    }
}

impl Reliability {
    /// Bins of the probabilities of logits.
    ///
    /// `rows`, `logits`: `[rows]`.
    ///
    /// # Errors
    /// No rows, lengths that differ, a label other than 0 and 1, a weight that is none, a logit that is not finite.
    pub fn from_logits<'a>(rows: impl Into<Observed<'a>>, logits: &[f64]) -> Result<Self, MetricsError> {
        let rows = rows.into();
        rows.check(logits, "a finite logit", f64::is_finite)?;
        Ok(Self::of_ranking(rows, &ranking(logits), probability))
    }

    /// Bins of probabilities.
    ///
    /// `rows`, `probabilities`: `[rows]`.
    ///
    /// # Errors
    /// As [`from_logits`](Self::from_logits); a probability that is not from 0 to 1.
    pub fn from_probabilities<'a>(rows: impl Into<Observed<'a>>, probabilities: &[f64]) -> Result<Self, MetricsError> {
        let rows = rows.into();
        rows.check(probabilities, "a probability", |p| (0.0..=1.0).contains(&p))?;
        Ok(Self::of_ranking(rows, &ranking(probabilities), |p| p))
    }

    /// `probability` gives that of a score.
    pub(super) fn of_ranking(rows: Observed<'_>, ranking: &[(f64, usize)], probability: impl Fn(f64) -> f64) -> Self {
        let all = rows.all().total();
        let mut bins = [Bin::default(); BINS];
        let mut below = all;
        for ties in ranking.chunk_by(|a, b| a.0 == b.0) {
            let tied = rows.mass(ties);
            // Rows that count nothing are in no bin.
            if tied.total() == 0.0 {
                continue;
            }
            below -= tied.total();
            // Twice the rank of their middle, from the lowest. Counts are exact; sums of weights may end beside 0.
            let middle = 2.0 * below + tied.total();
            let number = (middle * BINS as f64 / (2.0 * all)) as usize;
            let bin = &mut bins[number.min(BINS - 1)];
            bin.rows += ties.len() as u64;
            bin.weight += tied.total();
            bin.positive += tied.positive;
            bin.predicted += tied.total() * probability(ties[0].0);
        }
        Reliability { bins: bins.into_iter().filter(|bin| bin.rows > 0).collect() }
    }

    /// The bins that have rows, the lowest predictions first.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Expected calibration error.
    pub fn ece(&self) -> f64 {
        let weight: f64 = self.bins.iter().map(|bin| bin.weight).sum();
        self.bins.iter().map(|bin| (bin.predicted - bin.positive).abs()).sum::<f64>() / weight
    }

    /// Mean prediction over click rate, 1 where they are equal; `None` without clicks.
    pub fn calibration(&self) -> Option<f64> {
        let clicks: f64 = self.bins.iter().map(|bin| bin.positive).sum();
        let predicted: f64 = self.bins.iter().map(|bin| bin.predicted).sum();
        (clicks > 0.0).then(|| predicted / clicks)
    }
}

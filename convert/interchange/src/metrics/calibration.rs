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

use super::scores::{MetricsError, check, probability, ranking};

/// Bins, at most: rows of equal prediction are not divided.
pub const BINS: usize = 15;

/// Predictions beside clicks.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    /// Not empty, the lowest predictions first.
    bins: Vec<Bin>,
}

/// Rows of similar prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Number of rows, at least one.
    pub rows: u64,
    /// Rows with label 1.
    pub positives: u64,
    /// Sum of the predicted probabilities.
    pub predicted: f64,
}

impl Bin {
    /// Mean of the predicted probabilities.
    pub fn mean_prediction(&self) -> f64 {
        self.predicted / self.rows as f64
    }

    /// Share of rows with label 1.
    pub fn click_rate(&self) -> f64 {
        self.positives as f64 / self.rows as f64
    }
}

impl Reliability {
    /// Bins of the probabilities of logits.
    ///
    /// `labels`, `logits`: `[rows]`.
    ///
    /// # Errors
    /// No rows, lengths that differ, a label other than 0 and 1, a logit that is not finite.
    pub fn from_logits(labels: &[u8], logits: &[f64]) -> Result<Self, MetricsError> {
        check(labels, logits, "a finite logit", f64::is_finite)?;
        Ok(Self::of_ranking(labels, &ranking(logits), probability))
    }

    /// `probability` gives that of a score.
    pub(super) fn of_ranking(labels: &[u8], ranking: &[(f64, usize)], probability: impl Fn(f64) -> f64) -> Self {
        let rows = ranking.len();
        let mut bins = [Bin::default(); BINS];
        let mut below = rows;
        for ties in ranking.chunk_by(|a, b| a.0 == b.0) {
            below -= ties.len();
            // Twice the rank of their middle, from the lowest: at most 2 rows - 1.
            let middle = 2 * below + ties.len();
            let bin = &mut bins[middle * BINS / (2 * rows)];
            bin.rows += ties.len() as u64;
            bin.positives += ties.iter().filter(|(_, row)| labels[*row] == 1).count() as u64;
            bin.predicted += ties.len() as f64 * probability(ties[0].0);
        }
        Reliability { bins: bins.into_iter().filter(|bin| bin.rows > 0).collect() }
    }

    /// The bins that have rows, the lowest predictions first.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Expected calibration error.
    pub fn ece(&self) -> f64 {
        let rows: u64 = self.bins.iter().map(|bin| bin.rows).sum();
        self.bins.iter().map(|bin| (bin.predicted - bin.positives as f64).abs()).sum::<f64>() / rows as f64
    }

    /// Mean prediction over click rate, 1 where they are equal; `None` without clicks.
    pub fn calibration(&self) -> Option<f64> {
        let clicks: u64 = self.bins.iter().map(|bin| bin.positives).sum();
        let predicted: f64 = self.bins.iter().map(|bin| bin.predicted).sum();
        (clicks > 0).then(|| predicted / clicks as f64)
    }
}

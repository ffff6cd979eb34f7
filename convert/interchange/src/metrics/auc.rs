//! How far an AUC may be off because its rows are a sample: DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44), by
//! the mid-ranks of Sun and Xu 2014 (IEEE Signal Processing Letters 21), in O(n log n).
//!
//! Every positive has a share of the negatives that it scores above, every negative one of the positives that score
//! above it, ties counting one half. The AUC is the mean of either. How much the shares scatter says how much another
//! sample of rows would move the AUC:
//!
//! ```text
//! variance of the AUC = variance of the positives' shares / positives + variance of the negatives' shares / negatives
//! ```
//!
//! Two models on the same rows err together, so the variance of their difference is that of their shares' differences,
//! row by row: far less than the sum of the two.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::observed::Observed;
use super::scores::{MetricsError, ranking};

/// Half of the width of a 95 % interval, in standard errors.
const Z_95: f64 = 1.959_963_984_540_054;

/// An AUC with the shares that it is the mean of.
#[derive(Clone, Debug, PartialEq)]
pub struct AucShares {
    /// Of each positive, in the order of the rows: the share of the negatives that it scores above.
    positives: Vec<f64>,
    /// Of each negative, in the order of the rows: the share of the positives that score above it.
    negatives: Vec<f64>,
}

/// Two models' AUC on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AucDifference {
    /// AUC of the first less that of the second.
    pub difference: f64,
    /// Its standard error on these rows; absent with a single positive or a single negative.
    pub standard_error: Option<f64>,
    /// An interval that has the difference on all rows of this kind with a probability of 95 %.
    pub interval_95: Option<[f64; 2]>,
}

impl AucShares {
    /// Shares of finite scores; `None` with one class only, or where rows have weights.
    ///
    /// `rows`, `scores`: `[rows]`.
    ///
    /// # Errors
    /// No rows, lengths that differ, a label other than 0 and 1, a score that is not finite.
    pub fn new<'a>(rows: impl Into<Observed<'a>>, scores: &[f64]) -> Result<Option<Self>, MetricsError> {
        let rows = rows.into();
        rows.check(scores, "a finite score", f64::is_finite)?;
        Ok(Self::of_ranking(rows, &ranking(scores)))
    }

    pub(super) fn of_ranking(rows: Observed<'_>, ranking: &[(f64, usize)]) -> Option<Self> {
        if !rows.weights.is_empty() {
            return None;
        }
        let labels = rows.labels;
        let all = rows.all().both_classes()?;
        let mut shares = vec![0.0; labels.len()];
        let (mut positives_above, mut negatives_below) = (0.0, all.negative);
        for ties in ranking.chunk_by(|a, b| a.0 == b.0) {
            let tied = rows.mass(ties);
            negatives_below -= tied.negative;
            let of_positive = (negatives_below + tied.negative / 2.0) / all.negative;
            let of_negative = (positives_above + tied.positive / 2.0) / all.positive;
            for (_, row) in ties {
                shares[*row] = if labels[*row] == 1 { of_positive } else { of_negative };
            }
            positives_above += tied.positive;
        }
        let of_class = |class: u8| shares.iter().zip(labels).filter(|(_, y)| **y == class).map(|(s, _)| *s).collect();
        Some(AucShares { positives: of_class(1), negatives: of_class(0) })
    }

    /// The shares of the mean AUC of several models on the same rows; `None` of no model, or where the rows differ in
    /// number.
    pub fn mean<'a>(models: impl IntoIterator<Item = &'a AucShares>) -> Option<Self> {
        let mut models = models.into_iter();
        let (mut sum, mut count) = (models.next()?.clone(), 1.0);
        for model in models {
            if !sum.is_of_rows_of(model) {
                return None;
            }
            for (sum, share) in sum.all_mut().zip(model.all()) {
                *sum += share;
            }
            count += 1.0;
        }
        sum.all_mut().for_each(|sum| *sum /= count);
        Some(sum)
    }

    /// The area under the ROC curve.
    pub fn auc(&self) -> f64 {
        mean(&self.positives)
    }

    /// The AUC's standard error; `None` with a single positive or a single negative, which do not scatter.
    pub fn standard_error(&self) -> Option<f64> {
        standard_error(&self.positives, &self.negatives)
    }

    /// How much more this AUC is than `other`, on the same rows; `None` where the rows differ in number.
    pub fn less(&self, other: &AucShares) -> Option<AucDifference> {
        if !self.is_of_rows_of(other) {
            return None;
        }
        let less = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let (positives, negatives) = (less(&self.positives, &other.positives), less(&self.negatives, &other.negatives));
        let (difference, standard_error) = (mean(&positives), standard_error(&positives, &negatives));
        let interval_95 = standard_error.map(|error| [difference - Z_95 * error, difference + Z_95 * error]);
        Some(AucDifference { difference, standard_error, interval_95 })
    }

    fn is_of_rows_of(&self, other: &AucShares) -> bool {
        (self.positives.len(), self.negatives.len()) == (other.positives.len(), other.negatives.len())
    }

    fn all(&self) -> impl Iterator<Item = &f64> {
        self.positives.iter().chain(&self.negatives)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.positives.iter_mut().chain(&mut self.negatives)
    }
}

/// `+0.00012 ± 0.00031 (95 %: -0.00049 to +0.00073)`
impl fmt::Display for AucDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.5}", self.difference)?;
        if let (Some(error), Some([low, high])) = (self.standard_error, self.interval_95) {
            write!(f, " ± {error:.5} (95 %: {low:+.5} to {high:+.5})")?;
        }
        Ok(())
    }
}

impl AucDifference {
    /// The difference of two lists of scores of the same rows; `None` with one class only, or where rows have weights.
    ///
    /// `rows`, `first`, `second`: `[rows]`.
    ///
    /// # Errors
    /// Those of [`AucShares::new`].
    pub fn new<'a>(rows: impl Into<Observed<'a>>, first: &[f64], second: &[f64]) -> Result<Option<Self>, MetricsError> {
        let rows = rows.into();
        let (first, second) = (AucShares::new(rows, first)?, AucShares::new(rows, second)?);
        Ok(first.zip(second).and_then(|(first, second)| first.less(&second)))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `[positives]`, `[negatives]` -> `sqrt(var / positives + var / negatives)`, variances of samples
fn standard_error(positives: &[f64], negatives: &[f64]) -> Option<f64> {
    let variance_of_mean = |values: &[f64]| {
        let (n, mean) = (values.len() as f64, mean(values));
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        (values.len() > 1).then(|| squares / (n - 1.0) / n)
    };
    Some((variance_of_mean(positives)? + variance_of_mean(negatives)?).sqrt())
}

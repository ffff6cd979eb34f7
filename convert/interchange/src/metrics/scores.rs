//! Labels and scores that figures can be computed from.

/// Why figures cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// No rows.
    #[error("no rows to measure on")]
    Empty,
    /// Different numbers of labels and scores.
    #[error("{labels} labels, but {scores} scores")]
    Length {
        /// Number of labels.
        labels: usize,
        /// Number of scores.
        scores: usize,
    },
    /// Different numbers of groups' indices and scores.
    #[error("{groups} rows with a group, but {scores} scores")]
    Groups {
        /// Number of indices.
        groups: usize,
        /// Number of scores.
        scores: usize,
    },
    /// A label other than 0 and 1.
    #[error("row {row}: label {label}, 0 or 1 expected")]
    Label {
        /// Number of the row, from 0.
        row: usize,
        /// Its label.
        label: u8,
    },
    /// Different numbers of labels and weights.
    #[error("{labels} labels, but {weights} weights")]
    Weights {
        /// Number of labels.
        labels: usize,
        /// Number of weights.
        weights: usize,
    },
    /// A weight that is negative or not finite.
    #[error("row {row}: weight {weight}, a finite number that is not negative expected")]
    Weight {
        /// Number of the row, from 0.
        row: usize,
        /// Its weight.
        weight: f32,
    },
    /// All weights are 0.
    #[error("all {rows} rows have weight 0")]
    Weightless {
        /// Number of rows.
        rows: usize,
    },
    /// A score that is not a number, or a probability outside 0 to 1.
    #[error("row {row}: score {score} is not {expected}")]
    Score {
        /// Number of the row, from 0.
        row: usize,
        /// Its score.
        score: f64,
        /// What it should be.
        expected: &'static str,
    },
}

/// `sigmoid(logit)`
pub(super) fn probability(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Finite scores `[rows]` with the numbers of their rows, the highest first. +0 and -0 are equal scores.
pub(super) fn ranking(scores: &[f64]) -> Vec<(f64, usize)> {
    let mut ranking: Vec<(f64, usize)> = scores.iter().map(|score| score + 0.0).zip(0..).collect();
    ranking.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    ranking
}

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

/// As many labels as scores, and all of them valid.
pub(super) fn check(
    labels: &[u8],
    scores: &[f64],
    expected: &'static str,
    valid: impl Fn(f64) -> bool,
) -> Result<(), MetricsError> {
    if labels.len() != scores.len() {
        return Err(MetricsError::Length { labels: labels.len(), scores: scores.len() });
    }
    if labels.is_empty() {
        return Err(MetricsError::Empty);
    }
    if let Some(row) = labels.iter().position(|&y| y > 1) {
        return Err(MetricsError::Label { row, label: labels[row] });
    }
    if let Some(row) = scores.iter().position(|&score| !valid(score)) {
        return Err(MetricsError::Score { row, score: scores[row], expected });
    }
    Ok(())
}

/// Finite scores `[rows]` with the numbers of their rows, the highest first. +0 and -0 are equal scores.
pub(super) fn ranking(scores: &[f64]) -> Vec<(f64, usize)> {
    let mut ranking: Vec<(f64, usize)> = scores.iter().map(|score| score + 0.0).zip(0..).collect();
    ranking.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    ranking
}

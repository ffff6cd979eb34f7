//! What is known of rows: labels, and how much each counts.

use super::scores::MetricsError;

/// Labels `[rows]`, and weights `[rows]`, or none where every row counts 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed<'a> {
    /// 0 or 1.
    pub labels: &'a [u8],
    /// Finite and not negative, not all 0.
    pub weights: &'a [f32],
}

/// How much rows of either class count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mass {
    pub(super) positive: f64,
    pub(super) negative: f64,
}

impl<'a> From<&'a [u8]> for Observed<'a> {
    fn from(labels: &'a [u8]) -> Self {
        Observed { labels, weights: &[] }
    }
}

impl<'a> From<&'a Vec<u8>> for Observed<'a> {
    fn from(labels: &'a Vec<u8>) -> Self {
        Observed::from(labels.as_slice())
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Observed<'a> {
    fn from(labels: &'a [u8; N]) -> Self {
        Observed::from(labels.as_slice())
    }
}

impl Observed<'_> {
    /// How much a row counts.
    pub(super) fn weight(&self, row: usize) -> f64 {
        self.weights.get(row).map_or(1.0, |&weight| f64::from(weight))
    }

    /// The mass of some rows of a ranking.
    pub(super) fn mass(&self, rows: &[(f64, usize)]) -> Mass {
        self.mass_of(rows.iter().map(|&(_, row)| row))
    }

    /// The mass of all rows.
    pub(super) fn all(&self) -> Mass {
        self.mass_of(0..self.labels.len())
    }

    fn mass_of(&self, rows: impl Iterator<Item = usize>) -> Mass {
        let mut mass = Mass { positive: 0.0, negative: 0.0 };
        for row in rows {
            let of_class = if self.labels[row] == 1 { &mut mass.positive } else { &mut mass.negative };
            *of_class += self.weight(row);
        }
        mass
    }

    pub(super) fn check(
        &self,
        scores: &[f64],
        expected: &'static str,
        valid: impl Fn(f64) -> bool,
    ) -> Result<(), MetricsError> {
        let Observed { labels, weights } = *self;
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
        if weights.is_empty() {
            return Ok(());
        }
        if weights.len() != labels.len() {
            return Err(MetricsError::Weights { labels: labels.len(), weights: weights.len() });
        }
        if let Some(row) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(MetricsError::Weight { row, weight: weights[row] });
        }
        if weights.iter().all(|&weight| weight == 0.0) {
            return Err(MetricsError::Weightless { rows: weights.len() });
        }
        Ok(())
    }
}

impl Mass {
    pub(super) fn total(self) -> f64 {
        self.positive + self.negative
    }

    /// Itself, where there are positives and negatives that count.
    pub(super) fn both_classes(self) -> Option<Self> {
        (self.positive > 0.0 && self.negative > 0.0).then_some(self)
    }
}

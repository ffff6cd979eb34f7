//! Figures of every group's own ranking, averaged: a user sees the ads of one user alone.
//!
//! A group is the rows with one index in a field. Each figure is the expected value over all orders of rows with equal
//! scores, drawn uniformly, so that neither the order of rows nor a constant score earns anything. With P positives
//! among a group's rows, and ties of m rows, h of them positive, behind `a` rows of higher scores:
//!
//! ```text
//! GAUC    = sum_g rows_g AUC_g / sum_g rows_g    (Zhou et al. 2018, arXiv:1706.06978, eq. 8)
//! DCG@k   = sum over ties of h / m sum_{i = a + 1}^{min(a + m, k)} 1 / log2(i + 1)       (McSherry and Najork 2008)
//! NDCG@k  = DCG@k / sum_{i = 1}^{min(P, k)} 1 / log2(i + 1)    (Järvelin and Kekäläinen 2002, relevance 0 or 1)
//! RR      = sum_{j = 1}^{m - h + 1} P(j) / (a + j)          of the first ties with h > 0 (Voorhees 1999)
//!           P(j) = C(m - j, h - 1) / C(m, h)                the first positive among them is their j-th
//! ```
//!
//! NDCG and MRR are means over groups, each counting once. Groups of one class are in no figure: all their orders are
//! equally good. So are rows with index 0, whose tokens are unknown: they are not of one user. Weights of rows are not
//! counted: a list has its places, one for each row.

use std::fmt;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::observed::Observed;
use super::scores::MetricsError;

/// The index of tokens that are unknown.
const UNKNOWN: u32 = 0;

/// Figures of a model by groups of rows; absent where every group is of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grouped {
    /// The field whose indices are the groups.
    pub field: String,
    /// Groups with both classes, which the figures are of.
    pub groups: u64,
    /// Their rows.
    pub rows: u64,
    /// Groups of one class, left out.
    pub one_class: u64,
    /// Rows of unknown tokens, left out.
    pub unknown_rows: u64,
    /// AUC of a group, weighted by its rows.
    pub gauc: Option<f64>,
    /// Mean reciprocal rank of a group's first positive.
    pub mrr: Option<f64>,
    /// Normalised discounted cumulative gain, for each cut that was asked for.
    pub ndcg: Vec<NdcgAt>,
}

/// NDCG of the first `at` rows of a group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NdcgAt {
    /// Rows that count.
    pub at: usize,
    /// Mean over the groups.
    pub ndcg: Option<f64>,
}

impl Grouped {
    /// Figures by groups of equal index.
    ///
    /// `indices`, of `field`, and `labels`, `scores`: `[rows]`. `cuts`: rows that NDCG counts.
    ///
    /// # Errors
    /// No rows, lengths that differ, a label other than 0 and 1, a score that is not finite.
    pub fn new(
        field: &str,
        indices: &[u32],
        labels: &[u8],
        scores: &[f64],
        cuts: &[NonZeroUsize],
    ) -> Result<Self, MetricsError> {
        Observed::from(labels).check(scores, "a finite score", f64::is_finite)?;
        if indices.len() != scores.len() {
            return Err(MetricsError::Groups { groups: indices.len(), scores: scores.len() });
        }
        let mut order: Vec<usize> = (0..scores.len()).filter(|&row| indices[row] != UNKNOWN).collect();
        // +0 and -0 are equal scores.
        let key = |row: usize| scores[row] + 0.0;
        order.sort_unstable_by(|&a, &b| indices[a].cmp(&indices[b]).then(key(b).total_cmp(&key(a))));
        let (mut groups, mut rows, mut one_class) = (0_u64, 0_u64, 0);
        let (mut auc_sum, mut rank_sum, mut gains) = (0.0, 0.0, vec![0.0; cuts.len()]);
        for of_group in order.chunk_by(|&a, &b| indices[a] == indices[b]) {
            let ties = of_group.chunk_by(|&a, &b| key(a) == key(b));
            let group = Group::new(ties.map(|rows| Ties {
                rows: rows.len(),
                positives: rows.iter().filter(|&&row| labels[row] == 1).count(),
            }));
            if group.positives == 0 || group.positives == group.rows {
                one_class += 1;
                continue;
            }
            groups += 1;
            rows += group.rows as u64;
            auc_sum += group.rows as f64 * group.auc();
            rank_sum += group.reciprocal_rank();
            gains.iter_mut().zip(cuts).for_each(|(sum, &cut)| *sum += group.ndcg(cut.get()));
        }
        let mean = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
        Ok(Grouped {
            field: field.to_owned(),
            groups,
            rows,
            one_class,
            unknown_rows: (scores.len() - order.len()) as u64,
            gauc: mean(auc_sum, rows),
            mrr: mean(rank_sum, groups),
            ndcg: cuts.iter().zip(gains).map(|(&at, sum)| NdcgAt { at: at.get(), ndcg: mean(sum, groups) }).collect(),
        })
    }
}

/// Rows of a group with equal scores.
struct Ties {
    rows: usize,
    positives: usize,
}

/// One group's ranking.
struct Group {
    /// The highest scores first.
    ties: Vec<Ties>,
    rows: usize,
    positives: usize,
}

impl Group {
    fn new(ties: impl Iterator<Item = Ties>) -> Self {
        let ties: Vec<Ties> = ties.collect();
        let (rows, positives) = (ties.iter().map(|t| t.rows).sum(), ties.iter().map(|t| t.positives).sum());
        Group { ties, rows, positives }
    }

    /// A positive wins against the negatives below it and half of those that it ties with.
    fn auc(&self) -> f64 {
        let negatives = (self.rows - self.positives) as f64;
        let (mut wins, mut below) = (0.0, negatives);
        for ties in &self.ties {
            let tied = (ties.rows - ties.positives) as f64;
            below -= tied;
            wins += ties.positives as f64 * (below + tied / 2.0);
        }
        wins / (self.positives as f64 * negatives)
    }

    fn ndcg(&self, cut: usize) -> f64 {
        let discount = |rank: usize| 1.0 / (rank as f64 + 1.0).log2();
        let (mut gain, mut above) = (0.0, 0);
        for ties in &self.ties {
            let share = ties.positives as f64 / ties.rows as f64;
            gain += share * (above + 1..=(above + ties.rows).min(cut)).map(discount).sum::<f64>();
            above += ties.rows;
        }
        gain / (1..=self.positives.min(cut)).map(discount).sum::<f64>()
    }

    fn reciprocal_rank(&self) -> f64 {
        let mut above = 0;
        for ties in &self.ties {
            if ties.positives > 0 {
                let (m, h) = (ties.rows as f64, ties.positives as f64);
                // P(1) = h / m, and P(j + 1) / P(j) = (m - j - h + 1) / (m - j).
                let (mut expected, mut share) = (0.0, h / m);
                for j in 1..=ties.rows - ties.positives + 1 {
                    expected += share / (above + j) as f64;
                    share *= (m - j as f64 - h + 1.0) / (m - j as f64).max(1.0);
                }
                return expected;
            }
            above += ties.rows;
        }
        0.0
    }
}

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grouped { field, groups, rows, one_class, unknown_rows, .. } = self;
        writeln!(
            f,
            "\nby {field}: {groups} groups of {rows} rows; {one_class} groups of one class left out, and \
             {unknown_rows} rows of \
             unknown tokens"
        )?;
        let figure = |value: Option<f64>| value.map_or("undefined".to_owned(), |v| format!("{v:.5}"));
        writeln!(f, "{:<11}  {}", "GAUC", figure(self.gauc))?;
        writeln!(f, "{:<11}  {}", "MRR", figure(self.mrr))?;
        self.ndcg.iter().try_for_each(|NdcgAt { at, ndcg }| {
            let name = format!("NDCG@{at}");
            writeln!(f, "{name:<11}  {}", figure(*ndcg))
        })
    }
}

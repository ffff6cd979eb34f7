//! How long single scores take on this CPU.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use xsfm_runtime::{Row, Scorer};

/// How long is measured, after as long again that only warms up.
const BUDGET: Duration = Duration::from_secs(2);
/// At least so many scores, however slow they are.
const LEAST: usize = 2000;
/// At most so many, so that memory does not grow with the CPU's speed.
const MOST: usize = 4_000_000;

/// Nanoseconds of single scores.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// Ascending.
    ns: Vec<u32>,
    /// What reading the clock twice takes, which is in each of them.
    pub(crate) clock_ns: u32,
}

impl Times {
    /// Scores the rows in turn.
    ///
    /// # Errors
    /// The first row that has no score.
    pub(crate) fn measure(scorer: &mut Scorer<'_>, rows: &[Row<'_>]) -> Result<Self, Box<dyn Error>> {
        if rows.is_empty() {
            return Err("no rows to measure".into());
        }
        let clock_ns = (0..1000).map(|_| ns(Instant::now())).min().unwrap_or(0);
        let mut times = Vec::new();
        for is_warm in [false, true] {
            times.clear();
            let start = Instant::now();
            for (number, &row) in rows.iter().enumerate().cycle() {
                let before = Instant::now();
                let score = scorer.score(black_box(row)).map_err(|e| format!("row {number}: {e}"))?;
                times.push(ns(before));
                black_box(score);
                let enough = start.elapsed() >= BUDGET && (times.len() >= LEAST || !is_warm);
                if enough || times.len() == MOST {
                    break;
                }
            }
        }
        times.sort_unstable();
        Ok(Times { ns: times, clock_ns })
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.ns.len()
    }

    /// The time that so many in a thousand do not exceed: the nearest rank.
    pub(crate) fn quantile(&self, per_mille: usize) -> u32 {
        let rank = (per_mille * self.ns.len()).div_ceil(1000).max(1);
        self.ns.get(rank - 1).copied().unwrap_or(0)
    }
}

fn ns(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_nanos()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let times = Times { ns: (1..=1000).collect(), clock_ns: 0 };
        assert_eq!([0, 500, 990, 999, 1000].map(|per_mille| times.quantile(per_mille)), [1, 500, 990, 999, 1000]);
        assert_eq!(Times { ns: vec![7], clock_ns: 0 }.quantile(999), 7);
    }
}

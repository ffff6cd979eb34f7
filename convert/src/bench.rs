//! Time per row on this CPU: single rows, one thread, no batching.

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use serde::Serialize;
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::format::CRC;
use xsfm_runtime::{Model, Scorer, ScratchBlock};

use crate::error::Error;
use crate::inspect::mode_name;

/// Rows that are scored in turn.
pub const MAX_ROWS: usize = 1024;
/// Rounds over the rows.
const ROUNDS: usize = 201;

/// What a row costs.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `f32` or `int8`.
    pub mode: &'static str,
    /// Rows in a round.
    pub rows: usize,
    /// Rounds after the first, which warms caches up.
    pub rounds: usize,
    /// Median over the rounds of nanoseconds per row.
    pub ns_median: f64,
    /// Fastest round, nanoseconds per row.
    pub ns_min: f64,
    /// The 99th percentile of the rounds, nanoseconds per row.
    pub ns_p99: f64,
    /// CRC-32 of all logits of a round, every round the same: shows that the work was done, and done right.
    pub checksum: String,
}

/// Scores `rows` again and again.
///
/// # Errors
/// A row that does not fit the model.
pub fn bench(model: &Model<'_>, rows: &RowBlock) -> Result<Report, Error> {
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(model, &mut scratch).map_err(Error::row(0))?;
    let mut logits = vec![0.0_f32; rows.len()];
    let mut checksum = None;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..=ROUNDS {
        let start = Instant::now();
        for (i, logit) in logits.iter_mut().enumerate() {
            *logit = scorer.score(black_box(rows.row(i))).map_err(Error::row(i))?.logit;
        }
        times.push(start.elapsed().as_nanos() as f64 / rows.len() as f64);
        let mut digest = CRC.digest();
        logits.iter().for_each(|logit| digest.update(&logit.to_le_bytes()));
        let digest = digest.finalize();
        let first = *checksum.get_or_insert(digest);
        if first != digest {
            return Err(Error::Input(format!("two rounds gave other logits: checksums {first:#010x}, {digest:#010x}")));
        }
    }
    times.remove(0);
    times.sort_unstable_by(f64::total_cmp);
    Ok(Report {
        mode: mode_name(model.mode()),
        rows: rows.len(),
        rounds: ROUNDS,
        ns_median: times[ROUNDS / 2],
        ns_min: times[0],
        ns_p99: times[ROUNDS * 99 / 100],
        checksum: format!("{:#010x}", checksum.unwrap_or_default()),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} mode, one row at a time, {} rounds over {} rows", self.mode, self.rounds, self.rows)?;
        let (median, min, p99) = (self.ns_median, self.ns_min, self.ns_p99);
        writeln!(f, "ns per row: median {median:.0}, fastest round {min:.0}, 99th percentile of rounds {p99:.0}")?;
        writeln!(f, "checksum of the logits: {}", self.checksum)
    }
}

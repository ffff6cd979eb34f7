//! Calls, one by one and in rounds, on one thread and on several.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;
use xsfm_runtime::format::CRC;
use xsfm_runtime::{Model, Row, Score, Scorer, ScratchBlock};

use super::cold::Flood;
use super::options::{Options, no_room, of_row, scratch};
use crate::error::Error;

/// Fewest rounds that a median is taken of.
const MIN_ROUNDS: usize = 11;
/// Calls without caches.
const COLD_CALLS: usize = 201;

/// Nanoseconds that so many of all calls stay under.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    /// Half of them.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// All.
    pub max: f64,
    /// How many calls there were.
    pub calls: u64,
}

impl Quantiles {
    /// The same for one of `batch` rows.
    pub(super) fn per_row(self, batch: usize) -> Self {
        let of = |ns: f64| ns / batch as f64;
        let Quantiles { p50, p90, p99, p999, max, calls } = self;
        Quantiles { p50: of(p50), p90: of(p90), p99: of(p99), p999: of(p999), max: of(max), calls }
    }
}

/// Threads that score at the same time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Together {
    /// How many.
    pub threads: usize,
    /// Of all of them.
    pub rows_per_second: f64,
}

/// Single calls, before each of which other memory took the place of all else in the caches.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cold {
    /// Nanoseconds of single calls, the clock's own included.
    pub call: Quantiles,
    /// Bytes of the other memory: twice the largest cache.
    pub flood_bytes: usize,
}

/// Nanoseconds in buckets that are 1/128 wide or narrower, so that a long run needs no more memory than a short one.
struct Histogram {
    buckets: Vec<u64>,
    max: u64,
}

/// Bits of a number that tell its bucket, after the first.
const BITS: u32 = 7;

impl Histogram {
    fn new() -> Self {
        Histogram { buckets: vec![0; (65 - BITS as usize) << BITS], max: 0 }
    }

    fn add(&mut self, ns: u64) {
        self.buckets[Self::bucket(ns)] += 1;
        self.max = self.max.max(ns);
    }

    fn bucket(ns: u64) -> usize {
        let shift = (64 - ns.leading_zeros()).saturating_sub(BITS + 1);
        ((shift as usize) << BITS) + (ns >> shift) as usize
    }

    /// The middle of a bucket.
    fn middle(bucket: usize) -> f64 {
        let shift = (bucket >> BITS).saturating_sub(1);
        let low = ((bucket - (shift << BITS)) as u64) << shift;
        low as f64 + ((1_u64 << shift) - 1) as f64 / 2.0
    }

    fn quantiles(&self) -> Quantiles {
        let calls: u64 = self.buckets.iter().sum();
        let at = |share: f64| {
            let wanted = (share * calls as f64).ceil() as u64;
            let mut seen = 0;
            let bucket = self.buckets.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            Self::middle(bucket.unwrap_or(0)).min(self.max as f64)
        };
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: self.max as f64, calls }
    }
}

/// What rounds over all rows took.
pub(super) struct Rounds {
    pub(super) count: usize,
    /// Nanoseconds per row.
    pub(super) median: f64,
    pub(super) least: f64,
    /// Of the logits of a round; the same in every round.
    pub(super) checksum: u32,
}

/// Rows that are scored call by call on one thread.
pub(super) struct Calls<'m, 'r> {
    scorer: Scorer<'m>,
    rows: &'r [Row<'r>],
    batch: usize,
    scores: Vec<Score>,
}

impl<'m, 'r> Calls<'m, 'r> {
    pub(super) fn new(
        model: &Model<'m>,
        rows: &'r [Row<'r>],
        batch: usize,
        scratch: &'m mut [ScratchBlock],
    ) -> Result<Self, Error> {
        let scorer = Scorer::new(model, scratch).map_err(no_room)?;
        Ok(Calls { scorer, rows, batch, scores: vec![Score::default(); rows.len()] })
    }

    /// Scores the rows from `first` on.
    #[inline]
    fn call(&mut self, first: usize) -> Result<(), Error> {
        let rows = black_box(&self.rows[first..first + self.batch]);
        let scores = &mut self.scores[first..first + self.batch];
        self.scorer.score_batch(rows, scores).map_err(of_row(first))
    }

    /// Scores all rows; gives nanoseconds per row.
    pub(super) fn round(&mut self) -> Result<f64, Error> {
        let start = Instant::now();
        for first in (0..self.rows.len()).step_by(self.batch) {
            self.call(first)?;
        }
        Ok(start.elapsed().as_nanos() as f64 / self.rows.len() as f64)
    }

    /// Rounds until the time is over.
    pub(super) fn rounds(&mut self, time: Duration) -> Result<Rounds, Error> {
        // Warms caches up.
        self.round()?;
        let checksum = self.checksum();
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < MIN_ROUNDS || start.elapsed() < time {
            times.push(self.round()?);
            let again = self.checksum();
            if again != checksum {
                let what = format!("two rounds gave other logits: checksums {checksum:#010x}, {again:#010x}");
                return Err(Error::Input(what));
            }
        }
        let median = median_ns(&mut times);
        Ok(Rounds { count: times.len(), median, least: times[0], checksum })
    }

    fn checksum(&self) -> u32 {
        let mut digest = CRC.digest();
        self.scores.iter().for_each(|score| digest.update(&score.logit.to_le_bytes()));
        digest.finalize()
    }

    /// Single calls until the time is over.
    pub(super) fn quantiles(&mut self, time: Duration) -> Result<Quantiles, Error> {
        let (mut histogram, start) = (Histogram::new(), Instant::now());
        let mut before = start;
        loop {
            for first in (0..self.rows.len()).step_by(self.batch) {
                self.call(first)?;
                // One reading of the clock ends a call and starts the next.
                let now = Instant::now();
                histogram.add(u64::try_from((now - before).as_nanos()).unwrap_or(u64::MAX));
                before = now;
            }
            if start.elapsed() >= time {
                return Ok(histogram.quantiles());
            }
        }
    }
}

impl Calls<'_, '_> {
    /// Single calls, each after all that caches held has gone.
    pub(super) fn cold(&mut self) -> Result<Cold, Error> {
        let (mut flood, mut histogram) = (Flood::default(), Histogram::new());
        let firsts = (0..self.rows.len()).step_by(self.batch);
        for first in firsts.cycle().take(COLD_CALLS) {
            flood.fill_caches();
            let start = Instant::now();
            self.call(first)?;
            histogram.add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(Cold { call: histogram.quantiles(), flood_bytes: flood.bytes() })
    }
}

/// The median; sorts.
pub(super) fn median_ns(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What reading the clock takes, which is in the time of every single call.
pub(super) fn timer_ns() -> f64 {
    const READINGS: u32 = 10_000;
    let start = Instant::now();
    for _ in 0..READINGS {
        black_box(Instant::now());
    }
    start.elapsed().as_nanos() as f64 / f64::from(READINGS)
}

/// Rows per second of 1, 2, 4, … threads and of as many as are wanted, each thread with its own scratch.
pub(super) fn throughput(
    model: &Model<'_>,
    rows: &[Row<'_>],
    options: &Options,
    time: Duration,
) -> Result<Vec<Together>, Error> {
    let doubled = std::iter::successors(Some(1), |threads| Some(threads * 2));
    let counts = doubled.take_while(|&threads| threads < options.threads).chain([options.threads]);
    counts.map(|threads| together(model, rows, options.batch, threads, time)).collect()
}

fn together(
    model: &Model<'_>,
    rows: &[Row<'_>],
    batch: usize,
    threads: usize,
    time: Duration,
) -> Result<Together, Error> {
    let score = |start: Instant| -> Result<usize, Error> {
        let mut scratch = scratch(model, batch);
        let mut calls = Calls::new(model, rows, batch, &mut scratch)?;
        let mut done = 0;
        while start.elapsed() < time {
            calls.round()?;
            done += rows.len();
        }
        Ok(done)
    };
    let start = Instant::now();
    let done: Result<Vec<usize>, Error> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(move || score(start))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let rows_per_second = done?.into_iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64();
    Ok(Together { threads, rows_per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_numbers() {
        for ns in (0..5000).chain([1 << 20, (1 << 40) + 12_345, u64::MAX]) {
            let middle = Histogram::middle(Histogram::bucket(ns));
            let error = (middle - ns as f64).abs();
            assert!(error <= ns as f64 / 256.0, "{ns}: {middle}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_numbers() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|ns| histogram.add(ns * 10));
        let Quantiles { p50, p90, p99, p999, max, calls } = histogram.quantiles();
        assert_eq!((max, calls), (10_000.0, 1000));
        for (found, exact) in [(p50, 5000.0), (p90, 9000.0), (p99, 9900.0), (p999, 9990.0)] {
            assert!((found - exact).abs() <= exact / 128.0, "{found} instead of {exact}");
        }
    }
}

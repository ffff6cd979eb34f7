//! The clock: engines take turns, round by round, so that whatever disturbs the machine disturbs them alike.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use xsfm_benches::FEATURES;
use xsfm_convert::bench::Flood;

use crate::engine::Engine;

/// Samples that an engine scores in a round, at least; before the clock starts it scores a quarter of them, so that it
/// does not pay for what the engine before it left in the caches.
const SAMPLES_PER_ROUND: usize = 1024;
/// Calls in a round, at least; without caches no more.
const CALLS_PER_ROUND: usize = 4;

/// What a batch costs, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Timing {
    /// Per sample: median over the rounds of a round's mean.
    pub(crate) per_sample: f64,
    /// Per sample: the fastest round's mean, which a busy machine disturbs least.
    pub(crate) per_sample_min: f64,
    /// Per call: median of all calls, each timed by itself.
    pub(crate) call_p50: f64,
    /// Per call: 99th percentile.
    pub(crate) call_p99: f64,
}

/// Times engines on batches of `batch` samples. `samples` is
/// `[count, num_fields]`, and `count` a multiple of the batch. With a flood, nothing is in the caches when a call
/// begins.
pub(crate) fn rotate(
    engines: &mut [Box<dyn Engine>],
    samples: &[u32],
    batch: usize,
    rounds: usize,
    mut flood: Option<Flood>,
    tick: &mut dyn FnMut(),
) -> Result<Vec<Timing>> {
    let calls = if flood.is_some() { CALLS_PER_ROUND } else { (SAMPLES_PER_ROUND / batch).max(CALLS_PER_ROUND) };
    let mut logits = vec![0.0; batch];
    let mut means = vec![Vec::with_capacity(rounds); engines.len()];
    let mut singles = vec![Vec::with_capacity(rounds * calls); engines.len()];
    let batches: Vec<&[u32]> = samples.chunks_exact(batch * FEATURES.len()).collect();
    // All engines see the same batches in a round, and other ones in the next.
    let mut first = 0;
    for round in 0..rounds {
        for turn in 0..engines.len() {
            // Every round begins with another engine.
            let e = (turn + round) % engines.len();
            let mut next = batches.iter().cycle().skip(first);
            let mut run = |engine: &mut dyn Engine| -> Result<()> {
                let rows = next.next().copied().unwrap_or_default();
                engine.run(black_box(rows), &mut logits)?;
                black_box(&logits);
                Ok(())
            };
            let engine = engines[e].as_mut();
            if let Some(flood) = &mut flood {
                let mut all = 0.0;
                for _ in 0..calls {
                    flood.fill_caches();
                    let start = Instant::now();
                    run(engine)?;
                    let call = start.elapsed().as_secs_f64() * 1e6;
                    singles[e].push(call);
                    all += call;
                }
                means[e].push(all / (calls * batch) as f64);
                tick();
                continue;
            }
            for _ in 0..calls.div_ceil(4) {
                run(engine)?;
            }
            let start = Instant::now();
            for _ in 0..calls {
                run(engine)?;
            }
            means[e].push(start.elapsed().as_secs_f64() * 1e6 / (calls * batch) as f64);
            for _ in 0..calls {
                let start = Instant::now();
                run(engine)?;
                singles[e].push(start.elapsed().as_secs_f64() * 1e6);
            }
            tick();
        }
        first = (first + if flood.is_some() { calls } else { 2 * calls + calls.div_ceil(4) }) % batches.len();
    }
    let timings = means.iter_mut().zip(&mut singles).map(|(means, singles)| Timing {
        per_sample: percentile(means, 50),
        per_sample_min: percentile(means, 0),
        call_p50: percentile(singles, 50),
        call_p99: percentile(singles, 99),
    });
    Ok(timings.collect())
}

/// Sorts `values` and gives the one that `percent` of 100 lie below.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() * percent / 100).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Notes the first index of every batch.
    struct Scribe(Notes);

    impl Engine for Scribe {
        fn run(&mut self, indices: &[u32], _: &mut [f32]) -> Result<()> {
            self.0.borrow_mut().push(indices[0]);
            Ok(())
        }
    }

    type Notes = Rc<RefCell<Vec<u32>>>;

    /// Two of them, and so many samples.
    fn scribes(samples: u32) -> (Vec<u32>, [Notes; 2], Vec<Box<dyn Engine>>) {
        let notes = [Notes::default(), Notes::default()];
        let engines = notes.iter().map(|note| Box::new(Scribe(Rc::clone(note))) as Box<dyn Engine>).collect();
        ((0..samples).flat_map(|row| [row; FEATURES.len()]).collect(), notes, engines)
    }

    #[test]
    fn all_engines_walk_through_all_samples_alike() {
        let (samples, notes, mut engines) = scribes(4096);
        let mut ticks = 0;
        let timings = rotate(&mut engines, &samples, 8, 4, None, &mut || ticks += 1).expect("a scribe does not fail");
        assert_eq!((timings.len(), ticks), (2, 8));
        assert_eq!(notes[0], notes[1]);
        let mut seen = notes[0].borrow().clone();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 4096 / 8, "4 rounds of 288 batches go through all 512");
    }

    #[test]
    fn without_caches_all_engines_see_the_same_batches_too() {
        let (samples, notes, mut engines) = scribes(64);
        let timings = rotate(&mut engines, &samples, 1, 3, Some(Flood::default()), &mut || ()).expect("no failure");
        assert_eq!(*notes[0].borrow(), (0..3 * CALLS_PER_ROUND as u32).collect::<Vec<_>>());
        assert_eq!(notes[0], notes[1]);
        assert!(timings.iter().all(|timing| timing.call_p50 > 0.0 && timing.per_sample > 0.0));
    }

    #[test]
    fn percentiles() {
        let mut values: Vec<f64> = (0..200).rev().map(f64::from).collect();
        assert_eq!((percentile(&mut values, 50), percentile(&mut values, 99)), (100.0, 198.0));
        assert!(percentile(&mut [], 50).is_nan());
    }
}

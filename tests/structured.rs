//! Valid files with extreme numbers: weights, biases, multipliers and shifts at the ends of their ranges and a little
//! beyond, padding that is not zero, in every mode and layout. What one reader refuses all refuse, and what is read
//! scores the same, bit by bit, whoever scores it.
//!
//! A case is a seed, or bytes of a fuzzer (`runtime/fuzz`); [`Fuzzer::run`] panics where two disagree.
//! `docs/security.md` says what is compared with what, and how to run millions of them.

mod bases;
mod change;
mod compare;
mod numbers;
mod wide;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use xsfm_runtime::ScratchBlock;
use zerocopy::IntoBytes;

use bases::{Base, bases};
pub use change::sign;
pub use compare::Outcome;
pub use numbers::Numbers;
pub use wide::integers_of;

/// The files that are changed.
#[derive(Debug)]
pub struct Fuzzer {
    bases: Vec<Base>,
}

/// How many cases came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files that were refused.
    pub refused: u64,
    /// Files that were scored.
    pub scored: u64,
    /// Those of them whose first logit was not at an end of its range, where differences would hide.
    pub telling: u64,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Refused => self.refused += 1,
            Outcome::Scored { logit } => {
                self.scored += 1;
                self.telling += u64::from(logit.abs() < 127.0);
            }
        }
    }
}

impl Fuzzer {
    /// One for files of `shapes` shapes.
    ///
    /// # Panics
    /// Where models cannot be packed.
    pub fn new(shapes: u64) -> Self {
        Fuzzer { bases: bases(shapes) }
    }

    /// Changes a file, and compares all that read it; `room` is memory that is used again.
    ///
    /// # Panics
    /// Where two disagree.
    pub fn run(&self, numbers: &mut Numbers<'_>, room: &mut Vec<ScratchBlock>) -> Outcome {
        let base = numbers.pick_one(&self.bases);
        let len = base.file.len();
        room.resize(len.div_ceil(ScratchBlock::LEN), ScratchBlock::ZERO);
        let file = &mut room.as_mut_bytes()[..len];
        file.copy_from_slice(&base.file);
        change::change(base, file, numbers);
        compare::compare(base, file, numbers)
    }

    /// The cases of `count` seeds from `first` on, in as many threads; says how far they are where there are many.
    ///
    /// # Panics
    /// Where two disagree, after the seed was printed.
    pub fn run_all(&self, first: u64, count: u64, threads: usize) -> Tally {
        /// Seeds that a thread takes at a time.
        const RUN: u64 = 1000;
        let (next, sum, start) = (AtomicU64::new(0), Mutex::new(Tally::default()), Instant::now());
        let work = || {
            let mut room = Vec::new();
            loop {
                let from = next.fetch_add(RUN, Ordering::Relaxed);
                if from >= count {
                    return;
                }
                let mut tally = Tally::default();
                for seed in first + from..first + (from + RUN).min(count) {
                    let mut numbers = Numbers::seeded(seed);
                    match catch_unwind(AssertUnwindSafe(|| self.run(&mut numbers, &mut room))) {
                        Ok(outcome) => tally.count(outcome),
                        Err(panic) => {
                            next.store(count, Ordering::Relaxed);
                            eprintln!("seed {seed}: repeat it with XSFM_FUZZ_SEED={seed} XSFM_FUZZ_RUNS=1");
                            resume_unwind(panic);
                        }
                    }
                }
                let mut sum = sum.lock().expect("no thread has failed");
                sum.refused += tally.refused;
                sum.scored += tally.scored;
                sum.telling += tally.telling;
                let done = sum.refused + sum.scored;
                if count >= 100 * RUN && done * 20 / count != (done - tally.refused - tally.scored) * 20 / count {
                    eprintln!("{done} of {count} cases in {:.0} s", start.elapsed().as_secs_f64());
                }
            }
        };
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for thread in running {
                if let Err(panic) = thread.join() {
                    resume_unwind(panic);
                }
            }
        });
        sum.into_inner().expect("no thread has failed")
    }
}

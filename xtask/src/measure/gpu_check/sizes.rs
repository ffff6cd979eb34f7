//! How much each step does, and how long it may take.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Time for everything.
pub(super) const ALL: Duration = Duration::from_secs(8 * 60);
/// Time for a command of each step, and how many there are.
pub(super) const DEVICES: (Duration, u32) = (Duration::from_secs(20), 1);
pub(super) const STEP: (Duration, u32) = (Duration::from_secs(25), 5);
pub(super) const EVALUATE: (Duration, u32) = (Duration::from_secs(20), 2);
pub(super) const TEACHER: (Duration, u32) = (Duration::from_secs(100), 2);
pub(super) const SPEED: (Duration, u32) = (Duration::from_secs(24), 6);

/// `xsfm-train`'s default.
pub(super) const LEARNING_RATE: f64 = 1e-3;
pub(super) const SEED: &str = "1";

/// How large the steps are.
pub(super) struct Sizes {
    /// Fields have so many times fewer features than Criteo's.
    pub(super) shrink: u32,
    /// Commands may take so many times their time: of all there is no more.
    pub(super) patience: u32,
    /// CPU threads of a training on the CPU; 0 for one on each core.
    pub(super) threads: usize,
    /// Rows of the one batch that is compared.
    pub(super) step_rows: usize,
    /// Rows to learn at speed, and to evaluate.
    pub(super) train_rows: usize,
    pub(super) valid_rows: usize,
    pub(super) batches: [usize; 2],
    /// How many of [`RULES`] are measured.
    pub(super) rules: usize,
    pub(super) hidden: &'static str,
    /// Flags of the teacher on MovieLens, beside its settings.
    pub(super) teacher: &'static [&'static str],
    /// Its test AUC.
    pub(super) auc: RangeInclusive<f64>,
}

/// The teacher's AUC on a CPU is 0.8035 with seed 1; others may differ by some thousandths,
/// and a GPU has random numbers of its own.
pub(super) const WHOLE: Sizes = Sizes {
    shrink: 1,
    patience: 1,
    threads: 0,
    step_rows: 4096,
    train_rows: 40 << 16,
    valid_rows: 3 << 16,
    batches: [4096, 65_536],
    rules: 3,
    hidden: "400,400,400",
    teacher: &[],
    auc: 0.7955..=0.8115,
};
pub(super) const REHEARSAL: Sizes = Sizes {
    shrink: 100,
    patience: 8,
    threads: 1,
    step_rows: 256,
    train_rows: 4096,
    valid_rows: 4096,
    batches: [512, 2048],
    // Not every CPU has bfloat16.
    rules: 2,
    hidden: "16",
    teacher: &["--epochs", "2", "--embed-dim", "4", "--hidden", "16", "--learning-rate", "0.01"],
    auc: 0.6..=0.85,
};

/// What is measured at speed.
pub(super) const RULES: [(&str, &[&str]); 3] = [
    ("adam", &[]),
    ("lazy-adam", &["--optimizer", "lazy-adam"]),
    ("lazy-adam, bfloat16", &["--optimizer", "lazy-adam", "--mixed-precision"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What writing rows may take beside the commands.
    const ROWS: Duration = Duration::from_secs(40);

    #[test]
    fn all_steps_fit_the_time_for_everything() {
        let steps = [DEVICES, STEP, EVALUATE, TEACHER, SPEED];
        // Preparing MovieLens takes seconds of its own limit.
        let all: Duration = steps.iter().map(|(limit, count)| *limit * *count).sum();
        assert!(all + ROWS - TEACHER.0 <= ALL, "{} s", all.as_secs());
        assert_eq!((SPEED.1 as usize, WHOLE.rules), (RULES.len() * WHOLE.batches.len(), RULES.len()));
        assert_eq!(STEP.1, 1 + 2 * 2);
    }

    #[test]
    fn rows_fill_whole_batches() {
        for sizes in [WHOLE, REHEARSAL] {
            assert!(sizes.batches.iter().all(|batch| sizes.train_rows.is_multiple_of(*batch)));
        }
    }
}

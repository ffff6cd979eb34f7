//! What scores are compared with: the plainest loops, one row after another.

use xsfm_runtime::{Backend, Model, Score, Scorer, ScratchBlock};
use zerocopy::IntoBytes;

use super::random::{Rows, Sample, with_magnitudes};

/// Models per mode.
pub(crate) fn cases() -> u64 {
    let default = if cfg!(miri) { 2 } else { 90 };
    std::env::var("XSFM_CASES").map_or(default, |cases| cases.parse().unwrap())
}

/// What an earlier user has left must not matter; as f32, these bytes are not numbers.
pub(crate) fn memory(blocks: usize) -> Vec<ScratchBlock> {
    let mut memory = vec![ScratchBlock::ZERO; blocks];
    memory.as_mut_bytes().fill(0xFF);
    memory
}

pub(crate) fn available() -> Vec<Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available()).collect()
}

/// How far scores may be from the reference: not at all, or in f32 mode by some roundings of the magnitudes of the
/// terms.
pub(crate) struct Expected {
    pub(crate) scores: Vec<f32>,
    /// Empty where scores must be equal.
    pub(crate) tolerances: Vec<f32>,
}

impl Expected {
    /// Of whole rows; `magnitudes`: in f32 mode the model of magnitudes.
    pub(crate) fn new(reference: &Model<'_>, magnitudes: Option<&Model<'_>>, samples: &[Sample]) -> Self {
        let every_field: Vec<usize> = (0..reference.num_fields()).collect();
        let scores = plain(reference, &Rows::new(samples, &every_field));
        let rows = Rows::new(&with_magnitudes(samples), &every_field);
        // 20 roundings for each of the two (`docs/architecture.md`); numbers under the normal ones are rounded more
        // coarsely.
        let tolerance = |magnitude: f32| 40.0 * f32::EPSILON * magnitude + 1e-36;
        let tolerances = magnitudes.map(|model| plain(model, &rows).into_iter().map(tolerance).collect());
        Expected { scores, tolerances: tolerances.unwrap_or_default() }
    }

    pub(crate) fn check(&self, what: &str, found: &[Score]) {
        assert_eq!(found.len(), self.scores.len());
        for (n, (&expected, found)) in self.scores.iter().zip(found).enumerate() {
            let tolerance = self.tolerances.get(n).copied().unwrap_or(0.0);
            let error = (found.logit - expected).abs();
            // A difference that is not a number is none either.
            assert!(error <= tolerance, "{what}, row {n}: {} instead of {expected} ± {tolerance}", found.logit);
        }
    }
}

/// The scores that un-prepared portable code gives, row by row.
pub(crate) fn plain(model: &Model<'_>, rows: &Rows) -> Vec<f32> {
    assert_eq!(model.backend(), Backend::Portable);
    let mut scratch = memory(model.scratch_blocks());
    let mut scorer = Scorer::new(model, &mut scratch).unwrap();
    rows.all().into_iter().map(|row| scorer.score(row).unwrap().logit).collect()
}

//! Whether an engine's answers are the model's. An engine that is fast and wrong is an error, not a row of the table.

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use xsfm_benches::FEATURES;

use crate::engine::{Engine, Kind};

/// An f32 engine sums in another order than the oracle, no more.
const MOST_F32_ERROR: f64 = 1e-3;
/// An int8 engine must still rank alike.
const LEAST_CORRELATION: f64 = 0.98;

/// How far the answers are from the oracle's.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Agreement {
    /// Largest |error|.
    pub(crate) error_max: f64,
    /// Mean |error| as a share of the logits' standard deviation.
    pub(crate) error_mean_share: f64,
    /// Pearson's, with the oracle's logits.
    pub(crate) correlation: f64,
}

/// Runs `engine` over the samples, batch by batch, and compares its logits with the oracle's.
pub(crate) fn check(
    engine: &mut dyn Engine,
    kind: &Kind,
    samples: &[u32],
    expected: &[f32],
    batch: usize,
) -> Result<Agreement> {
    let mut found = vec![0.0; expected.len() / batch * batch];
    for (rows, logits) in samples.chunks_exact(batch * FEATURES.len()).zip(found.chunks_exact_mut(batch)) {
        // What an earlier call left there must not pass for an answer.
        logits.fill(f32::NAN);
        engine.run(rows, logits)?;
    }
    let agreement = agreement(&found, &expected[..found.len()]);
    let name = kind.name;
    let Agreement { error_max, correlation, .. } = agreement;
    ensure!(error_max.is_finite(), "{name} gave a logit that is not a number");
    if kind.is_f32 && error_max > MOST_F32_ERROR {
        bail!("{name} is wrong: a logit is {error_max} off the oracle's, {MOST_F32_ERROR} allowed");
    }
    if correlation.is_nan() || correlation < LEAST_CORRELATION {
        bail!(
            "{name} is wrong: its logits' correlation with the oracle's is {correlation}, {LEAST_CORRELATION} needed"
        );
    }
    Ok(agreement)
}

/// Compares two lists of equal length.
fn agreement(found: &[f32], expected: &[f32]) -> Agreement {
    let count = found.len() as f64;
    let mean = |values: &[f32]| values.iter().copied().map(f64::from).sum::<f64>() / count;
    let (found_mean, expected_mean) = (mean(found), mean(expected));
    let (mut error_max, mut error_sum) = (0.0_f64, 0.0);
    let (mut found_square, mut expected_square, mut product) = (0.0, 0.0, 0.0);
    for (&found, &expected) in found.iter().zip(expected) {
        let (found, expected) = (f64::from(found), f64::from(expected));
        let error = (found - expected).abs();
        // Not `max`, which forgets what is not a number.
        error_max = if error > error_max || error.is_nan() { error } else { error_max };
        error_sum += error;
        found_square += (found - found_mean).powi(2);
        expected_square += (expected - expected_mean).powi(2);
        product += (found - found_mean) * (expected - expected_mean);
    }
    Agreement {
        error_max,
        error_mean_share: error_sum / count / (expected_square / count).sqrt(),
        correlation: product / (found_square * expected_square).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the oracle's logits, changed.
    struct Fake<F>(F, usize);

    const FAKE: Kind = Kind {
        name: "fake",
        about: "",
        is_f32: true,
        needs_layers: false,
        library: None,
        file: "",
        load: |_, _, _| bail!("it is made by a test"),
    };

    impl<F: FnMut(usize) -> f32> Engine for Fake<F> {
        fn run(&mut self, _: &[u32], logits: &mut [f32]) -> Result<()> {
            for logit in logits {
                *logit = (self.0)(self.1);
                self.1 += 1;
            }
            Ok(())
        }
    }

    fn verdict(is_f32: bool, change: impl FnMut(usize) -> f32) -> Result<Agreement> {
        let kind = Kind { is_f32, ..FAKE };
        let expected: Vec<f32> = (0..64).map(oracle).collect();
        check(&mut Fake(change, 0), &kind, &vec![0; 64 * FEATURES.len()], &expected, 8)
    }

    fn oracle(i: usize) -> f32 {
        (i as f32).sin()
    }

    #[test]
    fn right_answers_pass() {
        let found = verdict(true, |i| oracle(i) + 1e-4).expect("within the bound");
        assert!((found.error_max - 1e-4).abs() < 1e-6 && found.correlation > 0.999, "{found:?}");
        let found = verdict(false, |i| oracle(i) + 0.05 * (7 * i) as f32 % 0.1).expect("ranks alike");
        assert!((0.01..0.1).contains(&found.error_mean_share), "{found:?}");
    }

    #[test]
    fn wrong_answers_are_errors() {
        assert!(verdict(true, |i| oracle(i) + 0.01).is_err(), "off");
        assert!(verdict(false, |i| oracle(i + 1)).is_err(), "another row's");
        assert!(verdict(false, |_| 1.0).is_err(), "always the same");
        assert!(verdict(false, |i| if i == 9 { f32::NAN } else { oracle(i) }).is_err(), "not a number");
    }
}

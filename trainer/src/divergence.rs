//! Training that diverges: numbers that are not finite any more, or a loss that explodes and stays finite.
//!
//! After an epoch the loss has exploded where both its mean over the training rows and the LogLoss of the validation
//! rows are more than [`EXPLODED`] times what they were before the first step, or times ln 2, the loss of a model that
//! says one half of every row, whichever is more. What learns, however badly, goes down from there on the rows that it
//! learns; a model that has learned its rows by heart is bad on validation rows alone; one that starts with far too
//! large numbers has a large loss to begin with. None of these is taken for it.

use std::f64::consts::LN_2;

use xsfm_interchange::metrics::{Metrics, MetricsError};

/// The status with which a program ends whose training diverged: trying again with the same settings is no use.
pub const EXIT_STATUS: u8 = 3;

/// How many times its start a loss is that has exploded.
pub const EXPLODED: f64 = 5.0;

/// Training diverged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}: training diverged; lower --learning-rate (now {learning_rate:e}) or --init-std")]
pub struct Diverged {
    /// What was found, and where.
    pub what: String,
    /// Adam's learning rate at that time.
    pub learning_rate: f64,
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug)]
pub struct Epoch<'a> {
    /// Its number.
    pub number: u64,
    /// Mean loss of its batches.
    pub train_loss: f64,
    /// Figures on the validation rows before the first step.
    pub start: &'a Metrics,
    /// Those after it.
    pub valid: &'a Metrics,
}

impl Epoch<'_> {
    /// What has exploded, if it has.
    pub fn explosion(&self) -> Option<String> {
        let (most, valid) = (EXPLODED * self.start.log_loss.max(LN_2), self.valid.log_loss);
        (self.train_loss > most && valid > most).then(|| {
            let (number, train_loss, start) = (self.number, self.train_loss, self.start.log_loss);
            format!(
                "the training loss of epoch {number} is {train_loss:.3e} and the validation LogLoss after it \
                 {valid:.3e}, which was {start:.3} before the first step"
            )
        })
    }
}

/// What is not finite, where that is why a model could not be measured.
pub fn not_finite(error: &anyhow::Error) -> Option<String> {
    let is_score = |error: &MetricsError| matches!(error, MetricsError::Score { .. });
    let found = error.chain().filter_map(|cause| cause.downcast_ref::<MetricsError>()).find(|error| is_score(error));
    found.map(|error| format!("validation {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(log_loss: f64) -> Metrics {
        Metrics {
            rows: 10,
            positives: 3,
            log_loss,
            auc: None,
            auc_standard_error: None,
            prauc: None,
            rce: None,
            ece: None,
            calibration: None,
        }
    }

    #[test]
    fn an_explosion_is_told_from_a_bad_start_and_from_learning_by_heart() {
        for (what, start, train_loss, valid, exploded) in [
            ("learns", 0.69, 0.45, 0.47, false),
            ("learns badly", 0.69, 1.9, 2.4, false),
            ("knows its rows by heart", 0.69, 0.0002, 12.0, false),
            ("rare clicks, far above the constant predictor", 0.69, 0.3, 0.5, false),
            ("a large start that goes down", 40.0, 35.0, 31.0, false),
            ("a large start that goes up a little", 40.0, 90.0, 80.0, false),
            ("one bad stretch of an epoch", 0.69, 50.0, 0.6, false),
            ("explodes", 0.69, 1e5, 3e4, true),
            ("explodes a little", 0.69, 3.8, 4.2, true),
            ("explodes from a trained model", 0.4, 900.0, 400.0, true),
            ("explodes from a large start", 40.0, 900.0, 500.0, true),
        ] {
            let (start, valid) = (metrics(start), metrics(valid));
            let epoch = Epoch { number: 2, train_loss, start: &start, valid: &valid };
            assert_eq!(epoch.explosion().is_some(), exploded, "{what}: {:?}", epoch.explosion());
        }
    }
}

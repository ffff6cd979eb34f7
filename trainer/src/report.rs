//! What training measured: `metrics.json` of a checkpoint.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xsfm_interchange::fingerprint::Fingerprint;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::output;

/// `metrics.json`: what training measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Every setting that decided the result.
    pub settings: serde_json::Value,
    /// On which data; absent in reports of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Fingerprint>,
    /// Trained numbers that scoring uses.
    pub parameters: usize,
    /// Those of them that are not 0, where some were pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonzero: Option<usize>,
    /// Figures on the validation rows before the first step; absent in runs of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Metrics>,
    /// One entry per evaluation, of which an epoch has one unless told otherwise.
    pub epochs: Vec<Epoch>,
    /// The epoch of the evaluation that was kept; 0: the model before the first step.
    pub best_epoch: u64,
    /// Its figures on the validation rows.
    pub valid: Metrics,
    /// Its figures on the test rows, where there are any.
    pub test: Option<Metrics>,
}

/// What one epoch measured, or a part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// Which part of it has ended, from 1, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u64>,
    /// Mean loss of its batches so far, with regularisation of what they used.
    pub train_loss: f64,
    /// Validation LogLoss after it.
    pub valid_log_loss: f64,
    /// Validation AUC after it.
    pub valid_auc: f64,
    /// The factor on the learning rate that it was trained with, where it is not 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub rate_factor: f64,
    /// Time since the epoch began, validation included.
    pub seconds: f64,
    /// Training rows per second, validation not included; absent in runs of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_per_second: Option<f64>,
}

fn one() -> f64 {
    1.0
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Epoch { epoch, part, train_loss, valid_log_loss, valid_auc, seconds, rows_per_second, .. } = self;
        write!(f, "epoch {epoch:>3}")?;
        part.map_or(Ok(()), |part| write!(f, ", part {part:>2}"))?;
        write!(
            f,
            "  train loss {train_loss:.5}  valid LogLoss {valid_log_loss:.5}  AUC {valid_auc:.5}  {seconds:.1} s"
        )?;
        rows_per_second.map_or(Ok(()), |rows| write!(f, "  {rows:.0} rows/s"))
    }
}

impl Report {
    /// Says where the checkpoint is, and how good.
    pub fn say(&self, out: &Path) {
        let figures = |m: &Metrics| {
            format!("AUC {}  LogLoss {:.5}", m.shown_auc(5).unwrap_or_else(|| "undefined".to_owned()), m.log_loss)
        };
        let test = self.test.map(|test| format!(", test {}", figures(&test))).unwrap_or_default();
        let (epoch, parameters, valid) = (self.best_epoch, self.parameters, figures(&self.valid));
        output::say(format_args!(
            "{}: epoch {epoch} kept, {parameters} parameters, valid {valid}{test}",
            out.display()
        ));
    }
}

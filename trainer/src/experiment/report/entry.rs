//! A row of a table, with its figures.

use std::path::PathBuf;

use serde::Serialize;
use xsfm_interchange::fingerprint::Fingerprint;

use crate::bench::{Batch, Libtorch};

/// A row of a table; figures are means over the seeds, on the test rows or, where there are none, the validation rows.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    pub(super) table: String,
    pub(super) row: String,
    pub(super) title: String,
    pub(super) seeds: usize,
    /// Seeds whose training diverged, which no figure counts.
    pub(super) diverged: usize,
    /// AUC on the validation rows: what may choose among models.
    pub(super) valid_auc: f64,
    pub(super) auc: f64,
    /// Deviation of the seeds' AUC from their mean; absent for a single seed.
    pub(super) auc_deviation: Option<f64>,
    /// How far the test rows, which are a sample, may be off: mean of the seeds' standard errors. Absent in outcomes of
    /// older programs.
    pub(super) auc_standard_error: Option<f64>,
    /// The row that this one is compared with, on the same rows; the fields after it are absent of that row, and where
    /// no logits are kept.
    pub(super) against: Option<String>,
    /// AUC less that row's.
    pub(super) auc_difference: Option<f64>,
    /// Standard error of the difference.
    pub(super) auc_difference_standard_error: Option<f64>,
    pub(super) log_loss: f64,
    pub(super) prauc: f64,
    pub(super) rce: f64,
    /// Expected calibration error, and mean prediction over click rate; absent where an older program measured a seed.
    pub(super) ece: Option<f64>,
    pub(super) calibration: Option<f64>,
    pub(super) parameters: Option<u64>,
    pub(super) nonzero: Option<u64>,
    /// Of the packed file with its vocabulary; absent in outcomes of older programs.
    pub(super) deployed_bytes: Option<u64>,
    /// The same without it.
    pub(super) packed_bytes: Option<u64>,
    pub(super) cortex_m4f_instructions: Option<u64>,
    /// Median of a call of one row, where `run --latency` took it, and the machine that took it.
    pub(super) ns_per_row: Option<f64>,
    pub(super) latency_host: Option<String>,
    pub(super) commits: String,
    pub(super) host: String,
    /// What makes the row anew.
    pub(super) command: String,
}

/// A line with its curves.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) line: Line,
    /// Folders of the seeds that were made.
    pub(super) folders: Vec<PathBuf>,
    /// Validation LogLoss after each epoch, of the first seed; empty where nothing was trained.
    pub(super) log_losses: Vec<f64>,
    /// Times of calls of several sizes; empty where none were taken.
    pub(super) batches: Vec<Batch>,
    /// The same in libtorch.
    pub(super) libtorch: Option<Libtorch>,
    /// The data of each seed, where they are known.
    pub(super) data: Vec<Fingerprint>,
}

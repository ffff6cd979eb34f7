//! Where to read and write.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Where to read and write, and on what to compute.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Folder of encoded rows: schema.json, train.arrow, valid.arrow, and test.arrow if there is one
    #[arg(long)]
    pub data: PathBuf,
    /// Checkpoint folder to write
    #[arg(long)]
    pub out: PathBuf,
    /// TOML file of flags; `embed_dim = 16` is `--embed-dim=16`. The command line wins
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Where to compute: `cpu`, `cuda:0`, …
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// CPU threads. More help wide models on an idle machine; on a busy one they wait for each other and are far slower
    #[arg(long, default_value_t = 1)]
    pub threads: u16,
    /// Go on where a killed run with the same settings stopped; the result is that of an unbroken run
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true")]
    pub resume: bool,
    /// Pause after this epoch, if the run has not ended by then: --resume goes on
    #[arg(long, value_name = "EPOCH")]
    pub pause_after: Option<u64>,
    /// Checkpoints of --from and --teacher may have been trained on other rows than those of --data; their vocabulary
    /// is the same
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true")]
    pub other_rows: bool,
}

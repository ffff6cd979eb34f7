//! The flags that say what a student learns from.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

/// What a student learns from.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Distillation")]
pub struct Distillation {
    /// Checkpoint of the teacher; given several times, their logits are averaged
    #[arg(long, required_unless_present = "teacher_logits")]
    pub teacher: Vec<PathBuf>,
    /// File with the logits of a teacher of another system on the training rows, in their order or by their number from
    /// 0 in `row`: .npy, .npz, .safetensors, .parquet, .csv, .tsv; given several times, and beside --teacher, all
    /// logits are averaged
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub teacher_logits: Vec<PathBuf>,
    /// Folder of the teachers' rows, where their vocabularies are not those of --data: the same rows, in the same order
    #[arg(long, value_name = "DIR", requires = "teacher")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_data: Option<PathBuf>,
    /// Weight of the labels; the teacher's probabilities have `1 - alpha`
    #[arg(long, default_value_t = 0.3)]
    pub alpha: f64,
    /// Both logits are divided by it before they are compared
    #[arg(long, default_value_t = 1.0)]
    pub temperature: f64,
}

//! The flags of quantisation-aware training.

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgAction, Args, ValueEnum};
use serde::Serialize;
use xsfm_interchange::quantization::TableBits;

use super::{Pruning, Training, check_share, is_default};

/// Where the row of a token starts that the model has not had before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// As the row that it was encoded by until now: the out-of-vocabulary row, or that of its bucket.
    #[default]
    Oov,
    /// As the mean of those tokens that training rows have about as often: from the same power of two up to the next.
    /// Where there are none, as `oov`.
    Frequency,
}

/// How the model becomes integers.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Quantisation-aware training")]
pub struct Quantization {
    /// Fine-tune with the integers of int8 mode. Without --from, a model in real numbers is trained first, in OUT/float
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true")]
    pub quantize: bool,
    /// Start from this checkpoint and its architecture
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// With --from: the data have another vocabulary; every token keeps its row
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub map_tokens: bool,
    /// With --map-tokens: where the rows of new tokens start
    #[arg(long, value_name = "WHERE", default_value = "oov")]
    #[serde(skip_serializing_if = "Start::is_oov")]
    pub new_tokens: Start,
    /// Most epochs of fine-tuning in int8
    #[arg(long, default_value_t = 10)]
    pub quantize_epochs: u64,
    /// Adam's learning rate in int8
    #[arg(long, default_value_t = 1e-4)]
    pub quantize_learning_rate: f64,
    /// Share of hidden outputs dropped in int8; that of --dropout by default
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantize_dropout: Option<f64>,
    /// Share of the field vectors' numbers dropped in int8; that of --embedding-dropout by default
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantize_embedding_dropout: Option<f64>,
    /// Training rows that choose the scales of activations
    #[arg(long, default_value_t = 8192)]
    pub calibration_rows: usize,
    /// Bits of a number in the tables: 8 or 4
    #[arg(long, default_value_t = 8, value_parser = table_bits)]
    #[serde(skip_serializing_if = "is_default::<_, 8>")]
    pub table_bits: u8,
}

impl Start {
    fn is_oov(&self) -> bool {
        *self == Start::Oov
    }
}

fn table_bits(text: &str) -> Result<u8, String> {
    match text {
        "8" => Ok(8),
        "4" => Ok(4),
        _ => Err("tables have 8 or 4 bits".to_owned()),
    }
}

impl Quantization {
    /// Bits of a number in the tables.
    pub fn bits(&self) -> TableBits {
        if self.table_bits == 4 { TableBits::Four } else { TableBits::Eight }
    }

    /// How a model learns in int8, where `training` is how it learned in real numbers.
    ///
    /// # Errors
    /// A setting out of range; the message names the flag and its value.
    pub fn training(&self, training: &Training) -> Result<Training> {
        for (flag, value) in [
            ("quantize-dropout", self.quantize_dropout),
            ("quantize-embedding-dropout", self.quantize_embedding_dropout),
        ] {
            value.map_or(Ok(()), |value| check_share(flag, value))?;
        }
        let training = Training {
            // What was pruned stays so: the schedule is over.
            pruning: Pruning { prune_epochs: 0, ..training.pruning.clone() },
            epochs: self.quantize_epochs,
            learning_rate: self.quantize_learning_rate,
            dropout: self.quantize_dropout.unwrap_or(training.dropout),
            embedding_dropout: self.quantize_embedding_dropout.unwrap_or(training.embedding_dropout),
            ..training.clone()
        };
        training.check()?;
        Ok(training)
    }
}

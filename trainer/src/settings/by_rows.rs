//! What goes by the number of training rows, unless it is given: how strongly whole tables are penalised, and how large
//! batches are.

use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use xsfm_interchange::config::ModelConfig;
use xsfm_interchange::network::Network;

/// `--table-l2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TableL2 {
    /// By the number of training rows.
    Auto,
    /// A number.
    Of(f64),
}

/// Rows for which it is 1.
const ROWS: f64 = 45_000.0;
/// How it falls with them.
const POWER: f64 = 1.6;

impl TableL2 {
    /// lambda, for a model in a training with so many rows; `is_taught`: by teachers.
    ///
    /// `auto` is none without an MLP with BatchNorm: a row that L2 has made small counts as much as before where
    /// BatchNorm follows, and too little everywhere else. And none for students: what teachers say of rare tokens is
    /// not noise.
    pub fn of(self, config: &ModelConfig, rows: u64, is_taught: bool) -> f64 {
        let streams = match &config.network {
            Some(Network::FinalMlp { streams, .. }) => streams.as_slice(),
            _ => &[],
        };
        let has_batch_norm = config.mlp.iter().chain(streams).any(|mlp| mlp.batch_norm);
        match self {
            TableL2::Of(lambda) => lambda,
            TableL2::Auto if has_batch_norm && !is_taught => table_l2(rows),
            TableL2::Auto => 0.0,
        }
    }

    /// Whether there is none, whatever the rows.
    pub fn is_none(&self) -> bool {
        *self == TableL2::Of(0.0)
    }
}

/// lambda by the number of training rows.
///
/// `(rows / 45,000)^-1.6` is about what was best of the few strengths that were tried on MovieLens-100K (0.5, 80,000
/// rows) and on Frappe (0.1, 202,000); for many more rows it is a guess along that line: see `docs/training.md`.
pub fn table_l2(rows: u64) -> f64 {
    (rows.max(1) as f64 / ROWS).powf(-POWER).min(1.0)
}

impl FromStr for TableL2 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<f64>()) {
            ("auto", _) => Ok(TableL2::Auto),
            (_, Ok(lambda)) if lambda.is_finite() && lambda >= 0.0 => Ok(TableL2::Of(lambda)),
            _ => Err("`auto`, or a number that is 0 or more".to_owned()),
        }
    }
}

impl Serialize for TableL2 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            TableL2::Auto => serializer.serialize_str("auto"),
            TableL2::Of(lambda) => serializer.serialize_f64(*lambda),
        }
    }
}

/// `--batch-size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// By the number of training rows.
    Auto,
    /// So many rows.
    Of(usize),
}

impl BatchSize {
    /// Most rows of a batch by the rows of all.
    const MOST: u64 = 4096;
    /// Fewest.
    const LEAST: u64 = 64;
    /// 2^20 rows of 1024-number vectors would not fit any memory; BatchNorm needs two rows.
    const RANGE: RangeInclusive<usize> = 2..=1 << 20;

    /// Rows of a batch, in a training with so many in all: the power of two below a sixteenth of them, 64 to 4096.
    pub fn of(self, rows: u64) -> usize {
        match self {
            BatchSize::Of(size) => size,
            BatchSize::Auto => 1 << (rows / 16).clamp(Self::LEAST, Self::MOST).ilog2(),
        }
    }
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<usize>()) {
            ("auto", _) => Ok(BatchSize::Auto),
            (_, Ok(size)) if Self::RANGE.contains(&size) => Ok(BatchSize::Of(size)),
            _ => Err(format!("`auto`, or {} to {} rows", Self::RANGE.start(), Self::RANGE.end())),
        }
    }
}

impl Serialize for BatchSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            BatchSize::Auto => serializer.serialize_str("auto"),
            BatchSize::Of(size) => serializer.serialize_u64(*size as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use xsfm_interchange::config::{Interaction, MlpConfig};

    use super::*;

    fn config(mlp: Option<MlpConfig>) -> ModelConfig {
        ModelConfig {
            version: ModelConfig::VERSION,
            vocabulary: None,
            fields: vec![],
            embed_dim: 4,
            feature_weight: false,
            field_vector: true,
            interaction: Interaction::FieldWeighted,
            mlp,
            compressed: vec![],
            network: None,
            quantization: None,
        }
    }

    #[test]
    fn it_is_a_number_or_goes_by_the_rows_where_batch_norm_follows() {
        let [with, without] = [true, false].map(|batch_norm| config(Some(MlpConfig { hidden: vec![4], batch_norm })));
        let of = |text: &str, config: &ModelConfig, rows| text.parse::<TableL2>().unwrap().of(config, rows, false);
        assert_eq!((of("0.3", &without, 5), of("0", &with, 1 << 30)), (0.3, 0.0));
        assert_eq!((of("auto", &without, 80_000), of("auto", &config(None), 80_000)), (0.0, 0.0));
        let streams = [true, false].map(|batch_norm| MlpConfig { hidden: vec![4], batch_norm });
        let network = Some(Network::FinalMlp { streams, gates: None, fusion_heads: 1 });
        assert!(of("auto", &ModelConfig { network, ..without.clone() }, 80_000) > 0.0);
        for (rows, expected) in
            [(80_000, 0.40), (202_027, 0.090), (36_672_493, 2.2e-5), (39_000, 1.0), (10, 1.0), (0, 1.0)]
        {
            let found = of("auto", &with, rows);
            assert!((found / expected - 1.0).abs() < 0.03, "{rows} rows: {found}");
        }
        assert_eq!([TableL2::Auto, TableL2::Of(0.2)].map(|l2| l2.of(&with, 80_000, true)), [0.0, 0.2]);
        for text in ["", "-1", "nan", "inf", "Auto"] {
            assert!(text.parse::<TableL2>().is_err(), "{text}");
        }
        let json = |text: &str| serde_json::to_string(&text.parse::<TableL2>().unwrap()).unwrap();
        assert_eq!((json("auto"), json("0.5")), ("\"auto\"".to_owned(), "0.5".to_owned()));
    }

    #[test]
    fn batches_are_a_number_or_go_by_the_rows() {
        let of = |text: &str, rows| text.parse::<BatchSize>().unwrap().of(rows);
        for (rows, size) in [(0, 64), (900, 64), (3000, 128), (39_000, 2048), (80_000, 4096), (1 << 40, 4096)] {
            assert_eq!((of("auto", rows), of("512", rows)), (size, 512), "{rows} rows");
        }
        for text in ["", "1", "0", "-4", "1048577", "x"] {
            assert!(text.parse::<BatchSize>().is_err_and(|message| message.contains("2 to 1048576")), "{text}");
        }
    }
}

//! The flags of `train` and `distill`. A settings file (`--config FILE.toml`) is a list of the same flags: `embed_dim = 16` in it
//! is `--embed-dim=16` on the command line, and the command line wins. Switches take a value (`--batch-norm=false`), so that
//! either can overrule the other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args, ValueEnum};
use serde::Serialize;
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, MlpConfig, ModelConfig, Operation};
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::quantization::TableBits;
use xsfm_interchange::schema::{FieldKind, Schema};

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
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pub resume: bool,
    /// Checkpoints of --from and --teacher may have been trained on other rows than those of --data; their vocabulary is the same
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pub other_rows: bool,
}

/// What the model is made of.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Architecture (not with --from)")]
pub struct Architecture {
    /// Length of a field's vector
    #[arg(long, default_value_t = 16)]
    pub embed_dim: usize,
    /// Widths of the hidden layers, `400,400`; `none` for a model without MLP
    #[arg(long, default_value = "64,64")]
    pub hidden: Widths,
    /// BatchNorm in hidden layers
    #[arg(long, action = ArgAction::Set, default_value = "true")]
    pub batch_norm: bool,
    /// First-order term with one scalar per feature ("LW")
    #[arg(long, action = ArgAction::Set, default_value = "false")]
    pub feature_weight: bool,
    /// First-order term with one vector per field ("FwLW")
    #[arg(long, action = ArgAction::Set, default_value = "true")]
    pub field_vector: bool,
    /// Second-order term: none, unit (FM), field-weighted (FwFM)
    #[arg(long, value_enum, default_value = "field-weighted")]
    pub interaction: SecondOrder,
    /// Features that share a quotient row (quotient-remainder tables); 1 for full tables
    #[arg(long, default_value_t = 1)]
    pub qr_collisions: u32,
    /// How quotient and remainder row become one vector
    #[arg(long, value_enum, default_value = "mult")]
    pub qr_operation: Composition,
    /// Fields of at most this many features keep a full table, whether quotient-remainder or hashed tables are asked for
    #[arg(long, default_value_t = 200)]
    pub qr_threshold: u32,
    /// Standard deviation of fresh table entries
    #[arg(long, default_value_t = 0.01)]
    pub init_std: f64,
    /// Features that share a row of a hashed table, the baseline of quotient-remainder tables; 1 for full tables
    #[arg(long, default_value_t = 1)]
    #[serde(skip_serializing_if = "is_default::<_, 1>")]
    pub hash_collisions: u32,
    /// Factors in place of a weight per pair (low-rank FwFM); 0 for a weight per pair. In real numbers only
    #[arg(long, default_value_t = 0)]
    #[serde(skip_serializing_if = "is_default::<_, 0>")]
    pub rank: u32,
    /// Widths of the layers of a compressed interaction network, `100,100` (xDeepFM, with --interaction none); for teachers
    #[arg(long, default_value = "none")]
    #[serde(skip_serializing_if = "Widths::is_none")]
    pub compressed: Widths,
}

/// What older runs did not have is recorded only where it is used: they go on under a newer program.
fn is_default<T: Copy + Into<u64>, const DEFAULT: u64>(value: &T) -> bool {
    (*value).into() == DEFAULT
}

/// How much is pruned.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize)]
#[command(next_help_heading = "Pruning")]
pub struct Pruning {
    /// Share of the tables' numbers that become 0
    #[arg(long, default_value_t = 0.0)]
    pub prune_tables: f64,
    /// Share of the field matrix' pairs that become 0: a packed model skips them
    #[arg(long, default_value_t = 0.0)]
    pub prune_pairs: f64,
    /// Share of the hidden layers' weights that become 0
    #[arg(long, default_value_t = 0.0)]
    pub prune_layers: f64,
    /// Epochs in which the shares grow to those; epochs before the last of them are not kept
    #[arg(long, default_value_t = 5)]
    pub prune_epochs: u64,
}

impl Pruning {
    /// Whether anything is pruned.
    pub fn is_some(&self) -> bool {
        self.prune_tables > 0.0 || self.prune_pairs > 0.0 || self.prune_layers > 0.0
    }

    fn is_none(&self) -> bool {
        !self.is_some()
    }
}

/// How the model learns.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Training")]
pub struct Training {
    /// Most epochs
    #[arg(long, default_value_t = 30)]
    pub epochs: u64,
    /// Stop after this many epochs without a better figure on the validation rows; the best epoch is kept
    #[arg(long, default_value_t = 3)]
    pub patience: u64,
    /// The figure on the validation rows that says which epoch is best: AUC for ranking, LogLoss where probabilities matter
    #[arg(long, value_enum, default_value = "auc")]
    #[serde(skip_serializing_if = "StopOn::is_auc")]
    pub stop_on: StopOn,
    /// Rows of a batch
    #[arg(long, default_value_t = 1024)]
    pub batch_size: usize,
    /// How the tables learn from a batch; everything else learns by Adam
    #[arg(long, value_enum, default_value = "adam")]
    #[serde(skip_serializing_if = "Optimizer::is_adam")]
    pub optimizer: Optimizer,
    /// Adam's learning rate
    #[arg(long, default_value_t = 1e-3)]
    pub learning_rate: f64,
    /// Factor on the learning rate after each epoch
    #[arg(long, default_value_t = 1.0)]
    pub learning_rate_decay: f64,
    /// Decoupled weight decay on the MLP's matrices
    #[arg(long, default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Weight of the squared table rows that a batch uses, in its loss: l2 / 2 * mean over the samples of their sum
    #[arg(long, default_value_t = 0.0)]
    pub l2: f64,
    /// Share of hidden outputs dropped
    #[arg(long, default_value_t = 0.0)]
    pub dropout: f64,
    /// Share of the field vectors' numbers dropped
    #[arg(long, default_value_t = 0.0)]
    pub embedding_dropout: f64,
    /// Hidden layers in bfloat16, everything else in f32: faster on a GPU, or on a CPU with AVX512-BF16. Figures are measured in f32, and
    /// int8 is trained exactly
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mixed_precision: bool,
    /// Decides initial weights, order of rows and dropout
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What becomes 0.
    #[command(flatten)]
    #[serde(skip_serializing_if = "Pruning::is_none")]
    pub pruning: Pruning,
}

/// The figure on the validation rows that says which epoch is best, on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
pub enum StopOn {
    /// Area under the ROC curve, the larger the better
    #[default]
    Auc,
    /// Mean cross entropy, the smaller the better
    LogLoss,
}

impl StopOn {
    fn is_auc(&self) -> bool {
        *self == StopOn::Auc
    }
}

/// How the tables learn from a batch, on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
pub enum Optimizer {
    /// Adam: all rows move with each batch
    #[default]
    Adam,
    /// Adam on the rows that the batch uses, as PyTorch's SparseAdam: faster where tables are large
    LazyAdam,
}

impl Optimizer {
    fn is_adam(&self) -> bool {
        *self == Optimizer::Adam
    }
}

/// How the model becomes integers.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Quantisation-aware training")]
pub struct Quantization {
    /// Fine-tune with the integers of int8 mode. Without --from, a model in real numbers is trained first, in OUT/float
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pub quantize: bool,
    /// Start from this checkpoint and its architecture
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// With --from: the data have another vocabulary; every token keeps its row, a new one starts from the out-of-vocabulary row
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub map_tokens: bool,
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

fn check_share(flag: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    bail!("--{flag} is {value}; a share is at least 0 and less than 1")
}

/// What a student learns from.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Distillation")]
pub struct Distillation {
    /// Checkpoint of the teacher; given several times, their logits are averaged
    #[arg(long, required = true)]
    pub teacher: Vec<PathBuf>,
    /// Folder of the teachers' rows, where their vocabularies are not those of --data: the same rows, in the same order
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_data: Option<PathBuf>,
    /// Weight of the labels; the teacher's probabilities have `1 - alpha`
    #[arg(long, default_value_t = 0.3)]
    pub alpha: f64,
    /// Both logits are divided by it before they are compared
    #[arg(long, default_value_t = 1.0)]
    pub temperature: f64,
}

/// Widths of hidden layers as written on a command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Widths(pub Vec<usize>);

impl Widths {
    fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Widths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Widths(Vec::new()));
        }
        let width = |part: &str| match part.trim().parse() {
            Ok(width) if width > 0 => Ok(width),
            _ => Err(format!("`{part}` is not a width; write for example `400,400`, or `none`")),
        };
        text.split(',').map(width).collect::<Result<_, _>>().map(Widths)
    }
}

/// The second-order term, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
pub enum SecondOrder {
    /// None: logistic regression or a plain MLP
    None,
    /// All pairs alike: FM, DeepFM
    Unit,
    /// A weight per pair of fields: FwFM, DeepFwFM
    FieldWeighted,
}

/// How two rows become one, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
pub enum Composition {
    /// Element-wise product
    Mult,
    /// Element-wise sum
    Add,
    /// One after the other
    Concat,
}

impl Architecture {
    /// The configuration of a model over the fields of a data set.
    pub fn model_config(&self, schema: &Schema) -> ModelConfig {
        let operation = match self.qr_operation {
            Composition::Mult => Operation::Mult,
            Composition::Add => Operation::Add,
            Composition::Concat => Operation::Concat,
        };
        let embedding = |features: u32| {
            if features <= self.qr_threshold {
                EmbeddingConfig::Full
            } else if self.hash_collisions > 1 {
                EmbeddingConfig::Hashed { rows: features.div_ceil(self.hash_collisions) }
            } else if self.qr_collisions > 1 {
                EmbeddingConfig::QuotientRemainder { collisions: self.qr_collisions, operation }
            } else {
                EmbeddingConfig::Full
            }
        };
        let field = |f: &xsfm_interchange::schema::Field| FieldConfig {
            name: f.name.clone(),
            features: f.features(),
            bag: f.kind == FieldKind::Bag,
            embedding: embedding(f.features()),
        };
        ModelConfig {
            version: ModelConfig::VERSION,
            vocabulary: Some(Vocabulary::of(schema)),
            fields: schema.fields.iter().map(field).collect(),
            embed_dim: self.embed_dim,
            feature_weight: self.feature_weight,
            field_vector: self.field_vector,
            interaction: match self.interaction {
                SecondOrder::None => Interaction::None,
                SecondOrder::Unit => Interaction::Unit,
                SecondOrder::FieldWeighted if self.rank > 0 => Interaction::LowRank { rank: self.rank as usize },
                SecondOrder::FieldWeighted => Interaction::FieldWeighted,
            },
            mlp: (!self.hidden.0.is_empty())
                .then(|| MlpConfig { hidden: self.hidden.0.clone(), batch_norm: self.batch_norm }),
            compressed: self.compressed.0.clone(),
            quantization: None,
        }
    }

    /// Checks what excludes each other.
    ///
    /// # Errors
    /// The message names the flags.
    pub fn check(&self) -> Result<()> {
        if self.qr_collisions > 1 && self.hash_collisions > 1 {
            bail!(
                "--qr-collisions {} and --hash-collisions {} exclude each other",
                self.qr_collisions,
                self.hash_collisions
            );
        }
        if self.rank > 0 && self.interaction != SecondOrder::FieldWeighted {
            bail!("--rank {} is for --interaction field-weighted", self.rank);
        }
        Ok(())
    }
}

impl Training {
    /// Checks ranges that a parser cannot.
    ///
    /// # Errors
    /// The message names the flag and its value.
    pub fn check(&self) -> Result<()> {
        let Pruning { prune_tables, prune_pairs, prune_layers, .. } = self.pruning;
        let shares = [
            ("dropout", self.dropout),
            ("embedding-dropout", self.embedding_dropout),
            ("prune-tables", prune_tables),
            ("prune-pairs", prune_pairs),
            ("prune-layers", prune_layers),
        ];
        shares.into_iter().try_for_each(|(flag, value)| check_share(flag, value))?;
        if self.pruning.is_some() && self.pruning.prune_epochs > self.epochs {
            let (prune, all) = (self.pruning.prune_epochs, self.epochs);
            bail!("--prune-epochs is {prune}, but --epochs is {all}: pruning would never end");
        }
        for (flag, value) in [("l2", self.l2), ("weight-decay", self.weight_decay)] {
            if !(value >= 0.0 && value.is_finite()) {
                bail!("--{flag} is {value}; it is 0 or more");
            }
        }
        for (flag, value) in [("learning-rate", self.learning_rate), ("learning-rate-decay", self.learning_rate_decay)]
        {
            if !(value > 0.0 && value.is_finite()) {
                bail!("--{flag} is {value}; it is more than 0");
            }
        }
        // 2^20 rows of 1024-number vectors would not fit any memory; BatchNorm needs two rows.
        if !(2..=1 << 20).contains(&self.batch_size) {
            bail!("--batch-size is {}; it is 2 to {}", self.batch_size, 1 << 20);
        }
        Ok(())
    }
}

/// The command line with the flags of its `--config` file put before its own.
///
/// # Errors
/// The file cannot be read, is not TOML, or has a table where a flag belongs.
pub fn expand_config(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let path =
        arguments.iter().enumerate().find_map(|(i, argument)| match argument.to_str()?.strip_prefix("--config")? {
            "" => arguments.get(i + 1).map(PathBuf::from),
            rest => rest.strip_prefix('=').map(PathBuf::from),
        });
    if let (Some(path), true) = (path, arguments.len() > 2) {
        let flags = flags_of_file(&path)?;
        arguments.splice(2..2, flags.into_iter().map(OsString::from));
    }
    Ok(arguments)
}

fn flags_of_file(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let table: toml::Table = text.parse().with_context(|| format!("{}: not TOML", path.display()))?;
    flags(&table).with_context(|| path.display().to_string())
}

/// A table of settings as flags: `embed_dim = 16` is `--embed-dim=16`.
///
/// # Errors
/// A table where a flag belongs; the message names it.
pub fn flags(table: &toml::Table) -> Result<Vec<String>> {
    let scalar = |value: &toml::Value| match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    };
    let flag = |(key, value): (&String, &toml::Value)| {
        let text = match value {
            toml::Value::Array(values) => {
                values.iter().map(scalar).collect::<Option<Vec<_>>>().map(|values| values.join(","))
            }
            _ => scalar(value),
        };
        let text = text.with_context(|| format!("`{key}` is neither a value nor a list"))?;
        Ok(format!("--{}={text}", key.replace('_', "-")))
    };
    table.iter().map(flag).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[derive(Debug, clap::Parser)]
    #[command(args_override_self = true)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Command {
        Train {
            #[command(flatten)]
            place: Place,
            #[command(flatten)]
            architecture: Box<Architecture>,
            #[command(flatten)]
            quantization: Quantization,
        },
    }

    #[test]
    fn a_settings_file_is_a_list_of_flags_and_the_command_line_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "embed_dim = 24\nhidden = [40, 20]\nquantize = true\ninit_std = 0.5\n").unwrap();
        let line = ["x", "train", "--data", "d", "--out", "o", "--embed-dim", "8", "--config", file.to_str().unwrap()];
        let expanded = expand_config(line.map(OsString::from)).unwrap();
        let Command::Train { place, architecture, quantization } = <Cli as clap::Parser>::parse_from(expanded).command;
        assert_eq!((architecture.embed_dim, architecture.hidden), (8, Widths(vec![40, 20])));
        assert_eq!((architecture.init_std, quantization.quantize, place.resume), (0.5, true, false));

        std::fs::write(&file, "embed_dim = { a = 1 }").unwrap();
        let message = format!("{:#}", expand_config(line.map(OsString::from)).unwrap_err());
        assert!(message.contains("settings.toml") && message.contains("embed_dim"), "{message}");
    }

    #[test]
    fn widths_are_a_list_or_none() {
        assert_eq!("400, 20".parse(), Ok(Widths(vec![400, 20])));
        assert_eq!("none".parse(), Ok(Widths(vec![])));
        assert!("4,0".parse::<Widths>().unwrap_err().contains("`0`"));
    }
}

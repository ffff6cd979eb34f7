//! The flags that say how a model learns.

use anyhow::{Result, bail};
use clap::{ArgAction, Args, ValueEnum};
use serde::Serialize;

use super::{BatchSize, FieldFactors, TableL2, check_share, is_default};

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

/// How the model learns.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Training")]
pub struct Training {
    /// Most epochs
    #[arg(long, default_value_t = 100)]
    pub epochs: u64,
    /// Times that the validation rows are measured in an epoch, in equal distances
    #[arg(long, default_value_t = 1)]
    #[serde(skip_serializing_if = "is_default::<_, 1>")]
    pub evaluations: u64,
    /// Stop after this many evaluations without a better figure on the validation rows; the best is kept
    #[arg(long, default_value_t = 6)]
    pub patience: u64,
    /// The figure on the validation rows that says which epoch is best: AUC for ranking, LogLoss where probabilities
    /// matter
    #[arg(long, value_enum, default_value = "auc")]
    #[serde(skip_serializing_if = "StopOn::is_auc")]
    pub stop_on: StopOn,
    /// Rows of a batch; `auto`: a sixteenth of all, as a power of two from 64 to 4096
    #[arg(long, default_value = "auto")]
    pub batch_size: BatchSize,
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
    /// Factor on the learning rate after evaluations that are no better than the best; 1 leaves it as it is
    #[arg(long, default_value_t = 1.0)]
    #[serde(skip_serializing_if = "is_one")]
    pub plateau_factor: f64,
    /// So many evaluations, one after another
    #[arg(long, default_value_t = 1)]
    #[serde(skip_serializing_if = "is_default::<_, 1>")]
    pub plateau_patience: u64,
    /// Epochs before the first drop: until they are over, no evaluation counts as one that is no better
    #[arg(long, default_value_t = 0)]
    #[serde(skip_serializing_if = "is_default::<_, 0>")]
    pub plateau_floor: u64,
    /// Go on from the best weights so far, when the rate drops
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plateau_rewind: bool,
    /// Steps in which the learning rate grows to its value
    #[arg(long, default_value_t = 0)]
    #[serde(skip_serializing_if = "is_default::<_, 0>")]
    pub warm_up: u64,
    /// Largest norm of a step's gradient, without that of --table-l2; 0 for any
    #[arg(long, default_value_t = 0.0)]
    #[serde(skip_serializing_if = "is_zero")]
    pub clip_norm: f64,
    /// Measure and keep an average of the weights over the steps of about so many evaluations, the last counting most;
    /// 0 for the weights as they are
    #[arg(long, default_value_t = 2.0)]
    #[serde(skip_serializing_if = "is_zero")]
    pub average: f64,
    /// L2 of whole tables: the gradient of table-l2 / 2 * the squares of all rows is added in every step, before Adam's
    /// moments; with --optimizer lazy-adam that of the batch's rows, once each. Not of quotient-remainder products,
    /// whose factors would go to 0 together. `auto` goes by the number of training rows where there are hidden layers
    /// with BatchNorm; it is 0 for others, and for students
    #[arg(long, default_value = "auto")]
    #[serde(skip_serializing_if = "TableL2::is_none")]
    pub table_l2: TableL2,
    /// The same of the first-order scalars (--feature-weight)
    #[arg(long, default_value_t = 0.0)]
    #[serde(skip_serializing_if = "is_zero")]
    pub first_order_l2: f64,
    /// Factors on --table-l2 and --first-order-l2 for fields by name: `user=2,genres=0.5`
    #[arg(long, default_value = "")]
    #[serde(skip_serializing_if = "FieldFactors::is_none")]
    pub field_l2: FieldFactors,
    /// Factors on the learning rate of fields' tables, by name
    #[arg(long, default_value = "")]
    #[serde(skip_serializing_if = "FieldFactors::is_none")]
    pub field_rate: FieldFactors,
    /// Share of the tokens that are taken for unknown ones in training, so that the out-of-vocabulary rows learn what
    /// one means
    #[arg(long, default_value_t = 0.0)]
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown_share: f64,
    /// Draw the tables anew before each of so many epochs after the first (MEDA): where models learn rows by heart in
    /// one epoch
    #[arg(long, default_value_t = 0)]
    #[serde(skip_serializing_if = "is_default::<_, 0>")]
    pub redraw_tables: u64,
    /// Weight of the squared table rows that a batch uses, in its loss: l2 / 2 * mean over the samples of their sum, an
    /// occurrence at a time
    #[arg(long, default_value_t = 0.0)]
    pub l2: f64,
    /// Share of hidden outputs dropped
    #[arg(long, default_value_t = 0.0)]
    pub dropout: f64,
    /// Share of the field vectors' numbers dropped
    #[arg(long, default_value_t = 0.0)]
    pub embedding_dropout: f64,
    /// Share of outputs dropped inside a network (--network); that of --dropout by default
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_dropout: Option<f64>,
    /// Hidden layers in bfloat16, everything else in f32: faster on a GPU, or on a CPU with AVX512-BF16. Figures are
    /// measured in f32, and int8 is trained exactly
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true")]
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
    /// AUC - LogLoss, the larger the better
    Both,
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
            ("unknown-share", self.unknown_share),
            ("prune-tables", prune_tables),
            ("prune-pairs", prune_pairs),
            ("prune-layers", prune_layers),
        ];
        let of_network = self.network_dropout.map(|share| ("network-dropout", share));
        shares.into_iter().chain(of_network).try_for_each(|(flag, value)| check_share(flag, value))?;
        if self.pruning.is_some() && self.pruning.prune_epochs > self.epochs {
            let (prune, all) = (self.pruning.prune_epochs, self.epochs);
            bail!("--prune-epochs is {prune}, but --epochs is {all}: pruning would never end");
        }
        for (flag, value) in [
            ("l2", self.l2),
            ("first-order-l2", self.first_order_l2),
            ("clip-norm", self.clip_norm),
            ("average", self.average),
            ("weight-decay", self.weight_decay),
        ] {
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
        if !(self.plateau_factor > 0.0 && self.plateau_factor <= 1.0) {
            bail!("--plateau-factor is {}; it is more than 0 and at most 1", self.plateau_factor);
        }
        for (flag, value) in [("plateau-patience", self.plateau_patience), ("evaluations", self.evaluations)] {
            if !(1..=1 << 20).contains(&value) {
                bail!("--{flag} is {value}; it is 1 to {}", 1 << 20);
            }
        }
        Ok(())
    }
}

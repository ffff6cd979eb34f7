//! The flags that say what a model is made of.

use anyhow::{Result, bail};
use clap::{ArgAction, Args, ValueEnum};
use serde::Serialize;
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, MlpConfig, ModelConfig, Operation};
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::network::Network;
use xsfm_interchange::schema::Schema;

use super::widths::Widths;
use super::{NetworkFlags, is_default};

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
    /// Fields of at most this many features keep a full table, whether quotient-remainder or hashed tables are asked
    /// for
    #[arg(long, default_value_t = 200)]
    pub qr_threshold: u32,
    /// How fresh weights are drawn.
    #[command(flatten)]
    #[serde(flatten)]
    pub initialization: Initialization,
    /// Features that share a row of a hashed table, the baseline of quotient-remainder tables; 1 for full tables
    #[arg(long, default_value_t = 1)]
    #[serde(skip_serializing_if = "is_default::<_, 1>")]
    pub hash_collisions: u32,
    /// Factors in place of a weight per pair (low-rank FwFM); 0 for a weight per pair. In real numbers only
    #[arg(long, default_value_t = 0)]
    #[serde(skip_serializing_if = "is_default::<_, 0>")]
    pub rank: u32,
    /// Widths of the layers of a compressed interaction network, `100,100` (xDeepFM, with --interaction none); for
    /// teachers
    #[arg(long, default_value = "none")]
    #[serde(skip_serializing_if = "Widths::is_none")]
    pub compressed: Widths,
    /// A teacher's network.
    #[command(flatten)]
    #[serde(flatten)]
    pub network: NetworkFlags,
}

/// How fresh weights are drawn.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Initialization {
    /// Standard deviation of fresh table entries, unless --table-init says otherwise
    #[arg(long, default_value_t = 0.01)]
    pub init_std: f64,
    /// Distribution of fresh table entries
    #[arg(long, value_enum, default_value = "normal")]
    #[serde(skip_serializing_if = "TableInit::is_normal")]
    pub table_init: TableInit,
    /// Distribution of fresh weights of hidden layers
    #[arg(long, value_enum, default_value = "uniform")]
    #[serde(skip_serializing_if = "LayerInit::is_uniform")]
    pub layer_init: LayerInit,
}

impl Initialization {
    /// By these distributions' defaults, with a deviation of table entries.
    pub fn of_deviation(init_std: f64) -> Self {
        Initialization { init_std, table_init: TableInit::default(), layer_init: LayerInit::default() }
    }
}

/// Distributions of table entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
pub enum TableInit {
    /// Normal
    #[default]
    Normal,
    /// Uniform of the same deviation
    Uniform,
    /// Normal with the variance 2 / (rows + columns) of each table
    XavierNormal,
    /// Uniform with that variance
    XavierUniform,
}

impl TableInit {
    fn is_normal(&self) -> bool {
        *self == TableInit::Normal
    }
}

/// Distributions of hidden layers' weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
pub enum LayerInit {
    /// Uniform between -1 and 1 over the root of the inputs, biases too: PyTorch's Linear
    #[default]
    Uniform,
    /// Normal with the variance 2 / (inputs + outputs), biases 0
    XavierNormal,
    /// Normal with the variance 2 / inputs, biases 0
    KaimingNormal,
}

impl LayerInit {
    fn is_uniform(&self) -> bool {
        *self == LayerInit::Uniform
    }
}

impl Architecture {
    /// The configuration of a model over the fields of a data set.
    ///
    /// # Errors
    /// A flag names a field that the data do not have.
    pub fn model_config(&self, schema: &Schema) -> Result<ModelConfig> {
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
            bag: f.has_several(),
            weighted: f.is_weighted(),
            embedding: embedding(f.features()),
        };
        let hidden = MlpConfig { hidden: self.hidden.0.clone(), batch_norm: self.batch_norm };
        let network = self.network.config(schema, &hidden, self.embed_dim)?;
        // FinalMLP has them as its first stream.
        let has_mlp = !self.hidden.is_none() && !matches!(network, Some(Network::FinalMlp { .. }));
        Ok(ModelConfig {
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
            mlp: has_mlp.then_some(hidden),
            compressed: self.compressed.0.clone(),
            network,
            quantization: None,
        })
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
        self.network.check()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn widths_are_a_list_or_none() {
        assert_eq!("400, 20".parse(), Ok(Widths(vec![400, 20])));
        assert_eq!("none".parse(), Ok(Widths(vec![])));
        assert!("4,0".parse::<Widths>().unwrap_err().contains("`0`"));
    }
}

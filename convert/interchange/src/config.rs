//! `config.json`: the architecture of a checkpoint, and its quantisation scales where training fixed them.

use serde::{Deserialize, Serialize};

use crate::fingerprint::Vocabulary;
use crate::network::Network;
use crate::quantization::TableBits;

pub use crate::network::MlpConfig;

/// Architecture of one model:
/// `logit = bias + FeatureWeight + FieldVector + FieldInteraction + MLP(concat v_f)`, every part optional.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Always [`ModelConfig::VERSION`]; a reader refuses what it does not know.
    pub version: u32,
    /// One entry per field, in the order of a row.
    pub fields: Vec<FieldConfig>,
    /// What the fields' indices mean; absent where nobody knows: in models of other programs, and of older ones without
    /// a `schema.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vocabulary>,
    /// Length of a field's vector.
    pub embed_dim: usize,
    /// First-order term with one scalar per feature ("LW").
    pub feature_weight: bool,
    /// First-order term with one vector per field ("FwLW", DeepLight eq. 6).
    pub field_vector: bool,
    /// Second-order term.
    pub interaction: Interaction,
    /// Hidden layers over the concatenated vectors; absent in shallow models.
    pub mlp: Option<MlpConfig>,
    /// Widths of the layers of a compressed interaction network (xDeepFM, Lian et al. 2018, arXiv:1803.05170); empty
    /// without one. A teacher's alone: no packed file holds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compressed: Vec<usize>,
    /// A teacher's network over the fields' vectors; absent without one. No packed file holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Scales fixed by quantisation-aware training; absent before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Scales>,
}

impl ModelConfig {
    /// The version that this code writes and reads.
    pub const VERSION: u32 = 1;
}

/// One field (column) of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldConfig {
    /// Name as in `schema.json`.
    pub name: String,
    /// Number of features; valid indices are `0..features`, and row 0 is the out-of-vocabulary row.
    pub features: u32,
    /// Whether a sample has several indices in this field; their vectors are summed.
    pub bag: bool,
    /// Whether each index has a weight; a field that has them is a bag.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weighted: bool,
    /// How the field's vectors are stored.
    pub embedding: EmbeddingConfig,
}

/// How a field's vectors are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum EmbeddingConfig {
    /// One row per feature.
    Full,
    /// Row `i / collisions` of one table composed with row `i % collisions` of another (Shi et al. 2019).
    QuotientRemainder {
        /// Features that share a quotient row; also the number of remainder rows.
        collisions: u32,
        /// How the two rows become one vector.
        operation: Operation,
    },
    /// Row `i % rows` of one table: the hashing trick (Weinberger et al. 2009, arXiv:0902.2206), the baseline of the
    /// above.
    Hashed {
        /// Number of rows.
        rows: u32,
    },
}

/// How a quotient row and a remainder row become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Element-wise product.
    Mult,
    /// Element-wise sum.
    Add,
    /// The quotient row (`embed_dim / 2` numbers) followed by the remainder row.
    Concat,
}

/// The second-order term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interaction {
    /// None: logistic regression or a plain MLP.
    None,
    /// All `r_ij = 1`: FM, DeepFM.
    Unit,
    /// A trained `r_ij` per pair of fields: FwFM, DeepFwFM.
    FieldWeighted,
    /// `r_ij = sum_k e_k u_ki u_kj`: low-rank FwFM (Shtoff et al. 2024, arXiv:2408.00801).
    LowRank {
        /// Number of factors.
        rank: usize,
    },
}

/// The scales that cannot be derived from the weights (`docs/quantization.md`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scales {
    /// Per field: the scale of its table, or of its quotient and remainder tables (`add` and `concat`: twice the same).
    pub tables: Vec<Vec<f64>>,
    /// Per field: the scale of its i8 vector after composing and summing. Equals the table's where nothing is
    /// requantised.
    pub fields: Vec<f64>,
    /// Per hidden layer: the scale of its u8 output after ReLU.
    pub activations: Vec<f64>,
    /// Bits of a number in the tables.
    #[serde(default, skip_serializing_if = "TableBits::is_eight")]
    pub table_bits: TableBits,
}

impl EmbeddingConfig {
    /// Collisions and operation of a field that a packed file stores as two tables.
    ///
    /// A hashed table is the remainder table of a sum whose quotient table is zeros: the format needs no third kind.
    pub fn quotient_remainder(&self) -> Option<(u32, Operation)> {
        match *self {
            EmbeddingConfig::Full => None,
            EmbeddingConfig::QuotientRemainder { collisions, operation } => Some((collisions, operation)),
            EmbeddingConfig::Hashed { rows } => Some((rows, Operation::Add)),
        }
    }

    /// Shapes `(rows, columns)` of the field's tables: one for a full field, quotient then remainder otherwise.
    pub fn table_shapes(&self, features: u32, embed_dim: usize) -> Vec<(usize, usize)> {
        match *self {
            EmbeddingConfig::Full => vec![(features as usize, embed_dim)],
            EmbeddingConfig::Hashed { rows } => vec![(rows.min(features) as usize, embed_dim)],
            EmbeddingConfig::QuotientRemainder { collisions, operation } => {
                let columns = if operation == Operation::Concat { embed_dim / 2 } else { embed_dim };
                vec![(features.div_ceil(collisions) as usize, columns), (collisions.min(features) as usize, columns)]
            }
        }
    }
}

impl FieldConfig {
    /// Whether a vector is the product of two rows, so that its accumulator counts in `s_q * s_r`.
    pub fn is_product(&self) -> bool {
        matches!(self.embedding, EmbeddingConfig::QuotientRemainder { operation: Operation::Mult, .. })
    }

    /// Whether the composed vector is brought back to i8 by a multiplier; otherwise a row is copied as it lies.
    pub fn is_requantized(&self) -> bool {
        self.bag
            || matches!(
                self.embedding,
                EmbeddingConfig::QuotientRemainder { operation: Operation::Mult | Operation::Add, .. }
            )
    }
}

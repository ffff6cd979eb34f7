//! A model on its way to a packed file: real numbers after folding ([`FloatModel`]), then integers ([`QuantizedModel`]).

use xsfm_interchange::config::{Interaction, ModelConfig};
use xsfm_runtime::quant::Term;

/// A model in real numbers, BatchNorm folded: what f32 mode packs and what int8 mode is quantised from.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatModel {
    /// Fields, sizes and parts; `quantization` holds the scales that training fixed.
    pub config: ModelConfig,
    /// What a label of 1 means, in words; empty where nobody said.
    pub label: String,
    /// The model's bias.
    pub bias: f32,
    /// One per field.
    pub fields: Vec<FloatField>,
    /// `[num_fields, embed_dim]`, where `config.field_vector`.
    pub field_vectors: Option<Vec<f32>>,
    /// Absent where `config.interaction` is none or no pair has a weight.
    pub pairs: Option<Pairs<f32>>,
    /// Hidden layers, then the output layer with one channel; empty without an MLP.
    pub layers: Vec<FloatLayer>,
}

/// One field's parameters in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatField {
    /// One table, or quotient and remainder.
    pub tables: Vec<Table<f32>>,
    /// `[features]`, where `config.feature_weight`.
    pub feature_weights: Option<Vec<f32>>,
}

/// A matrix of vectors, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<T> {
    /// Number of rows.
    pub rows: usize,
    /// Numbers in a row.
    pub columns: usize,
    /// `[rows, columns]`.
    pub values: Vec<T>,
}

impl<T> Table<T> {
    /// Row `i`, `[columns]`.
    pub fn row(&self, i: usize) -> &[T] {
        &self.values[i * self.columns..(i + 1) * self.columns]
    }
}

/// The second-order term: `sum r_ij <v_i, v_j>` over a list of pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs<T> {
    /// Which pairs.
    pub list: PairList,
    /// One weight per pair, in the order of the list.
    pub weights: Vec<T>,
}

/// Which pairs of fields interact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairList {
    /// All `i < j`, the upper triangle row by row.
    Dense,
    /// These `(i, j)` with `i < j`, in ascending order.
    Pruned(Vec<(u8, u8)>),
}

impl PairList {
    /// The pairs `(i, j)` in order.
    pub fn pairs(&self, num_fields: usize) -> Vec<(usize, usize)> {
        match self {
            PairList::Dense => (0..num_fields).flat_map(|i| (i + 1..num_fields).map(move |j| (i, j))).collect(),
            PairList::Pruned(list) => list.iter().map(|&(i, j)| (usize::from(i), usize::from(j))).collect(),
        }
    }
}

/// One Linear layer with its BatchNorm folded in.
///
/// f64, because folding is done in f64 and quantisation continues from there: rounding to f32 in between could move a
/// weight to the neighbouring integer. f32 mode rounds when it packs.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatLayer {
    /// Numbers that it reads.
    pub inputs: usize,
    /// Numbers that it gives.
    pub outputs: usize,
    /// `[outputs, inputs]`.
    pub weights: Vec<f64>,
    /// `[outputs]`.
    pub biases: Vec<f64>,
}

impl FloatLayer {
    /// Weights of channel `o`, `[inputs]`.
    pub fn channel(&self, o: usize) -> &[f64] {
        &self.weights[o * self.inputs..(o + 1) * self.inputs]
    }
}

/// A model in integers: int8 mode, `docs/quantization.md`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedModel {
    /// Fields, sizes and parts; `quantization` holds the scales that were used.
    pub config: ModelConfig,
    /// What a label of 1 means, in words; empty where nobody said.
    pub label: String,
    /// The model's bias in steps of the logit.
    pub bias: i32,
    /// One per field.
    pub fields: Vec<QuantizedField>,
    /// Where `config.feature_weight`.
    pub feature_weight: Option<QuantizedFeatureWeight>,
    /// Where `config.field_vector`.
    pub field_vectors: Option<QuantizedFieldVectors>,
    /// Absent where `config.interaction` is none or no pair has a weight.
    pub pairs: Option<QuantizedPairs>,
    /// Hidden layers, then the output layer with one channel; empty without an MLP.
    pub layers: Vec<QuantizedLayer>,
    /// The output layer's way into the logit; [`Term::ABSENT`] without an MLP.
    pub mlp_term: Term,
}

/// One field's integers.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedField {
    /// One table, or quotient and remainder.
    pub tables: Vec<Table<i8>>,
    /// `[features]`, where `config.feature_weight`.
    pub feature_weights: Option<Vec<i8>>,
    /// Brings the accumulator back to i8; `None` where rows are copied as they lie.
    pub multiplier: Option<i32>,
    /// What one step of the composed vector is worth.
    pub scale: f64,
}

/// The first-order term with one scalar per feature; the scalars are with their fields.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedFeatureWeight {
    /// `[num_fields]`.
    pub coefficients: Vec<i16>,
    /// What one step of the accumulator is worth.
    pub scale: f64,
    /// Its way into the logit.
    pub term: Term,
}

/// The first-order term with one vector per field.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedFieldVectors {
    /// `[num_fields, embed_dim]`.
    pub values: Vec<i16>,
    /// What one step of the accumulator is worth.
    pub scale: f64,
    /// Its way into the logit.
    pub term: Term,
}

/// The second-order term.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedPairs {
    /// Pairs and their weights.
    pub pairs: Pairs<i16>,
    /// What one step of the accumulator is worth.
    pub scale: f64,
    /// Its way into the logit.
    pub term: Term,
}

/// One layer's integers.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLayer {
    /// Numbers that it reads.
    pub inputs: usize,
    /// Numbers that it gives.
    pub outputs: usize,
    /// `[outputs, inputs]`.
    pub weights: Vec<i8>,
    /// `[outputs]`, in steps of the accumulator.
    pub biases: Vec<i32>,
    /// `[outputs]`; empty for the output layer, which keeps its accumulator.
    pub multipliers: Vec<i32>,
    /// `[outputs]`: what one step of each channel's accumulator is worth.
    pub accumulator_scales: Vec<f64>,
    /// What one step of the layer's output is worth; of the output layer, its accumulator's step.
    pub scale: f64,
}

impl FloatModel {
    /// Number of trained numbers that scoring uses, BatchNorm folded.
    pub fn parameters(&self) -> usize {
        let fields: usize = self
            .fields
            .iter()
            .map(|f| {
                f.tables.iter().map(|t| t.values.len()).sum::<usize>() + f.feature_weights.as_ref().map_or(0, Vec::len)
            })
            .sum();
        let pairs = match (&self.pairs, self.config.interaction) {
            (Some(pairs), Interaction::FieldWeighted) => pairs.weights.len(),
            _ => 0,
        };
        let layers: usize = self.layers.iter().map(|l| l.weights.len() + l.biases.len()).sum();
        1 + fields + self.field_vectors.as_ref().map_or(0, Vec::len) + pairs + layers
    }
}

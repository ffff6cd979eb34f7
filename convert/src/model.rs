//! A model on its way to a packed file: real numbers after folding ([`FloatModel`]), then integers
//! ([`QuantizedModel`]).

use std::borrow::Cow;

use ndarray::ArrayView2;
use xsfm_interchange::config::{Interaction, ModelConfig};
pub use xsfm_interchange::quantization::TableBits;
use xsfm_runtime::format::Term;

/// A model in real numbers, BatchNorm folded: what f32 mode packs and what int8 mode is quantised from.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatModel {
    /// Fields, sizes and parts; `quantization` holds the scales that training fixed.
    pub config: ModelConfig,
    /// What a label of 1 means, in words; empty where nobody said.
    pub label: String,
    /// The model's bias.
    pub bias: f32,
    /// How tables are to be quantised.
    pub table_bits: TableBits,
    /// One per field.
    pub fields: Vec<FloatField>,
    /// `[num_fields, embed_dim]`, where `config.field_vector`.
    pub field_vectors: Option<Vec<f32>>,
    /// Absent where `config.interaction` is none or no pair has a weight.
    pub pairs: Option<Pairs<f32>>,
    /// In place of pairs, where they were factorised.
    pub low_rank: Option<LowRank<f32, f32>>,
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

/// The second-order term by factors: `sum_rho sign_rho |sum_i u_rho,i v_i|^2 - sum_i D_i |v_i|^2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowRank<T, D> {
    /// `[rank]`: 1 or -1.
    pub signs: Vec<i8>,
    /// u `[rank, num_fields]`.
    pub factors: Vec<T>,
    /// `[num_fields]`: `D_i = sum_rho sign_rho u_rho,i^2`.
    pub diagonal: Vec<D>,
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

    /// All weights, `[outputs, inputs]`.
    ///
    /// # Panics
    /// Where `weights` are not as many.
    pub fn matrix(&self) -> ArrayView2<'_, f64> {
        ArrayView2::from_shape((self.outputs, self.inputs), &self.weights).expect("a weight for each output and input")
    }
}

/// A model in integers: int8 and dynamic mode, `docs/quantization.md`.
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
    /// In place of pairs, where they were factorised.
    pub low_rank: Option<QuantizedLowRank>,
    /// The MLP, and with it the mode.
    pub layers: QuantizedLayers,
}

/// Hidden layers, then the output layer with one channel; empty without an MLP.
#[derive(Clone, Debug, PartialEq)]
pub enum QuantizedLayers {
    /// int8 mode: a layer's output has the same scale for all rows.
    Static {
        /// The layers.
        layers: Vec<QuantizedLayer<i32, i32>>,
        /// The output layer's way into the logit; [`Term::ABSENT`] without an MLP.
        term: Term,
    },
    /// Dynamic mode: a layer's output has a scale for each row.
    Dynamic(Vec<QuantizedLayer<f32, f32>>),
}

/// One field's integers.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedField {
    /// Bits of a number in the tables.
    pub table_bits: TableBits,
    /// One table, or quotient and remainder; of four bits, multiples of 16.
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

/// The second-order term by factors.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLowRank {
    /// Factors and diagonal.
    pub low_rank: LowRank<i16, i32>,
    /// What one step of the rounded accumulator is worth.
    pub scale: f64,
    /// Its way into the logit.
    pub term: Term,
}

/// One layer's integers: i32 biases and multipliers in int8 mode, f32 in dynamic mode.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLayer<B, M> {
    /// Numbers that it reads.
    pub inputs: usize,
    /// Numbers that it gives.
    pub outputs: usize,
    /// `[outputs, inputs]`.
    pub weights: Vec<i8>,
    /// `[outputs]`: in steps of the accumulator; real in dynamic mode.
    pub biases: Vec<B>,
    /// `[outputs]`; empty for the output layer of int8 mode, which keeps its accumulator. Dynamic mode:
    /// `accumulator_scales`.
    pub multipliers: Vec<M>,
    /// `[outputs]`: what one step of each channel's accumulator is worth; in dynamic mode, for inputs of step 1.
    pub accumulator_scales: Vec<f64>,
    /// int8 mode: what one step of the layer's output is worth; of the output layer, its accumulator's step.
    pub scale: f64,
}

impl FloatModel {
    /// The pairs with their weights, of a low-rank interaction too.
    pub fn all_pairs(&self) -> Option<Cow<'_, Pairs<f32>>> {
        let Some(low_rank) = &self.low_rank else { return self.pairs.as_ref().map(Cow::Borrowed) };
        let num_fields = self.fields.len();
        let weight = |(i, j): (usize, usize)| {
            let factors = low_rank.factors.chunks_exact(num_fields).zip(&low_rank.signs);
            factors.map(|(u, &sign)| 2.0 * f64::from(sign) * f64::from(u[i]) * f64::from(u[j])).sum::<f64>() as f32
        };
        let weights = PairList::Dense.pairs(num_fields).into_iter().map(weight).collect();
        Some(Cow::Owned(Pairs { list: PairList::Dense, weights }))
    }

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
            _ => self.low_rank.as_ref().map_or(0, |low_rank| low_rank.factors.len()),
        };
        let layers: usize = self.layers.iter().map(|l| l.weights.len() + l.biases.len()).sum();
        1 + fields + self.field_vectors.as_ref().map_or(0, Vec::len) + pairs + layers
    }
}

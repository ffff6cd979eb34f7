//! What a model computes, as the loader has checked it: views into the file.

use crate::embedding::Embedding;
use crate::format::Terms;
use crate::interaction::{Coefficient, FieldInteraction, LowRank};
use crate::linear::{FeatureWeight, FieldVector};
use crate::mlp::Mlp;

/// The parts, in one of the arithmetics.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Network<'a> {
    F32 { fwfm: Fwfm<'a, f32, f32>, mlp: Option<Mlp<'a, f32, f32, f32>>, bias: f32 },
    Int8 { fwfm: Fwfm<'a, i8, i16>, layers: Layers<'a>, bias: i32, terms: Terms },
}

/// `FeatureWeight + FieldVector + FieldInteraction`, every part optional; W weights, C coefficients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fwfm<'a, W, C: Coefficient> {
    pub(crate) embedding: Embedding<'a, W>,
    pub(crate) feature_weight: Option<FeatureWeight<'a, W>>,
    pub(crate) field_vector: Option<FieldVector<'a, C>>,
    pub(crate) interaction: FieldInteraction<'a, C>,
}

/// The MLP of int8 mode, with layer outputs whose scales are in the file, or of dynamic mode, with a scale for each row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layers<'a> {
    None,
    Static(Mlp<'a, i8, i32, i32>),
    Dynamic(Mlp<'a, i8, f32, f32>),
}

impl<W, C: Coefficient> Fwfm<'_, W, C> {
    /// Numbers, and multiply-accumulates of one row in pairs, field vectors and layers; of the MLP: weights, and biases.
    pub(crate) fn counts(&self, (weights, biases): (usize, usize)) -> (usize, usize) {
        let dim = self.embedding.dim;
        let feature_weights = self.feature_weight.as_ref().map_or(0, |part| part.weights.len());
        let field_vectors = self.field_vector.as_ref().map_or(0, |part| part.0.len());
        let num_fields = self.embedding.fields.len();
        let (pairs, products) = match self.interaction {
            FieldInteraction::None => (0, 0),
            FieldInteraction::Dense(weights) | FieldInteraction::Pruned(_, weights) => (weights.len(), weights.len()),
            // Each factor, its square, and the diagonal.
            FieldInteraction::LowRank(LowRank { signs, factors, .. }) => {
                (factors.len(), factors.len() + signs.len() + num_fields)
            }
        };
        let parameters = self.embedding.numbers() + feature_weights + field_vectors + pairs + weights + biases + 1;
        (parameters, field_vectors + products * dim + weights)
    }
}

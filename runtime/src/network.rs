//! What a model computes, as the loader has checked it: views into the file.

use crate::embedding::Embedding;
use crate::error::Scored;
use crate::format::{Layout, Mode, Terms};
use crate::interaction::{Coefficient, FieldInteraction, LowRank};
use crate::linear::{FeatureWeight, FieldVector};
use crate::mlp::{Layers, Mlp};
use crate::scratch::Memory;

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

impl<W: Copy, C: Coefficient> Fwfm<'_, W, C> {
    /// The same, going on from what a context has begun.
    pub(crate) fn going_on<'b>(&'b self, begun: &'b [C::Square]) -> Fwfm<'b, W, C> {
        let mut candidate = *self;
        if let FieldInteraction::LowRank(low_rank) = &mut candidate.interaction {
            low_rank.begun = begun;
        }
        candidate
    }

    /// Numbers, and multiply-accumulates of one row in pairs, field vectors and layers; of the MLP: weights, and
    /// biases.
    fn counts(&self, (weights, biases): (usize, usize)) -> (usize, usize) {
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

/// What `$of` is of the MLP, whatever its numbers are; `$none` where there is none.
macro_rules! of_mlp {
    ($network:expr, $mlp:ident => $of:expr, $none:expr) => {
        match $network {
            Network::F32 { mlp: Some($mlp), .. } => $of,
            Network::Int8 { layers: Layers::Static($mlp), .. } => $of,
            Network::Int8 { layers: Layers::Dynamic($mlp), .. } => $of,
            Network::F32 { mlp: None, .. } | Network::Int8 { layers: Layers::None, .. } => $none,
        }
    };
}

impl<'a> Network<'a> {
    /// The arithmetic.
    pub(crate) fn mode(&self) -> Mode {
        match self {
            Network::F32 { .. } => Mode::F32,
            Network::Int8 { layers: Layers::Dynamic(_), .. } => Mode::Dynamic,
            Network::Int8 { .. } => Mode::Int8,
        }
    }

    /// How the hidden layers lie; rows where there are none.
    pub(crate) fn layout(&self) -> Layout {
        of_mlp!(self, mlp => mlp.layout(), Layout::Rows)
    }

    /// Outputs of the first layer, padded as it lies; 0 without layers.
    pub(crate) fn first_outputs(&self) -> usize {
        of_mlp!(self, mlp => mlp.layer(0).biases.len(), 0)
    }

    /// The same without what its layout pads.
    pub(crate) fn first_width(&self) -> usize {
        of_mlp!(self, mlp => mlp.layer(0).outputs, 0)
    }

    /// Whether any pairs of fields interact.
    pub(crate) fn has_pairs(&self) -> bool {
        match self {
            Network::F32 { fwfm, .. } => !matches!(fwfm.interaction, FieldInteraction::None),
            Network::Int8 { fwfm, .. } => !matches!(fwfm.interaction, FieldInteraction::None),
        }
    }

    /// Whether there is nothing to lay in tiles.
    pub(crate) fn is_prepared(&self) -> bool {
        of_mlp!(self, mlp => mlp.is_prepared(), true)
    }

    /// The same with its layers in tiles.
    pub(crate) fn prepare<'p>(self, memory: &mut impl Memory<'p>) -> Scored<Network<'p>>
    where
        'a: 'p,
    {
        Ok(match self {
            Network::F32 { fwfm, mlp, bias } => {
                Network::F32 { fwfm, mlp: mlp.map(|mlp| mlp.prepare(memory)).transpose()?, bias }
            }
            Network::Int8 { fwfm, layers, bias, terms } => {
                let layers = match layers {
                    Layers::None => Layers::None,
                    Layers::Static(mlp) => Layers::Static(mlp.prepare(memory)?),
                    Layers::Dynamic(mlp) => Layers::Dynamic(mlp.prepare(memory)?),
                };
                Network::Int8 { fwfm, layers, bias, terms }
            }
        })
    }

    /// Numbers, and multiply-accumulates of one row in pairs, field vectors and layers.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let of_mlp = of_mlp!(self, mlp => mlp.counts(), (0, 0));
        match self {
            Network::F32 { fwfm, .. } => fwfm.counts(of_mlp),
            Network::Int8 { fwfm, .. } => fwfm.counts(of_mlp),
        }
    }
}

//! One model into two: the context's fields and the candidate's, each a model of its own.

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::embedding::Embedding;
use crate::error::ScoreError;
use crate::format::layout::{Bias, Weight};
use crate::format::{FieldRecord, Terms, triangle};
use crate::interaction::{Coefficient, FieldInteraction, LowRank};
use crate::linear::{FeatureWeight, FieldVector};
use crate::mlp::{First, Layer, Mlp};
use crate::model::Model;
use crate::network::{Fwfm, Layers, Network};
use crate::scratch::{Scratch, blocks_of};

/// The two models that a split gives, and what a context leaves.
pub(super) enum Split<'m> {
    Integer {
        context: Fwfm<'m, i8, i16>,
        candidate: Fwfm<'m, i8, i16>,
        layers: SplitLayers<'m>,
        bias: i32,
        terms: Terms,
        /// \[context fields, candidate fields\]
        cross_weights: &'m [i16],
        sums: [i64; 3],
        cross: &'m mut [i32],
        /// \[rank, dim\]
        begun: &'m mut [i32],
        start: &'m mut [i32],
    },
    Real {
        context: Fwfm<'m, f32, f32>,
        candidate: Fwfm<'m, f32, f32>,
        mlp: Option<SplitReal<'m>>,
        bias: f32,
        /// \[context fields, candidate fields\]
        cross_weights: &'m [f32],
        sum: f32,
        carry: &'m mut [f32],
        vectors: &'m mut [f32],
        /// \[rank, dim\]
        begun: &'m mut [f32],
        start: &'m mut [f32],
    },
}

/// The first layer for the context, and the MLP for candidates.
pub(super) type SplitReal<'m> = (Layer<'m, f32, f32, f32>, Mlp<'m, f32, f32, f32>);

/// The first layer for the context, and the MLP for candidates.
pub(super) enum SplitLayers<'m> {
    None,
    Static(Layer<'m, i8, i32, i32>, Mlp<'m, i8, i32, i32>),
    Dynamic(Layer<'m, i8, f32, f32>, Mlp<'m, i8, f32, f32>),
}

/// Which fields are the context's, one bit each: a model has at most 128.
#[derive(Clone, Copy)]
pub(super) struct Fields {
    context: u128,
    count: usize,
}

impl Fields {
    pub(super) fn new(model: &Model<'_>, context_fields: &[usize]) -> Result<Self, ScoreError> {
        let mut context = 0_u128;
        for (n, &field) in context_fields.iter().enumerate() {
            let is_last = n + 1 == model.num_fields();
            if field >= model.num_fields() || context >> field & 1 == 1 || is_last {
                return Err(ScoreError::ContextField { field });
            }
            context |= 1 << field;
        }
        Ok(Fields { context, count: model.num_fields() })
    }

    fn is_in(self, field: usize, context: bool) -> bool {
        (self.context >> field & 1 == 1) == context
    }

    /// The fields of one side, in their order.
    fn of(self, context: bool) -> impl Iterator<Item = usize> + Clone {
        (0..self.count).filter(move |&field| self.is_in(field, context))
    }

    fn len(self, context: bool) -> usize {
        self.of(context).count()
    }

    /// The number of a field among those of its side.
    fn within(self, field: usize) -> usize {
        let side = self.is_in(field, true);
        self.of(side).take_while(|&other| other < field).count()
    }
}

/// Blocks that [`split`] takes, in the order in which it takes them.
pub(super) fn split_blocks(model: &Model<'_>, fields: Fields) -> usize {
    match &model.network {
        Network::Int8 { fwfm, layers, .. } => {
            let layers = match layers {
                Layers::None => 0,
                Layers::Static(mlp) => layer_blocks(mlp, fwfm.embedding.dim, fields),
                Layers::Dynamic(mlp) => layer_blocks(mlp, fwfm.embedding.dim, fields),
            };
            shallow_blocks(fwfm, fields) + layers
        }
        Network::F32 { fwfm, mlp, .. } => {
            let dim = fwfm.embedding.dim;
            shallow_blocks(fwfm, fields)
                + blocks_of::<f32>(dim)
                + mlp.as_ref().map_or(0, |mlp| layer_blocks(mlp, dim, fields))
        }
    }
}

/// Both sides of a [`Fwfm`], the pairs across, and what a context leaves of them.
fn shallow_blocks<W, C: Coefficient>(fwfm: &Fwfm<'_, W, C>, fields: Fields) -> usize {
    let dim = fwfm.embedding.dim;
    let of_side = |context| {
        let count = fields.len(context);
        let coefficients =
            fwfm.feature_weight.as_ref().map_or(0, |part| if part.coefficients.is_empty() { 0 } else { count });
        let vectors = if fwfm.field_vector.is_some() { count * dim } else { 0 };
        let pairs = match fwfm.interaction {
            FieldInteraction::None => 0,
            FieldInteraction::Dense(_) => blocks_of::<C>(count * count.saturating_sub(1) / 2),
            FieldInteraction::Pruned(pairs, _) => {
                let kept = kept_pairs(pairs, fields, context).count();
                blocks_of::<[u8; 2]>(kept) + blocks_of::<C>(kept)
            }
            FieldInteraction::LowRank(LowRank { signs, .. }) => {
                blocks_of::<C>(signs.len() * count) + blocks_of::<C::Square>(count)
            }
        };
        blocks_of::<FieldRecord>(count) + blocks_of::<i16>(coefficients) + blocks_of::<C>(vectors) + pairs
    };
    let candidates = fields.len(false);
    let rank = fwfm.interaction.rank();
    let across = if rank > 0 { 0 } else { fields.len(true) * candidates };
    let left = blocks_of::<i32>(candidates * dim) + blocks_of::<C::Square>(rank * dim);
    of_side(true) + of_side(false) + blocks_of::<C>(across) + left
}

/// The first layer for both sides, and where the candidates' sums begin.
fn layer_blocks<W: Weight, B: Bias, M: Copy>(mlp: &Mlp<'_, W, B, M>, dim: usize, fields: Fields) -> usize {
    let first = mlp.layer(0);
    let of_side = |context| {
        let (weights, sums) = side_sizes(mlp, fields.len(context) * dim);
        blocks_of::<W>(weights) + blocks_of::<i32>(sums)
    };
    let biases = if first.layout.is_strips() { first.biases.len() } else { 0 };
    of_side(true) + of_side(false) + blocks_of::<B>(biases) + blocks_of::<i32>(first.biases.len())
}

/// Weights and sums of the first layer with this many inputs.
fn side_sizes<W: Weight, B: Bias, M: Copy>(mlp: &Mlp<'_, W, B, M>, inputs: usize) -> (usize, usize) {
    let first = mlp.layer(0);
    (first.layout.weights::<W>(inputs, first.outputs), first.sums.len())
}

/// The numbers of the pairs within one side.
fn kept_pairs(pairs: &[[u8; 2]], fields: Fields, context: bool) -> impl Iterator<Item = usize> + Clone {
    let kept =
        move |&(_, &[i, j]): &(usize, &[u8; 2])| fields.is_in(i.into(), context) && fields.is_in(j.into(), context);
    pairs.iter().enumerate().filter(kept).map(|(number, _)| number)
}

/// Both models in `memory`.
pub(super) fn split<'m>(model: &Model<'m>, fields: Fields, memory: &mut Scratch<'m>) -> Result<Split<'m>, ScoreError> {
    let candidates = fields.len(false);
    match &model.network {
        Network::Int8 { fwfm, layers, bias, terms } => {
            let dim = fwfm.embedding.dim;
            let context = side(fwfm, fields, true, memory)?;
            let candidate = side(fwfm, fields, false, memory)?;
            let cross_weights = across(fwfm, fields, memory)?;
            let cross = memory.take::<i32>(candidates * dim)?;
            let begun = memory.take::<i32>(fwfm.interaction.rank() * dim)?;
            let (layers, outputs) = match layers {
                Layers::None => (SplitLayers::None, 0),
                Layers::Static(mlp) => {
                    let (first, of_candidate) = split_mlp(mlp, dim, fields, memory)?;
                    (SplitLayers::Static(first, of_candidate), first.biases.len())
                }
                Layers::Dynamic(mlp) => {
                    let (first, of_candidate) = split_mlp(mlp, dim, fields, memory)?;
                    (SplitLayers::Dynamic(first, of_candidate), first.biases.len())
                }
            };
            let start = memory.take::<i32>(outputs)?;
            let (bias, terms, sums) = (*bias, *terms, [0; 3]);
            Ok(Split::Integer { context, candidate, layers, bias, terms, cross_weights, sums, cross, begun, start })
        }
        Network::F32 { fwfm, mlp, bias } => {
            let dim = fwfm.embedding.dim;
            let context = side(fwfm, fields, true, memory)?;
            let candidate = side(fwfm, fields, false, memory)?;
            let cross_weights = across(fwfm, fields, memory)?;
            let vectors = memory.take::<f32>(candidates * dim)?;
            let begun = memory.take::<f32>(fwfm.interaction.rank() * dim)?;
            let carry = memory.take::<f32>(dim)?;
            let mlp = mlp.as_ref().map(|mlp| split_mlp(mlp, dim, fields, memory)).transpose()?;
            let start = memory.take::<f32>(mlp.as_ref().map_or(0, |(first, _)| first.biases.len()))?;
            let (bias, sum) = (*bias, 0.0);
            Ok(Split::Real { context, candidate, mlp, bias, cross_weights, sum, carry, vectors, begun, start })
        }
    }
}

/// The fields of one side, with the pairs within it. Tables and feature weights stay where they are.
fn side<'m, W, C: Coefficient + FromBytes + IntoBytes + KnownLayout>(
    fwfm: &Fwfm<'m, W, C>,
    fields: Fields,
    context: bool,
    memory: &mut Scratch<'m>,
) -> Result<Fwfm<'m, W, C>, ScoreError> {
    let Embedding { fields: all, tables, dim, .. } = fwfm.embedding;
    let count = fields.len(context);
    let records = memory.take::<FieldRecord>(count)?;
    for (record, field) in records.iter_mut().zip(fields.of(context)) {
        *record = all[field];
    }
    let feature_weight = match fwfm.feature_weight {
        None => None,
        Some(FeatureWeight { weights, coefficients }) => {
            let kept = memory.take::<i16>(if coefficients.is_empty() { 0 } else { count })?;
            for (kept, field) in kept.iter_mut().zip(fields.of(context)) {
                *kept = coefficients[field];
            }
            Some(FeatureWeight { weights, coefficients: kept })
        }
    };
    let field_vector = match fwfm.field_vector {
        None => None,
        Some(FieldVector(vectors)) => {
            let kept = memory.take::<C>(count * dim)?;
            for (kept, field) in kept.chunks_exact_mut(dim).zip(fields.of(context)) {
                kept.copy_from_slice(&vectors[field * dim..][..dim]);
            }
            Some(FieldVector(&*kept))
        }
    };
    let interaction = match fwfm.interaction {
        FieldInteraction::None => FieldInteraction::None,
        FieldInteraction::Dense(weights) => {
            let kept = memory.take::<C>(count * count.saturating_sub(1) / 2)?;
            let pairs =
                fields.of(context).flat_map(|i| fields.of(context).filter(move |&j| j > i).map(move |j| (i, j)));
            for (kept, (i, j)) in kept.iter_mut().zip(pairs) {
                *kept = weights[triangle(fields.count, i, j)];
            }
            FieldInteraction::Dense(kept)
        }
        FieldInteraction::Pruned(pairs, weights) => {
            let kept = kept_pairs(pairs, fields, context);
            let count = kept.clone().count();
            let (to_pairs, to_weights) = (memory.take::<[u8; 2]>(count)?, memory.take::<C>(count)?);
            for ((pair, weight), number) in to_pairs.iter_mut().zip(to_weights.iter_mut()).zip(kept) {
                // At most 128 fields.
                *pair = pairs[number].map(|field| fields.within(field.into()) as u8);
                *weight = weights[number];
            }
            FieldInteraction::Pruned(to_pairs, to_weights)
        }
        FieldInteraction::LowRank(LowRank { signs, factors, diagonal, begun }) => {
            let (to_factors, to_diagonal) = (memory.take::<C>(signs.len() * count)?, memory.take::<C::Square>(count)?);
            // The candidate's side has one field at least; a context without fields has no factors either.
            for (to, u) in to_factors.chunks_exact_mut(count.max(1)).zip(factors.chunks_exact(fields.count)) {
                for (to, field) in to.iter_mut().zip(fields.of(context)) {
                    *to = u[field];
                }
            }
            for (to, field) in to_diagonal.iter_mut().zip(fields.of(context)) {
                *to = diagonal[field];
            }
            FieldInteraction::LowRank(LowRank { signs, factors: to_factors, diagonal: to_diagonal, begun })
        }
    };
    Ok(Fwfm { embedding: Embedding::new(records, tables, dim), feature_weight, field_vector, interaction })
}

/// \[context fields, candidate fields\]: the weights of the pairs that the split has cut, 0 for pruned ones.
fn across<'m, W, C: Coefficient + Default + FromBytes + IntoBytes + KnownLayout>(
    fwfm: &Fwfm<'m, W, C>,
    fields: Fields,
    memory: &mut Scratch<'m>,
) -> Result<&'m [C], ScoreError> {
    let candidates = fields.len(false);
    if fwfm.interaction.rank() > 0 {
        return Ok(&[]);
    }
    let to = memory.take::<C>(fields.len(true) * candidates)?;
    to.fill(C::default());
    match fwfm.interaction {
        FieldInteraction::None | FieldInteraction::LowRank(_) => (),
        FieldInteraction::Dense(weights) => {
            for (row, i) in to.chunks_exact_mut(candidates).zip(fields.of(true)) {
                for (to, j) in row.iter_mut().zip(fields.of(false)) {
                    *to = weights[triangle(fields.count, i.min(j), i.max(j))];
                }
            }
        }
        FieldInteraction::Pruned(pairs, weights) => {
            for (&[i, j], &weight) in pairs.iter().zip(weights) {
                let (i, j) = if fields.is_in(i.into(), true) { (i, j) } else { (j, i) };
                if fields.is_in(i.into(), true) && fields.is_in(j.into(), false) {
                    to[fields.within(i.into()) * candidates + fields.within(j.into())] = weight;
                }
            }
        }
    }
    Ok(to)
}

/// The first layer for the context's inputs, and the MLP whose first layer has the candidate's inputs.
#[allow(clippy::type_complexity, reason = "two of the three types are the caller's")]
fn split_mlp<'m, W, B, M: Copy>(
    mlp: &Mlp<'m, W, B, M>,
    dim: usize,
    fields: Fields,
    memory: &mut Scratch<'m>,
) -> Result<(Layer<'m, W, B, M>, Mlp<'m, W, B, M>), ScoreError>
where
    W: Weight + FromBytes + IntoBytes + KnownLayout,
    B: Bias + FromBytes + IntoBytes + KnownLayout,
{
    let first = mlp.layer(0);
    let layout = first.layout;
    let mut side = |context: bool| -> Result<Layer<'m, W, B, M>, ScoreError> {
        let inputs = fields.len(context) * dim;
        let (num_weights, num_sums) = side_sizes(mlp, inputs);
        let (weights, sums) = (memory.take::<W>(num_weights)?, memory.take::<i32>(num_sums)?);
        weights.fill(W::default());
        sums.fill(0);
        for o in 0..first.outputs {
            for (at, field) in fields.of(context).enumerate() {
                for d in 0..dim {
                    let (from, to) = (field * dim + d, at * dim + d);
                    let weight = layout.weight(first.weights, first.inputs, o, from);
                    layout.set(weights, inputs, o, to, weight);
                    if let Some(sum) = sums.get_mut(o) {
                        *sum += weight.integer();
                    }
                }
            }
        }
        Ok(Layer { inputs, weights, sums, ..first })
    };
    let (mut of_context, of_candidate) = (side(true)?, side(false)?);
    if layout.is_strips() {
        // Biases hold what their layer's weights call for: that of the whole layer gives way to those of both sides.
        let biases = memory.take::<B>(first.biases.len())?;
        biases.copy_from_slice(first.biases);
        for (o, bias) in biases.iter_mut().enumerate().take(first.outputs) {
            let shift = |layer: &Layer<'_, W, B, M>| layout.shift(true, layer.weights, layer.inputs, o);
            *bias = bias.shifted(shift(&of_context) + shift(&of_candidate) - shift(&first));
        }
        of_context.biases = biases;
    }
    let Layer { inputs, weights, sums, .. } = of_candidate;
    Ok((of_context, Mlp { first: Some(First { inputs, weights, sums }), ..*mlp }))
}

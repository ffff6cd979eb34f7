//! One model into two: the context's fields and the candidate's, each a model of its own.

use crate::embedding::Embedding;
use crate::error::{ScoreError, Scored};
use crate::format::layout::{Bias, Weight};
use crate::format::{Terms, limit, triangle};
use crate::interaction::{Coefficient, FieldInteraction, LowRank};
use crate::linear::{FeatureWeight, FieldVector};
use crate::mlp::{First, Layer, Layers, Mlp};
use crate::network::{Fwfm, Network};
use crate::scratch::{Memory, Plain};

/// The two models.
#[derive(Clone, Copy)]
pub(super) enum Split<'m> {
    Integer {
        sides: Sides<'m, i8, i16>,
        /// The context's share of the first layer; in dynamic mode without biases. No multipliers.
        first: Option<Layer<'m, i8, i32, i32>>,
        /// For candidates.
        layers: Layers<'m>,
        bias: i32,
        terms: Terms,
    },
    Real {
        sides: Sides<'m, f32, f32>,
        mlp: Option<SplitMlp<'m, f32, f32, f32>>,
        bias: f32,
    },
}

/// All but the layers.
#[derive(Clone, Copy)]
pub(super) struct Sides<'m, W, C: Coefficient> {
    pub(super) context: Fwfm<'m, W, C>,
    pub(super) candidate: Fwfm<'m, W, C>,
    /// \[context fields, candidate fields\]
    pub(super) cross_weights: &'m [C],
}

/// The first layer for the context, and the MLP for candidates.
pub(super) type SplitMlp<'m, W, B, M> = (Layer<'m, W, B, M>, Mlp<'m, W, B, M>);

/// Which fields are the context's, one bit each, in words: to shift 128 bits takes 32 bytes of the stack each time.
#[derive(Clone, Copy)]
pub(super) struct Fields {
    context: [u32; limit::FIELDS / 32],
    count: usize,
}

impl Fields {
    pub(super) fn new(num_fields: usize, context_fields: &[usize]) -> Scored<Self> {
        let mut fields = Fields { context: [0; _], count: num_fields };
        for (n, &field) in context_fields.iter().enumerate() {
            let is_last = n + 1 == num_fields;
            if field >= num_fields || fields.is_in(field, true) || is_last {
                return Err(ScoreError::ContextField { field });
            }
            // There is one: a model has at most as many fields as there are bits.
            fields.context.iter_mut().skip(field / 32).take(1).for_each(|word| *word |= 1 << (field % 32));
        }
        Ok(fields)
    }

    /// Of so many fields, those of the context as [`Fields::words`] has them; `None` where one is not among them, or
    /// none is left for candidates.
    pub(super) fn of_words(context: [u32; limit::FIELDS / 32], count: usize) -> Option<Self> {
        let fields = Fields { context, count };
        let all: u32 = context.iter().map(|word| word.count_ones()).sum();
        (all as usize == fields.len(true) && fields.len(false) > 0).then_some(fields)
    }

    /// The bits of the context's fields.
    pub(super) fn words(&self) -> [u32; limit::FIELDS / 32] {
        self.context
    }

    /// Of how many fields.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_in(&self, field: usize, context: bool) -> bool {
        self.context.get(field / 32).is_some_and(|word| word >> (field % 32) & 1 == 1) == context
    }

    /// The fields of one side, in their order.
    pub(super) fn of(&self, context: bool) -> impl Iterator<Item = usize> + Clone {
        (0..self.count).filter(move |&field| self.is_in(field, context))
    }

    pub(super) fn len(&self, context: bool) -> usize {
        self.of(context).count()
    }

    /// The number of a field among those of its side.
    fn within(&self, field: usize) -> usize {
        let side = self.is_in(field, true);
        self.of(side).take_while(|&other| other < field).count()
    }
}

/// Gives `each` the pairs of a field of the context with one of the candidate's: the former's number, the latter's and
/// its place among the candidate's, and the pair's weight. Pruned pairs, and those of factors, are left out.
pub(super) fn each_across<C: Coefficient>(
    interaction: &FieldInteraction<'_, C>,
    fields: &Fields,
    mut each: impl FnMut(usize, (usize, usize), C),
) {
    match interaction {
        FieldInteraction::None | FieldInteraction::LowRank(_) => (),
        FieldInteraction::Dense(weights) => {
            for i in fields.of(true) {
                for (place, j) in fields.of(false).enumerate() {
                    let pair = triangle(fields.count, i.min(j), i.max(j));
                    weights.get(pair).into_iter().for_each(|&weight| each(i, (j, place), weight));
                }
            }
        }
        FieldInteraction::Pruned(pairs, weights) => {
            for (&[i, j], &weight) in pairs.iter().zip(*weights) {
                let (i, j) = if fields.is_in(i.into(), true) { (i, j) } else { (j, i) };
                if fields.is_in(i.into(), true) && fields.is_in(j.into(), false) {
                    each(i.into(), (j.into(), fields.within(j.into())), weight);
                }
            }
        }
    }
}

/// The numbers of the pairs within one side.
fn kept_pairs(pairs: &[[u8; 2]], fields: &Fields, context: bool) -> impl Iterator<Item = usize> + Clone {
    let kept =
        move |&(_, &[i, j]): &(usize, &[u8; 2])| fields.is_in(i.into(), context) && fields.is_in(j.into(), context);
    pairs.iter().enumerate().filter(kept).map(|(number, _)| number)
}

/// Both models in `memory`.
pub(super) fn split<'m>(network: &Network<'m>, fields: &Fields, memory: &mut impl Memory<'m>) -> Scored<Split<'m>> {
    Ok(match network {
        Network::Int8 { fwfm, layers, bias, terms } => {
            let (sides, dim) = (both_sides(fwfm, fields, memory)?, fwfm.embedding.dim);
            let (first, layers) = match layers {
                Layers::None => (None, Layers::None),
                Layers::Static(mlp) => {
                    let (first, mlp) = split_mlp(mlp, dim, fields, memory)?;
                    (Some(Layer { multipliers: &[], ..first }), Layers::Static(mlp))
                }
                Layers::Dynamic(mlp) => {
                    let (Layer { inputs, outputs, layout, weights, sums, .. }, mlp) =
                        split_mlp(mlp, dim, fields, memory)?;
                    let first = Layer { inputs, outputs, layout, weights, biases: &[], multipliers: &[], sums };
                    (Some(first), Layers::Dynamic(mlp))
                }
            };
            Split::Integer { sides, first, layers, bias: *bias, terms: *terms }
        }
        Network::F32 { fwfm, mlp, bias } => {
            let sides = both_sides(fwfm, fields, memory)?;
            let mlp = mlp.as_ref().map(|mlp| split_mlp(mlp, fwfm.embedding.dim, fields, memory)).transpose()?;
            Split::Real { sides, mlp, bias: *bias }
        }
    })
}

pub(super) fn both_sides<'m, W, C: Coefficient + Plain>(
    fwfm: &Fwfm<'m, W, C>,
    fields: &Fields,
    memory: &mut impl Memory<'m>,
) -> Scored<Sides<'m, W, C>> {
    Ok(Sides {
        context: side(fwfm, fields, true, memory)?,
        candidate: side(fwfm, fields, false, memory)?,
        cross_weights: across(fwfm, fields, memory)?,
    })
}

/// The fields of one side, with the pairs within it. Tables and feature weights stay where they are.
fn side<'m, W, C: Coefficient + Plain>(
    fwfm: &Fwfm<'m, W, C>,
    fields: &Fields,
    context: bool,
    memory: &mut impl Memory<'m>,
) -> Scored<Fwfm<'m, W, C>> {
    let Embedding { fields: all, tables, dim, .. } = fwfm.embedding;
    let count = fields.len(context);
    let records = memory.lay(count, |records| take_each(records, all, fields.of(context)))?;
    let feature_weight = match fwfm.feature_weight {
        None => None,
        Some(FeatureWeight { weights, coefficients }) => {
            let count = if coefficients.is_empty() { 0 } else { count };
            let coefficients = memory.lay(count, |to| take_each(to, coefficients, fields.of(context)))?;
            Some(FeatureWeight { weights, coefficients })
        }
    };
    let field_vector = match fwfm.field_vector {
        None => None,
        Some(FieldVector(vectors)) => {
            let numbers = fields.of(context).flat_map(|field| field * dim..(field + 1) * dim);
            Some(FieldVector(memory.lay(count * dim, |to| take_each(to, vectors, numbers))?))
        }
    };
    let interaction = match fwfm.interaction {
        FieldInteraction::None => FieldInteraction::None,
        FieldInteraction::Dense(weights) => {
            let pairs =
                fields.of(context).flat_map(|i| fields.of(context).filter(move |&j| j > i).map(move |j| (i, j)));
            let numbers = pairs.map(|(i, j)| triangle(fields.count, i, j));
            let count = count * count.saturating_sub(1) / 2;
            FieldInteraction::Dense(memory.lay(count, |to| take_each(to, weights, numbers))?)
        }
        FieldInteraction::Pruned(pairs, weights) => {
            let kept = kept_pairs(pairs, fields, context);
            let count = kept.clone().count();
            let to_pairs = memory.lay(count, |to: &mut [[u8; 2]]| {
                for (to, pair) in to.iter_mut().zip(kept.clone().filter_map(|number| pairs.get(number))) {
                    // At most 128 fields.
                    *to = pair.map(|field| fields.within(field.into()) as u8);
                }
            })?;
            FieldInteraction::Pruned(to_pairs, memory.lay(count, |to| take_each(to, weights, kept))?)
        }
        FieldInteraction::LowRank(LowRank { signs, factors, diagonal, begun }) => {
            let rows = (0..signs.len()).map(|factor| factor * fields.count);
            let numbers = rows.flat_map(|row| fields.of(context).map(move |field| row + field));
            let factors = memory.lay(signs.len() * count, |to| take_each(to, factors, numbers))?;
            let diagonal = memory.lay(count, |to| take_each(to, diagonal, fields.of(context)))?;
            FieldInteraction::LowRank(LowRank { signs, factors, diagonal, begun })
        }
    };
    Ok(Fwfm { embedding: Embedding::new(records, tables, dim), feature_weight, field_vector, interaction })
}

/// to\[n\] = from\[number n\]
fn take_each<T: Copy>(to: &mut [T], from: &[T], numbers: impl Iterator<Item = usize>) {
    for (to, &number) in to.iter_mut().zip(numbers.filter_map(|number| from.get(number))) {
        *to = number;
    }
}

/// \[context fields, candidate fields\]: the weights of the pairs that the split has cut, 0 for pruned ones.
fn across<'m, W, C: Coefficient + Plain>(
    fwfm: &Fwfm<'m, W, C>,
    fields: &Fields,
    memory: &mut impl Memory<'m>,
) -> Scored<&'m [C]> {
    let candidates = fields.len(false);
    if fwfm.interaction.rank() > 0 {
        return Ok(&[]);
    }
    memory.lay(fields.len(true) * candidates, |to| {
        each_across(&fwfm.interaction, fields, |i, (_, place), weight| {
            if let Some(to) = to.get_mut(fields.within(i) * candidates + place) {
                *to = weight;
            }
        });
    })
}

/// The first layer for the context's inputs, and the MLP whose first layer has the candidate's inputs.
fn split_mlp<'m, W: Weight + Plain, B: Bias + Plain, M: Copy>(
    mlp: &Mlp<'m, W, B, M>,
    dim: usize,
    fields: &Fields,
    memory: &mut impl Memory<'m>,
) -> Scored<SplitMlp<'m, W, B, M>> {
    let first = mlp.layer(0);
    let layout = first.layout;
    let mut of_context = share(&first, dim, fields, true, memory)?;
    let of_candidate = share(&first, dim, fields, false, memory)?;
    if layout.is_strips() {
        // Biases hold what their layer's weights call for: that of the whole layer gives way to those of both sides.
        of_context.biases = memory.lay(first.biases.len(), |biases: &mut [B]| {
            biases.copy_from_slice(first.biases);
            for (o, bias) in biases.iter_mut().enumerate().take(first.outputs) {
                let shift = |layer: &Layer<'_, W, B, M>| layout.shift(true, layer.weights, layer.inputs, o);
                *bias = bias.shifted(shift(&of_context) + shift(&of_candidate) - shift(&first));
            }
        })?;
    }
    Ok((of_context, with_first(mlp, of_candidate)))
}

/// The MLP with another first layer.
fn with_first<'m, W, B, M>(mlp: &Mlp<'m, W, B, M>, first: Layer<'m, W, B, M>) -> Mlp<'m, W, B, M>
where
    Mlp<'m, W, B, M>: Copy,
{
    let Layer { inputs, weights, sums, .. } = first;
    Mlp { first: Some(First { inputs, weights, sums }), ..*mlp }
}

/// One side's share of the first layer, its biases untouched.
fn share<'m, W: Weight + Plain, B: Bias + Plain, M: Copy>(
    first: &Layer<'m, W, B, M>,
    dim: usize,
    fields: &Fields,
    context: bool,
    memory: &mut impl Memory<'m>,
) -> Scored<Layer<'m, W, B, M>> {
    let layout = first.layout;
    let inputs = fields.len(context) * dim;
    let own = || fields.of(context).flat_map(|field| field * dim..(field + 1) * dim);
    let weights = memory.lay(layout.weights::<W>(inputs, first.outputs), |weights: &mut [W]| {
        for o in 0..first.outputs {
            for (to, from) in own().enumerate() {
                layout.set(weights, inputs, o, to, layout.weight(first.weights, first.inputs, o, from));
            }
        }
    })?;
    let sums = memory.lay(first.sums.len(), |sums: &mut [i32]| {
        for (o, sum) in sums.iter_mut().enumerate().take(first.outputs) {
            *sum = own().map(|i| layout.weight(first.weights, first.inputs, o, i).integer()).sum();
        }
    })?;
    Ok(Layer { inputs, weights, sums, ..*first })
}

/// An MLP, and what has to be added to the biases of its first layer, \[outputs\].
pub(super) type Shifted<'m, W, B, M> = (Mlp<'m, W, B, M>, &'m [i32]);

/// The MLP for candidates whose context is begun by the whole first layer: its first layer has the candidate's inputs
/// alone. What its layout calls for in the biases beside the model's own, \[outputs\], is with it, where that is not 0.
pub(super) fn of_candidates<'m, W: Weight + Plain, B: Bias + Plain, M: Copy>(
    mlp: &Mlp<'m, W, B, M>,
    dim: usize,
    fields: &Fields,
    memory: &mut impl Memory<'m>,
) -> Scored<Shifted<'m, W, B, M>> {
    let first = mlp.layer(0);
    let own = share(&first, dim, fields, false, memory)?;
    let count = if first.layout.is_strips() { first.biases.len() } else { 0 };
    let shifts = memory.lay(count, |shifts: &mut [i32]| {
        for (o, shift) in shifts.iter_mut().enumerate().take(first.outputs) {
            *shift = own.layout.shift(true, own.weights, own.inputs, o);
        }
    })?;
    Ok((with_first(mlp, own), shifts))
}

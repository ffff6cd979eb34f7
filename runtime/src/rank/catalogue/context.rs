//! What a context leaves for the items of a catalogue. Its row is a whole row whose items' vectors are zero: what it
//! adds is what such a row adds, and the layers and tables stay where they are.

use crate::error::Scored;
use crate::interaction::{Coefficient, FieldInteraction, LowRank};
use crate::kernel::vector::{Task, Vector};
use crate::linear::FirstOrder;
use crate::model::Model;
use crate::network::{Fwfm, Network};
use crate::row::Row;
use crate::score::Across;
use crate::scratch::{Measure, Memory, Scratch, ScratchBlock};

use super::super::context::{begin_f32, begin_int8};
use super::super::split::{Fields, each_across};

/// A thread's own.
pub(super) enum Context<'m> {
    Integer {
        /// Feature weights, field vectors, pairs.
        own: [i64; 3],
        across: Weighed<'m>,
        start: &'m mut [i32],
    },
    Real {
        /// With the bias.
        own: f32,
        across: &'m mut [f32],
        start: &'m mut [f32],
    },
}

/// [`Across`], to be filled.
pub(super) enum Weighed<'m> {
    Narrow(&'m mut [i32]),
    Wide(&'m mut [i64]),
}

impl Weighed<'_> {
    pub(super) fn get(&self) -> Across<'_> {
        match self {
            Weighed::Narrow(t) => Across::Narrow(t),
            Weighed::Wide(t) => Across::Wide(t),
        }
    }
}

impl<'m> Context<'m> {
    /// Memory for the contexts of a model whose items have so many numbers in their vectors, where pairs read them.
    pub(super) fn carve(network: &Network<'_>, inputs: usize, memory: &mut impl Memory<'m>) -> Scored<Self> {
        let outputs = network.first_outputs();
        let len = |dim: usize| if network.has_pairs() { Across::len(inputs, dim) } else { 0 };
        Ok(match network {
            Network::Int8 { fwfm, .. } => Context::Integer {
                own: [0; 3],
                across: match fwfm.interaction {
                    FieldInteraction::LowRank(_) => Weighed::Wide(memory.take(len(fwfm.embedding.dim))?),
                    _ => Weighed::Narrow(memory.take(len(fwfm.embedding.dim))?),
                },
                start: memory.take(outputs)?,
            },
            Network::F32 { fwfm, .. } => Context::Real {
                own: 0.0,
                across: memory.take(len(fwfm.embedding.dim))?,
                start: memory.take(outputs)?,
            },
        })
    }
}

/// The fields of one side: `true` for the context's.
pub(super) type Side<'f> = (&'f Fields, bool);

impl Fwfm<'_, i8, i16> {
    /// e \[num_fields, dim\]: the vectors of a row of one side, zeros for the other's; and its own sums
    #[inline(always)]
    pub(super) fn own<'s, V: Vector>(
        &self,
        v: V,
        (fields, context): Side<'_>,
        row: Row<'_>,
        memory: &mut Scratch<'s>,
    ) -> Scored<([i64; 3], &'s mut [i8])> {
        let (acc, e) = self.carve_vectors(memory, 1)?;
        let feature_weight = self.gather_some(fields.of(context), &row, acc, e)?;
        let field_vector = self.field_vectors(v, e);
        let pairs = self.carve_pairs::<V>(memory, 1)?;
        let of_pairs = self.interaction.accumulate(v, self.embedding.vectors(e), pairs);
        Ok(([feature_weight, field_vector, of_pairs], e))
    }
}

impl Fwfm<'_, f32, f32> {
    /// The same in f32 mode, with one sum.
    #[inline(always)]
    pub(super) fn own<'s, V: Vector>(
        &self,
        v: V,
        (fields, context): Side<'_>,
        row: Row<'_>,
        memory: &mut Scratch<'s>,
    ) -> Scored<(f32, &'s mut [f32])> {
        let e = memory.take::<f32>(self.embedding.stride())?;
        let feature_weight = self.gather_some(fields.of(context), row, e)?;
        let first_order = FirstOrder { w: self.field_vector.map(|vectors| vectors.0), carry: &[] };
        let of_pairs = self.interaction.accumulate(v, self.embedding.vectors(e), first_order);
        Ok((feature_weight + of_pairs, e))
    }
}

/// Fills a [`Context`] with what a row of the context's fields leaves.
pub(super) struct SetContext<'t, 'm, 'r> {
    pub(super) network: &'t Network<'t>,
    pub(super) fields: &'t Fields,
    pub(super) context: &'t mut Context<'m>,
    /// What the layout of an item's own first layer adds to its biases, where it has such a layer.
    pub(super) shifts: &'t [i32],
    pub(super) row: Row<'r>,
    pub(super) scratch: &'t mut [ScratchBlock],
}

impl Task for SetContext<'_, '_, '_> {
    type Output = Scored<()>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Scored<()> {
        let SetContext { network, fields, context, shifts, row, scratch } = self;
        let mut memory = Scratch::new(scratch);
        match (network, context) {
            (Network::Int8 { fwfm, layers, .. }, Context::Integer { own, across, start }) => {
                let (sums, e) = fwfm.own(v, (fields, true), row, &mut memory)?;
                *own = sums;
                let dim = fwfm.embedding.dim;
                match (&fwfm.interaction, across) {
                    (FieldInteraction::LowRank(low_rank), Weighed::Wide(across)) => {
                        let begun = memory.take(low_rank.signs.len() * dim)?;
                        let pairs = fwfm.carve_pairs::<V>(&mut memory, 1)?;
                        fwfm.interaction.begin(v, fwfm.embedding.vectors(e), pairs, begun);
                        of_factors(low_rank, fields, (begun, dim), across, |t, (sign, u), a| {
                            *t += 2 * i64::from(sign) * i64::from(u) * i64::from(a);
                        });
                    }
                    (pairs, Weighed::Narrow(across)) => {
                        of_pairs(pairs, fields, (&*e, dim), across, |t, r, e| *t += i32::from(r) * i32::from(e));
                    }
                    // The carved are of this interaction.
                    (_, Weighed::Wide(_)) => (),
                }
                if let Some(first) = layers.first() {
                    match first.biases {
                        [] => start.fill(0),
                        biases => start.copy_from_slice(biases),
                    }
                    begin_int8(v, &first, e, &mut memory, start)?;
                    for (start, shift) in start.iter_mut().zip(shifts) {
                        *start = start.wrapping_add(*shift);
                    }
                }
            }
            (Network::F32 { fwfm, mlp, bias }, Context::Real { own, across, start }) => {
                let (sum, e) = fwfm.own(v, (fields, true), row, &mut memory)?;
                *own = bias + sum;
                let (inputs, dim) = (fwfm.embedding.inputs(), fwfm.embedding.dim);
                if let FieldInteraction::LowRank(low_rank) = &fwfm.interaction {
                    let begun = memory.take(low_rank.signs.len() * dim)?;
                    fwfm.interaction.begin(v, fwfm.embedding.vectors(e), begun);
                    of_factors(low_rank, fields, (begun, dim), across, |t, (sign, u), a| {
                        *t += 2.0 * f32::from(sign) * u * a;
                    });
                } else {
                    of_pairs(&fwfm.interaction, fields, (&*e, dim), across, |t, r, e| *t += r * e);
                }
                if let Some(mlp) = mlp {
                    let first = mlp.layer(0);
                    start.copy_from_slice(first.biases);
                    begin_f32(v, &first, &e[..inputs], start);
                }
            }
            // Both are of one model.
            (Network::Int8 { .. }, Context::Real { .. }) | (Network::F32 { .. }, Context::Integer { .. }) => (),
        }
        Ok(())
    }
}

/// e \[num_fields, dim\], t \[fields of an item, dim\] and zeros: t_jd = sum_i r_ij e_id over the context's fields;
/// `add` adds r e to t
fn of_pairs<C: Coefficient, E: Copy, T: Copy + Default>(
    interaction: &FieldInteraction<'_, C>,
    fields: &Fields,
    e: (&[E], usize),
    t: &mut [T],
    add: impl Fn(&mut T, C, E),
) {
    let (e, dim) = e;
    t.fill(T::default());
    each_across(interaction, fields, |i, (_, place), weight| {
        let e = e.get(i * dim..).unwrap_or_default();
        for (t, &e) in t.get_mut(place * dim..).unwrap_or_default().iter_mut().zip(e).take(dim) {
            add(t, weight, e);
        }
    });
}

/// a \[rank, dim\]: the context's share of the sums that are squared. t \[fields of an item, dim\] and zeros:
/// t_jd = 2 sum_rho sign_rho u_rho,j a_rho,d; `add` adds 2 sign u a to t
///
/// `|a + b|^2 = |a|^2 + 2 <a, b> + |b|^2`, where b = sum_j u_rho,j e_j over the fields of an item.
fn of_factors<C: Coefficient, T: Copy + Default>(
    low_rank: &LowRank<'_, C>,
    fields: &Fields,
    a: (&[C::Square], usize),
    t: &mut [T],
    add: impl Fn(&mut T, (i8, C), C::Square),
) {
    let (a, dim) = a;
    t.fill(T::default());
    let num_fields = low_rank.diagonal.len();
    for (factor, (&sign, a)) in low_rank.signs.iter().zip(a.chunks_exact(dim)).enumerate() {
        for (t, j) in t.chunks_exact_mut(dim).zip(fields.of(false)) {
            let Some(&u) = low_rank.factors.get(factor * num_fields + j) else { break };
            for (t, &a) in t.iter_mut().zip(a) {
                add(t, (sign, u), a);
            }
        }
    }
}

/// Blocks of scratch that a context, or an item of a catalogue that is built, is computed in.
pub(super) fn scratch_blocks(model: &Model<'_>) -> usize {
    model.token.run(Blocks { network: &model.network })
}

struct Blocks<'t> {
    network: &'t Network<'t>,
}

impl Task for Blocks<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector>(self, _: V) -> usize {
        let outputs = self.network.first_outputs();
        Measure::of(
            #[inline(always)]
            |memory| match self.network {
                Network::Int8 { fwfm, layers, .. } => {
                    // A catalogue that is built keeps what the first layer's sums of nothing are.
                    memory.take::<i32>(outputs)?;
                    fwfm.carve_vectors(memory, 1)?;
                    memory.take::<i32>(fwfm.interaction.rank() * fwfm.embedding.dim)?;
                    fwfm.carve_pairs::<V>(memory, 1)?;
                    layers.carve::<V>(memory, fwfm.embedding.inputs(), 1)
                }
                Network::F32 { fwfm, .. } => {
                    memory.take::<f32>(fwfm.embedding.stride())?;
                    memory.take::<f32>(fwfm.interaction.rank() * fwfm.embedding.dim)?;
                    memory.take::<f32>(outputs).map(drop)
                }
            },
        )
    }
}

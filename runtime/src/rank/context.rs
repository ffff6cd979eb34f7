//! What a context adds to every candidate's score: computed once, in a thread's own memory.

use zerocopy::IntoBytes;

use std::iter;

use crate::error::Scored;
use crate::format::Layout;
use crate::format::layout::tile;
use crate::kernel::portable;
use crate::kernel::vector::{Finish, FinishReal, LANES, Quad, Task, Vector, layer_f32, layer_int8, load_f32};
use crate::mlp::{Fours, Layer, interleave, read_len, shifted};
use crate::network::Network;
use crate::row::Row;
use crate::score::{GatherIntegers, GatherReals};
use crate::scratch::{Memory, Scratch, ScratchBlock};

use super::split::{Sides, Split};

/// What a context leaves for its candidates: a thread's own.
pub(super) enum Context<'m> {
    Integer {
        /// Feature weights, field vectors, pairs.
        sums: [i64; 3],
        cross: &'m mut [i32],
        /// \[rank, dim\]
        begun: &'m mut [i32],
        start: &'m mut [i32],
    },
    Real {
        sum: f32,
        carry: &'m mut [f32],
        vectors: &'m mut [f32],
        /// \[rank, dim\]
        begun: &'m mut [f32],
        start: &'m mut [f32],
    },
}

impl<'m> Context<'m> {
    /// Memory for the contexts of a network whose candidates have so many fields.
    pub(super) fn carve(network: &Network<'_>, candidates: usize, memory: &mut impl Memory<'m>) -> Scored<Self> {
        let outputs = network.first_outputs();
        Ok(match network {
            Network::Int8 { fwfm, .. } => Context::Integer {
                sums: [0; 3],
                cross: memory.take(candidates * fwfm.embedding.dim)?,
                begun: memory.take(fwfm.interaction.rank() * fwfm.embedding.dim)?,
                start: memory.take(outputs)?,
            },
            Network::F32 { fwfm, .. } => Context::Real {
                sum: 0.0,
                carry: memory.take(fwfm.embedding.dim)?,
                vectors: memory.take(candidates * fwfm.embedding.dim)?,
                begun: memory.take(fwfm.interaction.rank() * fwfm.embedding.dim)?,
                start: memory.take(outputs)?,
            },
        })
    }
}

/// Fills a [`Context`] with what a row of the context's fields leaves.
pub(super) struct SetContext<'t, 'm, 'r> {
    pub(super) split: &'t Split<'m>,
    pub(super) context: &'t mut Context<'m>,
    pub(super) row: Row<'r>,
    pub(super) scratch: &'t mut [ScratchBlock],
}

impl Task for SetContext<'_, '_, '_> {
    type Output = Scored<()>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Self::Output {
        let SetContext { split, context: left, row, scratch } = self;
        let mut memory = Scratch::new(scratch);
        match (split, left) {
            (Split::Integer { sides, first, .. }, Context::Integer { sums, cross, begun, start }) => {
                let Sides { context, cross_weights, .. } = sides;
                let (inputs, dim) = (context.embedding.inputs(), context.embedding.dim);
                let (acc, e) = context.carve_vectors(&mut memory, 1)?;
                let gathered = v.run(GatherIntegers { fwfm: context, row, acc, e, small: false });
                let feature_weight = gathered.or_else(|_| context.gather_weighted(&row, acc, e))?;
                let field_vector = context.field_vectors(v, e);
                let pairs = context.carve_pairs::<V>(&mut memory, 1)?;
                let of_pairs = context.interaction.begin(v, context.embedding.vectors(e), pairs, begun);
                *sums = [feature_weight, field_vector, of_pairs];
                cross_int8(&e[..inputs], cross_weights, dim, cross);
                if let Some(first) = first {
                    match first.biases {
                        [] => start.fill(0),
                        biases => start.copy_from_slice(biases),
                    }
                    begin_int8(v, first, e, &mut memory, start)?;
                }
            }
            (Split::Real { sides, mlp, bias }, Context::Real { sum, carry, vectors, begun, start }) => {
                let Sides { context, candidate, cross_weights } = sides;
                let (inputs, dim) = (context.embedding.inputs(), context.embedding.dim);
                let e = memory.take::<f32>(context.embedding.stride())?;
                *sum = v.run(GatherReals { fwfm: context, row, sum: *bias, e })?;
                let (own, vectors_of_row) = (context.field_vector.map(|own| own.0), context.embedding.vectors(e));
                for (n, to) in carry.chunks_mut(LANES).enumerate() {
                    let zero = v.splat_f32(0.0);
                    let lanes = context.interaction.lanes_of(v, vectors_of_row, own, n * LANES, zero);
                    to.copy_from_slice(&v.store_f32(lanes)[..to.len()]);
                }
                context.interaction.begin(v, vectors_of_row, begun);
                match candidate.field_vector {
                    Some(own) => vectors.copy_from_slice(own.0),
                    None => vectors.fill(0.0),
                }
                cross_f32(v, &e[..inputs], cross_weights, dim, vectors);
                if let Some((first, _)) = mlp {
                    start.copy_from_slice(first.biases);
                    begin_f32(v, first, &e[..inputs], start);
                }
            }
            // Both are of one model.
            (Split::Integer { .. }, Context::Real { .. }) | (Split::Real { .. }, Context::Integer { .. }) => (),
        }
        Ok(())
    }
}

/// e \[context fields, dim\], r \[context fields, candidate fields\], cross \[candidate fields, dim\]: cross_jd = sum_i
/// r_ij e_id
#[inline(always)]
pub(super) fn cross_int8(e: &[i8], r: &[i16], dim: usize, cross: &mut [i32]) {
    cross.fill(0);
    // Neither is 0; a compiler that knows it has no panic here, which small programs go without.
    let dim = dim.max(1);
    let candidates = (cross.len() / dim).max(1);
    for (e, r) in e.chunks_exact(dim).zip(r.chunks_exact(candidates)) {
        for (cross, &r) in cross.chunks_exact_mut(dim).zip(r) {
            for (cross, &e) in cross.iter_mut().zip(e) {
                *cross += i32::from(r) * i32::from(e);
            }
        }
    }
}

/// The same in f32, added to what `cross` holds in the order in which scoring a whole row adds it.
#[inline(always)]
fn cross_f32<V: Vector>(v: V, e: &[f32], r: &[f32], dim: usize, cross: &mut [f32]) {
    let candidates = cross.len() / dim;
    for (e, r) in e.chunks_exact(dim).zip(r.chunks_exact(candidates)) {
        for (cross, &r) in cross.chunks_exact_mut(dim).zip(r) {
            for (cross, e) in cross.chunks_mut(LANES).zip(e.chunks(LANES)) {
                let sum = v.mul_add_f32(v.splat_f32(r), load_f32(v, e, 0), load_f32(v, cross, 0));
                cross.copy_from_slice(&v.store_f32(sum)[..cross.len()]);
            }
        }
    }
}

/// start\[o\] += sum_i w_oi e_i
#[inline(always)]
pub(super) fn begin_int8<V: Vector>(
    v: V,
    first: &Layer<'_, i8, i32, i32>,
    e: &[i8],
    scratch: &mut Scratch<'_>,
    start: &mut [i32],
) -> Scored<()> {
    if first.inputs == 0 {
        return Ok(());
    }
    match first.layout {
        Layout::Rows => {
            for (start, w) in start.iter_mut().zip(first.weights.chunks_exact(first.inputs)) {
                *start += portable::dot_int8(&e[..first.inputs], w);
            }
        }
        Layout::Tiles if V::WIDE => {
            let x = scratch.take::<[Quad; 1]>(first.inputs.div_ceil(tile::DEPTH))?;
            interleave::<V, 1>(e, e.len(), x);
            layer_int8(v, first.weights.as_chunks().0, x.len(), x, &mut Begin { sums: first.sums, start }, &mut ());
        }
        Layout::Tiles => {
            for (o, start) in start.iter_mut().enumerate().take(first.outputs) {
                *start += first.laid().row(o).zip(e).map(|(w, &e)| i32::from(w) * i32::from(e)).sum::<i32>();
            }
        }
        Layout::Dsp | Layout::Mve => {
            let read = scratch.take(read_len(first.layout, first.inputs))?;
            Fours::new(first, true, e.as_bytes(), read).add_to(start.as_chunks_mut().0);
        }
    }
    Ok(())
}

/// start \[outputs\] += acc
struct Begin<'l, 's> {
    sums: &'l [i32],
    start: &'s mut [i32],
}

impl<V: Vector> Finish<V> for Begin<'_, '_> {
    type Channels = V::I32;

    #[inline(always)]
    fn channels(&self, v: V, tile: usize) -> V::I32 {
        shifted(v, self.sums, true, tile)
    }

    #[inline(always)]
    fn row(&mut self, v: V, shifted: V::I32, tile: usize, _row: usize, acc: V::I32) {
        let start = &mut self.start.as_chunks_mut().0[tile];
        *start = v.store(v.add(v.load(start), v.add(acc, shifted)));
    }
}

/// start\[o\] += sum_i w_oi e_i
#[inline(always)]
pub(super) fn begin_f32<V: Vector>(v: V, first: &Layer<'_, f32, f32, f32>, e: &[f32], start: &mut [f32]) {
    if first.inputs == 0 {
        return;
    }
    if first.layout != Layout::Tiles {
        for (start, w) in start.iter_mut().zip(first.weights.chunks_exact(first.inputs)) {
            *start += portable::dot_f32(e, w);
        }
        return;
    }
    if !V::WIDE {
        for (o, start) in start.iter_mut().enumerate().take(first.outputs) {
            *start = portable::going_on_f32(*start, first.laid().row(o), e);
        }
        return;
    }
    let (biases, (x, _)) = (first.biases.as_chunks().0, e.as_chunks::<1>());
    layer_f32(v, first.weights.as_chunks().0, biases, iter::once(x), &mut BeginReal { start }, &mut ());
}

/// start \[outputs\] = acc
struct BeginReal<'s> {
    start: &'s mut [f32],
}

impl<V: Vector> FinishReal<V> for BeginReal<'_> {
    #[inline(always)]
    fn rows<const N: usize>(&mut self, v: V, _group: usize, tile: usize, _first: usize, acc: [V::F32; N]) {
        self.start.as_chunks_mut().0[tile] = v.store_f32(acc[0]);
    }
}

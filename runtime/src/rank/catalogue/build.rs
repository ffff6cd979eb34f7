//! A catalogue from rows: what each item adds, whatever the context. Its row is a whole row whose context's vectors are
//! zero.

use zerocopy::{FromBytes, IntoBytes};

use super::file::{Shape, header};
use super::{Catalogue, CatalogueParts, context};
use crate::error::{BatchError, ScoreError};
use crate::format::catalogue::Header;
use crate::kernel::vector::{Task, Vector};
use crate::mlp::Layer;
use crate::model::Model;
use crate::network::Network;
use crate::row::Row;
use crate::scratch::{Memory, Scratch, ScratchBlock, check_room};

use super::super::context::{begin_f32, begin_int8};
use super::super::split::Fields;

pub(super) use context::scratch_blocks;

pub(super) fn build<'a, 'r>(
    model: &Model<'_>,
    context_fields: &[usize],
    parts: CatalogueParts,
    rows: impl ExactSizeIterator<Item = Row<'r>>,
    scratch: &mut [ScratchBlock],
    memory: &'a mut [ScratchBlock],
) -> Result<Catalogue<'a>, BatchError> {
    let whole = |error| BatchError { row: 0, error };
    let fields = Fields::new(model.num_fields(), context_fields).map_err(whole)?;
    let shape = Shape::new(model, &fields, parts);
    let most = ScoreError::ItemOutOfRange { item: u32::MAX, items: u32::MAX };
    let items = u32::try_from(rows.len()).map_err(|_| whole(most))?;
    let blocks = Catalogue::blocks(model, context_fields, parts, items).map_err(whole)?;
    check_room(blocks, memory).map_err(whole)?;
    check_room(scratch_blocks(model), scratch).map_err(whole)?;
    let file = memory[..blocks].as_mut_bytes();
    file.fill(0);
    model.token.run(Build { network: &model.network, fields: &fields, shape, rows, items, scratch, file })?;
    let (first, body) = file.split_at_mut(Header::LEN);
    first.copy_from_slice(header(model, &fields, &shape, items, body).as_bytes());
    let parts = if shape.outputs > 0 { CatalogueParts::LayerSums } else { CatalogueParts::Vectors };
    Ok(Catalogue { bytes: file, fields, parts, len: items, made_of: model.identity() })
}

struct Build<'t, R> {
    network: &'t Network<'t>,
    fields: &'t Fields,
    shape: Shape,
    /// As many as there are items.
    rows: R,
    items: u32,
    scratch: &'t mut [ScratchBlock],
    /// All zeros.
    file: &'t mut [u8],
}

impl<'r, R: Iterator<Item = Row<'r>>> Task for Build<'_, R> {
    type Output = Result<(), BatchError>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Self::Output {
        let Build { network, fields, shape, rows, items, scratch, file } = self;
        let Shape { stride, outputs, .. } = shape;
        let places = shape.item_bytes().places(items).map(|place| place as usize);
        let (before, layer_sums) = file.split_at_mut(places[2]);
        let (sums, vectors) = before[places[0]..].split_at_mut(places[1] - places[0]);
        let bytes = shape.item_bytes();
        let count = items as usize;
        let (sums, vectors) = (&mut sums[..count * bytes.sums], &mut vectors[..count * bytes.vectors]);
        let layer_sums = &mut layer_sums[..count * bytes.layer_sums];
        let channels = if outputs > 0 { network.first_outputs() } else { 0 };
        match network {
            Network::Int8 { fwfm, layers, .. } => {
                let sums = <[[i64; 3]]>::mut_from_bytes(sums).unwrap_or_default();
                let (vectors, layer_sums) = (of::<i8>(vectors), of::<i32>(layer_sums));
                let first = layers.first().filter(|_| outputs > 0);
                let whole = |error| BatchError { row: 0, error };
                // What a layer sums up of nothing is 0, but where its layout has the instructions read other numbers.
                let nothing = channels.div_ceil(ScratchBlock::LEN / size_of::<i32>()).min(scratch.len());
                let (nothing, scratch) = scratch.split_at_mut(nothing);
                let nothing = of::<i32>(nothing.as_mut_bytes()).get_mut(..channels).unwrap_or_default();
                nothing.fill(0);
                if let Some(first) = &first {
                    let mut memory = Scratch::new(scratch);
                    let e = memory.lay::<i8>(fwfm.embedding.stride(), |_| ()).map_err(whole)?;
                    begin_int8(v, first, e, &mut memory, nothing).map_err(whole)?;
                }
                for (n, (row, to)) in rows.zip(sums).enumerate() {
                    let of_row = |error| BatchError { row: n, error };
                    let mut memory = Scratch::new(scratch);
                    let (own, e) = fwfm.own(v, (fields, false), row, &mut memory).map_err(of_row)?;
                    *to = own;
                    let to = vectors.get_mut(n * stride..).unwrap_or_default();
                    copy_side(e, fields, fwfm.embedding.dim, &mut to[..stride]);
                    if let Some(first) = &first {
                        let to = &mut layer_sums[n * outputs..][..channels];
                        begin_int8(v, first, e, &mut memory, to).map_err(of_row)?;
                        to.iter_mut().zip(&*nothing).for_each(|(to, nothing)| *to = to.wrapping_sub(*nothing));
                    }
                }
            }
            Network::F32 { fwfm, mlp, .. } => {
                let (sums, vectors, layer_sums) = (of::<f32>(sums), of::<f32>(vectors), of::<f32>(layer_sums));
                let inputs = fwfm.embedding.inputs();
                for (n, (row, to)) in rows.zip(sums).enumerate() {
                    let of_row = |error| BatchError { row: n, error };
                    let mut memory = Scratch::new(scratch);
                    let (own, e) = fwfm.own(v, (fields, false), row, &mut memory).map_err(of_row)?;
                    *to = own;
                    let to = vectors.get_mut(n * stride..).unwrap_or_default();
                    copy_side(e, fields, fwfm.embedding.dim, &mut to[..stride]);
                    if let (Some(mlp), true) = (mlp, outputs > 0) {
                        let biases = memory.lay::<f32>(channels, |_| ()).map_err(of_row)?;
                        let first = Layer { biases, ..mlp.layer(0) };
                        begin_f32(v, &first, &e[..inputs], &mut layer_sums[n * outputs..][..channels]);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whole numbers of zeroed memory.
fn of<T: FromBytes + IntoBytes + zerocopy::KnownLayout>(bytes: &mut [u8]) -> &mut [T] {
    <[T]>::mut_from_bytes(bytes).unwrap_or_default()
}

/// e \[num_fields, dim\]; to \[an item's fields, dim\] and what fills it up, or nothing
fn copy_side<W: Copy>(e: &[W], fields: &Fields, dim: usize, to: &mut [W]) {
    for (to, field) in to.chunks_exact_mut(dim).zip(fields.of(false)) {
        to.copy_from_slice(&e[field * dim..][..dim]);
    }
}

//! From bytes to a catalogue: what scoring relies on is checked here, once. The numbers of items may be any.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{Catalogue, CatalogueParts, Numbers};
use crate::error::CatalogueError;
use crate::format::CRC;
use crate::format::catalogue::{Header, ItemBytes, MAGIC, PADDED_TO, VERSION};
use crate::model::Model;
use crate::network::Network;
use crate::run::run;
use crate::score::Items;

use super::super::split::Fields;

type Loaded<T> = Result<T, CatalogueError>;

/// What is read for its checksum.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Verify {
    Header,
    Body,
}

/// What a catalogue of a model has of each item, in numbers.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    is_real: bool,
    /// Numbers of an item's vectors, filled up; 0 where nobody reads them.
    pub(super) stride: usize,
    /// Sums of the first layer, filled up; 0 where they are left out.
    pub(super) outputs: usize,
}

impl Shape {
    pub(super) fn new(model: &Model<'_>, fields: &Fields, parts: CatalogueParts) -> Self {
        let network = &model.network;
        let (inputs, outputs) = (fields.len(false) * model.embed_dim(), network.first_outputs());
        let has_sums = outputs > 0 && parts == CatalogueParts::LayerSums;
        // Pairs across, or the first layer.
        let has_vectors = network.has_pairs() || (outputs > 0 && !has_sums);
        let filled = |count: usize, wanted: bool| if wanted { count.next_multiple_of(PADDED_TO) } else { 0 };
        Shape {
            is_real: matches!(network, Network::F32 { .. }),
            stride: filled(inputs, has_vectors),
            outputs: filled(network.first_width(), has_sums),
        }
    }

    pub(super) fn item_bytes(&self) -> ItemBytes {
        let Shape { is_real, stride, outputs, .. } = *self;
        let (sums, number) = if is_real { (size_of::<f32>(), size_of::<f32>()) } else { (size_of::<[i64; 3]>(), 1) };
        ItemBytes { sums, vectors: stride * number, layer_sums: outputs * size_of::<f32>() }
    }

    /// The sections of a file of so many items, which has all its bytes.
    pub(super) fn numbers<'a>(&self, file: &'a [u8], items: u32) -> Numbers<'a> {
        let (bytes, places) = (self.item_bytes(), self.item_bytes().places(items));
        let section = |n: usize, of_item: usize| run(file, places[n] as usize, items as usize * of_item);
        let [sums, vectors] = [section(0, bytes.sums), section(1, bytes.vectors)];
        let layer_sums = section(2, bytes.layer_sums);
        let (stride, outputs) = (self.stride, self.outputs);
        if self.is_real {
            let (sums, vectors, layer_sums) = (in_place(sums), in_place(vectors), in_place(layer_sums));
            return Numbers::Real(Items { sums, vectors, stride, layer_sums, outputs });
        }
        let (sums, vectors, layer_sums) = (in_place(sums), in_place(vectors), in_place(layer_sums));
        Numbers::Integer(Items { sums, vectors, stride, layer_sums, outputs })
    }
}

/// Bytes of a section as the numbers that they are: whole ones, at an address for them.
fn in_place<T: FromBytes + Immutable + KnownLayout>(bytes: &[u8]) -> &[T] {
    <[T]>::ref_from_bytes(bytes).unwrap_or_default()
}

/// Alignment that the numbers of all sections have.
const ALIGNMENT: usize = align_of::<i64>();

/// `found` must be in `least..=most`.
fn within(what: &'static str, least: u64, most: u64, found: impl Into<u64>) -> Loaded<()> {
    let found = found.into();
    if (least..=most).contains(&found) { Ok(()) } else { Err(CatalogueError::Value { what, least, most, found }) }
}

pub(super) fn load<'a>(model: &Model<'_>, bytes: &'a [u8], verify: Verify) -> Loaded<Catalogue<'a>> {
    let found = bytes.len() as u64;
    let truncated = |needed: u64| CatalogueError::Truncated { needed, found };
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| truncated(Header::LEN as u64))?;
    if header.magic != MAGIC {
        return Err(CatalogueError::NotCatalogue);
    }
    let (stored, computed) = (header.header_crc.get(), header.checksum());
    if stored != computed {
        return Err(CatalogueError::HeaderChecksum { stored, computed });
    }
    if header.version.get() != VERSION {
        return Err(CatalogueError::Version { supported: VERSION, found: header.version.get() });
    }
    let (made_of, of_model) = ((header.model_len.get(), header.model_crc.get()), model.identity());
    if made_of != of_model {
        return Err(CatalogueError::OtherModel { made_of, found: of_model });
    }
    let has_layers = model.network.first_outputs() > 0;
    within("parts (1: sums of the first layer)", 0, has_layers.into(), header.layer_sums)?;
    within("reserved bytes", 0, 0, u64::from(header.reserved) + u64::from(header.unused.get()))?;
    let parts = if header.layer_sums == 0 { CatalogueParts::Vectors } else { CatalogueParts::LayerSums };
    let fields = Fields::of_words(header.context.map(U32::get), model.num_fields());
    let most = model.num_fields() as u64 - 1;
    let in_context: u64 = header.context.iter().map(|word| u64::from(word.get().count_ones())).sum();
    // Where it is few enough of them, there is one that the model does not have.
    let fields = fields.ok_or(CatalogueError::Value {
        what: "fields of the context, of those that the model has",
        least: 0,
        most,
        found: in_context,
    })?;
    let shape = Shape::new(model, &fields, parts);
    let items = header.items.get();
    let needed = shape.item_bytes().file_len(items);
    within("bytes of the file", needed, needed, header.file_len.get())?;
    let file = usize::try_from(needed).ok().and_then(|len| bytes.get(..len)).ok_or_else(|| truncated(needed))?;
    if !file.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        return Err(CatalogueError::Misaligned { required: ALIGNMENT });
    }
    if verify == Verify::Body {
        let (stored, body) = (header.body_crc.get(), file.get(Header::LEN..).unwrap_or_default());
        let computed = CRC.checksum(body);
        if stored != computed {
            return Err(CatalogueError::Checksum { stored, computed });
        }
    }
    Ok(Catalogue { bytes: file, fields, parts, len: items, made_of })
}

/// The header of a file whose body is there.
pub(super) fn header(model: &Model<'_>, fields: &Fields, shape: &Shape, items: u32, body: &[u8]) -> Header {
    let (model_len, model_crc) = model.identity();
    let mut header = Header {
        magic: MAGIC,
        version: VERSION.into(),
        layer_sums: (shape.outputs > 0).into(),
        reserved: 0,
        items: items.into(),
        context: fields.words().map(U32::new),
        file_len: shape.item_bytes().file_len(items).into(),
        model_len: model_len.into(),
        model_crc: model_crc.into(),
        body_crc: CRC.checksum(body).into(),
        unused: 0.into(),
        header_crc: 0.into(),
    };
    header.header_crc = header.checksum().into();
    header
}

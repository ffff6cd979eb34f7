//! From bytes to a catalogue: what scoring relies on is checked here, once. The numbers of items may be any.

use std::fmt;

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use crate::error::{CatalogueError, ScoreError};
use crate::format::CRC;
use crate::format::catalogue::{Header, ItemBytes, MAGIC, PADDED_TO, VERSION};
use crate::load::{Body, in_place};
use crate::model::Model;
use crate::network::Network;
use crate::run::run;
use crate::score::{IntegerItems, Items, RealItems};
use crate::scratch::ScratchBlock;

use super::super::split::Fields;

type Loaded<T> = Result<T, CatalogueError>;

/// Which parts of a score a catalogue has, of those that the model has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CatalogueParts {
    /// The sums of the first layer over an item's vectors too: that layer costs nothing then. Without layers the same
    /// as [`CatalogueParts::Vectors`].
    #[default]
    LayerSums,
    /// The vectors, and the sums of what an item adds by itself: far fewer bytes where layers are wide.
    Vectors,
}

/// The items of a model that candidates are chosen from, each with what it adds to a score whatever the context.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let packed = include_bytes!("../../../../tests/fixtures/movielens-student/model.xsfm");
/// use xsfm_runtime::{Aligned, Catalogue, CatalogueParts, CatalogueRanker, Model, Ranked, Row, ScratchBlock};
///
/// # let bytes = Aligned(*packed); let bytes = &bytes.0;
/// let model = Model::from_bytes(bytes)?;
/// // user, age, gender and occupation are the context's; item, release year and genres an item's
/// let (context, parts) = ([0, 2, 3, 4], CatalogueParts::LayerSums);
/// let films = [[42, 5, 2], [43, 6, 9], [44, 7, 1]];
/// let films = films.each_ref().map(|film| Row::new(film));
/// let mut scratch = vec![ScratchBlock::ZERO; Catalogue::scratch_blocks(&model)];
/// let mut memory = vec![ScratchBlock::ZERO; Catalogue::blocks(&model, &context, parts, films.len() as u32)?];
/// let catalogue = Catalogue::build(&model, &context, parts, films, &mut scratch, &mut memory)?;
///
/// let mut memory = vec![ScratchBlock::ZERO; CatalogueRanker::blocks(&model, &catalogue)];
/// let mut ranker = CatalogueRanker::new(&model, &catalogue, &mut memory)?;
/// ranker.set_context(Row::new(&[7, 1, 1, 3]))?;
/// let mut best = [Ranked::default(); 2];
/// assert_eq!(ranker.top_k(&mut best)?, 2);
/// // A file, or data of a program: made of this model, and refused with any other.
/// assert_eq!(Catalogue::from_bytes(&model, catalogue.as_bytes())?.len(), 3);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct Catalogue<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) fields: Fields,
    pub(super) parts: CatalogueParts,
    pub(super) len: u32,
    /// What tells its model from others.
    pub(super) made_of: (u64, u32),
}

/// Views into the sections.
#[derive(Clone, Copy)]
pub(super) enum Numbers<'a> {
    Integer(IntegerItems<'a>),
    Real(RealItems<'a>),
}

impl fmt::Debug for Catalogue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("len", &self.len).field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl<'a> Catalogue<'a> {
    /// Borrows a catalogue of `model` from `bytes`, which may be longer than the file, after checking them and their
    /// checksum. They must start at a multiple of 8, best of 64: see [`Aligned`](crate::Aligned).
    ///
    /// # Errors
    /// [`CatalogueError`]; `OtherModel` where it was made of a packed file of another length or checksum; the
    /// checksum is what the model's file states, which nobody has compared where that was loaded without.
    pub fn from_bytes(model: &Model<'_>, bytes: &'a [u8]) -> Result<Self, CatalogueError> {
        load(model, bytes, Body::Verify)
    }

    /// Like [`Catalogue::from_bytes`], but does not read the body for its checksum: damaged numbers can make scores
    /// wrong, never unsafe.
    ///
    /// # Errors
    /// [`CatalogueError`], except `Checksum`.
    pub fn from_bytes_skipping_checksum(model: &Model<'_>, bytes: &'a [u8]) -> Result<Self, CatalogueError> {
        load(model, bytes, Body::Trust)
    }

    /// Bytes that an item takes in each part of a catalogue.
    ///
    /// # Errors
    /// [`ScoreError::ContextField`].
    pub fn item_bytes(
        model: &Model<'_>,
        context_fields: &[usize],
        parts: CatalogueParts,
    ) -> Result<ItemBytes, ScoreError> {
        let fields = Fields::new(model.num_fields(), context_fields)?;
        Ok(Shape::new(model, &fields, parts).item_bytes())
    }

    /// Blocks of memory that [`Catalogue::build`] needs for so many items.
    ///
    /// # Errors
    /// [`ScoreError::ContextField`].
    pub fn blocks(
        model: &Model<'_>,
        context_fields: &[usize],
        parts: CatalogueParts,
        items: u32,
    ) -> Result<usize, ScoreError> {
        let bytes = Self::item_bytes(model, context_fields, parts)?.file_len(items);
        // Whole blocks; what no memory has room for is refused where it is not given.
        Ok(usize::try_from(bytes / ScratchBlock::LEN as u64).unwrap_or(usize::MAX))
    }

    /// Its numbers, where it is of this model.
    pub(super) fn numbers(&self, model: &Model<'_>) -> Option<Numbers<'a>> {
        let shape = Shape::new(model, &self.fields, self.parts);
        let fits = shape.item_bytes().file_len(self.len) == self.bytes.len() as u64;
        let is_its = self.made_of == model.identity() && self.fields.count() == model.num_fields() && fits;
        is_its.then(|| shape.numbers(self.bytes, self.len))
    }

    /// Whether it was made of this model, as [`Catalogue::from_bytes`] asks.
    pub fn is_of(&self, model: &Model<'_>) -> bool {
        self.numbers(model).is_some()
    }

    /// The bytes of the file.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Which parts of a score it has.
    pub fn parts(&self) -> CatalogueParts {
        self.parts
    }

    /// The numbers of the context's fields, ascending: items have the others.
    pub fn context_fields(&self) -> impl Iterator<Item = usize> + Clone + use<'a> {
        let fields = self.fields;
        (0..fields.count()).filter(move |&field| fields.is_in(field, true))
    }
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

/// Alignment that the numbers of all sections have.
const ALIGNMENT: usize = align_of::<i64>();

/// `found` must be in `least..=most`.
fn within(what: &'static str, least: u64, most: u64, found: impl Into<u64>) -> Loaded<()> {
    let found = found.into();
    if (least..=most).contains(&found) { Ok(()) } else { Err(CatalogueError::Value { what, least, most, found }) }
}

fn load<'a>(model: &Model<'_>, bytes: &'a [u8], body: Body) -> Loaded<Catalogue<'a>> {
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
    if body == Body::Verify {
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

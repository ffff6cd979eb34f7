//! Catalogues: items whose share of a score was computed once, in RAM, in a file or in flash.
//!
//! What an item adds whatever the context is its own sums, with what its fields add together; the vectors of its fields,
//! which meet those of the context; and its share of the first layer.

mod build;
mod context;
mod file;
mod ranker;

use std::fmt;

use crate::error::{BatchError, CatalogueError, ScoreError};
use crate::format::catalogue::ItemBytes;
use crate::model::Model;
use crate::row::Row;
use crate::score::{IntegerItems, RealItems};
use crate::scratch::ScratchBlock;

use super::split::Fields;
use file::{Shape, Verify};

pub use ranker::CatalogueRanker;

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
/// # let packed = include_bytes!("../../../tests/fixtures/movielens-student/model.xsfm");
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
    bytes: &'a [u8],
    fields: Fields,
    parts: CatalogueParts,
    len: u32,
    /// What tells its model from others.
    made_of: (u64, u32),
}

/// Views into the sections.
#[derive(Clone, Copy)]
enum Numbers<'a> {
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
    /// [`CatalogueError`]; `OtherModel` where it was made of another packed file, if only by one byte.
    pub fn from_bytes(model: &Model<'_>, bytes: &'a [u8]) -> Result<Self, CatalogueError> {
        file::load(model, bytes, Verify::Body)
    }

    /// Like [`Catalogue::from_bytes`], but does not read the body for its checksum: damaged numbers can make scores
    /// wrong, never unsafe.
    ///
    /// # Errors
    /// [`CatalogueError`], except `Checksum`.
    pub fn from_bytes_skipping_checksum(model: &Model<'_>, bytes: &'a [u8]) -> Result<Self, CatalogueError> {
        file::load(model, bytes, Verify::Header)
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

    /// Blocks of scratch that [`Catalogue::build`] works in.
    pub fn scratch_blocks(model: &Model<'_>) -> usize {
        build::scratch_blocks(model)
    }

    /// Computes what each item adds. `items`: rows of the fields that are not the context's, in the model's order;
    /// `memory`, of at least [`Catalogue::blocks`] blocks, is filled with the bytes of a file.
    ///
    /// # Errors
    /// The first item that is no row of these fields, by its number; [`ScoreError::ContextField`],
    /// [`ScoreError::ScratchTooSmall`]; [`ScoreError::ItemOutOfRange`] where there are 2^32 items or more.
    pub fn build<'r>(
        model: &Model<'_>,
        context_fields: &[usize],
        parts: CatalogueParts,
        items: impl IntoIterator<Item = Row<'r>, IntoIter: ExactSizeIterator>,
        scratch: &mut [ScratchBlock],
        memory: &'a mut [ScratchBlock],
    ) -> Result<Self, BatchError> {
        build::build(model, context_fields, parts, items.into_iter(), scratch, memory)
    }

    /// Its numbers, where it is of this model.
    fn numbers(&self, model: &Model<'_>) -> Option<Numbers<'a>> {
        let shape = Shape::new(model, &self.fields, self.parts);
        let fits = shape.item_bytes().file_len(self.len) == self.bytes.len() as u64;
        let is_its = self.made_of == model.identity() && self.fields.count() == model.num_fields() && fits;
        is_its.then(|| shape.numbers(self.bytes, self.len))
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

//! Catalogues of a packed model: made of rows of items, and ranked for a context.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::format::catalogue::{Header, ItemBytes};
use xsfm_runtime::{Catalogue, CatalogueParts, CatalogueRanker, Model, Row, ScratchBlock};
use zerocopy::IntoBytes;

use crate::error::Error;
use crate::input;
use crate::score::{Candidate, Ranked, field_numbers};

/// A catalogue in memory, and what it costs.
#[derive(Clone, Debug)]
pub struct Built {
    blocks: Vec<ScratchBlock>,
    /// What is told of it.
    pub report: Report,
}

impl Built {
    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        self.blocks.as_bytes()
    }
}

/// What a catalogue costs, part by part.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many items it has.
    pub items: usize,
    /// The fields of the context, by name.
    pub context: Vec<String>,
    /// The fields of an item.
    pub fields: Vec<String>,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// What each item takes.
    #[serde(flatten)]
    pub item: ItemCost,
}

/// Bytes that an item takes in a catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ItemCost {
    /// Its own sums.
    pub sums_bytes: usize,
    /// The vectors of its fields.
    pub vectors_bytes: usize,
    /// Its sums of the first layer.
    pub layer_sums_bytes: usize,
}

impl From<ItemBytes> for ItemCost {
    fn from(bytes: ItemBytes) -> Self {
        let ItemBytes { sums, vectors, layer_sums } = bytes;
        ItemCost { sums_bytes: sums, vectors_bytes: vectors, layer_sums_bytes: layer_sums }
    }
}

impl ItemCost {
    /// Of an item of a model.
    ///
    /// # Errors
    /// A field of the context that the model does not have, or none that is left for items.
    pub fn of(model: &Model<'_>, context: &[String], parts: CatalogueParts) -> Result<Self, Error> {
        let context = field_numbers(model, context)?;
        Ok(Catalogue::item_bytes(model, &context, parts).map_err(Error::row(0))?.into())
    }

    /// All of it.
    pub fn bytes(&self) -> usize {
        self.sums_bytes + self.vectors_bytes + self.layer_sums_bytes
    }
}

impl fmt::Display for ItemCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ItemCost { sums_bytes, vectors_bytes, layer_sums_bytes } = self;
        writeln!(f, "an item               {} bytes", self.bytes())?;
        writeln!(f, "  its own sums        {sums_bytes} bytes")?;
        writeln!(f, "  its vectors         {vectors_bytes} bytes")?;
        writeln!(f, "  first layer's sums  {layer_sums_bytes} bytes")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "items                 {} of {}", self.items, self.fields.join(", "))?;
        writeln!(f, "context               {}", self.context.join(", "))?;
        writeln!(f, "file (flash)          {} bytes, {} of them the header", self.file_bytes, Header::LEN)?;
        self.item.fmt(f)
    }
}

/// The names of fields, by their numbers.
fn names(model: &Model<'_>, fields: &[usize]) -> Vec<String> {
    let named = model.fields().enumerate().filter(|(number, _)| fields.contains(number));
    named.map(|(_, field)| field.name.to_owned()).collect()
}

/// The fields that are not among those of a context, by their numbers, ascending.
pub fn item_fields(model: &Model<'_>, context: &[usize]) -> Vec<usize> {
    (0..model.num_fields()).filter(|field| !context.contains(field)).collect()
}

/// Computes what the items in `rows` add to scores: rows of indices of the fields that are not the context's, Arrow or
/// TSV, `-` for a TSV from standard input. `context_fields`: by number.
///
/// # Errors
/// The rows cannot be read, do not fit the model, or there are none; fields that a context cannot have.
pub fn build(
    model: &Model<'_>,
    context_fields: &[usize],
    parts: CatalogueParts,
    rows: &Path,
) -> Result<Built, Error> {
    let fields = item_fields(model, context_fields);
    // Looks at the context before it looks at rows.
    let item = Catalogue::item_bytes(model, context_fields, parts).map_err(Error::row(0))?.into();
    let (blocks, _) = input::rows(rows, input::bounds_of(model, &fields))?;
    let blocks = blocks.collect::<Result<Vec<RowBlock>, _>>()?;
    let items: Vec<Row<'_>> = blocks.iter().flat_map(|block| (0..block.len()).map(|i| block.row(i))).collect();
    let count = u32::try_from(items.len()).ok().filter(|&count| count > 0);
    let count = count.ok_or_else(|| {
        Error::Input(format!("{}: {} items; 1 to {} are wanted", rows.display(), items.len(), u32::MAX))
    })?;
    let mut tiles = vec![ScratchBlock::ZERO; model.prepared_blocks()];
    let model = model.prepare(&mut tiles).map_err(Error::row(0))?;
    let needed = Catalogue::blocks(&model, context_fields, parts, count).map_err(Error::row(0))?;
    let mut file = vec![ScratchBlock::ZERO; needed];
    let mut scratch = vec![ScratchBlock::ZERO; Catalogue::scratch_blocks(&model)];
    Catalogue::build(&model, context_fields, parts, items.iter().copied(), &mut scratch, &mut file)
        .map_err(|error| Error::row(error.row)(error.error))?;
    let report = Report {
        items: items.len(),
        context: names(&model, context_fields),
        fields: names(&model, &fields),
        file_bytes: file.len() * ScratchBlock::LEN,
        item,
    };
    Ok(Built { blocks: file, report })
}

/// The catalogue of `model` in a file's bytes; `path` is its name in errors.
///
/// # Errors
/// Not a catalogue of this model, or a damaged one.
pub fn load<'a>(path: &Path, model: &Model<'_>, bytes: &'a [u8]) -> Result<Catalogue<'a>, Error> {
    Catalogue::from_bytes(model, bytes).map_err(|source| Error::Catalogue { path: path.to_owned(), source })
}

/// The `top` items of a catalogue by logit for the context that `rows` has, a single row of the context's fields; equal
/// logits stay in the order of the items. `names`: one per item.
///
/// # Errors
/// The row cannot be read, does not fit the model, or is not the only one; there is not one name per item.
pub fn rank(
    model: &Model<'_>,
    catalogue: &Catalogue<'_>,
    rows: &Path,
    names: Option<&[String]>,
    top: usize,
) -> Result<Vec<Ranked>, Error> {
    let context: Vec<usize> = catalogue.context_fields().collect();
    if let Some(names) = names.filter(|names| names.len() != catalogue.len()) {
        return Err(Error::Input(format!("{} names, but {} items in the catalogue", names.len(), catalogue.len())));
    }
    let (blocks, _) = input::rows(rows, input::bounds_of(model, &context))?;
    let blocks = blocks.collect::<Result<Vec<RowBlock>, _>>()?;
    let mut contexts = blocks.iter().flat_map(|block| (0..block.len()).map(|i| block.row(i)));
    let (Some(row), None) = (contexts.next(), contexts.next()) else {
        let count: usize = blocks.iter().map(RowBlock::len).sum();
        return Err(Error::Input(format!("{}: {count} rows, but a context is one", rows.display())));
    };
    let mut tiles = vec![ScratchBlock::ZERO; model.prepared_blocks()];
    let model = model.prepare(&mut tiles).map_err(Error::row(0))?;
    let mut memory = vec![ScratchBlock::ZERO; CatalogueRanker::blocks(&model, catalogue)];
    let mut ranker = CatalogueRanker::new(&model, catalogue, &mut memory).map_err(Error::row(0))?;
    ranker.set_context(row).map_err(Error::row(0))?;
    let mut best = vec![xsfm_runtime::Ranked::default(); top.min(catalogue.len())];
    let found = ranker.top_k(&mut best).map_err(|error| Error::row(error.row)(error.error))?;
    let ranked = best[..found].iter().enumerate().map(|(i, of)| Ranked {
        rank: i + 1,
        row: of.candidate + 1,
        name: names.map(|names| names[of.candidate].clone()),
        logit: of.score.logit,
        probability: of.score.probability(),
        candidate: Candidate::default(),
    });
    Ok(ranked.collect())
}

//! Items whose share of a score was computed once.

use xsfm_runtime::{Catalogue, CatalogueParts, CatalogueRanker, Row, Score, ScoreError};

use crate::error::{XsfmError, report, report_any, report_made};
use crate::failure::{Error, Problem};
use crate::handle::{self, Handle, fits};
use crate::model::{XsfmBlock, XsfmModel, memory};
use crate::pointer;
use crate::ranker::{XsfmRanked, best_of};
use crate::row::XsfmRow;
use crate::status::XsfmStatus;

/// Numbers of 64 bits in an `xsfm_catalogue`.
#[cfg(target_pointer_width = "32")]
pub const XSFM_CATALOGUE_WORDS: usize = 9;
/// Numbers of 64 bits in an `xsfm_catalogue`.
#[cfg(target_pointer_width = "64")]
pub const XSFM_CATALOGUE_WORDS: usize = 10;

/// Numbers of 64 bits in an `xsfm_catalogue_ranker`.
#[cfg(target_pointer_width = "32")]
pub const XSFM_CATALOGUE_RANKER_WORDS: usize = 58;
/// Numbers of 64 bits in an `xsfm_catalogue_ranker`.
#[cfg(target_pointer_width = "64")]
pub const XSFM_CATALOGUE_RANKER_WORDS: usize = 100;

/// Items of a model, each with what it adds to a score whatever the context. Threads may share it.
#[repr(C)]
#[derive(Debug)]
pub struct XsfmCatalogue {
    opaque: [u64; XSFM_CATALOGUE_WORDS],
}

const _: () = assert!(fits::<XsfmCatalogue, Catalogue<'static>>(), "XSFM_CATALOGUE_WORDS is too small");
// SAFETY: it fits.
unsafe impl Handle for XsfmCatalogue {
    type Value = Catalogue<'static>;
    const TAG: u64 = u64::from_le_bytes(*b"xsfmCat1");
}

/// Scores the items of a catalogue for a context. A thread needs its own; do not use it and a copy of it.
#[repr(C)]
#[derive(Debug)]
pub struct XsfmCatalogueRanker {
    opaque: [u64; XSFM_CATALOGUE_RANKER_WORDS],
}

const _: () =
    assert!(fits::<XsfmCatalogueRanker, CatalogueRanker<'static>>(), "XSFM_CATALOGUE_RANKER_WORDS is too small");
// SAFETY: it fits.
unsafe impl Handle for XsfmCatalogueRanker {
    type Value = CatalogueRanker<'static>;
    const TAG: u64 = u64::from_le_bytes(*b"xsfmCaR1");
}

/// What a catalogue has of each item. Codes keep their numbers; later versions may add some.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XsfmCatalogueParts {
    /// The sums of the first layer too, which costs nothing then.
    LayerSums = 0,
    /// Vectors and own sums: far fewer bytes where layers are wide.
    Vectors = 1,
}

impl XsfmCatalogueParts {
    /// What the runtime is told for a number.
    fn chosen(number: i32) -> Result<CatalogueParts, Error> {
        match number {
            number if number == XsfmCatalogueParts::LayerSums as i32 => Ok(CatalogueParts::LayerSums),
            number if number == XsfmCatalogueParts::Vectors as i32 => Ok(CatalogueParts::Vectors),
            number => Err(Error::argument("parts", Problem::NoSuchParts { number })),
        }
    }
}

/// What a catalogue has and costs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmCatalogueInfo {
    /// What it has of each item.
    pub parts: XsfmCatalogueParts,
    /// How many items it has.
    pub num_items: usize,
    /// Fields of the context; items have the others.
    pub num_context_fields: usize,
    /// The bytes of its file, such as those of one that xsfm_catalogue_build made, to be stored.
    pub bytes: *const u8,
    /// How many they are.
    pub num_bytes: usize,
    /// Blocks that xsfm_catalogue_ranker_new needs.
    pub ranker_blocks: usize,
}

/// Borrows a catalogue of `model` from the `len` bytes of an .xsfc file, and checks all of them. `bytes` is at a
/// multiple of 8, best of 64: see XSFM_ALIGNED. One of another model is refused: XSFM_STATUS_OTHER_MODEL.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros. The bytes stay there, unchanged, as long as
/// `catalogue`, its copies, and what is made from them are used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_catalogue_load(
    catalogue: *mut XsfmCatalogue,
    model: *const XsfmModel,
    bytes: *const u8,
    len: usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let make = || {
        pointer::check("bytes", bytes)?;
        // SAFETY: the caller's promise.
        let (model, bytes) = unsafe { (handle::shared("model", model)?, pointer::array("bytes", bytes, len)?) };
        Ok(Catalogue::from_bytes(model, bytes)?)
    };
    // SAFETY: the caller's promise.
    unsafe { report_made(error, "catalogue", catalogue, make) }
}

/// Tells how many blocks xsfm_catalogue_build needs for so many items: those that it fills, which stay, and those that
/// it works in.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_catalogue_blocks(
    model: *const XsfmModel,
    context_fields: *const usize,
    num_context_fields: usize,
    parts: i32,
    num_items: u32,
    blocks: *mut usize,
    scratch_blocks: *mut usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let tell = || {
        // SAFETY: the caller's promise.
        let (model, fields, blocks, scratch) = unsafe {
            let fields = pointer::array("context_fields", context_fields, num_context_fields)?;
            let places = (pointer::place("blocks", blocks)?, pointer::place("scratch_blocks", scratch_blocks)?);
            (handle::shared("model", model)?, fields, places.0, places.1)
        };
        blocks.write(Catalogue::blocks(model, fields, XsfmCatalogueParts::chosen(parts)?, num_items)?);
        scratch.write(Catalogue::scratch_blocks(model));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, tell) }
}

/// Computes what items add: rows of the fields that are not the context's, in the model's order. `parts` is one of
/// XSFM_CATALOGUE_PARTS_... The bytes that `memory` has then are those of an .xsfc file: xsfm_catalogue_get_info.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros. `memory` stays, used by nobody else, as long as the
/// catalogue, its copies, and what is made from them are used; `scratch` is used by nobody else during the call, shares
/// nothing with `memory`, and need not stay. The rows' pointers are NULL or have as many numbers as
/// they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_catalogue_build(
    catalogue: *mut XsfmCatalogue,
    model: *const XsfmModel,
    context_fields: *const usize,
    num_context_fields: usize,
    parts: i32,
    items: *const XsfmRow,
    num_items: usize,
    scratch: *mut XsfmBlock,
    scratch_blocks: usize,
    memory: *mut XsfmBlock,
    blocks: usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let make = || {
        // SAFETY: the caller's promise.
        let (model, fields, items, scratch, memory) = unsafe {
            (
                handle::shared("model", model)?,
                pointer::array("context_fields", context_fields, num_context_fields)?,
                pointer::array("items", items, num_items)?,
                self::memory("scratch", scratch, scratch_blocks)?,
                self::memory("memory", memory, blocks)?,
            )
        };
        let mut wrong = None;
        let rows = items.iter().enumerate().map(|(number, row)| {
            // SAFETY: the caller's promise.
            unsafe { row.borrow() }.unwrap_or_else(|error| {
                wrong.get_or_insert(error.of_row(number));
                // Items have a field at least: the runtime refuses it.
                Row::new(&[])
            })
        });
        let built = Catalogue::build(model, fields, XsfmCatalogueParts::chosen(parts)?, rows, scratch, memory);
        wrong.map_or_else(|| built.map_err(Error::from), Err)
    };
    // SAFETY: the caller's promise.
    unsafe { report_made(error, "catalogue", catalogue, make) }
}

/// Tells what a catalogue has, and what it costs to rank its items by `model`, which it was made of.
///
/// # Safety
/// Both were made by functions of this library, or are zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_catalogue_get_info(
    catalogue: *const XsfmCatalogue,
    model: *const XsfmModel,
    info: *mut XsfmCatalogueInfo,
    error: *mut XsfmError,
) -> XsfmStatus {
    let tell = || {
        // SAFETY: the caller's promise.
        let (catalogue, model, info) = unsafe {
            (handle::shared("catalogue", catalogue)?, handle::shared("model", model)?, pointer::place("info", info)?)
        };
        if !catalogue.is_of(model) {
            return Err(ScoreError::CatalogueModel.into());
        }
        let bytes = catalogue.as_bytes();
        info.write(XsfmCatalogueInfo {
            parts: match catalogue.parts() {
                CatalogueParts::LayerSums => XsfmCatalogueParts::LayerSums,
                CatalogueParts::Vectors => XsfmCatalogueParts::Vectors,
            },
            num_items: catalogue.len(),
            num_context_fields: catalogue.context_fields().count(),
            bytes: bytes.as_ptr(),
            num_bytes: bytes.len(),
            ranker_blocks: CatalogueRanker::blocks(model, catalogue),
        });
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, tell) }
}

/// Makes a ranker of a catalogue's items. It copies both structs, which need not stay.
///
/// # Safety
/// Both were made by functions of this library, or are zeros. `memory` stays, used by nobody else, and so do the
/// model's bytes and prepared memory, and the bytes of the catalogue, as long as the ranker is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_catalogue_ranker_new(
    ranker: *mut XsfmCatalogueRanker,
    model: *const XsfmModel,
    catalogue: *const XsfmCatalogue,
    memory: *mut XsfmBlock,
    blocks: usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let make = || {
        // SAFETY: the caller's promise.
        let (model, catalogue, memory) = unsafe {
            let memory = self::memory("memory", memory, blocks)?;
            (handle::shared("model", model)?, handle::shared("catalogue", catalogue)?, memory)
        };
        Ok(CatalogueRanker::new(model, catalogue, memory)?)
    };
    // SAFETY: the caller's promise.
    unsafe { report_made(error, "ranker", ranker, make) }
}

/// Computes what all items share. The row has the context's fields alone, in the model's order. After an error,
/// whatever it is, there is no context until one is set: items are refused with XSFM_STATUS_NO_CONTEXT.
///
/// # Safety
/// `ranker` is one that xsfm_catalogue_ranker_new made, or zeros; the row's pointers are NULL or have as many numbers
/// as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_catalogue_ranker_set_context(
    ranker: *mut XsfmCatalogueRanker,
    row: *const XsfmRow,
    error: *mut XsfmError,
) -> XsfmStatus {
    let set = |usable: Result<(), Error>| {
        // SAFETY: the caller's promise.
        let ranker = unsafe { handle::unique("ranker", ranker) }?;
        // The row may be wrong before the runtime sees it.
        ranker.clear_context();
        usable?;
        // SAFETY: the caller's promise.
        let row = unsafe { pointer::shared("row", row)?.borrow()? };
        Ok(ranker.set_context(row)?)
    };
    // SAFETY: the caller's promise.
    unsafe { report_any(error, set) }
}

/// Scores items by their numbers from 0. int8 and dynamic scores have the bits of whole rows. After an error, the items
/// before that of error.row have their scores.
///
/// # Safety
/// As xsfm_catalogue_ranker_set_context; `items` has `num_items` numbers, and `logits` room for as many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_catalogue_ranker_score_items(
    ranker: *mut XsfmCatalogueRanker,
    items: *const u32,
    num_items: usize,
    logits: *mut f32,
    error: *mut XsfmError,
) -> XsfmStatus {
    let score = || {
        /// Items that are scored at a time: a few groups of those that go together.
        const CHUNK: usize = 32;
        // SAFETY: the caller's promise.
        let (ranker, items, logits) = unsafe {
            let items = pointer::array("items", items, num_items)?;
            (handle::unique("ranker", ranker)?, items, pointer::room("logits", logits, num_items)?)
        };
        let mut scores = [Score::default(); CHUNK];
        for (chunk, (items, logits)) in items.chunks(CHUNK).zip(logits.chunks_mut(CHUNK)).enumerate() {
            let scores = &mut scores[..items.len()];
            let scored = ranker.score_items(items, scores);
            let done = scored.map_or_else(|error| error.row, |()| items.len());
            for (logit, score) in logits.iter_mut().zip(&scores[..done]) {
                logit.write(score.logit);
            }
            scored.map_err(|error| Error::from(error.error).of_row(chunk * CHUNK + error.row))?;
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, score) }
}

/// Finds the best of all items, best first, at most as many as `best` has room for, and writes to `found` how many they
/// are; candidate is an item's number. Equal logits stay in the order of the items.
///
/// # Safety
/// As xsfm_catalogue_ranker_set_context; `best` has room for `most`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_catalogue_ranker_top_k(
    ranker: *mut XsfmCatalogueRanker,
    best: *mut XsfmRanked,
    most: usize,
    found: *mut usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let rank = || {
        // SAFETY: the caller's promise.
        unsafe {
            let ranker = handle::unique("ranker", ranker)?;
            best_of(best, most, found, |ranked| Ok(ranker.top_k(ranked)?))
        }
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, rank) }
}

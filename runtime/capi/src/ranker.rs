//! Many candidates for one context.

use core::mem::MaybeUninit;

use xsfm_runtime::{Ranked, Ranker};

use crate::error::{XsfmError, report, report_any, report_made};
use crate::failure::Error;
use crate::handle::{self, Handle, fits};
use crate::model::{XsfmBlock, XsfmModel, memory};
use crate::pointer;
use crate::row::XsfmRow;
use crate::scorer::batch;
use crate::status::XsfmStatus;

/// Numbers of 64 bits in an `xsfm_ranker`.
#[cfg(target_pointer_width = "32")]
pub const XSFM_RANKER_WORDS: usize = 92;
/// Numbers of 64 bits in an `xsfm_ranker`.
#[cfg(target_pointer_width = "64")]
pub const XSFM_RANKER_WORDS: usize = 168;

/// Scores candidates that share a context, which is computed once. A thread needs its own; do not use it and a copy of
/// it.
#[repr(C)]
#[derive(Debug)]
pub struct XsfmRanker {
    opaque: [u64; XSFM_RANKER_WORDS],
}

const _: () = assert!(fits::<XsfmRanker, Ranker<'static>>(), "XSFM_RANKER_WORDS is too small");
// SAFETY: it fits.
unsafe impl Handle for XsfmRanker {
    type Value = Ranker<'static>;
    const TAG: u64 = u64::from_le_bytes(*b"xsfmRan1");
}

/// A candidate among the best.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmRanked {
    /// Its number in the array of candidates, from 0.
    pub candidate: usize,
    /// Its score.
    pub logit: f32,
}

const _: () =
    assert!(size_of::<XsfmRanked>() == size_of::<Ranked>() && align_of::<XsfmRanked>() == align_of::<Ranked>());

/// Tells how many blocks of memory xsfm_ranker_new needs for these fields in the context.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_ranker_blocks(
    model: *const XsfmModel,
    context_fields: *const usize,
    num_context_fields: usize,
    blocks: *mut usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let tell = || {
        // SAFETY: the caller's promise.
        let (model, fields, blocks) = unsafe {
            let fields = pointer::array("context_fields", context_fields, num_context_fields)?;
            (handle::shared("model", model)?, fields, pointer::place("blocks", blocks)?)
        };
        blocks.write(Ranker::blocks(model, fields)?);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, tell) }
}

/// Makes a ranker whose rows are split: the fields of the context, by number in any order, and the others, which are
/// the candidates'. It copies the model's struct and its first layer; `context_fields` need not stay.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros. `memory` stays, used by nobody else, and so do the
/// model's bytes and prepared memory, as long as the ranker is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_ranker_new(
    ranker: *mut XsfmRanker,
    model: *const XsfmModel,
    context_fields: *const usize,
    num_context_fields: usize,
    memory: *mut XsfmBlock,
    blocks: usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let make = || {
        // SAFETY: the caller's promise.
        let (model, fields, memory) = unsafe {
            let fields = pointer::array("context_fields", context_fields, num_context_fields)?;
            (handle::shared("model", model)?, fields, self::memory("memory", memory, blocks)?)
        };
        Ok(Ranker::new(model, fields, memory)?)
    };
    // SAFETY: the caller's promise.
    unsafe { report_made(error, "ranker", ranker, make) }
}

/// Computes what all candidates share. The row has the context's fields alone, in the model's order. After an error,
/// whatever it is, there is no context until one is set: candidates are refused with XSFM_STATUS_NO_CONTEXT.
///
/// # Safety
/// `ranker` is one that xsfm_ranker_new made, or zeros; the row's pointers are NULL or have as many numbers as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_ranker_set_context(
    ranker: *mut XsfmRanker,
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

/// Scores candidates: rows of the other fields alone, in the model's order. int8 and dynamic scores have the bits of
/// whole rows. After an error, the candidates before that of error.row have their scores.
///
/// # Safety
/// As xsfm_ranker_set_context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_ranker_score_batch(
    ranker: *mut XsfmRanker,
    candidates: *const XsfmRow,
    num_candidates: usize,
    logits: *mut f32,
    error: *mut XsfmError,
) -> XsfmStatus {
    let score = || {
        // SAFETY: the caller's promise.
        unsafe {
            let ranker = handle::unique("ranker", ranker)?;
            batch(candidates, num_candidates, logits, |rows, scores| ranker.score_batch(rows, scores))
        }
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, score) }
}

/// Finds the best candidates, best first, at most as many as `best` has room for, and writes to `found` how many they
/// are. Equal logits stay in the order of the candidates.
///
/// # Safety
/// As xsfm_ranker_set_context; `best` has room for `most`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_ranker_top_k(
    ranker: *mut XsfmRanker,
    candidates: *const XsfmRow,
    num_candidates: usize,
    best: *mut XsfmRanked,
    most: usize,
    found: *mut usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let rank = || {
        // SAFETY: the caller's promise.
        unsafe {
            let ranker = handle::unique("ranker", ranker)?;
            let candidates = pointer::array("candidates", candidates, num_candidates)?;
            best_of(best, most, found, |ranked| {
                let mut wrong = None;
                let rows = candidates
                    .iter()
                    .enumerate()
                    .map_while(|(number, row)| row.borrow().map_err(|error| wrong = Some(error.of_row(number))).ok());
                let count = ranker.top_k(rows, ranked)?;
                wrong.map_or(Ok(count), Err)
            })
        }
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, rank) }
}

/// Has `rank` find the best, and turns them into what C reads.
///
/// # Safety
/// As [`pointer::room`] for `best`, as [`pointer::place`] for `found`.
pub(crate) unsafe fn best_of(
    best: *mut XsfmRanked,
    most: usize,
    found: *mut usize,
    rank: impl FnOnce(&mut [Ranked]) -> Result<usize, Error>,
) -> Result<(), Error> {
    // SAFETY: the caller's promise. Both kinds of `best` have one size and alignment, asserted above.
    let (best, found) =
        unsafe { (pointer::room("best", best.cast::<Ranked>(), most)?, pointer::place("found", found)?) };
    found.write(0);
    for place in best.iter_mut() {
        place.write(Ranked::default());
    }
    // SAFETY: every place was just written.
    let count = rank(unsafe { &mut *(core::ptr::from_mut(&mut *best) as *mut [Ranked]) })?;
    for place in &mut best[..count] {
        to_c(place);
    }
    found.write(count);
    Ok(())
}

/// Turns a candidate into what C reads, where it lies.
fn to_c(place: &mut MaybeUninit<Ranked>) {
    // SAFETY: the caller has written it; equal size and alignment, asserted above.
    unsafe {
        let Ranked { candidate, score } = place.assume_init_read();
        place.as_mut_ptr().cast::<XsfmRanked>().write(XsfmRanked { candidate, logit: score.logit });
    }
}

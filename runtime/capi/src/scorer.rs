//! From rows to logits.

use xsfm_runtime::{BatchError, Row, Score, Scorer};

use crate::error::{XsfmError, report, report_made};
use crate::failure::Error;
use crate::handle::{self, Handle, fits};
use crate::model::{XsfmBlock, XsfmModel, memory};
use crate::pointer;
use crate::row::XsfmRow;
use crate::status::XsfmStatus;

/// Numbers of 64 bits in an `xsfm_scorer`.
#[cfg(target_pointer_width = "32")]
pub const XSFM_SCORER_WORDS: usize = 35;
/// Numbers of 64 bits in an `xsfm_scorer`.
#[cfg(target_pointer_width = "64")]
pub const XSFM_SCORER_WORDS: usize = 66;

/// Scores rows with one model and one piece of memory. A thread needs its own; do not use it and a copy of it.
#[repr(C)]
#[derive(Debug)]
pub struct XsfmScorer {
    opaque: [u64; XSFM_SCORER_WORDS],
}

const _: () = assert!(fits::<XsfmScorer, Scorer<'static>>(), "XSFM_SCORER_WORDS is too small");
// SAFETY: it fits.
unsafe impl Handle for XsfmScorer {
    type Value = Scorer<'static>;
    const TAG: u64 = u64::from_le_bytes(*b"xsfmSco1");
}

/// Makes a scorer for `model` that works in `blocks` blocks of `scratch`: scratch_blocks of the model's info, or
/// batch_scratch_blocks. The model's struct is copied, and need not stay.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros. `scratch` stays, used by nobody else, and so do the
/// model's bytes and prepared memory, as long as the scorer is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_scorer_new(
    scorer: *mut XsfmScorer,
    model: *const XsfmModel,
    scratch: *mut XsfmBlock,
    blocks: usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let make = || {
        // SAFETY: the caller's promise.
        let (model, scratch) = unsafe { (handle::shared("model", model)?, memory("scratch", scratch, blocks)?) };
        Ok(Scorer::new(model, scratch)?)
    };
    // SAFETY: the caller's promise.
    unsafe { report_made(error, "scorer", scorer, make) }
}

/// Scores one row: the log-odds of a click. The scorer can be used again after an error.
///
/// # Safety
/// `scorer` is one that xsfm_scorer_new made, or zeros; the row's pointers are NULL or have as many numbers as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_score(
    scorer: *mut XsfmScorer,
    row: *const XsfmRow,
    logit: *mut f32,
    error: *mut XsfmError,
) -> XsfmStatus {
    let score = || {
        // SAFETY: the caller's promise.
        let (scorer, row, logit) = unsafe {
            let row = pointer::shared("row", row)?.borrow()?;
            (handle::unique("scorer", scorer)?, row, pointer::place("logit", logit)?)
        };
        logit.write(scorer.score(row)?.logit);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, score) }
}

/// Scores `num_rows` rows, with the bits that xsfm_score gives; `logits` has room for as many. After an error, the rows
/// before that of error.row have their scores.
///
/// # Safety
/// As xsfm_score.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_score_batch(
    scorer: *mut XsfmScorer,
    rows: *const XsfmRow,
    num_rows: usize,
    logits: *mut f32,
    error: *mut XsfmError,
) -> XsfmStatus {
    let score = || {
        // SAFETY: the caller's promise.
        unsafe {
            let scorer = handle::unique("scorer", scorer)?;
            batch(rows, num_rows, logits, |rows, scores| scorer.score_batch(rows, scores))
        }
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, score) }
}

/// Rows that are borrowed at a time: a few groups of those that go through the layers together.
const CHUNK: usize = 32;

/// Scores rows, `CHUNK` at a time: there is no memory to borrow all of them in.
///
/// # Safety
/// As [`pointer::array`] for the rows and what they point to, as [`pointer::room`] for the logits.
pub(crate) unsafe fn batch(
    rows: *const XsfmRow,
    num_rows: usize,
    logits: *mut f32,
    mut score: impl FnMut(&[Row<'_>], &mut [Score]) -> Result<(), BatchError>,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let (rows, logits) =
        unsafe { (pointer::array("rows", rows, num_rows)?, pointer::room("logits", logits, num_rows)?) };
    let (mut borrowed, mut scores) = ([Row::new(&[]); CHUNK], [Score::default(); CHUNK]);
    for (chunk, (rows, logits)) in rows.chunks(CHUNK).zip(logits.chunks_mut(CHUNK)).enumerate() {
        let mut wrong = None;
        let mut count = 0;
        for (slot, row) in borrowed.iter_mut().zip(rows) {
            // SAFETY: the caller's promise.
            match unsafe { row.borrow() } {
                Ok(row) => *slot = row,
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            }
            count += 1;
        }
        let result = score(&borrowed[..count], &mut scores[..count]);
        let done = result.map_or_else(|error| error.row, |()| count);
        for (logit, score) in logits.iter_mut().zip(&scores[..done]) {
            logit.write(score.logit);
        }
        let start = chunk * CHUNK;
        result.map_err(|BatchError { row, error }| Error::from(BatchError { row: start + row, error }))?;
        if let Some(error) = wrong {
            return Err(error.of_row(start + count));
        }
    }
    Ok(())
}

/// The probability of a click, 1 / (1 + exp(-logit)): equal logits give equal bits on every CPU.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_probability(logit: f32) -> f32 {
    Score { logit }.probability()
}

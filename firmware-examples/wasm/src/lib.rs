//! Scores rows in WebAssembly. JavaScript asks for room, fills it, and calls `score`: `score.mjs` shows how.
//!
//! Addresses are valid until the same room is asked for again.

#![allow(unsafe_code, reason = "JavaScript finds functions by names that are not mangled; nothing else here is unsafe")]

use std::cell::RefCell;
use std::error::Error;

use example_input::Table;
use xsfm_runtime::{Model, Scorer, ScratchBlock};
use zerocopy::IntoBytes;

thread_local! {
    static MODEL: RefCell<Vec<ScratchBlock>> = const { RefCell::new(Vec::new()) };
    static ROWS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    static SCORES: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Room for the `len` bytes of a model.
#[unsafe(no_mangle)]
pub extern "C" fn model_room(len: usize) -> *mut ScratchBlock {
    MODEL.with_borrow_mut(|model| {
        *model = vec![ScratchBlock::ZERO; len.div_ceil(ScratchBlock::LEN)];
        model.as_mut_ptr()
    })
}

/// Room for the words of a table of rows, as `example_input::Table` decodes them.
#[unsafe(no_mangle)]
pub extern "C" fn rows_room(words: usize) -> *mut u32 {
    ROWS.with_borrow_mut(|rows| {
        *rows = vec![0; words];
        rows.as_mut_ptr()
    })
}

/// Scores the rows: gives how many, or -1, of which `message` then tells the reason.
#[unsafe(no_mangle)]
pub extern "C" fn score() -> i32 {
    let scores = MODEL.with_borrow(|model| ROWS.with_borrow(|rows| scores(model.as_bytes(), rows)));
    match scores {
        Ok(scores) => {
            let count = i32::try_from(scores.len() / 2).unwrap_or(i32::MAX);
            SCORES.set(scores);
            count
        }
        Err(error) => {
            MESSAGE.set(error.to_string());
            -1
        }
    }
}

/// The bits of each row's logit and probability.
#[unsafe(no_mangle)]
pub extern "C" fn scores_address() -> *const u32 {
    SCORES.with_borrow(|scores| scores.as_ptr())
}

/// Why there are no scores, in UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn message_address() -> *const u8 {
    MESSAGE.with_borrow(|message| message.as_ptr())
}

/// Bytes of that.
#[unsafe(no_mangle)]
pub extern "C" fn message_len() -> usize {
    MESSAGE.with_borrow(|message| message.len())
}

fn scores(model: &[u8], rows: &[u32]) -> Result<Vec<u32>, Box<dyn Error>> {
    let model = Model::from_bytes(model)?;
    let Some((rows, [])) = Table::decode(rows) else { return Err("the rows are not a table".into()) };
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch)?;
    let mut scores = Vec::with_capacity(2 * rows.rows().len());
    for (number, row) in rows.rows().enumerate() {
        let score = scorer.score(row).map_err(|error| format!("row {number}: {error}"))?;
        scores.extend([score.logit.to_bits(), score.probability().to_bits()]);
    }
    Ok(scores)
}

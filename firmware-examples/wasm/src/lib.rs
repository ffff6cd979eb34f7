//! Scores rows in WebAssembly. JavaScript asks for room, fills it, and calls `score`: `score.mjs` shows how.
//!
//! Addresses are valid until the same room is asked for again.

#![allow(unsafe_code, reason = "JavaScript finds functions by names that are not mangled; nothing else here is unsafe")]

use std::cell::RefCell;
use std::error::Error;

use example_input::{Rows, Table};
use xsfm_runtime::{Model, Row, Scorer, ScratchBlock};
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
    answer(MODEL.with_borrow(|model| ROWS.with_borrow(|rows| scores(model.as_bytes(), rows))))
}

/// Scores rows of raw values, as `score` does: the room for rows begins with `len` bytes of text, a row per line, a tab
/// between fields.
#[unsafe(no_mangle)]
pub extern "C" fn score_raw(len: usize) -> i32 {
    let scores = |model: &[u8], rows: &[u8]| {
        let text = rows.get(..len).ok_or("more text than room")?;
        raw_scores(model, std::str::from_utf8(text)?)
    };
    answer(MODEL.with_borrow(|model| ROWS.with_borrow(|rows| scores(model.as_bytes(), rows.as_bytes()))))
}

/// Keeps scores, or the reason why there are none, for JavaScript to ask for.
fn answer(scores: Result<Vec<u32>, Box<dyn Error>>) -> i32 {
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
    score_each(&model, rows.rows())
}

fn raw_scores(model: &[u8], rows: &str) -> Result<Vec<u32>, Box<dyn Error>> {
    let model = Model::from_bytes(model)?;
    let encoder = model.encoder()?.ok_or("the model was packed without its vocabulary")?;
    score_each(&model, Rows::encode(rows, &encoder)?.iter())
}

fn score_each<'r>(model: &Model<'_>, rows: impl Iterator<Item = Row<'r>>) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(model, &mut scratch)?;
    let mut scores = Vec::new();
    for (number, row) in rows.enumerate() {
        let score = scorer.score(row).map_err(|error| format!("row {number}: {error}"))?;
        scores.extend([score.logit.to_bits(), score.probability().to_bits()]);
    }
    Ok(scores)
}

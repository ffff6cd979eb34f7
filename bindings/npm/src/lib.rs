//! One model in an instance of WebAssembly, whose memory goes with it: `index.js` beside it is what calls this.
//!
//! JavaScript asks for [`room`], fills it, and calls one of the others. Those give a number that is not negative, and
//! leave what there is to tell as [`answer`] and [`text`]; or the code of a failure, whose message is the text, and
//! whose row and field are the answer. Addresses are valid until the next call.
//!
//! | module | does |
//! |---|---|
//! | `model` | the model: loads, scores, ranks, explains |
//! | `rows` | reads rows as JavaScript writes them |
//! | `info` | what the file holds |

#![allow(unsafe_code, reason = "JavaScript finds functions by names that are not mangled; nothing else here is unsafe")]

mod info;
mod model;
mod rows;

use std::cell::RefCell;

use xsfm_runtime::ScratchBlock;
use zerocopy::IntoBytes;

use crate::model::{Failure, Loaded};

thread_local! {
    static INPUT: RefCell<Vec<ScratchBlock>> = const { RefCell::new(Vec::new()) };
    static ANSWER: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
    static LOADED: RefCell<Option<Loaded>> = const { RefCell::new(None) };
}

/// Room for `len` bytes of what the next call takes; null where there is not so much memory.
#[unsafe(no_mangle)]
pub extern "C" fn room(len: usize) -> *mut ScratchBlock {
    INPUT.with_borrow_mut(|input| {
        let blocks = len.div_ceil(ScratchBlock::LEN);
        if input.try_reserve_exact(blocks.saturating_sub(input.len())).is_err() {
            return std::ptr::null_mut();
        }
        input.resize(blocks.max(input.len()), ScratchBlock::ZERO);
        input.as_mut_ptr()
    })
}

/// Where the numbers of the last answer are, each a double.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> *const f64 {
    ANSWER.with_borrow(|answer| answer.as_ptr())
}

/// Where the last text is, in UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn text() -> *const u8 {
    TEXT.with_borrow(|text| text.as_ptr())
}

/// Bytes of that.
#[unsafe(no_mangle)]
pub extern "C" fn text_len() -> usize {
    TEXT.with_borrow(String::len)
}

/// Loads the model whose file is the input. The text is what it holds, as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn load(len: usize) -> i32 {
    let file = INPUT.take();
    tell(Loaded::new(file, len).and_then(|loaded| {
        TEXT.set(loaded.info()?);
        LOADED.set(Some(loaded));
        Ok(0)
    }))
}

/// Keeps the rows that are the input; gives their number, which the other calls take.
#[unsafe(no_mangle)]
pub extern "C" fn keep(len: usize) -> i32 {
    with_model(|loaded| INPUT.with_borrow(|input| loaded.keep(input.as_bytes().get(..len).unwrap_or_default())))
}

/// Forgets rows.
#[unsafe(no_mangle)]
pub extern "C" fn forget(rows: usize) -> i32 {
    with_model(|loaded| {
        loaded.forget(rows);
        Ok(0)
    })
}

/// Scores rows: of each its logit and its probability.
#[unsafe(no_mangle)]
pub extern "C" fn score(rows: usize) -> i32 {
    with_model(|loaded| ANSWER.with_borrow_mut(|answer| loaded.score(rows, answer)))
}

/// Ranks candidates for the one row of `context`: of each of the best `count` its number, its logit and its
/// probability; gives how many they are.
#[unsafe(no_mangle)]
pub extern "C" fn rank(context: usize, candidates: usize, count: usize) -> i32 {
    with_model(|loaded| ANSWER.with_borrow_mut(|answer| loaded.rank(context, candidates, count, answer)))
}

/// Explains the one row: logit, probability, bias, layers, then what each field adds, then first field, second field
/// and what they add of each pair; gives how many pairs there are.
#[unsafe(no_mangle)]
pub extern "C" fn explain(row: usize) -> i32 {
    with_model(|loaded| ANSWER.with_borrow_mut(|answer| loaded.explain(row, answer)))
}

fn with_model(work: impl FnOnce(&mut Loaded) -> Result<usize, Failure>) -> i32 {
    tell(LOADED.with_borrow_mut(|loaded| work(loaded.as_mut().ok_or(Failure::Call("no model was loaded".to_owned()))?)))
}

fn tell(result: Result<usize, Failure>) -> i32 {
    match result {
        Ok(number) => i32::try_from(number).unwrap_or(i32::MAX),
        Err(failure) => {
            ANSWER.set(failure.place().into());
            let code = failure.code();
            TEXT.set(failure.into_text());
            code
        }
    }
}

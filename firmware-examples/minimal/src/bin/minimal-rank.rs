//! The smallest ranker: candidates of one context, the best of them. As `minimal` beside it.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "a C boundary: a symbol that the linker looks for")]

// No panic is left in the program.
use minimal as _;
use xsfm_runtime::{Int8Model, Int8Ranker, Row, ScratchBlock};

/// Fields of the context: the first ones.
const CONTEXT: [usize; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];

/// The number of the best candidate, or one that no candidate has.
#[unsafe(no_mangle)]
pub extern "C" fn _start(
    model: &'static [u8; 65_536],
    context: &[u32; CONTEXT.len()],
    candidates: &[[u32; 19]; 100],
    memory: &'static mut [ScratchBlock; 64],
    model_bytes: usize,
) -> i32 {
    let bytes = model.get(..model_bytes).unwrap_or_default();
    let Ok(model) = Int8Model::from_bytes_skipping_checksum(bytes) else { return i32::MIN };
    let Ok(mut ranker) = Int8Ranker::new(&model, &CONTEXT, memory) else { return i32::MIN };
    if ranker.set_context(Row::new(context)).is_err() {
        return i32::MIN;
    }
    let (mut best, mut highest) = (-1, i32::MIN);
    for (number, candidate) in (0..).zip(candidates) {
        let Ok(logit) = ranker.score(Row::new(candidate)) else { return i32::MIN };
        if logit > highest {
            (best, highest) = (number, logit);
        }
    }
    best
}

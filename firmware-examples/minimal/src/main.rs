//! The smallest scorer, as `cargo xtask test size` weighs it: a model that lies anywhere, one row, its logit. It is
//! built, not run.
//!
//! No start-up code, no output: what is left is the runtime's. The linker finds nothing that panics, or it fails.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "a C boundary: a symbol that the linker looks for")]

// No panic is left in the program.
use minimal as _;
use xsfm_runtime::{Int8Model, Row, ScratchBlock};

/// The logit of a row in steps of 2^-16, or a number that no logit is.
#[unsafe(no_mangle)]
pub extern "C" fn _start(
    model: &'static [u8; 65_536],
    indices: &[u32; 39],
    scratch: &mut [ScratchBlock; 24],
    model_bytes: usize,
) -> i32 {
    let bytes = model.get(..model_bytes).unwrap_or_default();
    let Ok(model) = Int8Model::from_bytes_skipping_checksum(bytes) else { return i32::MIN };
    model.score(Row::new(indices), scratch).unwrap_or(i32::MAX)
}

//! `Int8Model` for C, as far as `firmware-examples/c/measure.c` needs it: loads a model, scores a row.
//!
//! `cargo xtask fit` counts with it what a program takes that has int8 mode alone. It checks nothing that `measure.c`
//! does right.

#![no_std]
#![allow(unsafe_code, reason = "a C boundary: raw pointers, and symbols by their names")]
#![warn(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

use core::slice;

use xsfm_runtime::{Int8Model, Row, ScratchBlock};

/// Bytes of a model's struct.
#[unsafe(no_mangle)]
pub extern "C" fn int8_bytes() -> usize {
    size_of::<Int8Model<'static>>()
}

/// Loads the model in `len` bytes into `model`; whether it is one.
///
/// # Safety
/// `model` points to [`int8_bytes`] aligned for a u64; `bytes` to `len` that never change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn int8_load(model: *mut Int8Model<'static>, bytes: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice::from_raw_parts(bytes, len) };
    let Ok(loaded) = Int8Model::from_bytes(bytes) else { return false };
    // SAFETY: the caller's promise.
    unsafe { model.write(loaded) };
    true
}

/// The logit of a row in steps of 2^-16, or a number that no logit is.
///
/// # Safety
/// `model` was loaded; `offsets` points to one more than the model has fields, the last of which is how many `indices`
/// there are; `scratch` to `blocks`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn int8_score(
    model: *const Int8Model<'static>,
    indices: *const u32,
    offsets: *const u32,
    scratch: *mut ScratchBlock,
    blocks: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    // SAFETY: the caller's promise.
    let offsets = unsafe { slice::from_raw_parts(offsets, model.num_fields() + 1) };
    let count = offsets.last().map_or(0, |&count| count as usize);
    // SAFETY: the caller's promise.
    let (indices, scratch) =
        unsafe { (slice::from_raw_parts(indices, count), slice::from_raw_parts_mut(scratch, blocks)) };
    model.score(Row::with_bags(indices, offsets), scratch).unwrap_or(i32::MAX)
}

/// The runtime does not panic; the compiler wants to know what if. `board.c` has C's `abort`.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn abort() -> !;
    }
    abort()
}

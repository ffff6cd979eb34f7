//! The smallest scorer of raw values: a line of text with tabs between fields, its logit. As `minimal` beside it.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "a C boundary: a symbol that the linker looks for")]

// No panic is left in the program.
use minimal as _;
use xsfm_runtime::{Int8Model, Row, ScratchBlock, Value};

const FIELDS: usize = 39;

/// The logit of a row in steps of 2^-16, or a number that no logit is.
#[unsafe(no_mangle)]
pub extern "C" fn _start(
    model: &'static [u8; 65_536],
    line: &'static [u8; 512],
    indices: &mut [u32; 2 * FIELDS],
    offsets: &mut [u32; FIELDS + 1],
    scratch: &mut [ScratchBlock; 24],
    model_bytes: usize,
) -> i32 {
    let bytes = model.get(..model_bytes).unwrap_or_default();
    let Ok((model, Some(encoder))) = Int8Model::with_encoder_skipping_checksum(bytes) else { return i32::MIN };
    let mut found = 0;
    for (field, text) in line.split(|&byte| byte == b'\t').enumerate() {
        let (Some(room), Some(end)) = (indices.get_mut(found..), offsets.get_mut(field + 1)) else { return i32::MAX };
        let Ok(count) = encoder.encode_field(field, &Value::Bytes(text), room) else { return i32::MAX };
        found += count;
        *end = found as u32;
    }
    model.score(Row::with_bags(indices, offsets), scratch).unwrap_or(i32::MAX)
}

//! Raw values become rows.

use core::ffi::c_char;

use xsfm_runtime::{EncodeError, Encoder};

use crate::error::{XsfmError, report, report_made};
use crate::failure::{Error, Problem};
use crate::handle::{self, Handle, fits};
use crate::model::XsfmModel;
use crate::pointer;
use crate::row::XsfmRow;
use crate::status::XsfmStatus;
use crate::value::{Raw, XsfmValue};

/// Numbers of 64 bits in an `xsfm_encoder`.
#[cfg(target_pointer_width = "32")]
pub const XSFM_ENCODER_WORDS: usize = 14;
/// Numbers of 64 bits in an `xsfm_encoder`.
#[cfg(target_pointer_width = "64")]
pub const XSFM_ENCODER_WORDS: usize = 24;

/// Makes rows of raw values: tokens and numbers, as the training data have them. May be copied, and read by several
/// threads.
#[repr(C)]
#[derive(Debug)]
pub struct XsfmEncoder {
    opaque: [u64; XSFM_ENCODER_WORDS],
}

const _: () = assert!(fits::<XsfmEncoder, Encoder<'static>>(), "XSFM_ENCODER_WORDS is too small");
// SAFETY: it fits.
unsafe impl Handle for XsfmEncoder {
    type Value = Encoder<'static>;
    const TAG: u64 = u64::from_le_bytes(*b"xsfmEnc1");
}

/// What rows of raw values need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmEncoderInfo {
    /// Values of a row.
    pub num_fields: usize,
    /// Room for the indices of any row.
    pub max_indices: usize,
    /// Room for its offsets: one more than fields; 0 where no field is a bag.
    pub max_offsets: usize,
}

/// The caller's memory for a row.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmRowRoom {
    /// Room for indices: max_indices of the encoder's info are enough for any row.
    pub indices: *mut u32,
    /// How many.
    pub num_indices: usize,
    /// Room for offsets; may be NULL where no field is a bag.
    pub offsets: *mut u32,
    /// How many.
    pub num_offsets: usize,
}

/// Makes an encoder for `model`, whose struct need not stay. A model that was packed without what raw values mean is
/// XSFM_STATUS_NO_VOCABULARY.
///
/// # Safety
/// `model` is one that xsfm_load or xsfm_prepare made, or zeros. The bytes of the model stay as long as the encoder and
/// its copies are used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_encoder_new(
    encoder: *mut XsfmEncoder,
    model: *const XsfmModel,
    error: *mut XsfmError,
) -> XsfmStatus {
    let make = || {
        // SAFETY: the caller's promise.
        let model = unsafe { handle::shared("model", model) }?;
        model.encoder()?.ok_or(Error::argument("model", Problem::NoVocabulary))
    };
    // SAFETY: the caller's promise.
    unsafe { report_made(error, "encoder", encoder, make) }
}

/// Tells how many values a row has, and what room it needs.
///
/// # Safety
/// `encoder` is one that xsfm_encoder_new made, or zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_encoder_get_info(
    encoder: *const XsfmEncoder,
    info: *mut XsfmEncoderInfo,
    error: *mut XsfmError,
) -> XsfmStatus {
    let tell = || {
        // SAFETY: the caller's promise.
        let (encoder, info) = unsafe { (handle::shared("encoder", encoder)?, pointer::place("info", info)?) };
        info.write(XsfmEncoderInfo {
            num_fields: encoder.num_fields(),
            max_indices: encoder.max_indices(),
            max_offsets: encoder.max_offsets(),
        });
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, tell) }
}

/// Finds a field by its name of `len` bytes, and writes its number: where its value is in a row.
///
/// # Safety
/// `encoder` is one that xsfm_encoder_new made, or zeros; `name` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_encoder_find_field(
    encoder: *const XsfmEncoder,
    name: *const c_char,
    len: usize,
    number: *mut usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let find = || {
        // SAFETY: the caller's promise.
        let (encoder, name, number) = unsafe {
            let name = pointer::array("name", name.cast::<u8>(), len)?;
            (handle::shared("encoder", encoder)?, name, pointer::place("number", number)?)
        };
        let found = str::from_utf8(name).ok().and_then(|name| encoder.field(name));
        number.write(found.ok_or(Error::argument("name", Problem::NoSuchName { num_fields: encoder.num_fields() }))?);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, find) }
}

/// Makes a row of `num_values` values, one for each field, in the model's order. `row` then points into `room`. Tokens
/// that training has not seen have the index 0. xsfm_error_message tells the field of a wrong value by its number.
///
/// # Safety
/// `encoder` is one that xsfm_encoder_new made, or zeros; `values` and what they point to, and `room`, have as many
/// elements as stated. Memory of `room` has been written before, as static memory has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_encode(
    encoder: *const XsfmEncoder,
    values: *const XsfmValue,
    num_values: usize,
    room: *const XsfmRowRoom,
    row: *mut XsfmRow,
    error: *mut XsfmError,
) -> XsfmStatus {
    let encode = || {
        // SAFETY: the caller's promise.
        let (encoder, values) =
            unsafe { (handle::shared("encoder", encoder)?, pointer::array("values", values, num_values)?) };
        let expected = encoder.num_fields();
        if num_values != expected {
            return Err(EncodeError::FieldCount { expected, found: num_values }.into());
        }
        // SAFETY: the caller's promise.
        unsafe { write_row(encoder, (0..num_values).zip(values), room, row) }
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, encode) }
}

/// Makes a row of some fields alone, as a ranker takes those of a context or of a candidate: `fields` has their numbers
/// in the model's order, `values` a value for each.
///
/// # Safety
/// As xsfm_encode.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_encode_fields(
    encoder: *const XsfmEncoder,
    fields: *const usize,
    values: *const XsfmValue,
    num_values: usize,
    room: *const XsfmRowRoom,
    row: *mut XsfmRow,
    error: *mut XsfmError,
) -> XsfmStatus {
    let encode = || {
        // SAFETY: the caller's promise.
        unsafe {
            let encoder = handle::shared("encoder", encoder)?;
            let fields = pointer::array("fields", fields, num_values)?;
            let values = pointer::array("values", values, num_values)?;
            write_row(encoder, fields.iter().copied().zip(values), room, row)
        }
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, encode) }
}

/// Writes the indices of one field's value to `indices`, which has room for `len`, and to `found` how many they are.
///
/// # Safety
/// As xsfm_encode.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_encode_field(
    encoder: *const XsfmEncoder,
    field: usize,
    value: *const XsfmValue,
    indices: *mut u32,
    len: usize,
    found: *mut usize,
    error: *mut XsfmError,
) -> XsfmStatus {
    let encode = || {
        // SAFETY: the caller's promise.
        unsafe {
            let encoder = handle::shared("encoder", encoder)?;
            let value = pointer::shared("value", value)?.borrow(field)?;
            let indices = numbers("indices", indices, len)?;
            let found = pointer::place("found", found)?;
            found.write(write_field(encoder, field, value, indices)?);
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { report(error, encode) }
}

/// # Safety
/// As [`pointer::place`] for the row, [`XsfmValue::borrow`] for the values, [`pointer::room`] for what `room` says.
unsafe fn write_row<'v>(
    encoder: &Encoder<'_>,
    values: impl Iterator<Item = (usize, &'v XsfmValue)>,
    room: *const XsfmRowRoom,
    row: *mut XsfmRow,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let (room, row) = unsafe { (*pointer::shared("room", room)?, pointer::place("row", row)?) };
    // SAFETY: the caller's promise.
    let (indices, offsets) = unsafe {
        let indices = numbers("room.indices", room.indices, room.num_indices)?;
        (indices, numbers("room.offsets", room.offsets, room.num_offsets)?)
    };
    let mut writer = encoder.writer(indices, offsets)?;
    for (field, value) in values {
        // SAFETY: the caller's promise.
        let value = unsafe { value.borrow(field) }?;
        writer.push(|rest| write_field(encoder, field, value, rest))?;
    }
    let num_offsets = writer.num_offsets();
    row.write(XsfmRow {
        indices: room.indices,
        num_indices: writer.num_indices(),
        offsets: if num_offsets == 0 { core::ptr::null() } else { room.offsets },
        num_offsets,
    });
    Ok(())
}

fn write_field(encoder: &Encoder<'_>, field: usize, value: Raw<'_>, indices: &mut [u32]) -> Result<usize, EncodeError> {
    match value {
        Raw::One(value) => encoder.encode_field(field, &value, indices),
        Raw::Tokens(tokens) => encoder.encode_tokens(field, tokens.iter(), indices),
        Raw::Weighted(tokens) => encoder.encode_weighted(field, tokens.iter(), indices),
    }
}

/// Numbers to write over.
///
/// # Safety
/// As [`pointer::room`], and the memory has been written.
unsafe fn numbers<'a>(name: &'static str, pointer: *mut u32, len: usize) -> Result<&'a mut [u32], Error> {
    // SAFETY: the caller's promise.
    let numbers = unsafe { pointer::room(name, pointer, len) }?;
    // SAFETY: the caller's promise: they have been written. To write zeros here would take longer than most rows do.
    Ok(unsafe { core::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), numbers.len()) })
}

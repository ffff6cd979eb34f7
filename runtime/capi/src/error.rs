//! What went wrong, as C sees it, and the words for it.

use core::ffi::c_char;
use core::fmt::{self, Write};
use core::mem::MaybeUninit;

use crate::failure::Error;
use crate::handle::{self, Handle, fits};
use crate::pointer;
use crate::status::XsfmStatus;

/// Numbers of 64 bits in an `xsfm_error`.
pub const XSFM_ERROR_WORDS: usize = 10;

/// What went wrong. Every function writes it where its last argument is not NULL; xsfm_error_message has words for it.
#[repr(C)]
#[derive(Debug)]
pub struct XsfmError {
    opaque: [u64; XSFM_ERROR_WORDS],
    /// Of several rows or candidates: the number, from 0, of the one that has no score; those before it have theirs.
    pub row: usize,
    /// The code that the function returned.
    pub status: XsfmStatus,
}

const _: () = assert!(fits::<[u64; XSFM_ERROR_WORDS], Error>(), "XSFM_ERROR_WORDS is too small");
// SAFETY: its first member fits.
unsafe impl Handle for XsfmError {
    type Value = Error;
    const TAG: u64 = u64::from_le_bytes(*b"xsfmErr1");
}

/// Does the work of a function, and tells its caller how it went.
///
/// # Safety
/// As [`pointer::place`].
pub(crate) unsafe fn report(error: *mut XsfmError, work: impl FnOnce() -> Result<(), Error>) -> XsfmStatus {
    // SAFETY: the caller's promise.
    unsafe { report_any(error, |usable| usable.and_then(|()| work())) }
}

/// The same of a function that makes a struct: where it fails, whatever the reason, nothing is ready in the struct.
///
/// # Safety
/// As [`pointer::place`], of both; `make` may read what was in the struct.
pub(crate) unsafe fn report_made<H: Handle>(
    error: *mut XsfmError,
    name: &'static str,
    handle: *mut H,
    make: impl FnOnce() -> Result<H::Value, Error>,
) -> XsfmStatus {
    // SAFETY: the caller's promise.
    unsafe { report_any(error, |usable| handle::store(name, handle, || usable.and_then(|()| make()))) }
}

/// The same of work that leaves something undone where `error` is no place to write to: `work` is told, and fails then.
///
/// # Safety
/// As [`pointer::place`].
pub(crate) unsafe fn report_any(
    error: *mut XsfmError,
    work: impl FnOnce(Result<(), Error>) -> Result<(), Error>,
) -> XsfmStatus {
    let usable = if error.is_null() { Ok(()) } else { pointer::check("error", error) };
    let result = work(usable);
    let status = result.as_ref().map_or_else(Error::status, |()| XsfmStatus::Ok);
    if usable.is_err() {
        return XsfmStatus::MisalignedPointer;
    }
    if !error.is_null() {
        let row = result.as_ref().err().and_then(|why| why.row).unwrap_or(0);
        // SAFETY: aligned, not NULL; the rest is the caller's promise.
        unsafe {
            error.write(XsfmError { opaque: [0; XSFM_ERROR_WORDS], row, status });
            if let Err(why) = result {
                handle::put(error, why);
            }
        }
    }
    status
}

/// Writes what went wrong in words, with the two values that disagree, to `buffer` of `len` bytes, and ends it with a
/// zero byte: as much as there is room for. 128 bytes are enough for most. Gives the length of the whole text without
/// the zero byte.
///
/// Only programs that call it have its code: without it, formatting is not linked.
///
/// # Safety
/// `error` was written by a function of this library, or is NULL; `buffer` has `len` bytes, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xsfm_error_message(error: *const XsfmError, buffer: *mut c_char, len: usize) -> usize {
    // SAFETY: the caller's promise. Without a buffer the text is only measured.
    let buffer = unsafe { pointer::room("buffer", buffer.cast::<u8>(), len) }.unwrap_or_default();
    let mut text = Text { buffer, at: 0, len: 0 };
    // SAFETY: the caller's promise.
    let written = match unsafe { handle::shared("error", error) } {
        Ok(error) => write!(text, "{error}"),
        Err(_) => write!(text, "no error"),
    };
    // `Text` takes everything.
    written.map_or(0, |()| text.end())
}

/// A caller's buffer that text is written to.
struct Text<'b> {
    buffer: &'b mut [MaybeUninit<u8>],
    /// Bytes written.
    at: usize,
    /// Bytes that would have been.
    len: usize,
}

impl Text<'_> {
    /// Ends the text; gives its length.
    fn end(self) -> usize {
        if let Some(last) = self.buffer.len().checked_sub(1) {
            self.buffer[self.at.min(last)].write(0);
        }
        self.len
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.len += text.len();
        let room = self.buffer.len().saturating_sub(1);
        for (place, &byte) in self.buffer[..room].iter_mut().skip(self.at).zip(text.as_bytes()) {
            place.write(byte);
            self.at += 1;
        }
        Ok(())
    }
}

//! Rust values in structs of the caller, whose content C does not know.

use core::mem::MaybeUninit;

use crate::failure::{Error, Problem};
use crate::pointer;

/// A struct of `xsfm.h` that holds a Rust value.
///
/// # Safety
/// `Self` has room for a [`Tagged`] `Value` and is aligned for it: [`fits`], in a constant assertion, says so.
pub(crate) unsafe trait Handle: Sized {
    /// What it holds.
    type Value;
    /// Tells a struct that holds a value from zeros, and from structs of the other kinds.
    const TAG: u64;
}

/// What is in the caller's struct.
#[repr(C)]
pub(crate) struct Tagged<T> {
    /// [`Handle::TAG`] where there is a value.
    tag: u64,
    value: MaybeUninit<T>,
}

/// Whether a struct of C holds a value of Rust.
pub(crate) const fn fits<C, T>() -> bool {
    size_of::<Tagged<T>>() <= size_of::<C>() && align_of::<Tagged<T>>() <= align_of::<C>()
}

/// Writes a value into the caller's struct.
///
/// # Safety
/// `handle` is aligned, and points to memory for an `H` that nobody else uses.
pub(crate) unsafe fn put<H: Handle>(handle: *mut H, value: H::Value) {
    // SAFETY: the caller's promise; a place for an `H` is one for a `Tagged`, by `Handle`'s.
    unsafe { handle.cast::<Tagged<H::Value>>().write(Tagged { tag: H::TAG, value: MaybeUninit::new(value) }) }
}

/// Writes what `make` gives into the caller's struct; where that is an error, nothing is ready in it.
///
/// # Safety
/// As [`pointer::place`]; `make` may read what was in the struct.
pub(crate) unsafe fn store<H: Handle>(
    name: &'static str,
    handle: *mut H,
    make: impl FnOnce() -> Result<H::Value, Error>,
) -> Result<(), Error> {
    pointer::check(name, handle)?;
    let made = make();
    // SAFETY: aligned, not NULL; the rest is the caller's promise. The tag is the first number of an `H`.
    unsafe {
        handle.cast::<u64>().write(0);
        put(handle, made?);
    }
    Ok(())
}

/// The value in the caller's struct, to use alone.
///
/// # Safety
/// A pointer that is not NULL points to an `H` that [`store`] has written or that is zero, and that nobody else uses
/// during `'a`.
pub(crate) unsafe fn unique<'a, H: Handle>(name: &'static str, handle: *mut H) -> Result<&'a mut H::Value, Error> {
    // SAFETY: the caller's promise.
    unsafe { is_ready::<H>(name, handle) }?;
    // SAFETY: the tag says that `store` has written the value.
    Ok(unsafe { (*handle.cast::<Tagged<H::Value>>()).value.assume_init_mut() })
}

/// The value in the caller's struct, to read.
///
/// # Safety
/// As [`unique`], but others may read too.
pub(crate) unsafe fn shared<'a, H: Handle>(name: &'static str, handle: *const H) -> Result<&'a H::Value, Error> {
    // SAFETY: the caller's promise.
    unsafe { is_ready::<H>(name, handle) }?;
    // SAFETY: the tag says that `store` has written the value.
    Ok(unsafe { (*handle.cast::<Tagged<H::Value>>()).value.assume_init_ref() })
}

/// # Safety
/// A pointer that is not NULL can be read.
unsafe fn is_ready<H: Handle>(name: &'static str, handle: *const H) -> Result<(), Error> {
    // SAFETY: the caller's promise; the tag is the struct's first number.
    let tag = unsafe { pointer::shared(name, handle.cast::<u64>()) }?;
    if *tag == H::TAG { Ok(()) } else { Err(Error::argument(name, Problem::NotReady)) }
}

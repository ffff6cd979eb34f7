//! Pointers and lengths from C, checked as far as they can be.

use core::mem::MaybeUninit;
use core::slice;

use crate::failure::{Error, Problem};

/// NULL and misaligned pointers are errors.
pub(crate) fn check<T>(name: &'static str, pointer: *const T) -> Result<(), Error> {
    let problem = if pointer.is_null() {
        Problem::Null
    } else if !pointer.is_aligned() {
        Problem::Misaligned { required: align_of::<T>() }
    } else {
        return Ok(());
    };
    Err(Error::argument(name, problem))
}

/// An array may be NULL where it is empty.
fn check_array<T>(name: &'static str, pointer: *const T, len: usize) -> Result<(), Error> {
    if len == 0 {
        return Ok(());
    }
    check(name, pointer)?;
    match len.checked_mul(size_of::<T>()) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        _ => Err(Error::argument(name, Problem::TooLong { len })),
    }
}

/// What `pointer` points to.
///
/// # Safety
/// A pointer that is not NULL points to a `T` that nobody changes during `'a`.
pub(crate) unsafe fn shared<'a, T>(name: &'static str, pointer: *const T) -> Result<&'a T, Error> {
    check(name, pointer)?;
    // SAFETY: not NULL and aligned; the rest is the caller's promise.
    Ok(unsafe { &*pointer })
}

/// A place to write a `T` to.
///
/// # Safety
/// A pointer that is not NULL points to memory for a `T` that nobody else uses during `'a`.
pub(crate) unsafe fn place<'a, T>(name: &'static str, pointer: *mut T) -> Result<&'a mut MaybeUninit<T>, Error> {
    check(name, pointer)?;
    // SAFETY: not NULL and aligned; the rest is the caller's promise. `MaybeUninit` asks nothing of the bytes.
    Ok(unsafe { &mut *pointer.cast() })
}

/// `len` numbers or structs.
///
/// # Safety
/// A pointer that is not NULL points to `len` `T`s that nobody changes during `'a`.
pub(crate) unsafe fn array<'a, T>(name: &'static str, pointer: *const T, len: usize) -> Result<&'a [T], Error> {
    check_array(name, pointer, len)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL, aligned, and not longer than memory can be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(pointer, len) })
}

/// Room for `len` `T`s.
///
/// # Safety
/// A pointer that is not NULL points to memory for `len` `T`s that nobody else uses during `'a`.
pub(crate) unsafe fn room<'a, T>(
    name: &'static str,
    pointer: *mut T,
    len: usize,
) -> Result<&'a mut [MaybeUninit<T>], Error> {
    check_array(name, pointer, len)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: not NULL, aligned, and not longer than memory can be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(pointer.cast(), len) })
}

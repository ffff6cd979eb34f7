//! Memory that a step of training frees is there for the next.
//!
//! A step's intermediate results are megabytes each. glibc returns such memory to the system, which clears it page by
//! page before it gives it again: a tenth of a step. libtorch's memory comes from this allocator too: its symbols take
//! the place of glibc's.

use libmimalloc_sys::{mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the crate does not name: milliseconds until freed memory returns to
/// the system.
const PURGE_DELAY: mi_option_t = 15;
/// "No purging at all".
const NEVER: std::ffi::c_long = -1;

/// From now on freed memory stays with the program.
#[allow(unsafe_code, reason = "a call to C")]
pub fn keep_freed_memory() {
    // SAFETY: it stores a number in a table, which any thread may do at any time.
    unsafe { mi_option_set(PURGE_DELAY, NEVER) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code, reason = "calls to C")]
    fn the_option_is_the_delay() {
        // SAFETY: it reads a number of a table.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // As version 3 documents; no other option near it starts with it.
        assert_eq!(delay(), 1000);
        keep_freed_memory();
        assert_eq!(delay(), NEVER);
    }
}

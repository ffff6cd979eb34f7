//! The C interface of `xsfm-runtime`: `include/xsfm.h`, which cbindgen writes, and a static library.
//!
//! Nothing is allocated and there are no globals: everything lives in memory that the caller gives. Every function
//! takes NULL and misaligned pointers for errors with names; what C cannot be kept from doing (dangling pointers, wrong
//! lengths) is in the header's words about each function. `docs/c.md` is the guide.
//!
//! | module | has |
//! |---|---|
//! | [`status`] | the codes, and their names |
//! | [`error`] | what went wrong in full, and its message |
//! | `failure` | why a function failed, as its own code tells it |
//! | `pointer` | pointers and lengths, checked |
//! | `handle` | Rust values in the caller's structs |
//! | [`model`] | loading, looking in, preparing |
//! | [`value`] | raw values |
//! | [`encoder`] | rows of them |
//! | [`row`] | rows |
//! | [`scorer`] | scores |
//! | [`ranker`] | a context computed once, candidates, the best of them |
//! | [`catalogue`] | the same of items that are computed once |

#![no_std]
#![allow(unsafe_code, reason = "a C interface is made of raw pointers")]
#![warn(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

// The hosted builds' panic handler is in it.
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod catalogue;
pub mod encoder;
pub mod error;
mod failure;
mod handle;
pub mod model;
mod pointer;
pub mod ranker;
pub mod row;
pub mod scorer;
pub mod status;
pub mod value;

/// The runtime does not panic, whatever it is given; the compiler wants to know what if. C's `abort` is what a firmware
/// defines for such cases.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn abort() -> !;
    }
    abort()
}

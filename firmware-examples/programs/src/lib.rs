//! What the bare-metal examples do, written once; a machine's package adds its memory and how it starts.
//!
//! | module | does |
//! |---|---|
//! | [`score`] | scores rows and logs every bit |
//! | [`raw`] | the same with rows of raw values |
//! | [`refuse`] | feeds damaged models and wrong rows, which must be refused by name |
//! | [`rank`] | computes a context once, and finds the best of many candidates |
//! | `stack` | measures the stack that loading, scoring and ranking take |
//! | `bench` | counts the instructions of a score |
//! | `board` | counts the cycles of a score, again and again, on a board |
//! | [`flash`] | the model and the rows that are part of the program |
//! | `host` | models and rows that the emulator's host has in files |
//! | `machine` | what differs from one kind of CPU to another |
//!
//! The feature `emulator` is for programs that QEMU runs, `board` for those of boards. Nothing here allocates. The
//! memory of scorers and rankers is as large as the model says (`build.rs` asks it).

#![no_std]

#[cfg(feature = "emulator")]
pub mod bench;
#[cfg(feature = "board")]
pub mod board;
#[cfg(feature = "emulator")]
mod emulator;
pub mod flash;
#[cfg(feature = "emulator")]
pub mod host;
#[cfg(feature = "emulator")]
pub mod machine;
#[cfg(feature = "emulator")]
mod paint;
pub mod rank;
pub mod raw;
pub mod refuse;
pub mod score;
#[cfg(feature = "emulator")]
pub mod stack;

#[cfg(feature = "emulator")]
pub use emulator::done;

/// Logs what cannot be done, and why, and ends the program.
pub(crate) fn stop<E: defmt::Format>(what: &str, why: E) -> ! {
    defmt::error!("{}: {}", what, why);
    end()
}

#[cfg(feature = "emulator")]
use emulator::fail as end;

/// A board has nowhere to go to: whoever debugs it sees where this was called.
#[cfg(not(feature = "emulator"))]
fn end() -> ! {
    defmt::panic!("the line above says why")
}

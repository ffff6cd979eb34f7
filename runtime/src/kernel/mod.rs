//! The loops: where the time goes.
//!
//! One safe function per algorithm, the same names in every back end; [`portable`] is always compiled and is the oracle of
//! the others. A back end for an instruction set is a file beside it, `kernel/<isa>.rs`, the only place where `unsafe` is
//! allowed, chosen here: at compile time where there is one choice, once at run time on CPUs that must be asked.
//! The int8 functions are exact, so every back end gives the same bits; f32 sums may differ in their last bits.

pub(crate) mod portable;
#[cfg(all(target_arch = "x86_64", feature = "std"))]
pub(crate) mod x86_64;

#[cfg(not(all(target_arch = "x86_64", feature = "std")))]
pub(crate) use portable as imp;
#[cfg(all(target_arch = "x86_64", feature = "std"))]
pub(crate) use x86_64 as imp;

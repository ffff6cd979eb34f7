//! Models and rows for the examples.
//!
//! A host reads files; a microcontroller gets rows as words, which its program borrows from flash or from wherever they
//! were put.
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`words`] | words | [`Table`], [`Ranking`]: rows that borrow from them |
//! | `model` | a file | `ModelBytes` |
//! | `rows` | lines of indices | `Rows`, and words |

#![no_std]

#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
mod model;
#[cfg(feature = "std")]
mod rows;
pub mod words;

#[cfg(feature = "std")]
pub use model::ModelBytes;
#[cfg(feature = "std")]
pub use rows::{BadLine, Rows, ranking};
pub use words::{Ranking, Table};

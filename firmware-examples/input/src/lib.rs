//! Models and rows for the examples.
//!
//! A host reads files; a microcontroller gets rows as words, which its program borrows from flash or from wherever they
//! were put.
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`words`] | words | [`Table`], [`Ranking`]: rows that borrow from them |
//! | `model` | a file | `ModelBytes` |
//! | [`lines`] | lines of raw values | rows, by an encoder |
//! | `rows` | lines of indices, or of raw values | `Rows`, and words |

#![no_std]

#[cfg(feature = "std")]
extern crate std;

pub mod lines;
#[cfg(feature = "std")]
mod model;
#[cfg(feature = "std")]
mod rows;
pub mod words;

pub use lines::encode_line;
#[cfg(feature = "std")]
pub use model::ModelBytes;
#[cfg(feature = "std")]
pub use rows::{BadLine, Rows, ranking};
pub use words::{Ranking, Table};

//! What the examples read on a host: packed models and rows of indices.
//!
//! A microcontroller has no files: there, a build script turns them into constants.

mod model;
mod rows;

pub use model::ModelBytes;
pub use rows::{BadLine, Rows};

//! From raw click logs to encoded rows, and from encoded rows to batches.

pub mod batches;
pub mod export;

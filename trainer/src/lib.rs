//! Prepares click logs and trains DeepFwFM teachers and distilled, int8, quotient-remainder students.
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`data`] | raw rows | `schema.json`, encoded rows, shuffled batches |

pub mod data;

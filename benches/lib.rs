//! Benches of the runtime: `cargo bench -p xsfm-benches`. The benches are in `score.rs`; this crate has no code of its own.

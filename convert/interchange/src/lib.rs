//! The files in which `trainer` and `convert` meet, and the rules both must follow to the bit.
//!
//! | module | file or rule |
//! |---|---|
//! | [`schema`] | `schema.json`: the fields, and how raw values become indices |
//! | [`input`], `kind` | in it: how the columns of raw files are read; kinds of fields |
//! | [`encoding`] | in it: whether indices are by a vocabulary, by bounds or by a hash |
//! | [`bucket`], [`bounds`], [`quantiles`] | the token of a number: Criteo's, by bounds; bounds of equally many rows |
//! | [`tokens`] | a fast map from tokens |
//! | [`rows`] | `*.arrow`, `*.tsv`: encoded rows, streamed in blocks |
//! | [`dataset`] | a folder of them: the parts, and what tells it from others |
//! | [`fingerprint`] | which vocabulary, which rows |
//! | [`config`] | `config.json`: the architecture of a checkpoint, and its quantisation scales |
//! | [`network`] | the networks of `config.json` that only teachers have |
//! | [`checkpoint`] | `weights.safetensors`: names and shapes of the parameters |
//! | [`quantization`] | how a real number becomes the integer that the runtime uses (`docs/quantization.md`) |
//! | [`metrics`] | LogLoss, AUC, PRAUC, RCE, calibration; by groups: GAUC, NDCG, MRR |
//! | `figure` (feature `figures`) | figures that both draw, as SVG |
//! | [`size`] | numbers of bytes on a command line |
//! | [`atomic`] | outputs are written beside their place and renamed |
//! | [`output`] | what programs print, and what happens where nobody reads it or the disk is full |
//!
//! `trainer` and `convert` never import each other; this crate imports only the runtime.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic; `output` does not")]

pub mod atomic;
pub mod bounds;
pub mod bucket;
pub mod checkpoint;
pub mod config;
pub mod dataset;
pub mod encoding;
#[cfg(feature = "figures")]
pub mod figure;
pub mod fingerprint;
pub mod input;
mod kind;
pub mod metrics;
pub mod network;
pub mod output;
mod part;
pub mod quantiles;
pub mod quantization;
pub mod rows;
pub mod scale;
pub mod schema;
pub mod size;
pub mod tokens;
mod weights;

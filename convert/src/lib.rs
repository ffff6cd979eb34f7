//! From a checkpoint, or a model trained elsewhere, to one packed `.xsfm` file; never needs libtorch.
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`checkpoint`] | checkpoint folder | [`FloatModel`](model::FloatModel), BatchNorm folded |
//! | [`import`] | folder of a model trained elsewhere | [`FloatModel`](model::FloatModel) |
//! | [`calibrate`], [`rounding`] | [`FloatModel`](model::FloatModel), rows | scales and rounding of least error |
//! | [`low_rank`] | [`FloatModel`](model::FloatModel) | the same with factors in place of pairs |
//! | [`quantize`] | [`FloatModel`](model::FloatModel), scales | [`QuantizedModel`](model::QuantizedModel) |
//! | [`pack`] | either model | the bytes of an `.xsfm` file |
//! | [`packing`] | [`FloatModel`](model::FloatModel), a schema | all of these in order: a file, and what it cost |
//! | [`target`] | a packed file | the same file, its layers laid out for a CPU |
//! | [`vocabulary`] | a packed file, a schema | the same file with what raw values mean |
//! | [`raw`] | a packed file, raw rows | rows of indices |
//! | [`platt`] | a packed file, a scale and a bias of its logits | the same file, whose probabilities are click rates |
//! | [`catalogue`] | a packed file, rows of items | the bytes of an `.xsfc` file; its best items for a context |
//! | [`mod@generate`] | a packed file | the same model as Rust or C code |
//! | [`export`] | [`FloatModel`](model::FloatModel) | the bytes of an ONNX file, for other engines |
//! | [`mod@analyze`] | a packed file, a microcontroller | whether it fits there, and what a score takes |
//! | [`inspect`], [`validate`], [`score`], [`bench`](mod@bench) | a packed file | what it holds, costs, scores, time |
//! | [`input`], [`mapped`] | paths | models, and rows in blocks; packed files in memory |
//! | [`reference`](mod@reference) | either model, a row | the logit, by the plainest loops: the oracle of every test |

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic; `xsfm_interchange::output` does not")]

pub mod analyze;
pub mod bench;
pub mod calibrate;
pub mod catalogue;
pub mod checkpoint;
pub mod error;
pub mod export;
mod fold;
pub mod generate;
pub mod import;
pub mod input;
pub mod inspect;
pub mod low_rank;
pub mod mapped;
pub mod model;
pub mod pack;
pub mod packing;
pub mod platt;
pub mod quantize;
#[cfg(feature = "raw")]
pub mod raw;
pub mod reference;
pub mod rounding;
pub mod score;
pub mod target;
mod tensors;
pub mod validate;
pub mod vocabulary;

pub use error::Error;

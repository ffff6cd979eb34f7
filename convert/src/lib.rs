//! From a checkpoint, or a model trained elsewhere, to one packed `.xsfm` file; never needs libtorch.
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`checkpoint`] | checkpoint folder | [`FloatModel`](model::FloatModel) |
//! | [`golden`] | folder in the layout of the original Python implementation | [`FloatModel`](model::FloatModel) |
//! | [`quantize`] | [`FloatModel`](model::FloatModel), scales | [`QuantizedModel`](model::QuantizedModel) |
//! | [`pack`] | either model | the bytes of an `.xsfm` file |
//! | [`reference`] | either model, a row | the logit, by the plainest loops: the oracle of every test |

pub mod calibrate;
pub mod checkpoint;
pub mod error;
mod fold;
pub mod golden;
pub mod input;
pub mod model;
pub mod pack;
pub mod quantize;
pub mod reference;
pub mod rounding;
mod tensors;

pub use error::Error;

//! From a checkpoint, or a model trained elsewhere, to one packed `.xsfm` file; never needs libtorch.
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`checkpoint`] | checkpoint folder | [`FloatModel`](model::FloatModel) |
//! | [`golden`] | folder of the original Python implementation's layout | [`FloatModel`](model::FloatModel) |
//! | [`calibrate`] | [`FloatModel`](model::FloatModel), rows | the scales that the weights do not give |
//! | [`quantize`] | [`FloatModel`](model::FloatModel), scales | [`QuantizedModel`](model::QuantizedModel) |
//! | [`reference`] | either model, a row | the logit, by the plainest loops: the oracle of every test |

pub mod model;
pub mod pack;

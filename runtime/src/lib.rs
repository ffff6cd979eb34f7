//! Scores DeepFwFM click models on small and large CPUs: `no_std`, no allocator, the same bits everywhere in int8 mode.
//!
//! ```text
//! logit = bias + sum_f <v_f, w_f> + sum_f lw_f[i_f] + sum_{i<j} r_ij <v_i, v_j> + MLP(concat v_f)   p = sigmoid(logit)
//! ```
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let packed = include_bytes!("../../tests/fixtures/movielens-student/model.xsfm");
//! use xsfm_runtime::{Aligned, Model, Row, Scorer, ScratchBlock};
//!
//! # let bytes = Aligned(*packed); let bytes = &bytes.0;
//! let model = Model::from_bytes(bytes)?;
//! let mut scratch = [ScratchBlock::ZERO; 16]; // at least model.scratch_blocks()
//! let mut scorer = Scorer::new(&model, &mut scratch)?;
//! // user, item, age, gender, occupation, release year, and two genres in a bag
//! let row = Row::with_bags(&[7, 42, 1, 1, 3, 5, 2, 9], &[0, 1, 2, 3, 4, 5, 6, 8]);
//! let score = scorer.score(row)?;
//! assert!((0.0..=1.0).contains(&score.probability()));
//! # Ok(()) }
//! ```
//!
//! On CPUs with vector instructions, [`Model::prepare`] lays the layers as these want them, in memory that the caller
//! gives, and [`Scorer::score_batch`] takes rows together.
//!
//! The way of a row, room by room:
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`format`](mod@format) | | the file's layout, shared with its writer |
//! | `load`, `network` | bytes | checked views, once |
//! | [`model`] | bytes | [`Model`]: fields, parts, what they cost |
//! | [`schema`] | | the fields, by name |
//! | [`encode`](mod@encode) | raw values | indices, as the training data had them |
//! | [`row`], [`weight`] | indices | [`Row`] |
//! | [`embedding`] | indices of a field | its vector |
//! | `linear`, `interaction`, `mlp` | all vectors | one number each |
//! | [`quant`] | those numbers | the logit; and the one rounding rule of int8 mode |
//! | [`score`] | all of these | [`Score`] |
//! | `scorer` | a row, or a batch | its scores: [`Scorer`] |
//! | [`rank`] | a context, then candidates, or items of a [`Catalogue`] | [`Ranked`] |
//! | `owned` | a file's bytes | what threads of a server share: [`OwnedModel`] |
//! | `int8` | bytes, then rows | logits, in small programs: [`Int8Model`], [`Int8Ranker`] |
//! | `kernel` | | the loops of all of these, for each [`Backend`] |
//! | `scratch`, `run` | the caller's memory, arrays | arrays in them |
//! | [`error`] | | what can go wrong |
//!
//! A model, its prepared layers and a [`SplitModel`] are shared between threads; scratch, and the context of a
//! [`Ranker`], are a thread's own.
//!
//! `std` is on by default: a faster checksum, kernels chosen by what the CPU has, owners for servers, and serde for
//! writers of files. `defmt` derives `defmt::Format`.

#![no_std]
// `std` is the real one with the feature of that name, and `core`'s part of it without.
extern crate no_std_compat as std;

pub mod embedding;
pub mod encode;
pub mod error;
pub mod format;
mod int8;
mod interaction;
mod kernel;
mod linear;
mod load;
mod mlp;
pub mod model;
mod network;
#[cfg(feature = "std")]
mod owned;
pub mod quant;
pub mod rank;
pub mod row;
mod run;
pub mod schema;
pub mod score;
mod scorer;
mod scratch;
pub mod weight;

pub use encode::{EncodeError, Encoder, SmallEncoder, Value};
pub use error::{BatchError, CatalogueError, LoadError, ScoreError};
pub use format::Mode;
pub use int8::Int8Model;
pub use kernel::Backend;
pub use model::{LoadOptions, Model, Statistics};
#[cfg(feature = "std")]
pub use owned::{OwnedModel, OwnedSplit};
pub use rank::{Catalogue, CatalogueParts, CatalogueRanker, Int8Ranker, Ranked, Ranker, SplitModel, TopK};
pub use row::Row;
pub use score::Score;
pub use scorer::Scorer;
pub use scratch::ScratchBlock;
pub use weight::Weight;

/// Puts bytes at a multiple of 64: `static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!("m.xsfm"));`
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Aligned<T: ?Sized>(pub T);

//! From a row to a score.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::embedding;
use crate::error::ScoreError;
use crate::model::{Model, Parts};
use crate::quant::{logit_from_steps, logit_steps, sigmoid};
use crate::row::Row;

/// 64 bytes of scratch at an address that suits every number and every vector register.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct ScratchBlock([u8; ScratchBlock::LEN]);

impl ScratchBlock {
    /// Bytes of a block.
    pub const LEN: usize = 64;
    /// A block to fill an array with: `[ScratchBlock::ZERO; N]`.
    pub const ZERO: Self = ScratchBlock([0; Self::LEN]);
}

/// The score of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Score {
    /// Log-odds of a click. In int8 mode a multiple of 2^-16 within ±128, the same bits on every CPU.
    pub logit: f32,
}

impl Score {
    /// The probability of a click, `1 / (1 + exp(-logit))`; equal logits give equal bits on every CPU.
    pub fn probability(self) -> f32 {
        sigmoid(self.logit)
    }
}

/// Scores rows with one model and the caller's scratch; a thread needs its own.
pub struct Scorer<'m> {
    model: Model<'m>,
    scratch: &'m mut [ScratchBlock],
}

impl fmt::Debug for Scorer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer").field("model", &self.model).finish_non_exhaustive()
    }
}

impl<'m> Scorer<'m> {
    /// A scorer that works in `scratch`, of at least [`Model::scratch_blocks`] blocks.
    ///
    /// # Errors
    /// [`ScoreError::ScratchTooSmall`].
    pub fn new(model: &Model<'m>, scratch: &'m mut [ScratchBlock]) -> Result<Self, ScoreError> {
        let (needed, found) = (model.scratch_blocks(), scratch.len());
        if found < needed {
            return Err(ScoreError::ScratchTooSmall { needed, found });
        }
        Ok(Scorer { model: *model, scratch })
    }

    /// The score of one row.
    ///
    /// # Errors
    /// Any [`ScoreError`] but `ScratchTooSmall`; the scorer can be used again after one.
    pub fn score(&mut self, row: Row<'_>) -> Result<Score, ScoreError> {
        let (expected, found) = (self.model.num_fields(), row.num_fields());
        if found != expected {
            return Err(ScoreError::FieldCount { expected, found });
        }
        let mut scratch = Scratch(self.scratch.as_mut_bytes());
        let logit = match &self.model.parts {
            Parts::Int8(parts, terms) => {
                let dim = parts.embedding.dim;
                let acc = scratch.take::<i32>(dim)?;
                let e = scratch.take::<i8>(expected * dim)?;
                let mut feature_weight = 0;
                for (field, (record, out)) in parts.embedding.fields.iter().zip(e.chunks_exact_mut(dim)).enumerate() {
                    let indices = row.field(field).ok_or(ScoreError::Offsets { field })?;
                    embedding::check(record, field, indices)?;
                    parts.embedding.gather(record, indices, acc, out);
                    if let Some(weights) = &parts.feature_weight {
                        feature_weight += weights.accumulate(record, field, indices);
                    }
                }
                let field_vector = parts.field_vector.map_or(0, |vectors| vectors.accumulate(e));
                let interaction = parts.interaction.accumulate(e, dim);
                let mlp = match &parts.mlp {
                    Some(mlp) => {
                        let widest = mlp.widest();
                        mlp.accumulate(e, scratch.take(widest)?, scratch.take(widest)?)
                    }
                    None => 0,
                };
                logit_from_steps(logit_steps(
                    parts.bias,
                    [
                        terms.feature_weight.steps(feature_weight),
                        terms.field_vector.steps(field_vector),
                        terms.interaction.steps(interaction),
                        terms.mlp.steps(mlp),
                    ],
                ))
            }
            Parts::F32(parts) => {
                let dim = parts.embedding.dim;
                let e = scratch.take::<f32>(expected * dim)?;
                let mut feature_weight = 0.0;
                for (field, (record, out)) in parts.embedding.fields.iter().zip(e.chunks_exact_mut(dim)).enumerate() {
                    let indices = row.field(field).ok_or(ScoreError::Offsets { field })?;
                    embedding::check(record, field, indices)?;
                    parts.embedding.gather(record, indices, out);
                    if let Some(weights) = &parts.feature_weight {
                        feature_weight += weights.accumulate(record, indices);
                    }
                }
                let field_vector = parts.field_vector.map_or(0.0, |vectors| vectors.accumulate(e));
                let interaction = parts.interaction.accumulate(e, dim);
                let mlp = match &parts.mlp {
                    Some(mlp) => {
                        let widest = mlp.widest();
                        mlp.accumulate(e, scratch.take(widest)?, scratch.take(widest)?)
                    }
                    None => 0.0,
                };
                parts.bias + feature_weight + field_vector + interaction + mlp
            }
        };
        if logit.is_finite() { Ok(Score { logit }) } else { Err(ScoreError::NotFinite) }
    }
}

/// The part of the scratch that is not yet in use.
struct Scratch<'s>(&'s mut [u8]);

impl<'s> Scratch<'s> {
    /// The next `count` numbers, from the start of a block.
    fn take<T: FromBytes + IntoBytes + KnownLayout>(&mut self, count: usize) -> Result<&'s mut [T], ScoreError> {
        let bytes = blocks(size_of::<T>() * count) * ScratchBlock::LEN;
        let found = self.0.len() / ScratchBlock::LEN;
        let too_small = ScoreError::ScratchTooSmall { needed: bytes / ScratchBlock::LEN, found };
        let (here, rest) = std::mem::take(&mut self.0).split_at_mut_checked(bytes).ok_or(too_small)?;
        self.0 = rest;
        let (numbers, _) = <[T]>::mut_from_prefix_with_elems(here, count).map_err(|_| too_small)?;
        Ok(numbers)
    }
}

/// Blocks that `bytes` fill.
fn blocks(bytes: usize) -> usize {
    bytes.div_ceil(ScratchBlock::LEN)
}

/// Blocks that [`Scorer::score`] takes, in the order in which it takes them.
pub(crate) fn scratch_blocks(parts: &Parts<'_>, num_fields: usize) -> usize {
    match parts {
        Parts::Int8(parts, _) => {
            let dim = parts.embedding.dim;
            let widest = parts.mlp.as_ref().map_or(0, |mlp| mlp.widest());
            blocks(4 * dim) + blocks(num_fields * dim) + 2 * blocks(widest)
        }
        Parts::F32(parts) => {
            let widest = parts.mlp.as_ref().map_or(0, |mlp| mlp.widest());
            blocks(4 * num_fields * parts.embedding.dim) + 2 * blocks(4 * widest)
        }
    }
}

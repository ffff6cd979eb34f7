//! Fields whose indices have weights: out of the way of all others, whose path knows nothing of them.
//!
//! Plain loops, one copy for all back ends.

use crate::error::{ScoreError, Scored};
use crate::format::{FieldRecord, limit};
use crate::kernel::portable::requantize_row;
use crate::weight::{self, FRACTION_BITS, Weight};

use super::nibbles::number;
use super::table::{Composition, Embedding};

/// What [`check`](super::check) has refused, as indices with weights, where the field has them and these are what its
/// record allows.
pub(crate) fn check<'i>(
    record: &FieldRecord,
    field: usize,
    words: &'i [u32],
) -> Scored<impl Iterator<Item = (u32, Weight)> + Clone + use<'i>> {
    if !record.is_weighted() {
        let is_weight = |&word: &u32| word >= record.features.get() && Weight::of_word(word).is_some();
        return Err(match super::check(record, field, words) {
            Err(error) if !words.iter().any(is_weight) => error,
            _ => ScoreError::UnexpectedWeight { field },
        });
    }
    let (features, found) = (record.weighted_features.get(), words.len().div_ceil(2));
    if found == 0 || found > limit::BAG {
        return Err(ScoreError::IndexCount { field, most: limit::BAG, found });
    }
    for pair in weight::pairs(words) {
        let (index, _) = pair.ok_or(ScoreError::MissingWeight { field })?;
        if index >= features {
            return Err(ScoreError::IndexOutOfRange { field, index, features });
        }
    }
    Ok(weight::pairs(words).flatten())
}

/// acc\[d\] += (w t_d + 2^11) >> 12, of at most 2^18 in magnitude
fn add(acc: &mut [i32], weight: Weight, numbers: impl Iterator<Item = i32>) {
    for (acc, t) in acc.iter_mut().zip(numbers) {
        *acc += (i32::from(weight.steps()) * t + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS;
    }
}

/// The rows of one index, of `columns` numbers each, to the accumulator.
fn add_rows<I: Iterator<Item = i32>>(
    acc: &mut [i32],
    weight: Weight,
    composition: Composition,
    columns: usize,
    [first, second]: [I; 2],
) {
    match composition {
        Composition::Full => add(acc, weight, first.map(|q| q << 7)),
        Composition::Mult { .. } => add(acc, weight, first.zip(second).map(|(q, r)| q * r)),
        Composition::Add { .. } => add(acc, weight, first.zip(second).map(|(q, r)| (q + r) << 7)),
        Composition::Concat { .. } => {
            add(acc, weight, first.map(|q| q << 7));
            add(acc.get_mut(columns..).unwrap_or_default(), weight, second.map(|r| r << 7));
        }
    }
}

impl Embedding<'_, i8> {
    /// acc \[dim\] scratch, out \[dim + SLACK\]: the i8 vector of a field (`docs/quantization.md`, "Weights").
    pub(crate) fn gather_weighted(
        &self,
        record: &FieldRecord,
        indices: impl Iterator<Item = (u32, Weight)>,
        acc: &mut [i32],
        out: &mut [i8],
    ) {
        let composition = Composition::of(record);
        let (_, _, columns) = composition.tables(record.weighted_features.get(), self.dim);
        acc.fill(0);
        for (index, weight) in indices {
            let (first, second) = self.weighted_slices(record, composition, index);
            if record.bits == 0 {
                let rows = [first, second].map(|row| row.iter().map(|&q| i32::from(q)));
                add_rows(acc, weight, composition, columns, rows);
            } else {
                let rows = [first, second].map(|row| (0..columns).map(|d| i32::from(number(row, d))));
                add_rows(acc, weight, composition, columns, rows);
            }
        }
        requantize_row(acc, record.multiplier.get(), out);
    }
}

impl Embedding<'_, f32> {
    /// out \[dim + SLACK\]: the vector of a field.
    pub(crate) fn gather_weighted(
        &self,
        record: &FieldRecord,
        indices: impl Iterator<Item = (u32, Weight)>,
        out: &mut [f32],
    ) {
        let composition = Composition::of(record);
        let out = &mut out[..self.dim];
        out.fill(0.0);
        for (index, weight) in indices {
            let (first, second) = self.weighted_slices(record, composition, index);
            let (w, pairs) = (weight.to_f32(), first.iter().zip(second));
            match composition {
                Composition::Full => out.iter_mut().zip(first).for_each(|(o, v)| *o += w * v),
                Composition::Mult { .. } => out.iter_mut().zip(pairs).for_each(|(o, (q, r))| *o += w * (q * r)),
                Composition::Add { .. } => out.iter_mut().zip(pairs).for_each(|(o, (q, r))| *o += w * (q + r)),
                Composition::Concat { .. } => {
                    out.iter_mut().zip(first.iter().chain(second)).for_each(|(o, v)| *o += w * v);
                }
            }
        }
    }
}

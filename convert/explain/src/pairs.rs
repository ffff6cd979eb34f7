//! What a packed file multiplies the dot products of pairs of fields by.

use SectionKind::*;
use xsfm_runtime::format::{Arithmetic, SectionKind, limit};
use xsfm_runtime::{LoadError, Model};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Steps of a logit of 1.
pub(crate) const STEPS: f64 = 65_536.0;

/// Two fields, the first before the second, and their weight.
pub type PairWeight = ((usize, usize), f64);

/// r of each pair of fields that interact, in the order of the file; of all pairs where it is of low rank.
///
/// In int8 and dynamic mode an integer stands for `r s_i s_j` in steps of the accumulator, where a step of field i's
/// vector is worth s_i: it is told as the r that it stands for.
///
/// # Errors
/// None in practice: loading has decoded the same manifest.
pub fn pair_weights(model: &Model<'_>) -> Result<Vec<PairWeight>, LoadError> {
    let pairs = pairs_of(model).into_iter();
    let term = match model.manifest()?.arithmetic {
        Arithmetic::F32 { .. } => return Ok(pairs.zip(real_weights(model)).collect()),
        Arithmetic::Int8 { terms, .. } | Arithmetic::Dynamic { terms, .. } => terms.interaction,
    };
    let shift = i32::from(term.shift) + if is_low_rank(model) { limit::LOW_RANK_SHIFT as i32 } else { 0 };
    let step = f64::from(term.mantissa) / 2_f64.powi(shift) / STEPS;
    let scales: Vec<f64> = model.fields().map(|field| f64::from(field.scale)).collect();
    let real = |((i, j), r): ((usize, usize), i128)| ((i, j), r as f64 * step / (scales[i] * scales[j]));
    Ok(pairs.zip(integer_weights(model)).map(real).collect())
}

fn is_low_rank(model: &Model<'_>) -> bool {
    model.section(LowRankSigns).is_some()
}

/// The pairs that interact, in the order of their weights.
pub(crate) fn pairs_of(model: &Model<'_>) -> Vec<(usize, usize)> {
    if model.section(PairWeights).is_none() && !is_low_rank(model) {
        return Vec::new();
    }
    let count = model.num_fields();
    match model.section(PairIndices) {
        None => (0..count).flat_map(|i| (i + 1..count).map(move |j| (i, j))).collect(),
        Some(pairs) => pairs.as_chunks().0.iter().map(|&[i, j]| (i.into(), j.into())).collect(),
    }
}

/// r of each pair as the accumulator has it, in int8 and dynamic mode; of low rank 2^[`limit::LOW_RANK_SHIFT`] times
/// it.
pub(crate) fn integer_weights(model: &Model<'_>) -> Vec<i128> {
    if !is_low_rank(model) {
        return numbers::<i16>(model, PairWeights).iter().map(|&r| r.into()).collect();
    }
    let (factors, signs) = (numbers::<i16>(model, LowRankFactors), numbers::<i8>(model, LowRankSigns));
    let weight = |(i, j): (usize, usize)| -> i128 {
        let of_factor =
            |(u, &sign): (&[i16], &i8)| 2 * i128::from(sign) * i128::from(number(u, i)) * i128::from(number(u, j));
        factors.chunks_exact(model.num_fields()).zip(signs).map(of_factor).sum()
    };
    pairs_of(model).into_iter().map(weight).collect()
}

/// r of each pair in f32 mode.
pub(crate) fn real_weights(model: &Model<'_>) -> Vec<f64> {
    if !is_low_rank(model) {
        return numbers::<f32>(model, PairWeights).iter().map(|&r| r.into()).collect();
    }
    let (factors, signs) = (numbers::<f32>(model, LowRankFactors), numbers::<i8>(model, LowRankSigns));
    let weight = |(i, j): (usize, usize)| -> f64 {
        let of_factor =
            |(u, &sign): (&[f32], &i8)| 2.0 * f64::from(sign) * f64::from(number(u, i)) * f64::from(number(u, j));
        factors.chunks_exact(model.num_fields()).zip(signs).map(of_factor).sum()
    };
    pairs_of(model).into_iter().map(weight).collect()
}

/// A section's numbers, which lie as the runtime could read them; none where there is no such section.
pub(crate) fn numbers<'m, T: FromBytes + Immutable + KnownLayout>(model: &'m Model<'_>, kind: SectionKind) -> &'m [T] {
    <[T]>::ref_from_bytes(model.section(kind).unwrap_or_default()).unwrap_or_default()
}

/// A number; the loader has checked that it is there.
pub(crate) fn number<T: Copy + Default>(numbers: &[T], place: usize) -> T {
    numbers.get(place).copied().unwrap_or_default()
}

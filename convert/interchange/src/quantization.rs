//! How real numbers become the integers of int8 mode: the equations of `docs/quantization.md`, once.
//!
//! `convert` quantises with these functions; quantisation-aware training simulates them. All arithmetic is f64 and
//! element by element, in the written order, so that two programs agree to the bit. [`parts`] has what the parts of a
//! model need.

pub mod parts;

use serde::{Deserialize, Serialize};
pub use xsfm_runtime::format::{Term, limit};

/// Largest magnitude of an i8 weight or table entry; -128 is not used, so that the range is symmetric.
pub const WEIGHT_MAX: i32 = 127;
/// Largest value of an activation after ReLU.
pub const ACTIVATION_MAX: i32 = 255;
/// Largest magnitude of an i16 coefficient: field vectors, pair weights.
pub const COEFFICIENT_MAX: i32 = 32_767;
/// One step of an integer logit.
pub const LOGIT_STEP: f64 = 1.0 / 65_536.0;
/// The largest ratio that a 32-bit multiplier carries with room to spare.
pub const RATIO_MAX: f64 = 0.49;

/// Bits of a number in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableBits {
    /// One number per byte.
    #[default]
    #[serde(rename = "8")]
    Eight,
    /// Two numbers per byte; a number q stands for the i8 `16 q`.
    #[serde(rename = "4")]
    Four,
}

impl TableBits {
    /// The largest magnitude, and what its steps are worth in i8.
    pub fn range(self) -> (i32, i32) {
        match self {
            TableBits::Eight => (WEIGHT_MAX, 1),
            TableBits::Four => (7, 16),
        }
    }

    /// The i8 of a number counted in steps of i8.
    pub fn round(self, value: f64) -> i8 {
        let (max, step) = self.range();
        (quantize(value, f64::from(step), max) * step) as i8
    }

    /// The scale, in steps of i8, of numbers up to a magnitude.
    pub fn scale(self, largest: f64) -> f64 {
        let (max, step) = self.range();
        symmetric_scale(largest, max * step)
    }

    /// Whether it is the default, which a file need not say.
    pub fn is_eight(&self) -> bool {
        *self == TableBits::Eight
    }
}

/// `q = round(value / scale)`, ties to even, clamped to `±max`.
pub fn quantize(value: f64, scale: f64, max: i32) -> i32 {
    let max = f64::from(max);
    (value / scale).round_ties_even().clamp(-max, max) as i32
}

/// Scale of a tensor of zeros. Any would do for the tensor itself; a small one asks nothing of what shares a scale with
/// it.
pub const ZERO_SCALE: f64 = 1.0 / (1_u64 << 40) as f64;

/// Symmetric scale of a tensor whose largest magnitude is `max_abs`; [`ZERO_SCALE`] if that is 0.
pub fn symmetric_scale(max_abs: f64, max: i32) -> f64 {
    if max_abs > 0.0 { max_abs / f64::from(max) } else { ZERO_SCALE }
}

/// Scale of one output channel of a layer: the weights' symmetric scale, enlarged where the channel's bias would exceed
/// [`limit::BIAS`] steps of its accumulator. That matters for channels that training left with weights near or at zero.
///
/// `max_abs`: the largest magnitude among the channel's weights, field scales folded in. `input_scale`: 1 for the first
/// layer.
pub fn channel_scale(max_abs: f64, bias: f64, input_scale: f64) -> f64 {
    let scale = (max_abs / f64::from(WEIGHT_MAX)).max(bias.abs() / (f64::from(limit::BIAS) * input_scale));
    if scale > 0.0 { scale } else { ZERO_SCALE }
}

/// Multiplier of `y = (acc * m + 2^31) >> 32`: `m = round(ratio * 2^32)`, for `0 <= ratio <= `[`RATIO_MAX`].
///
/// Returns `None` for a ratio outside that range or not finite. A scale enlarged to `a / RATIO_MAX` gives back a ratio
/// that two roundings may have put a hair above the limit.
pub fn multiplier(ratio: f64) -> Option<i32> {
    (0.0..=RATIO_MAX * (1.0 + 4.0 * f64::EPSILON))
        .contains(&ratio)
        .then(|| (ratio * 4_294_967_296.0).round_ties_even() as i32)
}

/// Scale of a composed field vector, at least what [`multiplier`] can express for an accumulator of scale
/// `accumulator`.
pub fn field_scale(wanted: f64, accumulator: f64) -> f64 {
    wanted.max(accumulator / RATIO_MAX)
}

/// Scale of one step of a field's i32 accumulator: full, `add` and `concat` rows are added as `128 * q`, `mult` rows as
/// `q * r`.
pub fn field_accumulator_scale(is_product: bool, table_scales: &[f64]) -> f64 {
    if is_product { table_scales[0] * table_scales[1] } else { table_scales[0] / 128.0 }
}

/// Scale of a layer's output, at least what [`multiplier`] can express in every channel.
///
/// `channels`: `input_scale * weight_scale` of each output channel.
pub fn activation_scale(wanted: f64, channels: impl IntoIterator<Item = f64>) -> f64 {
    channels.into_iter().fold(wanted, |scale, channel| scale.max(channel / RATIO_MAX))
}

/// Scale and integers of a set of coefficients whose magnitudes must sum to at most `sum_max`.
///
/// `s = max(max|c| / 32767, sum|c| / (sum_max - n))`; `n` leaves room for half a step of rounding each.
pub fn coefficients(values: &[f64], sum_max: i64) -> (Vec<i16>, f64) {
    let largest = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let sum: f64 = values.iter().map(|v| v.abs()).sum();
    let room = sum_max as f64 - values.len() as f64;
    let scale = (largest / f64::from(COEFFICIENT_MAX)).max(sum / room);
    let scale = if scale > 0.0 { scale } else { 1.0 };
    (values.iter().map(|&v| quantize(v, scale, COEFFICIENT_MAX) as i16).collect(), scale)
}

/// The [`Term`] of an accumulator whose step is worth `scale`: `mantissa * 2^-shift ≈ scale / LOGIT_STEP`.
///
/// Returns `None` where one step would be worth 2^22 logit steps or more, or is not finite.
pub fn term(scale: f64) -> Option<Term> {
    let ratio = scale / LOGIT_STEP;
    if !ratio.is_finite() || ratio < 0.0 {
        return None;
    }
    let mut mantissa = ratio;
    let mut shift = 0_i32;
    if mantissa < 1e-30 {
        return Some(Term::ABSENT);
    }
    // Multiplications by two are exact.
    while mantissa < 4_194_304.0 {
        mantissa *= 2.0;
        shift += 1;
    }
    while mantissa >= 8_388_608.0 {
        mantissa /= 2.0;
        shift -= 1;
    }
    let mut mantissa = mantissa.round_ties_even();
    if mantissa == 8_388_608.0 {
        mantissa /= 2.0;
        shift -= 1;
    }
    match shift {
        1..=62 => Some(Term { mantissa: mantissa as i32, shift: shift as u8 }),
        63.. => Some(Term::ABSENT),
        _ => None,
    }
}

/// The model's bias in logit steps.
pub fn logit_bias(bias: f64) -> i32 {
    quantize(bias, LOGIT_STEP, limit::BIAS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enlarged_scale_has_a_multiplier() {
        for i in 1..100_000 {
            let accumulator = f64::from(i).sqrt() * 1e-7;
            let scale = field_scale(0.0, accumulator);
            assert!(multiplier(accumulator / scale).is_some(), "{accumulator:e}");
            assert_eq!(field_scale(scale, accumulator), scale, "a scale that was enlarged stays");
        }
        assert_eq!(multiplier(RATIO_MAX), Some(2_104_533_975));
        assert_eq!([0.4901, -0.1, f64::NAN].map(multiplier), [None; 3]);
    }
}

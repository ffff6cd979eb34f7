//! The integer arithmetic of int8 mode: one rounding rule, the way of a term into the logit, and the sigmoid.
//!
//! Equations: `docs/quantization.md`. Nothing here depends on the order of sums, so every back end gives the same bits.

use crate::format::{Term, limit};

/// `(acc * multiplier + 2^31) >> 32`: TensorFlow Lite's single-rounding fixed-point rule with the total shift fixed at
/// 32.
///
/// `multiplier` is `round(ratio * 2^32)`, not negative; ties go towards plus infinity.
#[inline]
pub fn requantize(acc: i32, multiplier: i32) -> i32 {
    // |acc * multiplier| <= 2^62, and the result has at most 31 bits.
    ((i64::from(acc) * i64::from(multiplier) + (1 << 31)) >> 32) as i32
}

impl Term {
    /// The accumulator in steps of the logit.
    ///
    /// `|acc| <= 2^39` for every part ([`limit`]), so product and rounding stay under 2^63.
    #[inline]
    pub(crate) fn steps(self, acc: i64) -> i64 {
        (acc * i64::from(self.mantissa) + (1 << (self.shift - 1))) >> self.shift
    }
}

/// Dynamic mode: outputs of a layer are clamped to it, so that no later number can overflow.
pub(crate) const DYNAMIC_MAX: f32 = (1_u64 << 40) as f32;

/// Dynamic mode: what a row's outputs of a layer are multiplied with to become u8, and what a step is worth then.
///
/// `largest`: the largest output, not negative. Outputs under 2^-60 count as 0.
#[inline(always)]
pub(crate) fn dynamic_scale(largest: f32) -> (f32, f32) {
    const LEAST: f32 = 1.0 / (1_u64 << 60) as f32;
    if largest >= LEAST { (255.0 / largest, largest / 255.0) } else { (0.0, 0.0) }
}

/// Dynamic mode: the MLP's real output in steps of the logit, rounded to nearest, ties away from 0.
#[inline(always)]
pub(crate) fn steps_of(output: f32) -> i64 {
    // 2^30 steps are far beyond where a logit is clamped.
    let steps = (output * 65_536.0).clamp(-1_073_741_824.0, 1_073_741_824.0);
    (steps + if steps >= 0.0 { 0.5 } else { -0.5 }) as i64
}

/// The logit in steps of 2^-16, from bias, parts and layers, clamped so that it is exact in f32.
#[inline]
pub(crate) fn logit_steps(bias: i32, parts: [i64; 3], layers: i64) -> i32 {
    // A shift is at least 1: two parts are under 2^61 + 1, two under 2^54, so the sum cannot leave an i64.
    let sum = i64::from(bias) + parts.into_iter().sum::<i64>() + layers;
    sum.clamp(-limit::LOGIT, limit::LOGIT) as i32
}

/// `steps * 2^-16`, exact.
#[inline]
pub(crate) fn logit_from_steps(steps: i32) -> f32 {
    steps as f32 * (1.0 / 65_536.0)
}

/// `1 / (1 + exp(-logit))` by a fixed sequence of IEEE-754 f32 operations: the same bits on every CPU.
///
/// Relative error under 5e-7. Arguments beyond ±87 give what ±87 gives; no result is subnormal.
#[inline]
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + exp(-logit.clamp(-87.0, 87.0)))
}

/// `exp(x)` for |x| <= 87: Cody and Waite's reduction `x = k ln 2 + r`, then Taylor's polynomial of degree 6 in
/// Horner's form.
///
/// The remainder is at most `(ln 2 / 2)^7 / 7! < 2^-22.9`, where the result is at least 0.7. Neither fused multiply-add
/// nor a mathematics library is used: both differ between targets.
#[inline]
fn exp(x: f32) -> f32 {
    // ln 2 in two parts; the first has 9 significant bits, so `k * LN_2_HIGH` is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let quotient = x * std::f32::consts::LOG2_E;
    // `as` truncates towards zero; there is no rounding function without a mathematics library.
    let k = (quotient + if quotient >= 0.0 { 0.5 } else { -0.5 }) as i32;
    let k_real = k as f32;
    let r = (x - k_real * LN_2_HIGH) - k_real * LN_2_LOW;
    let mut p = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + coefficient;
    }
    // |k| <= 126, so the exponent stays that of a normal number.
    p * f32::from_bits(((k + 127) as u32) << 23)
}

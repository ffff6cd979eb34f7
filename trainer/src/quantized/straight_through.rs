//! Integers with gradients: the value is the integer of the packed model, the gradient that of the real number that was
//! rounded.
//!
//! Rounding and clamping have no useful gradient. Each is passed *straight through* (Bengio et al. 2013,
//! arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877), and is zero where the clamp cut it off. Scales are constants
//! of a step: no gradient flows into them. What integers are is said in `xsfm_interchange::quantization`; here they are
//! computed on tensors.

use anyhow::Result;
use tch::{Device, Kind, Tensor};
use xsfm_interchange::quantization::parts::{Ratio, part_term};
use xsfm_interchange::quantization::{LOGIT_STEP, Term, limit};
use xsfm_runtime::weight::FRACTION_BITS;

use crate::model::Model;
use crate::model::lookup::Entries;

/// `clamp(requantize(acc, m), min, max)`
#[derive(Debug)]
pub(super) struct Requantize {
    /// m, i64.
    multipliers: Tensor,
    /// What m stands for, for gradients.
    ratios: Tensor,
    min: i32,
    max: i32,
}

/// An accumulator's way into the logit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) term: Term,
    pub(super) scale: f64,
}

/// `exact`, with the gradient of `path`. The difference of `path` and itself is exactly 0.
pub(super) fn straight_through(exact: &Tensor, path: &Tensor) -> Tensor {
    let exact = exact.detach();
    if path.requires_grad() { exact + (path - path.detach()) } else { exact }
}

/// values, scales (broadcast), f64 -> clamp(round(values / scales), -max, max) in `kind`; torch rounds ties to even, as
/// `quantize` does
pub(super) fn integers(values: &Tensor, scales: &Tensor, max: i32, kind: Kind) -> Tensor {
    let (real, max) = (values.to_kind(Kind::Double) / scales, f64::from(max));
    let exact = real.detach().round().clamp(-max, max);
    // The largest magnitude, `max` by the choice of its scale, may come out a hair above it, and must go on learning.
    straight_through(&exact.to_kind(kind), &real.clamp(-max - 0.5, max + 0.5).to_kind(kind))
}

/// t, integers of entries -> (sum w t + 2^11) >> 12 of `docs/quantization.md`, "Weights", in int64 tensors; sums of t
/// where no field has weights
pub(super) fn weighted(t: &Tensor, entries: &Entries, sum: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let Some(steps) = entries.weight_steps() else { return sum(t) };
    let bits = i64::from(FRACTION_BITS);
    let exact = sum(&(t.detach().to_kind(Kind::Int64) * steps)) + (1_i64 << (bits - 1));
    // Vectors are far below it.
    let exact = exact.bitwise_right_shift_tensor_scalar(bits).clamp(-limit::FEATURE_WEIGHTS, limit::FEATURE_WEIGHTS);
    straight_through(&exact.to_kind(t.kind()), &sum(&entries.weigh(t)))
}

impl Requantize {
    pub(super) fn new(ratios: &[Ratio], shape: &[i64], (min, max): (i32, i32), model: &Model, kind: Kind) -> Self {
        let multipliers: Vec<i64> = ratios.iter().map(|ratio| ratio.multiplier.into()).collect();
        let multipliers = Tensor::from_slice(&multipliers).view(shape).to_device(model.device());
        let ratios: Vec<f64> = ratios.iter().map(|ratio| ratio.ratio).collect();
        Requantize { multipliers, ratios: column(&ratios, shape, model).to_kind(kind), min, max }
    }

    /// acc, integers -> clamp((acc * m + 2^31) >> 32, min, max), in int64 tensors
    pub(super) fn apply(&self, acc: &Tensor) -> Tensor {
        let exact = acc.detach().to_kind(Kind::Int64) * &self.multipliers + (1_i64 << 31);
        let exact = exact.bitwise_right_shift_tensor_scalar(32).clamp(i64::from(self.min), i64::from(self.max));
        let path = (acc * &self.ratios).clamp(f64::from(self.min), f64::from(self.max));
        straight_through(&exact.to_kind(acc.kind()), &path)
    }
}

impl Way {
    pub(super) const ABSENT: Way = Way { term: Term::ABSENT, scale: 0.0 };

    pub(super) fn new(part: &'static str, scale: f64) -> Result<Self> {
        Ok(Way { term: part_term(part, scale)?, scale })
    }

    /// acc `[n]` -> its steps of the logit, (acc * M + 2^(n-1)) >> n
    pub(super) fn steps(self, acc: &Tensor) -> Tensor {
        let shift = i64::from(self.term.shift);
        let exact = acc.detach().to_kind(Kind::Int64) * i64::from(self.term.mantissa) + (1_i64 << (shift - 1));
        let exact = exact.bitwise_right_shift_tensor_scalar(shift).to_kind(acc.kind());
        straight_through(&exact, &(acc * (self.scale / LOGIT_STEP)))
    }
}

/// f64 on the model's device.
pub(super) fn column(values: &[f64], shape: &[i64], model: &Model) -> Tensor {
    Tensor::from_slice(values).view(shape).to_device(model.device())
}

/// The numbers of a small tensor, in f64.
pub(super) fn to_host(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double).flatten(0, -1))?)
}

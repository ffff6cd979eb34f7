//! The integers of a model's parts, from what is largest in them: what packing and quantisation-aware training compute
//! alike.
//!
//! Numbers that are rounded one by one (tables, weights of layers) stay with who has them; here is what they are
//! divided by.

use super::{
    COEFFICIENT_MAX, Term, WEIGHT_MAX, activation_scale, channel_scale, field_accumulator_scale, field_scale, limit,
    multiplier, quantize, symmetric_scale, term,
};
use crate::config::FieldConfig;

/// Why a part has no integers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizationError {
    /// A part of such size that an integer logit cannot carry it.
    #[error("one step of the {part} is worth {scale}, too much for an integer logit")]
    Term {
        /// The part.
        part: &'static str,
        /// What a step is worth.
        scale: f64,
    },
    /// A ratio of two scales that no multiplier expresses.
    #[error("{part}: no multiplier expresses a ratio of {ratio}")]
    Multiplier {
        /// The part.
        part: String,
        /// The ratio.
        ratio: f64,
    },
}

/// The [`Term`] of a part whose accumulator's step is worth `scale`.
///
/// # Errors
/// It is worth too much.
pub fn part_term(part: &'static str, scale: f64) -> Result<Term, QuantizationError> {
    term(scale).ok_or(QuantizationError::Term { part, scale })
}

/// How a field's rows become its vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldScale {
    /// Of the vector.
    pub scale: f64,
    /// What brings the accumulator to that scale; rows of one full table are copied as they lie.
    pub requantize: Option<Ratio>,
}

/// A ratio of two scales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// What the multiplier stands for.
    pub ratio: f64,
    /// `round(ratio * 2^32)`
    pub multiplier: i32,
}

impl FieldScale {
    /// `tables`: scales of the field's tables; `wanted`: that of the vector, enlarged where no multiplier expresses it.
    ///
    /// # Errors
    /// No scale helps: a scale is not a positive number.
    pub fn new(field: &FieldConfig, tables: &[f64], wanted: f64) -> Result<Self, QuantizationError> {
        if !field.is_requantized() {
            return Ok(FieldScale { scale: tables[0], requantize: None });
        }
        let accumulator = field_accumulator_scale(field.is_product(), tables);
        let scale = field_scale(wanted, accumulator);
        let ratio = Ratio::new(accumulator / scale, || format!("field `{}`", field.name))?;
        Ok(FieldScale { scale, requantize: Some(ratio) })
    }
}

impl Ratio {
    fn new(ratio: f64, part: impl Fn() -> String) -> Result<Self, QuantizationError> {
        let none = || QuantizationError::Multiplier { part: part(), ratio };
        Ok(Ratio { ratio, multiplier: multiplier(ratio).ok_or_else(none)? })
    }
}

/// Scales of first-order scalars.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureWeightScales {
    /// `[num_fields]`: of each field's scalars.
    pub fields: Vec<f64>,
    /// `[num_fields]`: those scales in steps of `scale`.
    pub coefficients: Vec<i16>,
    /// What a step of the accumulator is worth.
    pub scale: f64,
}

impl FeatureWeightScales {
    /// `largest`, `[num_fields]`: the largest magnitude among each field's scalars.
    pub fn new(largest: &[f64]) -> Self {
        let fields: Vec<f64> = largest.iter().map(|&largest| symmetric_scale(largest, WEIGHT_MAX)).collect();
        let scale = fields.iter().fold(0.0_f64, |most, &scale| most.max(scale)) / f64::from(COEFFICIENT_MAX);
        let coefficients = fields.iter().map(|&field| quantize(field, scale, COEFFICIENT_MAX) as i16).collect();
        FeatureWeightScales { fields, coefficients, scale }
    }
}

/// A layer of int8 mode, but for its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerScales {
    /// `[outputs]`: of each channel's weights.
    pub weights: Vec<f64>,
    /// `[outputs]`: what a step of each channel's accumulator is worth.
    pub accumulators: Vec<f64>,
    /// `[outputs]`, in steps of the accumulator.
    pub biases: Vec<i32>,
}

/// What brings a hidden layer's accumulators to the scale of its outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationScale {
    /// Of the outputs.
    pub scale: f64,
    /// `[outputs]`
    pub ratios: Vec<Ratio>,
}

impl LayerScales {
    /// `largest`, `biases`, `[outputs]`: the largest magnitude among each channel's weights, and its bias;
    /// `input_scale`: 1 for the first layer, whose weights have the fields' scales folded in.
    pub fn new(largest: &[f64], biases: &[f64], input_scale: f64) -> Self {
        let channels = largest.iter().zip(biases);
        let weights: Vec<f64> = channels.map(|(&largest, &bias)| channel_scale(largest, bias, input_scale)).collect();
        let accumulators: Vec<f64> = weights.iter().map(|scale| input_scale * scale).collect();
        let biases =
            biases.iter().zip(&accumulators).map(|(&bias, &scale)| quantize(bias, scale, limit::BIAS)).collect();
        LayerScales { weights, accumulators, biases }
    }

    /// The outputs of hidden layer `layer`, whose scale is `wanted`, enlarged where no multiplier expresses it.
    ///
    /// # Errors
    /// No scale helps: a scale is not a positive number.
    pub fn activation(&self, layer: usize, wanted: f64) -> Result<ActivationScale, QuantizationError> {
        let scale = activation_scale(wanted, self.accumulators.iter().copied());
        let ratio = |&accumulator: &f64| Ratio::new(accumulator / scale, || format!("hidden layer {layer}"));
        Ok(ActivationScale { scale, ratios: self.accumulators.iter().map(ratio).collect::<Result<_, _>>()? })
    }
}

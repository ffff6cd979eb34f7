//! Finds the scales that the weights do not give, and the rounding, by what they do to the logits of sample rows.
//!
//! 1. Scales start at the range of what they scale (min-max). Then tables, composed vectors and each layer's
//!    activations take turns: every [`Rule`] is tried, and the one with the smallest mean |logit error| stays.
//! 2. Tables and layers are rounded anew ([`crate::rounding`]); what does not lower the error is not kept.
//! 3. The mean error goes into the bias.

use std::{fmt, slice};

use xsfm_interchange::config::{ModelConfig, Scales};
use xsfm_interchange::quantization::{ACTIVATION_MAX, LOGIT_STEP, WEIGHT_MAX, limit, quantize, symmetric_scale};
use xsfm_interchange::rows::{Bounds, RowBlock, variety};
use xsfm_runtime::{Model, Row, ScoreError, Scorer, ScratchBlock, Weight};

use crate::error::Error;
use crate::model::{FloatModel, QuantizedModel};
use crate::pack::{PackError, pack_int8};
use crate::quantize::{quantize_dynamic, quantize_model};
use crate::reference::float_forward;
use crate::rounding::{round_layers, round_tables};

/// Rows beyond this many add time, not accuracy.
pub const MAX_ROWS: usize = 2048;
/// Random rows beside which the samples' logits must vary.
const PROBES: u32 = 64;
/// Where the samples' logits vary by less than this share of the random rows', they say nothing of the model.
const LEAST_VARIATION: f64 = 1e-3;

/// How a scale follows from the numbers that it scales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The largest magnitude becomes the largest integer.
    MinMax,
    /// The magnitude that this fraction of the numbers does not exceed becomes the largest integer.
    Percentile(f64),
    /// The scale with the smallest mean squared error of rounding and clipping.
    MeanSquaredError,
}

impl Rule {
    /// All rules that are tried.
    pub const ALL: [Rule; 5] = [
        Rule::MinMax,
        Rule::Percentile(0.9999),
        Rule::Percentile(0.999),
        Rule::Percentile(0.99),
        Rule::MeanSquaredError,
    ];

    /// The scale of `magnitudes` in ascending order, for integers up to `max`.
    fn scale(self, magnitudes: &[f32], max: i32) -> f64 {
        let largest = magnitudes.last().copied().map_or(0.0, f64::from);
        match self {
            Rule::MinMax => symmetric_scale(largest, max),
            Rule::Percentile(fraction) => {
                let at = (fraction * (magnitudes.len().saturating_sub(1)) as f64).ceil() as usize;
                let magnitude = magnitudes.get(at).copied().map_or(0.0, f64::from);
                // Mostly zeros: the percentile says nothing about the rest.
                symmetric_scale(if magnitude > 0.0 { magnitude } else { largest }, max)
            }
            Rule::MeanSquaredError => {
                // Enough to tell neighbouring candidates apart; evenly spaced in rank, the largest included.
                let stride = magnitudes.len().div_ceil(20_000).max(1);
                let error = |scale: f64| -> f64 {
                    let sample = magnitudes.iter().rev().step_by(stride).map(|&v| f64::from(v));
                    sample.map(|v| (v - f64::from(quantize(v, scale, max)) * scale).powi(2)).sum()
                };
                let candidates = (0..=30).map(|step| symmetric_scale(largest * (1.0 - 0.02 * f64::from(step)), max));
                let best = candidates.map(|scale| (error(scale), scale)).min_by(|a, b| a.0.total_cmp(&b.0));
                best.map_or(1.0, |(_, scale)| scale)
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::MinMax => write!(f, "min-max"),
            Rule::Percentile(fraction) => write!(f, "percentile {}", fraction * 100.0),
            Rule::MeanSquaredError => write!(f, "squared error"),
        }
    }
}

/// How the outputs of layers become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    /// int8 mode: by scales that rows give.
    Static,
    /// Dynamic mode: by a scale for each row, when it is scored.
    Dynamic,
}

impl Activations {
    fn quantize(self, model: &FloatModel, scales: &Scales) -> Result<QuantizedModel, Error> {
        match self {
            Activations::Static => quantize_model(model, scales),
            Activations::Dynamic => quantize_dynamic(model, scales),
        }
    }
}

/// One thing that was tried.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Trial {
    /// What was chosen anew.
    pub part: String,
    /// How.
    pub choice: String,
    /// Mean |logit error| on the sample rows.
    pub error: f64,
    /// Whether it stayed.
    pub kept: bool,
}

/// A calibrated model, and how it was found.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// The integers.
    pub model: QuantizedModel,
    /// Everything that was tried, in order.
    pub trials: Vec<Trial>,
    /// Mean |logit error| on the sample rows.
    pub error: f64,
    /// Standard deviation of the float model's logits on the sample rows; 0 of a model that says the same of all rows.
    pub logit_deviation: f64,
    /// How many of the sample rows are distinct.
    pub distinct_rows: usize,
}

/// Quantises `model` with the scales and the rounding that serve `samples` best. `progress` hears (done, total) steps.
///
/// # Errors
/// Samples that are too few or do not vary, a row that does not fit the model, or a model that integers cannot carry.
pub fn calibrate(
    model: &FloatModel,
    activations: Activations,
    samples: &RowBlock,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Calibration, Error> {
    let distinct_rows = variety::check(slice::from_ref(samples), &Bounds::from(&model.config))
        .map_err(|error| Error::Quantize(error.to_string()))?;
    let hidden = match activations {
        Activations::Static => model.layers.len().saturating_sub(1),
        Activations::Dynamic => 0,
    };
    let total = 1 + (Rule::ALL.len() - 1) * (2 + hidden) + 3;
    let mut done = 0;
    let mut step = || {
        done += 1;
        progress(done.min(total), total);
    };
    let ranges = Ranges::measure(model, samples)?;
    check_variation(model, &ranges.logits, distinct_rows)?;
    step();

    let mut search = Search::start(model, activations, samples, &ranges)?;
    for rule in Rule::ALL {
        search.try_scales("tables", rule, |scales| ranges.set_tables(model, rule, scales))?;
        step();
    }
    if model.config.fields.iter().any(|field| field.is_requantized()) {
        for rule in Rule::ALL {
            search.try_scales("composed vectors", rule, |scales| ranges.set_fields(model, rule, scales))?;
            step();
        }
    }
    for n in 0..hidden {
        for rule in Rule::ALL {
            let part = format!("activations of layer {n}");
            search.try_scales(&part, rule, |scales| scales.activations[n] = ranges.activation(n, rule))?;
            step();
        }
    }
    search.try_rounding("tables", |quantized| round_tables(model, quantized, rows(samples)))?;
    step();
    if !model.layers.is_empty() {
        search.try_rounding("layers", |quantized| round_layers(model, quantized, rows(samples)))?;
    }
    step();
    search.try_bias()?;
    progress(total, total);
    let logit_deviation = deviation(&search.logits);
    Ok(Calibration { model: search.best, trials: search.trials, error: search.error, logit_deviation, distinct_rows })
}

/// Refuses samples whose logits hardly vary though the model's do.
fn check_variation(model: &FloatModel, logits: &[f64], distinct_rows: usize) -> Result<(), Error> {
    let probes = random_rows(&model.config, PROBES);
    let of_probes =
        rows(&probes).enumerate().map(|(i, row)| Ok(float_forward(model, row).map_err(Error::row(i))?.logit));
    let of_probes = deviation(&of_probes.collect::<Result<Vec<f64>, Error>>()?);
    let of_samples = deviation(logits);
    if of_samples >= LEAST_VARIATION * of_probes {
        return Ok(());
    }
    let count = logits.len();
    Err(Error::Quantize(format!(
        "calibration needs rows whose logits vary: those of the {count} rows given, {distinct_rows} of them \
         distinct, deviate by \
         {of_samples:.3e}, those of random rows by {of_probes:.3e}"
    )))
}

/// Rows of any indices that the model knows, the same each time.
fn random_rows(config: &ModelConfig, count: u32) -> RowBlock {
    let mut block = RowBlock::new(config.fields.len(), config.fields.iter().any(|field| field.bag));
    for i in 0..count {
        for (f, field) in (0..).zip(&config.fields) {
            // Multiplicative hashing (Knuth): the upper bits of i and f scatter.
            let hash = (i * 131 + f + 1_u32).wrapping_mul(2_654_435_761) >> 7;
            let words = [hash % field.features.max(1), Weight::ONE.word()];
            block.push_field(&words[..if field.weighted { 2 } else { 1 }]);
        }
    }
    block
}

/// The best model so far.
struct Search<'a> {
    model: &'a FloatModel,
    activations: Activations,
    samples: &'a RowBlock,
    /// The float model's logits.
    logits: Vec<f64>,
    scales: Scales,
    best: QuantizedModel,
    error: f64,
    trials: Vec<Trial>,
}

impl<'a> Search<'a> {
    fn start(
        model: &'a FloatModel,
        activations: Activations,
        samples: &'a RowBlock,
        ranges: &Ranges,
    ) -> Result<Self, Error> {
        let mut scales = Scales {
            tables: vec![Vec::new(); model.fields.len()],
            fields: vec![1.0; model.fields.len()],
            activations: (0..ranges.activations.len()).map(|n| ranges.activation(n, Rule::MinMax)).collect(),
            table_bits: model.table_bits,
        };
        ranges.set_fields(model, Rule::MinMax, &mut scales);
        ranges.set_tables(model, Rule::MinMax, &mut scales);
        let best = activations.quantize(model, &scales)?;
        let logits = ranges.logits.clone();
        let mut search = Search { model, activations, samples, logits, scales, error: 0.0, best, trials: Vec::new() };
        search.error = mean_abs(&search.errors(&search.best)?);
        search.note("all", Rule::MinMax.to_string(), search.error, true);
        Ok(search)
    }

    fn note(&mut self, part: &str, choice: String, error: f64, kept: bool) {
        self.trials.push(Trial { part: part.to_owned(), choice, error, kept });
    }

    /// Logit errors of `quantized` on the samples, as the device would make them.
    fn errors(&self, quantized: &QuantizedModel) -> Result<Vec<f64>, Error> {
        let logits = packed_logits(quantized, self.samples)?;
        Ok(logits.iter().zip(&self.logits).map(|(found, expected)| found - expected).collect())
    }

    fn try_scales(&mut self, part: &str, rule: Rule, change: impl FnOnce(&mut Scales)) -> Result<(), Error> {
        let mut scales = self.scales.clone();
        change(&mut scales);
        if scales == self.scales {
            return Ok(());
        }
        let quantized = self.activations.quantize(self.model, &scales)?;
        if self.consider(part, rule.to_string(), quantized)? {
            self.scales = scales;
        }
        Ok(())
    }

    fn try_rounding(
        &mut self,
        part: &str,
        round: impl FnOnce(&mut QuantizedModel) -> Result<(), ScoreError>,
    ) -> Result<(), Error> {
        let mut quantized = self.best.clone();
        round(&mut quantized).map_err(Error::row(0))?;
        self.consider(part, "rounded by their effect".to_owned(), quantized)?;
        Ok(())
    }

    fn try_bias(&mut self) -> Result<(), Error> {
        let errors = self.errors(&self.best)?;
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        let mut quantized = self.best.clone();
        quantized.bias = quantize(f64::from(quantized.bias) - mean / LOGIT_STEP, 1.0, limit::BIAS);
        self.consider("bias", "less the mean error".to_owned(), quantized)?;
        Ok(())
    }

    fn consider(&mut self, part: &str, choice: String, quantized: QuantizedModel) -> Result<bool, Error> {
        let error = mean_abs(&self.errors(&quantized)?);
        let kept = error < self.error;
        self.note(part, choice, error, kept);
        if kept {
            (self.best, self.error) = (quantized, error);
        }
        Ok(kept)
    }
}

/// What the scales have to cover: magnitudes in ascending order.
struct Ranges {
    /// Per field and table.
    tables: Vec<Vec<Vec<f32>>>,
    /// Per field; empty where nothing is requantised.
    fields: Vec<Vec<f32>>,
    /// Per hidden layer, positive ones only: a zero is exact in any scale.
    activations: Vec<Vec<f32>>,
    /// The float model's logits on the samples.
    logits: Vec<f64>,
}

impl Ranges {
    fn measure(model: &FloatModel, samples: &RowBlock) -> Result<Self, Error> {
        let dim = model.config.embed_dim;
        let magnitudes = |values: &[f32]| values.iter().map(|v| v.abs()).collect::<Vec<_>>();
        let mut ranges = Ranges {
            tables: model.fields.iter().map(|f| f.tables.iter().map(|t| magnitudes(&t.values)).collect()).collect(),
            fields: vec![Vec::new(); model.fields.len()],
            activations: vec![Vec::new(); model.layers.len().saturating_sub(1)],
            logits: Vec::with_capacity(samples.len()),
        };
        for (i, row) in rows(samples).enumerate() {
            let trace = float_forward(model, row).map_err(Error::row(i))?;
            for (f, _) in model.config.fields.iter().enumerate().filter(|(_, config)| config.is_requantized()) {
                ranges.fields[f].extend(trace.vectors[f * dim..(f + 1) * dim].iter().map(|&v| v.abs() as f32));
            }
            for (all, layer) in ranges.activations.iter_mut().zip(&trace.activations) {
                all.extend(layer.iter().filter(|&&y| y > 0.0).map(|&y| y as f32));
            }
            ranges.logits.push(trace.logit);
        }
        let all = ranges.tables.iter_mut().flatten().chain(&mut ranges.fields).chain(&mut ranges.activations);
        all.for_each(|magnitudes| magnitudes.sort_unstable_by(f32::total_cmp));
        Ok(ranges)
    }

    fn activation(&self, layer: usize, rule: Rule) -> f64 {
        rule.scale(&self.activations[layer], ACTIVATION_MAX)
    }

    /// Table scales; vectors that are copied rows have their table's.
    fn set_tables(&self, model: &FloatModel, rule: Rule, scales: &mut Scales) {
        for (f, (config, tables)) in model.config.fields.iter().zip(&self.tables).enumerate() {
            let (max, step) = model.table_bits.range();
            let scale = |magnitudes: &Vec<f32>| rule.scale(magnitudes, max) / f64::from(step);
            let mut found: Vec<f64> = tables.iter().map(scale).collect();
            if !config.is_product() {
                // The tables of `add` and `concat` share the larger scale.
                let shared = found.iter().fold(0.0_f64, |a, &b| a.max(b));
                found.fill(shared);
            }
            if !config.is_requantized() {
                scales.fields[f] = found[0];
            }
            scales.tables[f] = found;
        }
    }

    /// Scales of composed vectors.
    fn set_fields(&self, model: &FloatModel, rule: Rule, scales: &mut Scales) {
        for (f, config) in model.config.fields.iter().enumerate() {
            if config.is_requantized() {
                scales.fields[f] = rule.scale(&self.fields[f], WEIGHT_MAX);
            }
        }
    }
}

/// The runtime's logits of a quantised model.
fn packed_logits(quantized: &QuantizedModel, samples: &RowBlock) -> Result<Vec<f64>, Error> {
    let packed = pack_int8(quantized)?;
    let model = Model::from_bytes_skipping_checksum(&packed).map_err(PackError::Refused)?;
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).map_err(Error::row(0))?;
    let score = |(i, row)| scorer.score(row).map(|score| f64::from(score.logit)).map_err(Error::row(i));
    rows(samples).enumerate().map(score).collect()
}

fn rows(block: &RowBlock) -> impl Iterator<Item = Row<'_>> + Clone {
    (0..block.len()).map(|i| block.row(i))
}

fn mean_abs(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    // From the first, so that equal values have no deviation, not even one of rounding.
    let from_first = || values.iter().map(|v| v - values[0]);
    let mean = from_first().sum::<f64>() / n;
    (from_first().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}

//! Figures of a model on encoded rows, and its logits. A quantised model is scored with its integers, exactly as the device will.

use anyhow::{Context, Result};
use tch::{Kind, Tensor};
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::rows::RowBlock;

use crate::data::batches::{Batches, Order};
use crate::model::Model;
use crate::quantized::Quantized;

/// A model in evaluation.
#[derive(Debug)]
pub enum Scorer<'a> {
    /// In real numbers.
    Float(&'a Model),
    /// In integers.
    Int8(Box<Quantized<'a>>),
}

impl<'a> Scorer<'a> {
    /// Integers where the configuration has scales, real numbers otherwise.
    ///
    /// # Errors
    /// A part of such size that an integer cannot carry it.
    pub fn new(model: &'a Model) -> Result<Self> {
        match &model.config.quantization {
            None => Ok(Scorer::Float(model)),
            Some(scales) => Ok(Scorer::Int8(Box::new(Quantized::new(model, scales, Kind::Double)?))),
        }
    }

    /// n rows -> logits `[n]`: f32, or f64 of an integer model
    ///
    /// # Errors
    /// Rows that do not fit the model.
    pub fn logits(&self, block: &RowBlock) -> Result<Tensor> {
        Ok(match self {
            Scorer::Float(model) => model.logits(&model.entries(block)?),
            Scorer::Int8(quantized) => quantized.logits(&quantized.model().entries(block)?),
        })
    }

    /// Labels and logits of all rows, in the order of the file. `tick` is called with the number of rows of each batch.
    ///
    /// # Errors
    /// Rows that cannot be read, do not fit the model or have no label.
    pub fn score(&self, rows: &mut Batches, mut tick: impl FnMut(u64)) -> Result<(Vec<u8>, Vec<f64>)> {
        let (mut labels, mut logits) = (Vec::new(), Vec::new());
        for batch in rows.pass(Order::Sequential) {
            let block = batch?.rows;
            let scores: Vec<f64> = Vec::try_from(self.logits(&block)?.to_kind(Kind::Double))?;
            logits.extend(scores);
            labels.extend_from_slice(&block.labels);
            tick(block.len() as u64);
        }
        Ok((labels, logits))
    }

    /// Figures on all rows.
    ///
    /// # Errors
    /// Rows that cannot be read or do not fit the model; no rows.
    pub fn metrics(&self, rows: &mut Batches) -> Result<Metrics> {
        let (labels, logits) = self.score(rows, |_| ())?;
        Metrics::from_logits(&labels, &logits).context("measuring")
    }
}

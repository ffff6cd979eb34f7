//! Figures of a model on encoded rows, and its logits. A quantised model is scored with its integers, exactly as the device will.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;
use tch::{Kind, Tensor};
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::metrics::auc::AucDifference;
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

/// What `evaluate` prints: figures, and how they compare with another model's on the same rows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Evaluation {
    /// Figures of the model.
    #[serde(flatten)]
    pub figures: Metrics,
    /// Absent where there is nothing to compare with.
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
}

/// Another model on the same rows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Comparison {
    /// Its figures.
    pub against: Metrics,
    /// How much more the AUC of the first is; absent with one class only.
    pub auc_difference: Option<AucDifference>,
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.figures;
        let figure = |value: Option<f64>| value.map_or("undefined".to_owned(), |v| format!("{v:.5}"));
        let auc = |metrics: &Metrics| metrics.shown_auc(5).unwrap_or_else(|| "undefined".to_owned());
        writeln!(f, "rows     {}", m.rows)?;
        writeln!(f, "CTR      {:.5}", m.positives as f64 / m.rows as f64)?;
        writeln!(f, "LogLoss  {:.5}", m.log_loss)?;
        writeln!(f, "AUC      {}", auc(m))?;
        writeln!(f, "PRAUC    {}", figure(m.prauc))?;
        writeln!(f, "RCE      {}", figure(m.rce))?;
        let Some(Comparison { against, auc_difference }) = &self.comparison else { return Ok(()) };
        writeln!(f, "\nagainst  AUC {}  LogLoss {:.5}", auc(against), against.log_loss)?;
        match auc_difference {
            Some(difference) => writeln!(f, "AUC      {difference}"),
            None => writeln!(f, "AUC      undefined: the labels are all the same"),
        }
    }
}

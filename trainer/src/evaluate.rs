//! Figures of a model on encoded rows, and its logits. A quantised model is scored with its integers, exactly as the
//! device will.

use std::thread;

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::config::ModelConfig;
use xsfm_interchange::metrics::{Metrics, Observed};
use xsfm_interchange::rows::{RowBlock, RowsError};

use crate::data::ahead::ahead;
use crate::data::batches::{Batch, Batches, Order};
use crate::device::preparing_threads;
use crate::model::Model;
use crate::model::lookup::{Entries, Rows};
use crate::model::network::numbers_of_a_row;
use crate::quantized::Quantized;

/// Batches that are ready and wait to be scored.
const WAITING: usize = 4;
/// Batches whose logits stay on a GPU: reading them waits for all that it has to do.
const UNREAD: usize = 64;
/// Numbers of the largest intermediate result of a pass on a GPU: 256 MB in f32, a few times that in the integers of
/// int8.
const FILLING_NUMBERS: usize = 1 << 26;
/// More rows than these make no call faster per row.
const FILLING_ROWS: usize = 1 << 16;

/// Rows and their logits, in the order of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// `[rows]`
    pub labels: Vec<u8>,
    /// `[rows]`; empty where rows have none.
    pub weights: Vec<f32>,
    /// `[rows]`
    pub logits: Vec<f64>,
}

impl Scored {
    /// What is known of the rows.
    pub fn observed(&self) -> Observed<'_> {
        Observed { labels: &self.labels, weights: &self.weights }
    }
}

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
        Ok(self.pass(&self.model().entries(block)?))
    }

    /// The logits of all rows. `tick` is called with the number of rows of each batch.
    ///
    /// # Errors
    /// Rows that cannot be read, do not fit the model or have no label.
    pub fn score(&self, rows: &mut Batches, mut tick: impl FnMut(u64)) -> Result<Scored> {
        let device = self.model().device();
        let indexer = self.model().layout.indexer().clone();
        let size = if device == Device::Cpu { None } else { Some(filling_rows(&self.model().config)) };
        let batches = rows.pass_of(size, Order::Sequential);
        let prepare = move |batch: Result<Batch, RowsError>| {
            let block = batch?.rows;
            let ready = Ready::Here(indexer.rows(&block)?);
            // As in training: on a GPU they go ahead.
            let ready = if device == Device::Cpu { ready } else { Ready::There(ready.entries(device)?) };
            anyhow::Ok((block.labels, block.weights, ready))
        };
        let (mut scored, mut logits) = (Scored::default(), Logits::new(device));
        thread::scope(|scope| {
            for batch in ahead(scope, WAITING, preparing_threads(device), batches, prepare) {
                let (labels, weights, ready) = batch?;
                logits.add(self.pass(&ready.entries(device)?))?;
                tick(labels.len() as u64);
                scored.labels.extend(labels);
                scored.weights.extend(weights);
            }
            scored.logits = logits.read()?;
            Ok(scored)
        })
    }

    fn model(&self) -> &'a Model {
        match self {
            Scorer::Float(model) => model,
            Scorer::Int8(quantized) => quantized.model(),
        }
    }

    fn pass(&self, entries: &Entries) -> Tensor {
        match self {
            Scorer::Float(model) => model.logits(entries),
            Scorer::Int8(quantized) => quantized.logits(entries),
        }
    }

    /// Figures on all rows.
    ///
    /// # Errors
    /// Rows that cannot be read or do not fit the model; no rows.
    pub fn metrics(&self, rows: &mut Batches) -> Result<Metrics> {
        let scored = self.score(rows, |_| ())?;
        Metrics::from_logits(scored.observed(), &scored.logits).context("measuring")
    }
}

/// Rows of a call that give a GPU enough to do, and fit its memory.
fn filling_rows(config: &ModelConfig) -> usize {
    let fields = config.fields.len();
    let vectors = fields * config.embed_dim;
    let hidden = config.mlp.iter().flat_map(|mlp| &mlp.hidden).copied().max().unwrap_or(0);
    // A compressed interaction network multiplies every vector of a layer with every field's.
    let widest = config.compressed.iter().copied().max().map_or(0, |width| width.max(fields) * vectors);
    let widest = widest.max(numbers_of_a_row(config));
    (FILLING_NUMBERS / vectors.max(hidden).max(widest).max(1)).clamp(1, FILLING_ROWS)
}

/// A batch that is ready to be scored.
enum Ready {
    Here(Rows),
    There(Entries),
}

impl Ready {
    fn entries(self, device: Device) -> Result<Entries> {
        match self {
            Ready::Here(rows) => rows.entries(device),
            Ready::There(entries) => Ok(entries),
        }
    }
}

/// Logits in the order of their batches.
struct Logits {
    read: Vec<f64>,
    unread: Vec<Tensor>,
    /// Batches after which they are read.
    every: usize,
}

impl Logits {
    fn new(device: Device) -> Self {
        let every = if device == Device::Cpu { 1 } else { UNREAD };
        Logits { read: Vec::new(), unread: Vec::new(), every }
    }

    fn add(&mut self, logits: Tensor) -> Result<()> {
        self.unread.push(logits);
        if self.unread.len() == self.every { self.read_all() } else { Ok(()) }
    }

    fn read_all(&mut self) -> Result<()> {
        if !self.unread.is_empty() {
            let logits = Tensor::f_cat(&self.unread, 0)?.f_to_kind(Kind::Double)?;
            self.read.extend(Vec::<f64>::try_from(logits)?);
            self.unread.clear();
        }
        Ok(())
    }

    fn read(mut self) -> Result<Vec<f64>> {
        self.read_all()?;
        Ok(self.read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn logits_come_in_their_order_whenever_they_are_read() {
        let batches = [3, 1, 4, 1, 5].map(|n: i64| Tensor::randn([n], (Kind::Float, Device::Cpu)));
        let all = Vec::<f64>::try_from(Tensor::cat(&batches, 0).to_kind(Kind::Double)).unwrap();
        for every in [1, 2, 5, 9] {
            let mut logits = Logits { every, ..Logits::new(Device::Cpu) };
            batches.iter().for_each(|batch| logits.add(batch.shallow_clone()).unwrap());
            assert_eq!(logits.read().unwrap(), all, "every {every}");
        }
    }

    #[test]
    fn a_wide_model_has_fewer_rows_in_a_call() {
        let config = |fields: usize, embed_dim: usize, hidden: &[usize], compressed: &[usize]| -> ModelConfig {
            let field = |f| {
                let embedding = serde_json::json!({"kind": "full"});
                serde_json::json!({"name": format!("f{f}"), "features": 10, "bag": false, "embedding": embedding})
            };
            let fields: Vec<_> = (0..fields).map(field).collect();
            serde_json::from_value(serde_json::json!({
                "version": ModelConfig::VERSION, "fields": fields, "embed_dim": embed_dim,
                "feature_weight": false, "field_vector": true, "interaction": "none",
                "mlp": {"hidden": hidden, "batch_norm": false}, "compressed": compressed,
            }))
            .unwrap()
        };
        assert_eq!(filling_rows(&config(39, 10, &[400, 400], &[])), FILLING_ROWS);
        assert_eq!(filling_rows(&config(39, 10, &[4096], &[])), (1 << 26) / 4096);
        assert_eq!(filling_rows(&config(39, 16, &[400], &[100, 50])), (1 << 26) / (100 * 39 * 16));
    }
}

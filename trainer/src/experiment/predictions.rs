//! Logits of a row's model on the rows that a report shows, with their labels: what it takes to tell by how much two
//! models really differ. `predictions.safetensors` in a unit's folder, 8 bytes a row.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tch::{Kind, Tensor};
use xsfm_interchange::metrics::auc::AucShares;
use xsfm_interchange::metrics::calibration::Reliability;
use xsfm_interchange::rows::RowsReader;

use crate::tensors;

/// Name of the file.
const FILE: &str = "predictions.safetensors";
const LOGITS: &str = "logits";
const LABELS: &str = "labels";

/// A model's logits, and what became of the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    labels: Vec<u8>,
    logits: Vec<f64>,
}

impl Predictions {
    /// Keeps the logits of a file that `evaluate --logits` wrote, one per row of `rows`, in a unit's folder.
    ///
    /// # Errors
    /// Files that cannot be read or written, or do not have the same number of rows.
    pub fn keep(logits: &Path, rows: &Path, folder: &Path) -> Result<()> {
        let at = || logits.display().to_string();
        let text = fs::read_to_string(logits).with_context(at)?;
        let of_line = |line: &str| line.parse::<f32>().with_context(|| format!("{}: {line:?} is no logit", at()));
        let values: Vec<f32> = text.lines().map(of_line).collect::<Result<_>>()?;
        let mut labels: Vec<f32> = Vec::with_capacity(values.len());
        for block in RowsReader::open(rows)?.blocks() {
            labels.extend(block?.labels.into_iter().map(f32::from));
        }
        let (found, expected) = (values.len(), labels.len());
        ensure!(found == expected, "{}: {found} logits, {} has {expected} rows", at(), rows.display());
        let named = |name: &str, values: &[f32]| (name.to_owned(), Tensor::from_slice(values));
        tensors::write(&folder.join(FILE), &[named(LOGITS, &values), named(LABELS, &labels)], None)?;
        fs::remove_file(logits).with_context(at)
    }

    /// Those in a unit's folder; `None` where there are none, as in folders of older programs.
    ///
    /// # Errors
    /// The file cannot be read, or lacks a part.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.try_exists().with_context(|| path.display().to_string())? {
            return Ok(None);
        }
        let (tensors, _) = tensors::read(&path)?;
        let values = |name: &str| -> Result<Vec<f64>> {
            let tensor = tensors.get(name).with_context(|| format!("{}: no tensor `{name}`", path.display()))?;
            Ok(Vec::try_from(tensor.to_kind(Kind::Double))?)
        };
        let labels = values(LABELS)?.into_iter().map(|label| label as u8).collect();
        Ok(Some(Predictions { labels, logits: values(LOGITS)? }))
    }

    /// What became of the rows.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Predictions beside clicks.
    ///
    /// # Errors
    /// None of predictions that a program of this project wrote.
    pub fn reliability(&self) -> Result<Reliability> {
        Ok(Reliability::from_logits(&self.labels, &self.logits)?)
    }

    /// The AUC with its shares; `None` with one class only.
    ///
    /// # Errors
    /// None of predictions that a program of this project wrote.
    pub fn shares(&self) -> Result<Option<AucShares>> {
        Ok(AucShares::new(&self.labels, &self.logits)?)
    }
}

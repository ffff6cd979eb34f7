//! A few rows in memory, for calibration.

use xsfm_interchange::config::ModelConfig;
use xsfm_runtime::Row;

use crate::error::Error;
use crate::reference::check;

/// Rows that fit a model.
#[derive(Clone, Debug)]
pub struct Samples {
    num_fields: usize,
    indices: Vec<u32>,
    /// Where each field of each row starts in `indices`, and where the last one ends.
    offsets: Vec<u32>,
}

impl Samples {
    /// No rows yet.
    pub fn new(config: &ModelConfig) -> Self {
        Samples { num_fields: config.fields.len(), indices: Vec::new(), offsets: vec![0] }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// The row's number, counted from 1, and what does not fit.
    pub fn push(&mut self, config: &ModelConfig, row: Row<'_>) -> Result<(), Error> {
        let number = self.len() + 1;
        let refuse = |message: String| Error::Row { row: number, message };
        check(config, row).map_err(|error| refuse(error.to_string()))?;
        for field in 0..self.num_fields {
            self.indices.extend_from_slice(row.field(field).unwrap_or_default());
            let end = u32::try_from(self.indices.len());
            self.offsets.push(end.map_err(|_| refuse("more indices than fit into memory".to_owned()))?);
        }
        Ok(())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        (self.offsets.len() - 1) / self.num_fields
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> + Clone {
        (0..self.len()).map(|row| {
            let first = row * self.num_fields;
            Row::with_bags(&self.indices, &self.offsets[first..=first + self.num_fields])
        })
    }
}

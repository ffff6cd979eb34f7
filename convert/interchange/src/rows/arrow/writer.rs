//! Writes an Arrow file of rows.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, RecordBatch, UInt8Array, UInt32Array};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema};
use xsfm_runtime::row::Row;
use xsfm_runtime::weight::FRACTION_BITS;

use super::{Beside, ROWS_KEY, VOCABULARY_KEY, WEIGHTS_KEY};
use crate::atomic::Pending;
use crate::fingerprint::{self, RowsHash};
use crate::rows::{
    BLOCK_INDICES, BLOCK_ROWS, Bounds, Column, LABEL_COLUMN, RowBlock, RowsError, WEIGHT_COLUMN, cell_problem,
    weight_problem,
};

/// Writes an Arrow file row by row. Dropped before [`commit`](RowsWriter::commit), it leaves nothing behind.
pub struct RowsWriter {
    writer: FileWriter<Pending>,
    path: PathBuf,
    beside: Beside,
    columns: Vec<Column>,
    schema: Arc<Schema>,
    block: RowBlock,
    num_rows: u64,
    hash: RowsHash,
}

impl fmt::Debug for RowsWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowsWriter { path, columns, num_rows, .. } = self;
        f.debug_struct("RowsWriter")
            .field("path", path)
            .field("columns", columns)
            .field("num_rows", num_rows)
            .finish_non_exhaustive()
    }
}

impl RowsWriter {
    /// Opens a temporary file beside `path`, for labelled rows of the bounds' columns, whose indices mean its
    /// vocabulary.
    ///
    /// # Errors
    /// Whatever the file system reports; a file without fields.
    pub fn create(path: &Path, bounds: &Bounds) -> Result<Self, RowsError> {
        Self::create_with(path, bounds, Beside { labels: true, weights: false })
    }

    /// The same for rows that all have this beside their fields, and nothing else.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub fn create_with(path: &Path, bounds: &Bounds, beside: Beside) -> Result<Self, RowsError> {
        let columns = &bounds.columns;
        if columns.is_empty() {
            return Err(RowsError::malformed(path, "rows need at least one field"));
        }
        let mut fields = Vec::new();
        fields.extend(beside.labels.then(|| Field::new(LABEL_COLUMN, DataType::UInt8, false)));
        fields.extend(beside.weights.then(|| Field::new(WEIGHT_COLUMN, DataType::Float32, false)));
        for column in columns {
            let kind = if column.bag { DataType::List(list_item()) } else { DataType::UInt32 };
            let weights = column.weighted.then(|| (WEIGHTS_KEY.to_owned(), FRACTION_BITS.to_string()));
            fields.push(
                Field::new(&column.name, kind, false).with_metadata(weights.into_iter().collect::<HashMap<_, _>>()),
            );
        }
        let metadata = bounds.vocabulary.iter().map(|v| (VOCABULARY_KEY.to_owned(), v.to_string()));
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata.collect::<HashMap<_, _>>()));
        let pending = Pending::create(path).map_err(RowsError::io(path))?;
        let writer = FileWriter::try_new(pending, &schema).map_err(|e| arrow_error(path, e))?;
        Ok(RowsWriter {
            writer,
            path: path.to_owned(),
            beside,
            columns: columns.to_vec(),
            schema,
            block: RowBlock::new(columns.len(), columns.iter().any(|c| c.bag)),
            num_rows: 0,
            hash: RowsHash::default(),
        })
    }

    /// Of how many rows the writer makes each block, but for the last, where rows have `least` to `most` words in all
    /// fields together; `None` where that depends on the rows.
    pub fn block_rows(least: usize, most: usize) -> Option<usize> {
        match least == most {
            true => Some(BLOCK_ROWS.min(BLOCK_INDICES.div_ceil(most.max(1)))),
            false => Some(BLOCK_ROWS).filter(|rows| (rows - 1) * most < BLOCK_INDICES),
        }
    }

    /// Number of rows so far.
    pub fn num_rows(&self) -> u64 {
        self.num_rows
    }

    /// Appends a row.
    ///
    /// # Errors
    /// A label other than 0 and 1, a wrong number of fields, an empty or too long bag, no weight where rows have
    /// weights; whatever the file system reports.
    pub fn push(&mut self, label: u8, row: &Row<'_>) -> Result<(), RowsError> {
        self.push_with(Some(label), None, row)
    }

    fn push_with(&mut self, label: Option<u8>, weight: Option<f32>, row: &Row<'_>) -> Result<(), RowsError> {
        let found = Beside { labels: label.is_some(), weights: weight.is_some() };
        for (column, found, wanted) in
            [(LABEL_COLUMN, found.labels, self.beside.labels), (WEIGHT_COLUMN, found.weights, self.beside.weights)]
        {
            if found != wanted {
                let has = |has| if has { "has one" } else { "has none" };
                return Err(self.value(column, format!("the row {}, and its file {}", has(found), has(wanted))));
            }
        }
        if let Some(label) = label.filter(|label| *label > 1) {
            return Err(self.value(LABEL_COLUMN, format!("label {label}, 0 or 1 expected")));
        }
        if let Some(what) = weight.and_then(weight_problem) {
            return Err(self.value(WEIGHT_COLUMN, what));
        }
        if row.num_fields() != self.columns.len() {
            let what = format!("a row of {} fields, {} expected", row.num_fields(), self.columns.len());
            return Err(self.value(LABEL_COLUMN, what));
        }
        for (f, column) in self.columns.iter().enumerate() {
            if let Some(what) = cell_problem(column, row.field(f).unwrap_or_default()) {
                return Err(self.value(&column.name, what));
            }
        }
        self.block.push_row(label, row);
        self.block.weights.extend(weight);
        self.num_rows += 1;
        if self.block.len() == BLOCK_ROWS || self.block.indices.len() >= BLOCK_INDICES {
            self.flush()?;
        }
        Ok(())
    }

    fn value(&self, field: &str, what: String) -> RowsError {
        RowsError::Value { path: self.path.clone(), row: self.num_rows, field: field.to_owned(), what }
    }

    /// Appends all rows of a block: the same file as by [`push`](Self::push), in a fraction of the time
    /// where no field is a bag.
    ///
    /// # Errors
    /// Those of [`push`](Self::push); weights that are no weights, or in a file without them.
    pub fn push_block(&mut self, block: &RowBlock) -> Result<(), RowsError> {
        let fields = self.columns.len();
        let is_plain = self.block.offsets.is_empty() && block.offsets.is_empty() && block.num_fields == fields;
        let fits = |length: usize, wanted: bool| length == if wanted { block.len() } else { 0 };
        let is_whole = fits(block.labels.len(), self.beside.labels) && fits(block.weights.len(), self.beside.weights);
        let is_well = block.labels.iter().all(|&label| label <= 1)
            && block.weights.iter().all(|&weight| weight_problem(weight).is_none());
        if !is_plain || !is_whole || !is_well {
            let mut rows = 0..block.len();
            return rows.try_for_each(|i| self.push_with(block.label(i), block.weight(i), &block.row(i)));
        }
        let mut from = 0;
        while from < block.len() {
            let room = BLOCK_ROWS.min(BLOCK_INDICES.div_ceil(fields)) - self.block.len();
            let to = block.len().min(from + room);
            self.block.labels.extend(block.labels.get(from..to).unwrap_or_default());
            self.block.weights.extend(block.weights.get(from..to).unwrap_or_default());
            self.block.indices.extend(&block.indices[from * fields..to * fields]);
            self.num_rows += (to - from) as u64;
            if to - from == room {
                self.flush()?;
            }
            from = to;
        }
        Ok(())
    }

    /// Writes the last block and the footer, puts the file in its place, and gives the rows' fingerprint.
    ///
    /// # Errors
    /// Whatever the file system reports; the place is then untouched.
    pub fn commit(mut self) -> Result<fingerprint::Rows, RowsError> {
        self.flush()?;
        let fingerprint = self.hash.finish();
        self.writer.write_metadata(ROWS_KEY, fingerprint.to_string());
        let pending = self.writer.into_inner().map_err(|e| arrow_error(&self.path, e))?;
        pending.commit().map_err(RowsError::io(&self.path))?;
        Ok(fingerprint)
    }

    fn flush(&mut self) -> Result<(), RowsError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let rows = self.block.len();
        let RowBlock { labels, weights, indices, offsets, .. } = &self.block;
        self.hash.push(rows, labels, weights, indices, offsets);
        let mut arrays: Vec<ArrayRef> = Vec::new();
        if self.beside.labels {
            arrays.push(Arc::new(UInt8Array::from(self.block.labels.clone())));
        }
        if self.beside.weights {
            arrays.push(Arc::new(Float32Array::from(self.block.weights.clone())));
        }
        for (f, column) in self.columns.iter().enumerate() {
            if self.block.offsets.is_empty() {
                let values: Vec<u32> = self.block.indices[f..].iter().step_by(self.columns.len()).copied().collect();
                arrays.push(Arc::new(UInt32Array::from(values)));
                continue;
            }
            let cells = (0..rows).map(|i| self.block.row(i).field(f).unwrap_or_default());
            let values = UInt32Array::from_iter_values(cells.clone().flatten().copied());
            if column.bag {
                let offsets = arrow_buffer::OffsetBuffer::from_lengths(cells.map(<[u32]>::len));
                let list = arrow_array::ListArray::try_new(list_item(), offsets, Arc::new(values), None);
                arrays.push(Arc::new(list.map_err(|e| arrow_error(&self.path, e))?));
            } else {
                arrays.push(Arc::new(values));
            }
        }
        self.block.clear();
        let batch = RecordBatch::try_new(self.schema.clone(), arrays).map_err(|e| arrow_error(&self.path, e))?;
        self.writer.write(&batch).map_err(|e| arrow_error(&self.path, e))
    }
}

fn list_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::UInt32, false))
}

fn arrow_error(path: &Path, error: arrow_schema::ArrowError) -> RowsError {
    let source = match error {
        arrow_schema::ArrowError::IoError(_, source) => source,
        other => io::Error::other(other),
    };
    RowsError::Io { path: path.to_owned(), source }
}

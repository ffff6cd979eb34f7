//! Rows of indices as text: `xsfm score` and calibration read them, people can write them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use xsfm_runtime::Weight;
use xsfm_runtime::row::Row;

use super::{BLOCK_INDICES, Bounds, Column, MAX_BAG, RowBlock, RowsError, cell_problem};

/// Most bytes of a weight's text, with its colon.
const WEIGHT_MAX: u64 = 32;
/// Rows of a block.
const TSV_BLOCK_ROWS: usize = 4096;

/// Reads a TSV of indices as an iterator of blocks, each row checked.
#[derive(Debug)]
pub struct TsvReader<R = BufReader<File>> {
    input: R,
    path: PathBuf,
    bounds: Bounds,
    line: u64,
    /// A longer line cannot be a row; it is refused before it is held in memory.
    line_max: u64,
    buffer: Vec<u8>,
    failed: bool,
}

impl TsvReader {
    /// Opens a file whose rows must fit `bounds`.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self, RowsError> {
        let file = File::open(path).map_err(RowsError::io(path))?;
        Ok(TsvReader::new(BufReader::new(file), path, bounds))
    }
}

impl<R: BufRead> TsvReader<R> {
    /// Reads from any input; `path` is its name in errors.
    pub fn new(input: R, path: &Path, bounds: Bounds) -> Self {
        // Ten digits and a separator for each index, and so many for its weight.
        let cell = |column: &Column| match (column.bag, column.weighted) {
            (_, true) => 11 * MAX_BAG as u64 + WEIGHT_MAX * MAX_BAG as u64,
            (true, false) => 11 * MAX_BAG as u64,
            (false, false) => 11,
        };
        let line_max = bounds.columns.iter().map(cell).sum::<u64>() + 2;
        TsvReader { input, path: path.to_owned(), bounds, line: 0, line_max, buffer: Vec::new(), failed: false }
    }

    fn read_block(&mut self) -> Result<RowBlock, RowsError> {
        let mut block = RowBlock::new(self.bounds.columns.len(), self.bounds.has_bag());
        while block.len() < TSV_BLOCK_ROWS && block.indices.len() < BLOCK_INDICES && self.read_line()? {
            let text = str::from_utf8(&self.buffer).map_err(|e| self.error(format!("not UTF-8: {e}")))?;
            parse_line(text, &self.bounds, &mut block).map_err(|what| self.error(what))?;
        }
        Ok(block)
    }

    /// The next line without its end, in `buffer`; false at the end of the input.
    fn read_line(&mut self) -> Result<bool, RowsError> {
        self.buffer.clear();
        let read = (&mut self.input).take(self.line_max + 1).read_until(b'\n', &mut self.buffer);
        if read.map_err(RowsError::io(&self.path))? == 0 {
            return Ok(false);
        }
        self.line += 1;
        if self.buffer.len() as u64 > self.line_max {
            let (max, fields) = (self.line_max, self.bounds.columns.len());
            return Err(self.error(format!("longer than the {max} bytes that a row of {fields} fields can have")));
        }
        if self.buffer.ends_with(b"\n") {
            self.buffer.pop();
        }
        if self.buffer.ends_with(b"\r") {
            self.buffer.pop();
        }
        Ok(true)
    }

    fn error(&self, what: String) -> RowsError {
        RowsError::Line { path: self.path.clone(), line: self.line, what }
    }
}

impl<R: BufRead> Iterator for TsvReader<R> {
    type Item = Result<RowBlock, RowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let block = self.read_block();
        self.failed = block.is_err();
        block.map(|block| (!block.is_empty()).then_some(block)).transpose()
    }
}

fn parse_line(text: &str, bounds: &Bounds, block: &mut RowBlock) -> Result<(), String> {
    let found = text.split('\t').count();
    if found != bounds.columns.len() {
        return Err(format!("{found} fields, {} expected", bounds.columns.len()));
    }
    let mut indices = Vec::new();
    for ((cell, column), &features) in text.split('\t').zip(&bounds.columns).zip(&bounds.features) {
        let field = &column.name;
        // A bag without indices is the out-of-vocabulary row alone, as raw values without tokens are.
        let cell = if cell.is_empty() && column.bag { "0" } else { cell };
        indices.clear();
        for part in cell.split('|') {
            let (part, weight) = match part.split_once(':') {
                Some((part, weight)) if column.weighted => (part, Some(parse_weight(weight, field)?)),
                None if column.weighted => {
                    return Err(format!("field {field:?}: {part:?} has no weight; index:weight expected"));
                }
                _ => (part, None),
            };
            let index: u32 = part.parse().map_err(|e| format!("field {field:?}: {part:?} is not an index: {e}"))?;
            if index >= features {
                return Err(format!(
                    "field {field:?}: index {index}, but the field has {features} features (valid: 0..{features})"
                ));
            }
            indices.push(index);
            indices.extend(weight.map(Weight::word));
        }
        if let Some(what) = cell_problem(column, &indices) {
            return Err(format!("field {field:?}: {what}"));
        }
        block.push_field(&indices);
    }
    Ok(())
}

fn parse_weight(text: &str, field: &str) -> Result<Weight, String> {
    let number: f64 = text.parse().map_err(|e| format!("field {field:?}: {text:?} is not a weight: {e}"))?;
    let most = Weight::MAX;
    Weight::nearest(number).ok_or_else(|| format!("field {field:?}: weight {text}, -{most} to {most} allowed"))
}

/// Writes one row as a line that [`TsvReader`] reads.
///
/// # Errors
/// Whatever the output reports.
pub fn write_tsv_row(output: &mut dyn Write, row: &Row<'_>) -> io::Result<()> {
    for f in 0..row.num_fields() {
        if f > 0 {
            output.write_all(b"\t")?;
        }
        for (i, &word) in row.field(f).unwrap_or_default().iter().enumerate() {
            match Weight::of_word(word) {
                Some(weight) if i > 0 => write!(output, ":{weight}")?,
                _ if i > 0 => write!(output, "|{word}")?,
                _ => write!(output, "{word}")?,
            }
        }
    }
    output.write_all(b"\n")
}

//! Reads an Arrow file of rows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::layout::{columns, metadata, record_batch};
use super::manifest::{Manifest, ManifestFile};
use super::{Beside, ROWS_KEY, VOCABULARY_KEY};
use crate::fingerprint::{self, Vocabulary};
use crate::rows::{
    BLOCK_ROWS, Bounds, Column, LABEL_COLUMN, RowBlock, RowsError, WEIGHT_COLUMN, cell_problem, count_problem,
    weight_problem,
};

const MAGIC: &[u8; 6] = b"ARROW1";
/// Most bytes of a footer or of a batch's description: those of a few thousand fields and a million batches fit.
const METADATA_MAX: u64 = 64 << 20;

/// Reads an Arrow file block by block, in any order; or several, which a [manifest](Manifest) lists.
#[derive(Debug)]
pub struct RowsReader {
    /// What was opened: the file, or the manifest.
    path: PathBuf,
    files: Vec<PathBuf>,
    /// The one that was read last, and its number.
    file: (usize, File),
    beside: Beside,
    columns: Vec<Column>,
    blocks: Vec<BlockPlace>,
    num_rows: u64,
    vocabulary: Option<Vocabulary>,
    fingerprint: Option<fingerprint::Rows>,
    bounds: Option<Bounds>,
}

/// Where a block lies.
#[derive(Clone, Copy, Debug)]
struct BlockPlace {
    file: usize,
    metadata: u64,
    metadata_bytes: u64,
    body_bytes: u64,
    rows: usize,
    first_row: u64,
}

/// One buffer of a block's body.
#[derive(Clone, Copy, Debug)]
struct Span {
    file: usize,
    from: u64,
    bytes: u64,
}

impl RowsReader {
    /// Opens a file, or all of a manifest's, and reads where the blocks lie.
    ///
    /// # Errors
    /// A file cannot be read, or is not an Arrow IPC file of rows; files of a manifest that do not belong together.
    pub fn open(path: &Path) -> Result<Self, RowsError> {
        if path.extension().is_some_and(|extension| extension == Manifest::EXTENSION) {
            return Self::open_all(path, &Manifest::load(path)?);
        }
        let mut file = File::open(path).map_err(RowsError::io(path))?;
        let file_bytes = file.metadata().map_err(RowsError::io(path))?.len();
        if file_bytes < 18 {
            return Err(RowsError::malformed(path, format!("{file_bytes} bytes are too few for an Arrow IPC file")));
        }
        let tail = read_at(&mut file, path, file_bytes - 10, 10)?;
        if &tail[4..] != MAGIC {
            return Err(RowsError::malformed(
                path,
                "it does not end in \"ARROW1\" (cut short, or not an Arrow IPC file)",
            ));
        }
        let footer_bytes = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
        if footer_bytes > (file_bytes - 18).min(METADATA_MAX) {
            return Err(RowsError::malformed(
                path,
                format!("a footer of {footer_bytes} bytes in a file of {file_bytes}"),
            ));
        }
        let footer = read_at(&mut file, path, file_bytes - 10 - footer_bytes, footer_bytes)?;
        let footer = arrow_ipc::root_as_footer(&footer)
            .map_err(|e| RowsError::malformed(path, format!("damaged footer: {e}")))?;
        let (beside, columns) = columns(&footer).map_err(|what| RowsError::malformed(path, what))?;
        let of_schema = footer.schema().and_then(|schema| schema.custom_metadata());
        let vocabulary = metadata(of_schema, VOCABULARY_KEY).map_err(|what| RowsError::malformed(path, what))?;
        let of_rows = metadata(footer.custom_metadata(), ROWS_KEY).map_err(|what| RowsError::malformed(path, what))?;

        let mut reader = RowsReader {
            path: path.to_owned(),
            files: vec![path.to_owned()],
            file: (0, file),
            beside,
            columns,
            blocks: Vec::new(),
            num_rows: 0,
            vocabulary,
            fingerprint: of_rows,
            bounds: None,
        };
        for (i, block) in footer.recordBatches().iter().flatten().enumerate() {
            reader.add_block(i, block, file_bytes)?;
        }
        Ok(reader)
    }

    /// The rows of several files, one behind the other.
    fn open_all(path: &Path, manifest: &Manifest) -> Result<Self, RowsError> {
        let wrong = |what: String| RowsError::malformed(path, what);
        let mut all: Option<RowsReader> = None;
        for ManifestFile { name, rows } in &manifest.files {
            let part_path = path.with_file_name(name);
            let part = Self::open(&part_path)?;
            if part.num_rows != *rows {
                return Err(wrong(format!("{name} has {} rows, {rows} expected", part.num_rows)));
            }
            let Some(all) = &mut all else {
                all = Some(part);
                continue;
            };
            if (part.beside, &part.columns, &part.vocabulary) != (all.beside, &all.columns, &all.vocabulary) {
                return Err(wrong(format!("{name} has other columns, or another vocabulary, than {:?}", all.files[0])));
            }
            let (file, first_row) = (all.files.len(), all.num_rows);
            let moved = |place: BlockPlace| BlockPlace { file, first_row: first_row + place.first_row, ..place };
            all.blocks.extend(part.blocks.into_iter().map(moved));
            all.files.push(part_path);
            all.num_rows += rows;
        }
        let mut all = all.ok_or_else(|| wrong("it lists no file".to_owned()))?;
        (all.path, all.fingerprint) = (path.to_owned(), Some(manifest.fingerprint));
        Ok(all)
    }

    /// Makes every later read check its rows against a model or a schema.
    ///
    /// # Errors
    /// The file's columns or their vocabulary are not the expected ones.
    pub fn expecting(mut self, bounds: Bounds) -> Result<Self, RowsError> {
        bounds.check_columns(&self.path, &self.columns)?;
        bounds.check_vocabulary(&self.path, self.vocabulary.as_ref())?;
        self.bounds = Some(bounds);
        Ok(self)
    }

    /// The file, or the manifest.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What rows have beside their fields.
    pub fn beside(&self) -> Beside {
        self.beside
    }

    /// The mean weight of all rows, in one pass over the weights alone; 1 where rows have none.
    ///
    /// # Errors
    /// A damaged block, a weight that is negative or not finite; all are 0.
    pub fn mean_weight(&mut self) -> Result<f64, RowsError> {
        if !self.beside.weights {
            return Ok(1.0);
        }
        let mut sum = 0.0;
        for i in 0..self.blocks.len() {
            let place = self.blocks[i];
            let spans = self.spans(i, place)?;
            sum += self.read_weights(i, place, &spans)?.iter().map(|&weight| f64::from(weight)).sum::<f64>();
        }
        if sum == 0.0 {
            return Err(self.malformed(format!("all {} rows have weight 0", self.num_rows)));
        }
        Ok(sum / self.num_rows as f64)
    }

    /// The fields, without the label and the weight.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What the indices mean; absent in files of older programs.
    pub fn vocabulary(&self) -> Option<&Vocabulary> {
        self.vocabulary.as_ref()
    }

    /// Which rows these are; absent in files of older programs.
    pub fn fingerprint(&self) -> Option<fingerprint::Rows> {
        self.fingerprint
    }

    /// Number of rows in the file.
    pub fn num_rows(&self) -> u64 {
        self.num_rows
    }

    /// Number of blocks in the file.
    pub fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The rows of block `i`, by their numbers in the file; `None` where there is no such block.
    pub fn block_rows(&self, i: usize) -> Option<Range<u64>> {
        self.blocks.get(i).map(|b| b.first_row..b.first_row + b.rows as u64)
    }

    /// Reads block `i`.
    ///
    /// # Errors
    /// The block is damaged, has a null, a label other than 0 and 1, a weight that is negative or not finite, an empty
    /// or too long bag, or an index outside the bounds of [`expecting`](Self::expecting).
    pub fn read_block(&mut self, i: usize) -> Result<RowBlock, RowsError> {
        let Some(&place) = self.blocks.get(i) else {
            return Err(self.malformed(format!("block {i} was asked for, but it has {}", self.blocks.len())));
        };
        let spans = self.spans(i, place)?;
        let labels = match self.beside.labels {
            true => self.read_exactly(i, LABEL_COLUMN, spans[1], place.rows as u64)?,
            false => Vec::new(),
        };
        if let Some(row) = labels.iter().position(|&label| label > 1) {
            return Err(self.value(place, row, LABEL_COLUMN, format!("label {}, 0 or 1 expected", labels[row])));
        }

        let weights = self.read_weights(i, place, &spans)?;

        // Column by column: `values[f]`, and for a bag the positions in it where its rows begin.
        let mut cells = Vec::with_capacity(self.columns.len());
        let mut next = 2 * self.beside.count();
        for column in self.columns.clone() {
            if column.bag {
                let starts = self.read_u32(i, &column.name, spans[next + 1], place.rows as u64 + 1)?;
                let ascending = starts.windows(2).all(|w| w[0] <= w[1]);
                let (first, last) = (starts[0], starts[place.rows]);
                if !ascending {
                    return Err(self.malformed(format!("block {i}, field {:?}: list offsets descend", column.name)));
                }
                let words = if column.weighted { 2 } else { 1 };
                let problem = |r: usize| {
                    let count = ((starts[r + 1] - starts[r]) as usize).div_ceil(words);
                    Some((r, count_problem(true, count)?))
                };
                if let Some((row, what)) = (0..place.rows).find_map(problem) {
                    return Err(self.value(place, row, &column.name, what));
                }
                // `last - first` is at most 65,536 rows of 2,048 now, so this reads a bounded number of bytes.
                let mut span = spans[next + 3];
                let (skip, wanted) = (u64::from(first) * 4, u64::from(last) * 4);
                if span.bytes < wanted {
                    return Err(self.malformed(format!(
                        "block {i}, field {:?}: list values of {} bytes, {wanted} expected",
                        column.name, span.bytes
                    )));
                }
                span = Span { from: span.from + skip, bytes: wanted - skip, ..span };
                let values = self.read_u32(i, &column.name, span, u64::from(last - first))?;
                let of_row = |r: usize| &values[(starts[r] - first) as usize..(starts[r + 1] - first) as usize];
                let mut rows = 0..if column.weighted { place.rows } else { 0 };
                if let Some((row, what)) = rows.find_map(|r| Some((r, cell_problem(&column, of_row(r))?))) {
                    return Err(self.value(place, row, &column.name, what));
                }
                cells.push((values, starts));
                next += 4;
            } else {
                cells.push((self.read_u32(i, &column.name, spans[next + 1], place.rows as u64)?, Vec::new()));
                next += 2;
            }
        }

        let total: usize = cells.iter().map(|(values, _)| values.len()).sum();
        if u32::try_from(total).is_err() {
            return Err(self.malformed(format!("block {i} has {total} indices, at most {} allowed", u32::MAX)));
        }
        let mut block = RowBlock::new(self.columns.len(), self.columns.iter().any(|c| c.bag));
        if block.offsets.is_empty() {
            block.indices = transposed(&cells, total);
        } else {
            block.indices.reserve_exact(total);
            for row in 0..place.rows {
                for (values, starts) in &cells {
                    if starts.is_empty() {
                        block.push_field(&values[row..=row]);
                    } else {
                        let at = |r: usize| (starts[r] - starts[0]) as usize;
                        block.push_field(&values[at(row)..at(row + 1)]);
                    }
                }
            }
        }
        block.labels = labels;
        block.weights = weights;
        if let Some(bounds) = &self.bounds {
            bounds.check_indices(&self.path, place.first_row, &block)?;
        }
        Ok(block)
    }

    /// The weights of a block's rows; empty where rows have none.
    fn read_weights(&mut self, i: usize, place: BlockPlace, spans: &[Span]) -> Result<Vec<f32>, RowsError> {
        if !self.beside.weights {
            return Ok(Vec::new());
        }
        let bits = self.read_u32(i, WEIGHT_COLUMN, spans[2 * self.beside.count() - 1], place.rows as u64)?;
        let weights: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        match weights.iter().enumerate().find_map(|(row, &weight)| Some((row, weight_problem(weight)?))) {
            Some((row, what)) => Err(self.value(place, row, WEIGHT_COLUMN, what)),
            None => Ok(weights),
        }
    }

    /// All blocks, in the order of the file.
    pub fn blocks(&mut self) -> impl Iterator<Item = Result<RowBlock, RowsError>> {
        (0..self.num_blocks()).map(|i| self.read_block(i))
    }

    /// Checks that a block lies inside the file, and reads its number of rows.
    fn add_block(&mut self, i: usize, block: &arrow_ipc::Block, file_bytes: u64) -> Result<(), RowsError> {
        let (offset, metadata, body) = (block.offset(), i64::from(block.metaDataLength()), block.bodyLength());
        let end = offset.checked_add(metadata).and_then(|end| end.checked_add(body));
        let inside =
            offset >= 0 && metadata >= 8 && body >= 0 && end.is_some_and(|end| end.unsigned_abs() <= file_bytes);
        if !inside || metadata.unsigned_abs() > METADATA_MAX {
            return Err(self.malformed(format!(
                "block {i} at {offset} with {metadata} + {body} bytes, in a file of {file_bytes}"
            )));
        }
        let mut place = BlockPlace {
            file: 0,
            metadata: offset.unsigned_abs(),
            metadata_bytes: metadata.unsigned_abs(),
            body_bytes: body.unsigned_abs(),
            rows: 0,
            first_row: self.num_rows,
        };
        let bytes = self.read_at(place.file, place.metadata, place.metadata_bytes)?;
        let rows = record_batch(&bytes).map(|batch| batch.length());
        let rows = rows.map_err(|what| self.malformed(format!("block {i}: {what}")))?;
        place.rows = usize::try_from(rows)
            .ok()
            .filter(|&rows| rows <= BLOCK_ROWS)
            .ok_or_else(|| self.malformed(format!("block {i} has {rows} rows, at most {BLOCK_ROWS} allowed")))?;
        self.num_rows += place.rows as u64;
        self.blocks.push(place);
        Ok(())
    }

    /// Places of a block's buffers, checked: as many as the columns need, inside the body, no nulls, not compressed.
    fn spans(&mut self, i: usize, place: BlockPlace) -> Result<Vec<Span>, RowsError> {
        let bytes = self.read_at(place.file, place.metadata, place.metadata_bytes)?;
        let batch = record_batch(&bytes).map_err(|what| self.malformed(format!("block {i}: {what}")))?;
        if batch.compression().is_some() {
            return Err(self.malformed(format!("block {i} is compressed; write the file without compression")));
        }
        let bags = self.columns.iter().filter(|c| c.bag).count();
        let nodes = self.beside.count() + self.columns.len() + bags;
        let buffers = 2 * nodes;
        let found = (batch.nodes().map_or(0, |n| n.len()), batch.buffers().map_or(0, |b| b.len()));
        if found != (nodes, buffers) {
            return Err(self.malformed(format!(
                "block {i} has {} arrays in {} buffers, {nodes} in {buffers} expected",
                found.0, found.1
            )));
        }
        if let Some(node) = batch.nodes().iter().flatten().find(|n| n.null_count() != 0) {
            return Err(self.malformed(format!("block {i} has {} nulls; rows have none", node.null_count())));
        }
        let body = place.metadata + place.metadata_bytes;
        let span = |buffer: &arrow_ipc::Buffer| {
            let (from, bytes) = (u64::try_from(buffer.offset()).ok()?, u64::try_from(buffer.length()).ok()?);
            (from.checked_add(bytes)? <= place.body_bytes).then_some(Span {
                file: place.file,
                from: body + from,
                bytes,
            })
        };
        batch
            .buffers()
            .iter()
            .flatten()
            .map(span)
            .collect::<Option<_>>()
            .ok_or_else(|| self.malformed(format!("block {i} has a buffer outside its {} bytes", place.body_bytes)))
    }

    /// `bytes` bytes of a buffer, which may be padded but not shorter.
    fn read_exactly(&mut self, i: usize, column: &str, span: Span, bytes: u64) -> Result<Vec<u8>, RowsError> {
        if span.bytes < bytes {
            return Err(self.malformed(format!("block {i}, field {column:?}: {} bytes, {bytes} expected", span.bytes)));
        }
        self.read_at(span.file, span.from, bytes)
    }

    fn read_at(&mut self, file: usize, from: u64, bytes: u64) -> Result<Vec<u8>, RowsError> {
        let path = &self.files[file];
        if self.file.0 != file {
            self.file = (file, File::open(path).map_err(RowsError::io(path))?);
        }
        read_at(&mut self.file.1, path, from, bytes)
    }

    fn read_u32(&mut self, i: usize, column: &str, span: Span, count: u64) -> Result<Vec<u32>, RowsError> {
        let bytes = self.read_exactly(i, column, span, count * 4)?;
        Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn malformed(&self, what: impl Into<String>) -> RowsError {
        RowsError::malformed(&self.path, what)
    }

    fn value(&self, place: BlockPlace, row: usize, field: &str, what: String) -> RowsError {
        let row = place.first_row + row as u64;
        RowsError::Value { path: self.path.clone(), row, field: field.to_owned(), what }
    }
}

/// Rows from columns of one index each, `total` in all.
fn transposed(columns: &[(Vec<u32>, Vec<u32>)], total: usize) -> Vec<u32> {
    /// Row by row, columns that begin in the same place of a page would push each other out of the cache.
    const ROWS: usize = 64;
    let mut rows = vec![0; total];
    for (tile, from) in rows.chunks_mut((ROWS * columns.len()).max(1)).zip((0..).step_by(ROWS)) {
        for (f, (values, _)) in columns.iter().enumerate() {
            let column = tile.iter_mut().skip(f).step_by(columns.len());
            column.zip(&values[from..]).for_each(|(index, value)| *index = *value);
        }
    }
    rows
}

/// The caller has checked that the bytes lie in the file, so that the allocation is no larger than the file.
fn read_at(file: &mut File, path: &Path, from: u64, bytes: u64) -> Result<Vec<u8>, RowsError> {
    let mut buffer = vec![0; usize::try_from(bytes).map_err(|e| RowsError::malformed(path, e.to_string()))?];
    file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut buffer)).map_err(RowsError::io(path))?;
    Ok(buffer)
}

//! Opening what the commands take: models in any layout, packed files, rows in any format.

use std::io::{BufRead, BufReader, stdin};
use std::path::Path;

use xsfm_interchange::checkpoint::file;
use xsfm_interchange::rows::{Bounds, Column, RowBlock, RowsError, RowsReader, TsvReader};
use xsfm_runtime::Model;

use crate::error::Error;
use crate::mapped::Mapped;
use crate::model::FloatModel;
use crate::{checkpoint, import};

/// Blocks of rows, each checked against the model.
pub type Blocks = Box<dyn Iterator<Item = Result<RowBlock, RowsError>>>;

/// Reads a folder of either layout: `config.json` of a model trained elsewhere has an `architecture` or a `library`.
///
/// # Errors
/// As [`checkpoint::load`] and [`import::load`].
pub fn float_model(folder: &Path) -> Result<FloatModel, Error> {
    let config: serde_json::Value = checkpoint::read_json(&folder.join(file::CONFIG))?;
    let elsewhere = ["architecture", "library"].iter().any(|key| config.get(key).is_some());
    if elsewhere { import::load(folder) } else { checkpoint::load(folder) }
}

/// Opens a packed file: mapped into memory, or read where it is a pipe. Its bytes are not checked: see [`load`].
///
/// # Errors
/// The file cannot be read.
pub fn packed(path: &Path) -> Result<Mapped, Error> {
    Mapped::open(path)
}

/// The model in a packed file's bytes; `path` is its name in errors.
///
/// # Errors
/// Not a model, or a damaged one.
pub fn load<'a>(path: &Path, packed: &'a [u8]) -> Result<Model<'a>, Error> {
    Model::from_bytes(packed).map_err(|source| Error::Load { path: path.to_owned(), source })
}

/// What a packed model asks of its rows.
pub fn bounds(model: &Model<'_>) -> Bounds {
    let columns = model.fields().map(|field| Column { name: field.name.to_owned(), bag: field.bag });
    Bounds { columns: columns.collect(), features: model.fields().map(|field| field.features).collect() }
}

/// Opens rows: an Arrow file by its ending, a TSV of indices otherwise, `-` for a TSV from standard input.
///
/// Returns the number of rows where the file states it.
///
/// # Errors
/// The file cannot be read, or its columns are not the model's.
pub fn rows(path: &Path, bounds: Bounds) -> Result<(Blocks, Option<u64>), Error> {
    if path == Path::new("-") {
        let input: Box<dyn BufRead> = Box::new(BufReader::new(stdin()));
        return Ok((Box::new(TsvReader::new(input, Path::new("standard input"), bounds)), None));
    }
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("arrow")) {
        let mut reader = RowsReader::open(path)?.expecting(bounds)?;
        let rows = reader.num_rows();
        let mut next = 0;
        let blocks = std::iter::from_fn(move || {
            next += 1;
            (next <= reader.num_blocks()).then(|| reader.read_block(next - 1))
        });
        return Ok((Box::new(blocks), Some(rows)));
    }
    Ok((Box::new(TsvReader::open(path, bounds)?), None))
}

/// The first rows of a file, at most `max`.
///
/// # Errors
/// As [`rows`]; and where there is none.
pub fn first_rows(path: &Path, bounds: Bounds, max: usize) -> Result<RowBlock, Error> {
    let has_bag = bounds.columns.iter().any(|column| column.bag);
    let mut first = RowBlock::new(bounds.columns.len(), has_bag);
    let (blocks, _) = rows(path, bounds)?;
    for block in blocks {
        let block = block?;
        for i in 0..block.len().min(max - first.len()) {
            first.push_row_of(&block, i);
        }
        if first.len() == max {
            break;
        }
    }
    if first.is_empty() {
        return Err(Error::Input(format!("{}: no rows", path.display())));
    }
    Ok(first)
}

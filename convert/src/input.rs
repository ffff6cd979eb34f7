//! Opening what the commands take: models in any layout, packed files, rows in any format.

use std::io::{BufRead, BufReader, stdin};
use std::path::Path;

use xsfm_interchange::checkpoint::{file, trained_on};
use xsfm_interchange::dataset::{Dataset, SCHEMA};
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::output;
use xsfm_interchange::rows::{Bounds, Column, RowBlock, RowsError, RowsReader, TsvReader};
use xsfm_interchange::schema::Schema;
use xsfm_runtime::{LoadOptions, Model};

use crate::error::Error;
use crate::mapped::Mapped;
use crate::model::FloatModel;
use crate::{checkpoint, import};

/// What rows in memory are called in errors.
pub const MEMORY: &str = "rows";

/// Blocks of rows, each checked against the model.
pub type Blocks = Box<dyn Iterator<Item = Result<RowBlock, RowsError>>>;

/// Reads a folder of either layout: `config.json` of a model trained elsewhere has an `architecture` or a `library`; or
/// an ONNX file, whose fields take the names that `fields` gives.
///
/// # Errors
/// As [`checkpoint::load`], [`import::load`] and, with the feature `onnx`, `import::onnx::load`.
pub fn float_model(folder: &Path, fields: Option<&[String]>) -> Result<FloatModel, Error> {
    #[cfg(feature = "onnx")]
    if folder.is_file() {
        return import::onnx::load(folder, fields);
    }
    if fields.is_some() {
        return Err(Error::Input(format!("{}: names of fields are for an ONNX file", folder.display())));
    }
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
    load_with(path, packed, LoadOptions::default())
}

/// The same with what is chosen before, so that a back end that is not wanted is not asked for.
///
/// # Errors
/// As [`load`], and a back end that this CPU lacks.
pub fn load_with<'a>(path: &Path, packed: &'a [u8], options: LoadOptions) -> Result<Model<'a>, Error> {
    Model::from_bytes_with(packed, options).map_err(|source| Error::Load { path: path.to_owned(), source })
}

/// The fingerprint of the vocabulary that a packed model was trained with, where the file has it.
pub fn vocabulary(model: &Model<'_>) -> Option<Vocabulary> {
    // Loading has read the same manifest.
    model.manifest().ok().and_then(|manifest| Vocabulary::from_bytes(manifest.vocabulary))
}

/// Compares the data set of an Arrow file of rows with that of a checkpoint, where both say what they are. Gives what
/// to tell the user: other rows of the same vocabulary do no harm, but may not be those that were meant.
///
/// # Errors
/// Another vocabulary; the message names the field and the first token that differs.
pub fn compare_data(rows: &Path, checkpoint: &Path) -> Result<Option<String>, Error> {
    let folder = rows.parent().unwrap_or(Path::new(""));
    if !is_arrow(rows) || !folder.join(SCHEMA).exists() || !checkpoint.join(SCHEMA).exists() {
        return Ok(None);
    }
    let data = Dataset::open(folder).map_err(|error| Error::Input(error.to_string()))?;
    if let Some(problem) = data.vocabulary_problem(&Schema::load(&checkpoint.join(SCHEMA))?, checkpoint) {
        return Err(Error::Input(format!(
            "{}: {problem}: the model would take one token for another; prepare the rows with the vocabulary that it \
             was trained with, \
             or train it anew",
            rows.display()
        )));
    }
    let trained = trained_on(checkpoint).ok().flatten();
    Ok(trained.and_then(|trained| data.problem(&trained, checkpoint)))
}

/// Whether a file has rows that `prepare` wrote, or is the manifest of such files.
fn is_arrow(path: &Path) -> bool {
    let endings = ["arrow", "parts"];
    path.extension().is_some_and(|found| endings.iter().any(|ending| found.eq_ignore_ascii_case(ending)))
}

/// What a packed model asks of its rows.
pub fn bounds(model: &Model<'_>) -> Bounds {
    let column = |field: xsfm_runtime::schema::Field<'_>| Column {
        name: field.name.to_owned(),
        bag: field.bag,
        weighted: field.weighted,
    };
    let columns = model.fields().map(column);
    Bounds {
        columns: columns.collect(),
        features: model.fields().map(|field| field.features).collect(),
        vocabulary: vocabulary(model),
    }
}

/// What some of its fields ask, by their numbers. Whether rows of these alone are of its vocabulary, nothing says.
pub fn bounds_of(model: &Model<'_>, fields: &[usize]) -> Bounds {
    let all = bounds(model);
    if fields.len() == all.columns.len() {
        return all;
    }
    Bounds {
        columns: fields.iter().map(|&field| all.columns[field].clone()).collect(),
        features: fields.iter().map(|&field| all.features[field]).collect(),
        vocabulary: None,
    }
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
    if is_arrow(path) {
        let is_known = bounds.vocabulary.is_some();
        let mut reader = RowsReader::open(path)?.expecting(bounds)?;
        if reader.vocabulary().is_some() != is_known {
            let which = if is_known { "the rows do" } else { "the model does" };
            let path = path.display();
            output::say(format_args!(
                "NOTE: {path}: {which} not say which vocabulary its indices are of; nothing can tell whether it is \
                 the same"
            ));
        }
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

/// The first rows of a block in memory, at most `max`.
///
/// # Errors
/// An index that its field does not have; and where there is no row.
pub fn first_rows_of(block: &RowBlock, bounds: &Bounds, max: usize) -> Result<RowBlock, Error> {
    if block.is_empty() {
        return Err(Error::Input(format!("{MEMORY}: no rows")));
    }
    bounds.check_indices(Path::new(MEMORY), 0, block)?;
    let mut first = RowBlock::new(block.num_fields, !block.offsets.is_empty());
    (0..block.len().min(max)).for_each(|i| first.push_row_of(block, i));
    Ok(first)
}

//! Raw rows, read as a schema says: the way in for whoever has a model and new rows.
//!
//! ```no_run
//! use std::path::{Path, PathBuf};
//!
//! use xsfm_interchange::schema::Schema;
//! use xsfm_readers::encoder::RowEncoder;
//! use xsfm_readers::error::DataError;
//! use xsfm_readers::pass::{All, Reading, pass};
//!
//! let path = Path::new("schema.json");
//! let schema = Schema::load(path)?;
//! let source = xsfm_readers::by_schema::open(path, &schema, &[PathBuf::from("new.csv")], false)?;
//! let encoder = RowEncoder::new(&schema, source.has_labels());
//! let walk = pass(&*source, Reading::default(), "reading", All, |rows| encoder.rows(rows), |(block, _)| {
//!     println!("{} rows of indices", block.len());
//!     Ok::<(), DataError>(())
//! })?;
//! println!("{} rows, {} of them malformed", walk.rows, walk.malformed);
//! # Ok::<(), DataError>(())
//! ```

use std::path::{Path, PathBuf};

use xsfm_interchange::input::{ColumnName, Combine, Input, RECSYS_MAX_BAG, Table, TableField};
use xsfm_interchange::rows::{LABEL_COLUMN, WEIGHT_COLUMN};
use xsfm_interchange::schema::{Field, FieldKind, Schema, Weights};

use crate::criteo::Criteo;
use crate::csv::CsvSource;
use crate::error::DataError;
use crate::files::Files;
use crate::json::{JsonSource, is_json_lines};
use crate::libffm::Libffm;
use crate::movielens::MovieLens;
use crate::parquet::{ParquetSource, is_parquet};
use crate::recsys::{self, Engagement, RecSys};
use crate::source::Source;

/// Opens the raw rows `paths` (files, a folder, a pattern; of MovieLens the folder) by a schema that lies at `path`, of
/// the kind from which it was made: CSV, Parquet and JSON lines of the same columns take each other's place, and JSON
/// lines of the fields that of any kind. Without `labels` their column is not looked for. Nothing is asked of a time,
/// and no token is rare.
///
/// The source's fields are the schema's, so that a [`RowEncoder`](crate::encoder::RowEncoder) of the schema takes its
/// rows.
///
/// # Errors
/// A schema that does not say how rows are read, or says one thing of its columns and another of its fields
/// ([`DataError::File`], with its path); files that cannot be read, or have not its columns; rows that are never
/// without labels, asked for without ([`DataError::Labelled`]).
pub fn open(path: &Path, schema: &Schema, paths: &[PathBuf], labels: bool) -> Result<Box<dyn Source>, DataError> {
    let Some(input) = &schema.input else {
        let what = "it does not say how raw rows are read; prepare the data again, with this program";
        return Err(DataError::file(path, what));
    };
    // A folder of MovieLens has files of several kinds.
    let is_folder = *input == Input::Movielens && paths.iter().any(|path| path.is_dir());
    let source: Box<dyn Source> = match !is_folder && is_json(&Files::find(paths)?)? {
        true => Box::new(JsonSource::of_table(Files::find(paths)?, path, keys(input, schema), labels)?),
        false => open_input(path, input, paths, labels)?,
    };
    check_fields(path, schema, &*source)?;
    Ok(source)
}

/// Columns that the training data did not have, where they have names: fields, label, time and weight are known.
pub fn unknown_columns(input: &Input, source: &dyn Source) -> Vec<String> {
    let known = match input {
        Input::Table(table) => vec![Some(&table.label.column), table.time.as_ref(), table.weight.as_ref()],
        _ => Vec::new(),
    };
    let is_known = |name: &str| {
        let is_column = |column: &ColumnName| matches!(column, ColumnName::Name(column) if column == name);
        name == LABEL_COLUMN || known.iter().flatten().any(|column| is_column(column))
    };
    source.unread().iter().filter(|name| !is_known(name)).cloned().collect()
}

fn is_json(files: &Files) -> Result<bool, DataError> {
    let Some(first) = files.parts().first() else { return Ok(false) };
    Ok(!is_parquet(first).map_err(DataError::io(first))? && is_json_lines(first)?)
}

/// What the keys of objects are: the columns by their names, and by the fields' where they had only places or were
/// joined from several files, as a device takes them.
pub fn keys(input: &Input, schema: &Schema) -> Table {
    let field = |field: &Field| TableField::new(&field.name, field.kind);
    let lists = |f: &Field| match input {
        Input::Recsys2020 { .. } if f.kind == FieldKind::Bag => {
            TableField { separator: Some(recsys::LIST_SEPARATOR.to_owned()), max_bag: Some(RECSYS_MAX_BAG), ..field(f) }
        }
        Input::Libffm { .. } => TableField { combine: Some(Combine::Weighted), ..field(f) },
        _ => field(f),
    };
    let Input::Table(table) = input else { return Table::new(LABEL_COLUMN, schema.fields.iter().map(lists).collect()) };
    let mut table = Table { time: None, ..(**table).clone() };
    let name = |column: &mut ColumnName, name: &str| {
        if matches!(column, ColumnName::Position(_)) {
            *column = ColumnName::Name(name.to_owned());
        }
    };
    name(&mut table.label.column, LABEL_COLUMN);
    table.weight.iter_mut().for_each(|column| name(column, WEIGHT_COLUMN));
    for TableField { column, name: of_field, .. } in &mut table.fields {
        column.iter_mut().for_each(|column| name(column, of_field));
    }
    table
}

fn open_input(path: &Path, input: &Input, paths: &[PathBuf], labels: bool) -> Result<Box<dyn Source>, DataError> {
    let needs_labels = |rows: &'static str| if labels { Ok(()) } else { Err(DataError::Labelled { rows }) };
    Ok(match input {
        Input::Criteo => {
            let source = Criteo::new(Files::find(paths)?, 1);
            Box::new(if labels { source } else { source.unlabelled() })
        }
        Input::Recsys2020 { label } => {
            let engagement = Engagement::ALL.into_iter().find(|engagement| engagement.name() == label);
            let engagement = engagement.ok_or_else(|| DataError::file(path, format!("label {label:?}")))?;
            let source = RecSys::new(Files::find(paths)?, engagement, 1);
            Box::new(if labels { source } else { source.unlabelled() })
        }
        Input::Movielens => {
            needs_labels("MovieLens")?;
            let [folder] = paths else {
                return Err(DataError::file(Files::find(paths)?.name(), "one folder of MovieLens expected"));
            };
            Box::new(MovieLens::open(folder)?)
        }
        Input::Libffm { fields } => {
            let source = Libffm::of_fields(Files::find(paths)?, fields.clone(), 1);
            Box::new(if labels { source } else { source.unlabelled() })
        }
        Input::Table(table) => {
            let files = Files::find(paths)?;
            // Nothing is split by time.
            let table = Table { time: None, ..(**table).clone() };
            let first = files.parts().first();
            match first.map_or(Ok(false), |first| is_parquet(first).map_err(DataError::io(first)))? {
                true => Box::new(ParquetSource::of_table(files, path, table, labels)?),
                false => Box::new(CsvSource::of_table(files, path, table, labels)?),
            }
        }
    })
}

/// A schema that was changed by hand may say one thing of its fields and another of its columns.
fn check_fields(path: &Path, schema: &Schema, source: &dyn Source) -> Result<(), DataError> {
    let shown = |name: &str, kind: FieldKind, weights: Option<Weights>| match weights {
        None => format!("{name:?}, {}", kind.name()),
        Some(weights) => format!("{name:?}, {} with weights: {}", kind.name(), weights.name()),
    };
    let found: Vec<String> = source.fields().iter().map(|f| shown(&f.name, f.kind, f.weights)).collect();
    let wanted: Vec<String> = schema.fields.iter().map(|f| shown(&f.name, f.kind, f.weights)).collect();
    if let Some(f) = (0..found.len().max(wanted.len())).find(|&f| found.get(f) != wanted.get(f)) {
        let [found, wanted] = [&found, &wanted].map(|fields| fields.get(f).map_or("none", String::as_str));
        return Err(DataError::file(path, format!("field {f} is {wanted}, but the rows are read as {found}")));
    }
    Ok(())
}

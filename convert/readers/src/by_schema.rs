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

use xsfm_interchange::input::{Input, Table};
use xsfm_interchange::schema::{FieldKind, Schema};

use crate::criteo::Criteo;
use crate::csv::CsvSource;
use crate::error::DataError;
use crate::files::Files;
use crate::movielens::MovieLens;
use crate::parquet::{ParquetSource, is_parquet};
use crate::recsys::{Engagement, RecSys};
use crate::source::Source;

/// Opens the raw rows `paths` (files, a folder, a pattern; of MovieLens the folder) by a schema that lies at `path`, of
/// the kind from which it was made: CSV and Parquet of the same columns take each other's place. Without `labels` their
/// column is not looked for. Nothing is asked of a time, and no token is rare.
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
    let source = open_input(path, input, paths, labels)?;
    check_fields(path, schema, &*source)?;
    Ok(source)
}

fn open_input(path: &Path, input: &Input, paths: &[PathBuf], labels: bool) -> Result<Box<dyn Source>, DataError> {
    let needs_labels = |rows: &'static str| if labels { Ok(()) } else { Err(DataError::Labelled { rows }) };
    Ok(match input {
        Input::Criteo => {
            let source = Criteo::new(Files::find(paths)?, 1);
            Box::new(if labels { source } else { source.unlabelled() })
        }
        Input::Recsys2020 { label } => {
            needs_labels("the RecSys Challenge")?;
            let engagement = Engagement::ALL.into_iter().find(|engagement| engagement.name() == label);
            let engagement = engagement.ok_or_else(|| DataError::file(path, format!("label {label:?}")))?;
            Box::new(RecSys::new(Files::find(paths)?, engagement, 1))
        }
        Input::Movielens => {
            needs_labels("MovieLens")?;
            let [folder] = paths else {
                return Err(DataError::file(Files::find(paths)?.name(), "one folder of MovieLens expected"));
            };
            Box::new(MovieLens::open(folder)?)
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
    let shown = |name: &str, kind: FieldKind| format!("{name:?}, {}", kind.name());
    let found: Vec<String> = source.fields().iter().map(|field| shown(&field.name, field.kind)).collect();
    let wanted: Vec<String> = schema.fields.iter().map(|field| shown(&field.name, field.kind)).collect();
    if let Some(f) = (0..found.len().max(wanted.len())).find(|&f| found.get(f) != wanted.get(f)) {
        let [found, wanted] = [&found, &wanted].map(|fields| fields.get(f).map_or("none", String::as_str));
        return Err(DataError::file(path, format!("field {f} is {wanted}, but the rows are read as {found}")));
    }
    Ok(())
}

//! Raw rows by what a packed file says of them: CSV, TSV, Parquet, and the files of public data sets become rows of
//! indices, as `xsfm-train prepare` would have made them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xsfm_interchange::input::Input;
use xsfm_interchange::rows::{Beside, Column, RowBlock, RowsWriter};
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_readers::by_schema;
use xsfm_readers::error::DataError;
use xsfm_readers::pass::{All, Reading, Rows, pass};
use xsfm_readers::raw::RawRow;
use xsfm_readers::source::Source;
use xsfm_runtime::format::SectionKind;
use xsfm_runtime::{Encoder, Model};

use crate::error::Error;
use crate::input;

/// Rows that were encoded, in a file that goes with this.
#[derive(Debug)]
pub struct Encoded {
    path: PathBuf,
    _folder: TempDir,
    /// Fields with values that the vocabulary does not have, as far as fingerprints tell, and how many each has.
    pub unseen: Vec<(String, u64)>,
}

impl Encoded {
    /// The Arrow file of indices.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Encodes the raw rows of `rows`, `-` for standard input, by what the model's file has; on all cores, in their order.
/// `labels`: whether they are wanted. Any malformed row is an error: the scores of the others would be told by another
/// line's number.
///
/// # Errors
/// A file that was packed without a vocabulary, or does not say how rows are read; rows that cannot be read, lack a
/// column, or are malformed, with file, line and field.
pub fn encode(path: &Path, model: &Model<'_>, rows: &Path, labels: bool) -> Result<Encoded, Error> {
    let without = |what: &str| Error::Input(format!("{}: {what}", path.display()));
    let encoder = model.encoder().map_err(|source| Error::Load { path: path.to_owned(), source })?;
    let encoder = encoder.ok_or_else(|| {
        without("packed without its vocabulary, so it takes --indices alone; pack it anew, with its schema.json")
    })?;
    let schema = schema(path, model, &encoder, labels)?;
    let folder = TempDir::new().map_err(Error::io(&std::env::temp_dir()))?;
    let spooled = folder.path().join("standard input");
    let rows = if rows == Path::new("-") {
        let spool = || io::copy(&mut io::stdin().lock(), &mut File::create(&spooled)?);
        spool().map_err(Error::io(&spooled))?;
        &spooled
    } else {
        rows
    };
    let source = open(path, &schema, rows, labels)?;
    let beside = Beside { labels: labels && source.has_labels(), weights: labels && source.has_weights() };
    let by_file = FileEncoder { encoder, beside };
    let out = folder.path().join("rows.arrow");
    let mut writer = RowsWriter::create_with(&out, &input::bounds(model), beside)?;
    let mut unseen = vec![0; schema.fields.len()];
    let reading = Reading { strict: true, ..Reading::default() };
    pass(
        &*source,
        reading,
        "encoding",
        All,
        |rows: &mut Rows<'_>| by_file.rows(rows),
        |encoded| -> Result<(), Error> {
            let (block, of_block) = encoded?;
            unseen.iter_mut().zip(of_block).for_each(|(all, more)| *all += more);
            Ok(writer.push_block(&block)?)
        },
    )?;
    writer.commit()?;
    let names = schema.fields.into_iter().map(|field| field.name);
    Ok(Encoded { path: out, _folder: folder, unseen: names.zip(unseen).filter(|(_, count)| *count > 0).collect() })
}

/// The schema without its tokens: fields, and how rows are read. What rows count is asked for with their labels alone.
fn schema(path: &Path, model: &Model<'_>, encoder: &Encoder<'_>, labels: bool) -> Result<Schema, Error> {
    let input = model.section(SectionKind::RawInput).ok_or_else(|| {
        let what = "it does not say how raw rows are read; prepare the data again, with this program";
        Error::Input(format!("{}: {what}", path.display()))
    })?;
    let mut input: Input =
        serde_json::from_slice(input).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    if let Input::Table(table) = &mut input
        && !labels
    {
        table.weight = None;
    }
    let kind = |f: usize, bag: bool| match (bag, encoder.is_number(f)) {
        (true, _) => FieldKind::Bag,
        (false, true) => FieldKind::Numeric,
        (false, false) => FieldKind::Categorical,
    };
    let fields = input::bounds(model).columns.into_iter().enumerate();
    Ok(Schema {
        version: Schema::VERSION,
        label: String::new(),
        input: Some(input),
        fields: fields
            .map(|(f, Column { name, bag })| Field { name, kind: kind(f, bag), vocabulary: Vec::new() })
            .collect(),
    })
}

/// Rows without labels where none are wanted; some kinds of files always have them.
fn open(path: &Path, schema: &Schema, rows: &Path, labels: bool) -> Result<Box<dyn Source>, Error> {
    let paths = [rows.to_owned()];
    match by_schema::open(path, schema, &paths, labels) {
        Err(DataError::Labelled { .. }) => Ok(by_schema::open(path, schema, &paths, true)?),
        source => Ok(source?),
    }
}

/// What all threads encode by.
struct FileEncoder<'a> {
    encoder: Encoder<'a>,
    beside: Beside,
}

impl FileEncoder<'_> {
    fn rows(&self, rows: &mut Rows<'_>) -> Result<(RowBlock, Vec<u64>), Error> {
        // Numbers go to their thresholds as they are, and not by the tokens of their buckets.
        rows.plain_numbers = true;
        let fields = self.encoder.num_fields();
        let mut block = RowBlock::new(fields, true);
        let (mut unseen, mut indices, mut problem) = (vec![0; fields], Vec::new(), None);
        rows.each(|(), row| {
            if let Err(error) = self.push(row, &mut block, &mut unseen, &mut indices) {
                problem.get_or_insert(error);
            }
        });
        problem.map_or(Ok((block, unseen)), Err)
    }

    fn push(
        &self,
        row: &RawRow,
        block: &mut RowBlock,
        unseen: &mut [u64],
        indices: &mut Vec<u32>,
    ) -> Result<(), Error> {
        for (f, unseen) in unseen.iter_mut().enumerate() {
            indices.clear();
            for token in row.field(f) {
                let index = self.encoder.index_of(f, token);
                indices.push(index.map_err(|error| Error::Input(format!("row {}: {error}", row.number + 1)))?);
            }
            *unseen += indices.iter().filter(|&&index| index == 0).count() as u64;
            // A bag without tokens.
            if indices.is_empty() {
                indices.push(0);
            }
            block.push_field(indices);
        }
        if self.beside.labels {
            block.labels.push(row.label);
        }
        if self.beside.weights {
            block.weights.extend(row.weight);
        }
        Ok(())
    }
}

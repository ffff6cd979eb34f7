//! Raw rows by what a packed file says of them: CSV, TSV, Parquet, JSON lines, and the files of public data sets become
//! rows of indices, as `xsfm-train prepare` would have made them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::{fmt, io, iter};

use tempfile::TempDir;
use xsfm_interchange::input::{Clock, ColumnName, Input, TableField};
use xsfm_interchange::rows::{Beside, Column, RowBlock, RowsWriter};
use xsfm_interchange::schema::{Field, FieldKind, Schema, Weights};
use xsfm_readers::by_schema;
use xsfm_readers::error::DataError;
use xsfm_readers::pass::{All, Reading, Rows, pass, pick};
use xsfm_readers::raw::{RawField, RawRow};
use xsfm_readers::source::Source;
use xsfm_runtime::format::SectionKind;
use xsfm_runtime::{Encoder, Model, Weight, weight};

use crate::error::Error;
use crate::input;
use crate::score::{Own, Ranked, Text};

/// Rows that were encoded, in a file that goes with this.
pub struct Encoded {
    path: PathBuf,
    source: Box<dyn Source>,
    _folder: TempDir,
    /// Fields with values that the vocabulary does not have, as far as fingerprints tell, and how many each has.
    pub unseen: Vec<(String, u64)>,
    /// Columns of the first row that the training data did not have.
    pub unknown: Vec<String>,
}

impl Encoded {
    /// The Arrow file of indices.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says what the fields that are not in the context are in each row, as it was read.
    ///
    /// # Errors
    /// The rows have been changed meanwhile.
    pub fn describe(&self, model: &Model<'_>, context: &[String], ranked: &mut [Ranked]) -> Result<(), Error> {
        let own = Own::of(model, context);
        let mut numbers: Vec<u64> = ranked.iter().map(|entry| entry.row as u64 - 1).collect();
        numbers.sort_unstable();
        let texts = self.texts(&numbers)?;
        for entry in ranked {
            if let Ok(place) = numbers.binary_search(&(entry.row as u64 - 1)) {
                entry.candidate = own.candidate(|f| texts[place][f].clone());
            }
        }
        Ok(())
    }

    /// What rows, by their numbers from 0 in ascending order, have in each field: `[rows][fields]`.
    fn texts(&self, rows: &[u64]) -> Result<Vec<Vec<Text>>, Error> {
        let rows = pick(&*self.source, rows)?;
        let of_field = |row: &RawRow, (f, field): (usize, &RawField)| {
            let mut tokens: Vec<String> = row.field(f).map(str::to_owned).collect();
            match field.kind {
                FieldKind::Bag => Text::Bag(tokens),
                _ => Text::One(tokens.pop().unwrap_or_default()),
            }
        };
        let of_row = |row| self.source.fields().iter().enumerate().map(|field| of_field(row, field)).collect();
        Ok(rows.iter().map(of_row).collect())
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({})", self.path.display())
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
    let all: Vec<usize> = (0..model.num_fields()).collect();
    encode_some(path, model, rows, labels, &all)
}

/// The same of some of the fields, by their numbers, ascending, which the rows that are made have alone. A table need
/// not have the columns of the others; of public data sets' files they are not looked at.
///
/// # Errors
/// As [`encode`].
pub fn encode_some(
    path: &Path,
    model: &Model<'_>,
    rows: &Path,
    labels: bool,
    fields: &[usize],
) -> Result<Encoded, Error> {
    let without = |what: &str| Error::Input(format!("{}: {what}", path.display()));
    let encoder = model.encoder().map_err(|source| Error::Load { path: path.to_owned(), source })?;
    let encoder = encoder.ok_or_else(|| {
        without("packed without its vocabulary, so it takes --indices alone; pack it anew, with its schema.json")
    })?;
    let mut schema = schema(path, model, &encoder)?;
    let described = schema.input.clone();
    let mut places = fields.to_vec();
    if let Some(Input::Table(table)) = &mut schema.input {
        // What rows count is asked for with their labels alone.
        if !labels {
            table.weight = None;
        }
        if table.fields.len() == schema.fields.len() {
            table.fields = fields.iter().map(|&field| table.fields[field].clone()).collect();
            schema.fields = fields.iter().map(|&field| schema.fields[field].clone()).collect();
            places = (0..fields.len()).collect();
        }
    }
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
    let by_file = FileEncoder { encoder, beside, fields: fields.iter().copied().zip(places).collect() };
    let out = folder.path().join("rows.arrow");
    let mut writer = RowsWriter::create_with(&out, &input::bounds_of(model, fields), beside)?;
    let mut unseen = vec![0; fields.len()];
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
    let names = model.fields().enumerate().filter(|(f, _)| fields.contains(f)).map(|(_, field)| field.name.to_owned());
    let unseen = names.zip(unseen).filter(|(_, count)| *count > 0).collect();
    let mut unknown = described.as_ref().map(|input| by_schema::unknown_columns(input, &*source)).unwrap_or_default();
    if let Some(Input::Table(table)) = &described {
        // Those of fields that the rows need not have.
        let column = |field: &TableField| field.column.clone().unwrap_or(ColumnName::Name(field.name.clone()));
        unknown.retain(|name| !table.fields.iter().any(|field| column(field) == ColumnName::Name(name.clone())));
    }
    Ok(Encoded { path: out, source, _folder: folder, unseen, unknown })
}

/// The columns of raw rows in memory, whose names are those that JSON lines have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Of each field, in the model's order; several fields may have one column.
    pub fields: Vec<FieldColumn>,
    /// Of the label, the time and the weight, at which scoring does not look.
    pub others: Vec<String>,
}

/// Where the values of a field stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldColumn {
    /// The name of the column.
    pub name: String,
    /// What the field has of the times in that column, where these are times.
    pub clock: Option<Clock>,
}

/// The columns of raw rows, by what the model's file says; fields alone where it was packed without that. `path` is its
/// name in errors.
///
/// # Errors
/// What the file says is not what this program knows.
pub fn columns(path: &Path, model: &Model<'_>, encoder: &Encoder<'_>) -> Result<Columns, Error> {
    if model.section(SectionKind::RawInput).is_none() {
        let fields = model.fields().map(|field| FieldColumn { name: field.name.to_owned(), clock: None });
        return Ok(Columns { fields: fields.collect(), others: Vec::new() });
    }
    let schema = schema(path, model, encoder)?;
    let Some(input) = &schema.input else { return Ok(Columns { fields: Vec::new(), others: Vec::new() }) };
    let keys = by_schema::keys(input, &schema);
    let name = |column: ColumnName| match column {
        ColumnName::Name(name) => Some(name),
        ColumnName::Position(_) => None,
    };
    let mut others = vec![keys.label.column];
    if let Input::Table(table) = input {
        others.extend(table.time.iter().chain(&table.weight).cloned());
    }
    let fields = keys
        .fields
        .into_iter()
        .map(|field| FieldColumn { name: field.column.and_then(name).unwrap_or(field.name), clock: field.time });
    Ok(Columns { fields: fields.collect(), others: others.into_iter().filter_map(name).collect() })
}

/// The schema without its tokens: fields, and how rows are read.
fn schema(path: &Path, model: &Model<'_>, encoder: &Encoder<'_>) -> Result<Schema, Error> {
    let input = model.section(SectionKind::RawInput).ok_or_else(|| {
        let what = "it does not say how raw rows are read; prepare the data again, with this program";
        Error::Input(format!("{}: {what}", path.display()))
    })?;
    let input: Input = serde_json::from_slice(input).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    let kind = |f: usize| match (encoder.is_bag(f), encoder.is_number(f)) {
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
            .map(|(f, Column { name, weighted, .. })| Field {
                weights: match (weighted && encoder.is_bag(f), encoder.takes_weights(f)) {
                    // Numbers have weights by a rule of their column, which the input says.
                    (false, _) => None,
                    (true, false) => Some(Weights::Mean),
                    (true, true) => Some(Weights::Given),
                },
                ..Field::new(&name, kind(f), Vec::new())
            })
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
    /// The fields, each with its place among those that are read.
    fields: Vec<(usize, usize)>,
}

impl FileEncoder<'_> {
    fn rows(&self, rows: &mut Rows<'_>) -> Result<(RowBlock, Vec<u64>), Error> {
        // Numbers go to their thresholds as they are, and not by the tokens of their buckets.
        rows.plain_numbers = true;
        let fields = self.fields.len();
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
        for (&(f, place), unseen) in self.fields.iter().zip(unseen) {
            let tokens = row.field(place).count();
            // With weights; two of them where there is no token.
            indices.resize(2 * tokens.max(2), 0);
            let weights = row.token_weights(place).iter().copied().chain(iter::repeat(Weight::ONE));
            let found = self.encoder.encode_cut(f, row.field(place).zip(weights), indices);
            indices.truncate(found.map_err(|error| Error::Input(format!("row {}: {error}", row.number + 1)))?);
            // A bag without tokens has seen none.
            if self.encoder.has_unseen(f) && tokens > 0 {
                let indices = weight::entries(indices, self.encoder.is_weighted(f));
                *unseen += indices.filter(|&(index, _)| index == 0).count() as u64;
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

//! Any CSV or TSV, described by a small TOML file; Avazu's CSV with the description that it needs.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};
use indicatif::ProgressBar;

use super::description::{Cell, ColumnName, Description};
use super::lines::{TRUNCATED, open};
use super::source::{Block, Blocks, DataError, RawField, RawRow, Source};

/// Records that a thread takes at a time.
const BLOCK_RECORDS: usize = 2048;
/// Fewer, where they are long.
const BLOCK_BYTES: usize = 512 << 10;

/// Columns and rules of Avazu's `train.csv` (Kaggle 2014).
const AVAZU: &str = include_str!("../../schemas/avazu.toml");

/// A CSV file with its description.
#[derive(Debug)]
pub struct CsvSource {
    path: PathBuf,
    schema: Option<PathBuf>,
    description: Description,
    columns: Columns,
}

/// Positions of the columns of one file.
#[derive(Debug)]
struct Columns {
    label: usize,
    time: Option<usize>,
    fields: Vec<usize>,
    /// Number of columns that every row must have.
    width: usize,
}

impl CsvSource {
    /// Reads the description, and checks that the file has its columns.
    ///
    /// # Errors
    /// The files cannot be read, the description is not one, or the file lacks a column.
    pub fn open(path: &Path, schema: &Path) -> Result<Self, DataError> {
        Self::new(path, Some(schema), Description::load(schema)?)
    }

    /// Avazu's `train.csv`, whose tokens are kept from `min_count` training rows on.
    ///
    /// # Errors
    /// The file cannot be read, or lacks a column.
    pub fn avazu(path: &Path, min_count: u64) -> Result<Self, DataError> {
        let description = Description::parse(AVAZU, Some(min_count)).map_err(|what| DataError::file(path, what))?;
        Self::new(path, None, description)
    }

    fn new(path: &Path, schema: Option<&Path>, description: Description) -> Result<Self, DataError> {
        let mut reader = reader(path, &description, &ProgressBar::hidden())?;
        let columns = columns(path, &description, &mut reader)?;
        Ok(CsvSource { path: path.to_owned(), schema: schema.map(Path::to_owned), description, columns })
    }
}

type CsvReader = Reader<Box<dyn Read + Send>>;

fn reader(path: &Path, description: &Description, progress: &ProgressBar) -> Result<CsvReader, DataError> {
    Ok(ReaderBuilder::new()
        .delimiter(description.delimiter)
        .has_headers(description.header)
        .quoting(description.quoting)
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_reader(open(path, progress)?))
}

/// Finds the columns by the header; or by position, in a file as wide as its first row.
fn columns(path: &Path, description: &Description, reader: &mut CsvReader) -> Result<Columns, DataError> {
    let first = reader.byte_headers().map_err(|e| csv_error(path, e))?;
    if first.is_empty() {
        return Err(DataError::file(path, "an empty file"));
    }
    let find = |column: &ColumnName| match column {
        ColumnName::Position(position) if *position < first.len() => Ok(*position),
        ColumnName::Position(position) => {
            let what = format!("column {position} is wanted, but the first line has {} (from 0)", first.len());
            Err(DataError::row(path, 1, what))
        }
        ColumnName::Name(name) if !description.header => {
            Err(DataError::file(path, format!("column {name:?} is wanted by name, but header = false")))
        }
        ColumnName::Name(name) => {
            let mut places = (0..first.len()).filter(|&i| &first[i] == name.as_bytes());
            match (places.next(), places.next()) {
                (Some(place), None) => Ok(place),
                (None, _) => Err(DataError::row(path, 1, format!("the header has no column {name:?}"))),
                _ => Err(DataError::row(path, 1, format!("the header has column {name:?} twice"))),
            }
        }
    };
    Ok(Columns {
        label: find(&description.label_column)?,
        time: description.time_column.as_ref().map(find).transpose()?,
        fields: description.field_columns.iter().map(find).collect::<Result<_, _>>()?,
        width: first.len(),
    })
}

fn csv_error(path: &Path, error: csv::Error) -> DataError {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => DataError::Io { path: path.to_owned(), source },
        other => DataError::file(path, format!("{other:?}")),
    }
}

struct CsvBlocks<'a> {
    source: &'a CsvSource,
    reader: CsvReader,
    ended: bool,
}

/// Records of a CSV.
struct CsvBlock<'a> {
    source: &'a CsvSource,
    /// Each with the number of the line it begins at.
    records: Vec<(u64, ByteRecord)>,
    /// The line in which the file broke off.
    truncated: Option<u64>,
}

impl<'a> Iterator for CsvBlocks<'a> {
    type Item = Result<Box<dyn Block + 'a>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut block = CsvBlock { source: self.source, records: Vec::new(), truncated: None };
        let (mut bytes, mut record) = (0, ByteRecord::new());
        while !self.ended && block.records.len() < BLOCK_RECORDS && bytes < BLOCK_BYTES {
            match self.reader.read_byte_record(&mut record) {
                Ok(true) => {
                    bytes += record.as_slice().len();
                    block.records.push((record.position().map_or(0, csv::Position::line), record.clone()));
                }
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    match csv_error(&self.source.path, error) {
                        DataError::Io { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof => {
                            block.truncated = Some(self.reader.position().line());
                        }
                        error => return Some(Err(error)),
                    }
                }
            }
        }
        (block.rows() > 0).then(|| Ok(Box::new(block) as Box<dyn Block + 'a>))
    }
}

impl Block for CsvBlock<'_> {
    fn rows(&self) -> usize {
        self.records.len() + usize::from(self.truncated.is_some())
    }

    fn line(&self, i: usize) -> u64 {
        self.records.get(i).map_or(self.truncated.unwrap_or_default(), |(line, _)| *line)
    }

    fn fill(&self, i: usize, row: &mut RawRow) -> Result<(), String> {
        let Some((_, record)) = self.records.get(i) else { return Err(TRUNCATED.to_owned()) };
        let columns = &self.source.columns;
        if record.len() != columns.width {
            return Err(format!("{} columns, {} expected", record.len(), columns.width));
        }
        let cell = |column: usize| {
            str::from_utf8(&record[column])
                .map(|text| Cell::Text(Cow::Borrowed(text)))
                .map_err(|e| format!("not UTF-8: {e}"))
        };
        let time = columns.time.map(cell);
        self.source.description.fill(row, cell(columns.label), time, |f| cell(columns.fields[f]))
    }
}

impl Source for CsvSource {
    fn fields(&self) -> &[RawField] {
        &self.description.fields
    }

    fn label(&self) -> &str {
        &self.description.label
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn inputs(&self) -> Vec<PathBuf> {
        [&self.path].into_iter().chain(&self.schema).cloned().collect()
    }

    fn has_time(&self) -> bool {
        self.columns.time.is_some()
    }

    fn blocks(&self, progress: &ProgressBar) -> Result<Blocks<'_>, DataError> {
        let reader = reader(&self.path, &self.description, progress)?;
        Ok(Box::new(CsvBlocks { source: self, reader, ended: false }))
    }
}

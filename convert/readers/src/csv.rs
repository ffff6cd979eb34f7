//! Any CSV or TSV, described by a small TOML file; Avazu's CSV with the description that it needs.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use xsfm_interchange::input::{Input, Table};

use crate::description::{Cell, Description};
use crate::error::DataError;
use crate::files::Files;
use crate::header::{Columns, Header};
use crate::lines::Buffer;
use crate::raw::{Block, Blocks, Place, RawField, RawRow};
use crate::records::{self, Records};
use crate::source::Source;

/// Columns and rules of Avazu's `train.csv` (Kaggle 2014).
const AVAZU: &str = include_str!("../schemas/avazu.toml");

/// A CSV, of one file or several, with its description.
#[derive(Debug)]
pub struct CsvSource {
    files: Files,
    schema: Option<PathBuf>,
    description: Description,
    columns: Columns,
    unread: Vec<String>,
}

impl CsvSource {
    /// Reads the description, and checks that the files have its columns.
    ///
    /// # Errors
    /// The files cannot be read, the description is not one, a file lacks a column, or has another header than the
    /// first.
    pub fn open(files: impl Into<Files>, schema: &Path) -> Result<Self, DataError> {
        Self::new(files.into(), Some(schema), Description::load(schema)?, true)
    }

    /// Rows of a description that `schema` has, with or without labels.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn of_table(files: Files, schema: &Path, table: Table, labels: bool) -> Result<Self, DataError> {
        let description = Description::new(table).map_err(|what| DataError::file(schema, what))?;
        Self::new(files, Some(schema), description, labels)
    }

    /// Avazu's `train.csv`, whose tokens are kept from `min_count` training rows on.
    ///
    /// # Errors
    /// A file cannot be read, lacks a column, or has another header than the first.
    pub fn avazu(files: impl Into<Files>, min_count: u64) -> Result<Self, DataError> {
        let files = files.into();
        let description =
            Description::parse(AVAZU, Some(min_count)).map_err(|what| DataError::file(files.name(), what))?;
        Self::new(files, None, description, true)
    }

    fn new(files: Files, schema: Option<&Path>, description: Description, labels: bool) -> Result<Self, DataError> {
        let headers =
            files.parts().iter().map(|part| Header::read(part, &description)).collect::<Result<Vec<_>, _>>()?;
        let Some((first, others)) = headers.split_first() else {
            return Err(DataError::file(files.name(), "no file"));
        };
        let columns = first.columns(&description, labels)?;
        if description.header {
            others.iter().try_for_each(|header| header.check_same(first))?;
        }
        let unread = first.unread(&description, &columns);
        Ok(CsvSource { files, schema: schema.map(Path::to_owned), description, columns, unread })
    }
}

struct CsvBlocks<'a> {
    source: &'a CsvSource,
    buffer: Buffer<'a>,
    ended: bool,
}

/// Records of a CSV.
struct CsvBlock<'a> {
    source: &'a CsvSource,
    records: Records<'a>,
}

impl<'a> Iterator for CsvBlocks<'a> {
    type Item = Result<Box<dyn Block + 'a>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let source = self.source;
        let records =
            records::read(&mut self.buffer, source.description.dialect, Some(source.columns.width), usize::MAX);
        self.ended = records.as_ref().map_or(true, |records| records.last);
        Some(records.map(|records| Box::new(CsvBlock { source, records }) as Box<dyn Block + 'a>))
    }
}

impl Block for CsvBlock<'_> {
    fn path(&self) -> &Path {
        self.records.path()
    }

    fn rows(&self) -> usize {
        self.records.len()
    }

    fn line(&self, i: usize) -> u64 {
        self.records.line(i)
    }

    fn end(&self) -> Option<Place> {
        self.records.end()
    }

    fn fill(&self, i: usize, row: &mut RawRow) -> Result<(), String> {
        let mut ends = std::mem::take(&mut row.ends);
        let filled = self.fill_from(i, &mut ends, row);
        row.ends = ends;
        filled
    }
}

impl CsvBlock<'_> {
    /// Fills a row; `ends` is taken for where values end.
    fn fill_from(&self, i: usize, ends: &mut Vec<usize>, row: &mut RawRow) -> Result<(), String> {
        self.records.split(i, ends)?;
        let CsvSource { columns, description, .. } = self.source;
        if ends.len() != columns.width {
            return Err(format!("{} columns, {} expected", ends.len(), columns.width));
        }
        let cell = |column: usize| self.records.value(i, ends, column).map(Cell::Text);
        let (time, weight) = (columns.time.map(cell), columns.weight.map(cell));
        description.fill(row, columns.label.map(cell), time, weight, |f| cell(columns.fields[f]))
    }
}

impl Source for CsvSource {
    fn fields(&self) -> &[RawField] {
        &self.description.fields
    }

    fn label(&self) -> &str {
        &self.description.label
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn inputs(&self) -> Vec<PathBuf> {
        self.files.parts().iter().chain(&self.schema).cloned().collect()
    }

    fn has_time(&self) -> bool {
        self.columns.time.is_some()
    }

    fn input(&self) -> Input {
        self.description.input()
    }

    fn has_labels(&self) -> bool {
        self.columns.label.is_some()
    }

    fn has_weights(&self) -> bool {
        self.columns.weight.is_some()
    }

    fn unread(&self) -> &[String] {
        &self.unread
    }

    fn open(&self, file: usize, from: Option<Place>, progress: &ProgressBar) -> Result<Blocks<'_>, DataError> {
        let path = self.files.part(file)?;
        let (buffer, ended) = match from {
            None => {
                let mut buffer = Buffer::open(path, progress)?;
                let ended = self.description.header && records::next(&mut buffer, self.description.dialect)?.last;
                (buffer, ended)
            }
            Some(place) => (Buffer::open_at(path, place, progress)?, false),
        };
        Ok(Box::new(CsvBlocks { source: self, buffer, ended }))
    }
}

//! The first record of a CSV: which columns there are, and what a header that lacks one looks like.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use xsfm_interchange::input::ColumnName;

use crate::description::Description;
use crate::error::DataError;
use crate::lines::Buffer;
use crate::records::{self, Dialect};

/// Delimiters that a file may have in place of the one that was named.
const DELIMITERS: [u8; 7] = *b",\t;|\x01: ";
/// How many columns a message names.
const SHOWN: usize = 30;
/// How many letters of each.
const LETTERS: usize = 60;

/// The first record of a file.
#[derive(Debug)]
pub(crate) struct Header {
    path: PathBuf,
    line: u64,
    /// As it is written.
    text: Vec<u8>,
    names: Vec<String>,
}

/// Positions of the columns that are read.
#[derive(Debug)]
pub(crate) struct Columns {
    /// None of rows that have no label.
    pub(crate) label: Option<usize>,
    pub(crate) time: Option<usize>,
    pub(crate) weight: Option<usize>,
    pub(crate) fields: Vec<usize>,
    /// Number of columns that every row must have.
    pub(crate) width: usize,
}

impl Header {
    /// Reads the first record of a file.
    ///
    /// # Errors
    /// The file cannot be read, has no record, or a stray quote in its header.
    pub(crate) fn read(path: &Path, description: &Description) -> Result<Self, DataError> {
        let mut buffer = Buffer::open(path, &ProgressBar::hidden())?;
        let mut ends = Vec::new();
        let (first, line) = loop {
            let record = records::next(&mut buffer, description.dialect)?;
            if record.is_empty() {
                return Err(DataError::file(path, "no lines but empty ones"));
            }
            let line = record.line(0);
            match record.split(0, &mut ends) {
                Ok(()) => break (record, line),
                // Without a header this is a malformed row; the next one may be whole.
                Err(_) if !description.header && !record.last => {}
                Err(what) => return Err(DataError::row(path, line, what)),
            }
        };
        let name = |column| first.value(0, &ends, column).map_or("(not UTF-8)".to_owned(), Cow::into_owned);
        let names = (0..ends.len()).map(name).collect();
        Ok(Header { path: path.to_owned(), line, text: first.text(0).to_owned(), names })
    }

    /// Finds the columns, the label's where rows have `labels`, by their names; or by position, in a file as wide as
    /// its first row.
    ///
    /// # Errors
    /// A column that is not there, or twice, or that is both the label and a field.
    pub(crate) fn columns(&self, description: &Description, labels: bool) -> Result<Columns, DataError> {
        let width = self.names.len();
        let find = |column: &ColumnName| match column {
            ColumnName::Position(position) if *position < width => Ok(*position),
            ColumnName::Position(position) => {
                let what = format!("column {position} is wanted, but the first line has {width} (from 0)");
                Err(self.error(what + &self.guess(description)))
            }
            ColumnName::Name(name) if !description.header => {
                Err(DataError::file(&self.path, format!("column {name:?} is wanted by name, but header = false")))
            }
            ColumnName::Name(name) => {
                let mut places = (0..width).filter(|&i| self.names[i] == *name);
                match (places.next(), places.next()) {
                    (Some(place), None) => Ok(place),
                    (None, _) => {
                        let what = format!("the header has no column {name:?}; it is {}", self.shown());
                        Err(self.error(what + &self.guess(description)))
                    }
                    _ => Err(self.error(format!("the header has column {name:?} twice"))),
                }
            }
        };
        let label = labels.then(|| find(&description.label_column)).transpose()?;
        let time = description.time_column.as_ref().map(find).transpose()?;
        let weight = description.weight_column.as_ref().map(find).transpose()?;
        let fields = description.field_columns.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        description.check_columns(label, weight, &fields).map_err(|what| self.error(what))?;
        Ok(Columns { label, time, weight, fields, width })
    }

    /// The names of columns that nobody reads.
    pub(crate) fn unread(&self, description: &Description, columns: &Columns) -> Vec<String> {
        let Columns { label, time, weight, fields, .. } = columns;
        let is_read = |place| [label, time, weight].contains(&&Some(place)) || fields.contains(&place);
        let others = self.names.iter().enumerate().filter(|(place, _)| description.header && !is_read(*place));
        others.map(|(_, name)| name.clone()).collect()
    }

    /// Checks that this file's header is that of the first file.
    ///
    /// # Errors
    /// It is another.
    pub(crate) fn check_same(&self, first: &Header) -> Result<(), DataError> {
        if self.names == first.names {
            return Ok(());
        }
        let what = format!("the header is {}, and that of {} is {}", self.shown(), first.path.display(), first.shown());
        Err(self.error(what))
    }

    fn error(&self, what: String) -> DataError {
        DataError::row(&self.path, self.line, what)
    }

    /// The names, as they were found.
    fn shown(&self) -> String {
        let name = |name: &String| match name.char_indices().nth(LETTERS) {
            Some((end, _)) => format!("{:?}…", &name[..end]),
            None => format!("{name:?}"),
        };
        let names = self.names.iter().take(SHOWN).map(name).collect::<Vec<_>>().join(", ");
        match self.names.len() {
            1 => format!("one column, {names}"),
            n if n > SHOWN => format!("{names} and {} more", n - SHOWN),
            _ => names,
        }
    }

    /// What a file is that lacks a column: one with another delimiter, one without a header, or no table.
    fn guess(&self, description: &Description) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let wanted: Vec<&ColumnName> = [&description.label_column]
            .into_iter()
            .chain(&description.field_columns)
            .chain(&description.time_column)
            .chain(&description.weight_column)
            .collect();
        let has_all = |names: &[&str]| {
            wanted.iter().all(|column| match column {
                ColumnName::Name(name) => names.iter().any(|found| found.trim_matches('"') == name),
                ColumnName::Position(position) => *position < names.len(),
            })
        };
        let split = |delimiter: u8| text.split(char::from(delimiter)).collect::<Vec<&str>>();
        let Dialect { delimiter: used, .. } = description.dialect;
        let mut others = DELIMITERS.into_iter().filter(|&delimiter| delimiter != used);
        if let Some(delimiter) = others.find(|&delimiter| has_all(&split(delimiter))) {
            return format!("; with delimiter = {} it has all that are wanted", shown_delimiter(delimiter));
        }
        let likely = DELIMITERS.into_iter().filter(|&delimiter| delimiter != used).max_by_key(|&d| split(d).len());
        let start = text.trim_start().to_lowercase();
        match likely.map(|delimiter| (delimiter, split(delimiter).len())) {
            _ if start.starts_with("<!doctype") || start.starts_with("<html") => "; this is a page of HTML".to_owned(),
            _ if start.starts_with('{') || start.starts_with('[') => {
                "; this looks like JSON, of which lines of objects are read".to_owned()
            }
            Some((delimiter, columns)) if self.names.len() == 1 && columns > 1 => {
                format!("; with delimiter = {} it has {columns}", shown_delimiter(delimiter))
            }
            _ if description.header && wanted.iter().any(|column| matches!(column, ColumnName::Name(_))) => {
                "; a file without a header needs header = false".to_owned()
            }
            _ => String::new(),
        }
    }
}

fn shown_delimiter(delimiter: u8) -> String {
    match delimiter {
        1 => "\"\\u0001\"".to_owned(),
        other => format!("{:?}", char::from(other).to_string()),
    }
}

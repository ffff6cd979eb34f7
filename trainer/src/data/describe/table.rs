//! The columns of a file that nobody has described.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use foldhash::fast::RandomState;
use indicatif::ProgressBar;
use parquet::file::reader::FileReader;
use xsfm_readers::description::Cell;
use xsfm_readers::json::{each_object, is_json_lines};
use xsfm_readers::lines::Buffer;
use xsfm_readers::parquet::{cell, guarded, is_parquet, reader};
use xsfm_readers::records::{self, Dialect as Quoting};

use super::column::Column;

/// Delimiters that are tried.
const DELIMITERS: [u8; 4] = *b",\t;|";
/// Records that tell which delimiter it is.
const TRIED: usize = 50;

/// What a text file has between its values, and whether its first record names them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) header: bool,
}

/// Columns and the label, as far as they were read.
pub(super) struct Table {
    /// None of a Parquet file and of JSON lines.
    pub(super) dialect: Option<Dialect>,
    pub(super) columns: Vec<Column>,
    pub(super) label: Label,
    pub(super) rows: u64,
    pub(super) malformed: u64,
}

/// The label's column.
#[derive(Default)]
pub(super) struct Label {
    pub(super) name: String,
    /// How often each of its values is there.
    pub(super) values: HashMap<String, u64, RandomState>,
}

/// Different labels, more than which it is none.
const LABELS: usize = 1000;

impl Table {
    /// Reads the first rows of a file.
    pub(super) fn read(path: &Path, label: &str, rows: u64) -> Result<Self> {
        let table = if is_parquet(path).with_context(|| path.display().to_string())? {
            Self::of_parquet(path, label, rows)
        } else if is_json_lines(path)? {
            Self::of_json(path, label, rows)
        } else {
            Self::of_text(path, label, rows)
        }?;
        ensure!(table.rows > 0, "{}: no rows", path.display());
        ensure!(
            table.label.values.len() <= LABELS,
            "{}: column {label:?} has more than {LABELS} different values in {} rows: it is no label",
            path.display(),
            table.rows
        );
        Ok(table)
    }

    fn new(path: &Path, dialect: Option<Dialect>, names: Vec<String>, label: &str) -> Result<(Self, usize)> {
        let Some(place) = names.iter().position(|name| name == label) else {
            bail!("{}: there is no column {label:?}; there is {}", path.display(), names.join(", "));
        };
        let others = names.into_iter().enumerate().filter(|(n, _)| *n != place).map(|(_, name)| Column::new(name));
        let label = Label { name: label.to_owned(), ..Label::default() };
        Ok((Table { dialect, columns: others.collect(), label, rows: 0, malformed: 0 }, place))
    }

    fn of_text(path: &Path, label: &str, most: u64) -> Result<Self> {
        let dialect = guess(path, label)?;
        let quoting = Quoting { delimiter: dialect.delimiter, quoting: dialect.delimiter != b'\t' };
        let mut buffer = Buffer::open(path, &ProgressBar::hidden())?;
        let first = records::next(&mut buffer, quoting)?;
        let mut ends = Vec::new();
        ensure!(!first.is_empty() && first.split(0, &mut ends).is_ok(), "{}: a malformed first row", path.display());
        let names: Vec<String> = match dialect.header {
            true => (0..ends.len()).map(|c| Ok(first.value(0, &ends, c)?.into_owned())).collect::<Result<_, String>>(),
            false => Ok((0..ends.len()).map(|c| c.to_string()).collect()),
        }
        .map_err(|what| anyhow::anyhow!("{}: {what}", path.display()))?;
        let width = names.len();
        let (mut table, label) = Table::new(path, Some(dialect), names, label)?;
        if !dialect.header {
            buffer = Buffer::open(path, &ProgressBar::hidden())?;
        }
        while table.rows < most {
            let records = records::read(&mut buffer, quoting, Some(width), (most - table.rows) as usize)?;
            for i in 0..records.len() {
                let is_whole = records.split(i, &mut ends).is_ok() && ends.len() == width;
                let values: Option<Vec<_>> =
                    is_whole.then(|| (0..width).map(|c| records.value(i, &ends, c).ok()).collect()).flatten();
                let Some(values) = values else {
                    table.malformed += 1;
                    continue;
                };
                table.add(label, values.iter().map(|value| Value::Text(value)));
            }
            if records.last {
                break;
            }
        }
        Ok(table)
    }

    fn of_parquet(path: &Path, label: &str, most: u64) -> Result<Self> {
        let at = || path.display().to_string();
        let reader = reader(path)?;
        let names = reader.metadata().file_metadata().schema().get_fields().iter().map(|f| f.name().to_owned());
        let (mut table, label) = Table::new(path, None, names.collect(), label)?;
        let mut rows = guarded(|| reader.get_row_iter(None)).map_err(|what| anyhow::anyhow!("{}: {what}", at()))?;
        while table.rows < most {
            let Some(row) = guarded(|| rows.next().transpose()).map_err(|what| anyhow::anyhow!("{}: {what}", at()))?
            else {
                break;
            };
            let cells: Result<Vec<Cell<'_>>, String> = row.get_column_iter().map(|(_, field)| cell(field)).collect();
            let Ok(cells) = cells else {
                table.malformed += 1;
                continue;
            };
            table.add(label, cells.iter().map(Value::of));
        }
        Ok(table)
    }

    /// Columns are the first object's keys, without one of which a row is malformed.
    fn of_json(path: &Path, label: &str, most: u64) -> Result<Self> {
        let mut keys: Vec<String> = Vec::new();
        each_object(path, 1, |object| keys.extend(object.into_iter().flatten().map(|(key, _)| key.to_owned())))?;
        let (mut table, label) = Table::new(path, None, keys.clone(), label)?;
        let places: HashMap<&str, usize> = keys.iter().map(String::as_str).zip(0..).collect();
        each_object(path, most, |object| {
            let mut cells = vec![None; keys.len()];
            for (key, cell) in object.into_iter().flatten() {
                if let Some(&place) = places.get(key) {
                    cells[place] = Some(cell);
                }
            }
            match cells.into_iter().collect::<Option<Vec<Cell<'_>>>>() {
                Some(cells) => table.add(label, cells.iter().map(Value::of)),
                None => table.malformed += 1,
            }
        })?;
        Ok(table)
    }

    /// Takes a row, whose label has a place.
    fn add<'a>(&mut self, label: usize, values: impl Iterator<Item = Value<'a>> + Clone) {
        self.rows += 1;
        let Some(Value::Text(of_row)) = values.clone().nth(label) else { return };
        if self.label.values.len() <= LABELS {
            *self.label.values.entry(of_row.to_owned()).or_default() += 1;
        }
        let others = values.enumerate().filter(|(n, _)| *n != label).map(|(_, value)| value);
        for (column, value) in self.columns.iter_mut().zip(others) {
            match value {
                Value::Text(text) => column.add(text, of_row),
                Value::List(tokens) => column.add_list(&tokens, of_row),
            }
        }
    }

    /// The place of a column without a name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        let has_names = self.dialect.is_none_or(|dialect| dialect.header);
        if has_names { None } else { name.parse().ok() }
    }

    /// A column's name or place, as TOML.
    pub(super) fn shown(&self, name: &str) -> String {
        self.position(name).map_or_else(|| quoted(name), |position| position.to_string())
    }
}

/// A text, as TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A value of a row.
#[derive(Clone)]
enum Value<'a> {
    Text(&'a str),
    List(Vec<&'a str>),
}

impl<'a> Value<'a> {
    fn of(cell: &'a Cell<'a>) -> Self {
        match cell {
            Cell::Text(text) => Value::Text(text),
            Cell::List(tokens) => Value::List(tokens.iter().map(AsRef::as_ref).collect()),
            Cell::Weights(tokens) => Value::List(tokens.iter().map(|(token, _)| token.as_ref()).collect()),
        }
    }
}

/// The delimiter with which most of the first records have as many columns as the first, more than one; of several the
/// one with most columns. A header is there where the label is a name in the first record.
fn guess(path: &Path, label: &str) -> Result<Dialect> {
    let mut best: Option<(usize, Dialect)> = None;
    for delimiter in DELIMITERS {
        let quoting = Quoting { delimiter, quoting: delimiter != b'\t' };
        let mut buffer = Buffer::open(path, &ProgressBar::hidden())?;
        let records = records::read(&mut buffer, quoting, None, TRIED)?;
        let mut ends = Vec::new();
        let mut widths = Vec::new();
        let mut header = false;
        for i in 0..records.len() {
            if records.split(i, &mut ends).is_ok() {
                let has_label = |column: usize| records.value(i, &ends, column).is_ok_and(|value| value == label);
                // A number is a place: rows have numbers too.
                header |= widths.is_empty() && label.parse::<usize>().is_err() && (0..ends.len()).any(has_label);
                widths.push(ends.len());
            }
        }
        let Some(&width) = widths.first().filter(|width| **width > 1) else { continue };
        let is_table = widths.iter().filter(|other| **other == width).count() * 10 >= widths.len() * 9;
        if is_table && best.is_none_or(|(columns, _)| width > columns) {
            best = Some((width, Dialect { delimiter, header }));
        }
    }
    let Some((columns, dialect)) = best else {
        bail!(
            "{}: not a table: no delimiter of {:?} gives rows of equally many columns",
            path.display(),
            DELIMITERS.map(char::from)
        );
    };
    if !dialect.header && label.parse::<usize>().ok().is_none_or(|place| place >= columns) {
        bail!(
            "{}: the first row has no column {label:?} in {columns}; without a header give its place, from 0",
            path.display()
        );
    }
    Ok(dialect)
}

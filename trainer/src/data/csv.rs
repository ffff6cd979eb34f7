//! Any CSV or TSV, described by a small TOML file.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};
use indicatif::ProgressBar;
use serde::Deserialize;
use xsfm_interchange::rows::{LABEL_COLUMN, MAX_BAG};
use xsfm_interchange::schema::{FieldKind, bucket};

use super::source::{DataError, RawField, RawRow, Source, Visit, Walk};

/// Shown by `xsfm-train prepare csv --help`.
pub const SCHEMA_HELP: &str = r#"The schema file:

  delimiter = ","        # default ","; "\t" for a TSV
  header = true          # default true; without one, columns are positions from 0
  quoting = true         # default true, but false for a TSV
  min_count = 2          # default 1: rarer tokens share the out-of-vocabulary row
  time = "timestamp"     # optional, a number: what --split chronological orders by; otherwise the order of the file

  [label]
  column = "rating"      # a name of the header, or a position
  at_least = 4           # the rule: at_least = NUMBER, or equals = "TEXT"; without one, values are 0 and 1

  [[fields]]
  name = "user"          # the column of this name, unless `column` says otherwise
  kind = "categorical"   # an empty value is a token of its own
  min_count = 10         # optional, for this field

  [[fields]]
  name = "tags"
  column = 7
  kind = "bag"           # several tokens; empty ones are dropped
  separator = " "        # default "|"
  max_bag = 20           # default 1024, which is the most: longer bags are cut, and counted

  [[fields]]
  name = "views"
  kind = "numeric"       # Criteo log bucketing: v <= 2 is its own token, else floor(ln(v)^2); empty is a token of its own
"#;

/// How many malformed rows are shown.
const EXAMPLES: usize = 5;

/// The schema file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    #[serde(default = "comma")]
    delimiter: char,
    #[serde(default = "yes")]
    header: bool,
    quoting: Option<bool>,
    #[serde(default = "one")]
    min_count: u64,
    time: Option<ColumnName>,
    label: LabelDescription,
    fields: Vec<FieldDescription>,
}

fn comma() -> char {
    ','
}

fn yes() -> bool {
    true
}

fn one() -> u64 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelDescription {
    column: ColumnName,
    at_least: Option<f64>,
    equals: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldDescription {
    name: String,
    column: Option<ColumnName>,
    kind: FieldKind,
    min_count: Option<u64>,
    separator: Option<String>,
    max_bag: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum ColumnName {
    Position(usize),
    Name(String),
}

#[derive(Debug)]
enum LabelRule {
    ZeroOne,
    AtLeast(f64),
    Equals(String),
}

/// A CSV file with its description.
#[derive(Debug)]
pub struct CsvSource {
    path: PathBuf,
    description: Description,
    label: String,
    rule: LabelRule,
    fields: Vec<RawField>,
    skip_bad: bool,
}

/// Positions of the columns of one file.
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
    pub fn open(path: &Path, schema: &Path, skip_bad: bool) -> Result<Self, DataError> {
        let text = fs::read_to_string(schema).map_err(DataError::io(schema))?;
        let description: Description =
            toml::from_str(&text).map_err(|e| DataError::file(schema, format!("not a schema: {e}")))?;
        let refuse = |what: String| DataError::file(schema, what);
        if !description.delimiter.is_ascii() {
            return Err(refuse(format!("delimiter {:?}: one ASCII character expected", description.delimiter)));
        }
        if description.fields.is_empty() {
            return Err(refuse("no fields".to_owned()));
        }
        let column = match &description.label.column {
            ColumnName::Name(name) => name.clone(),
            ColumnName::Position(position) => format!("column {position}"),
        };
        let (rule, label) = match (description.label.at_least, &description.label.equals) {
            (None, None) => (LabelRule::ZeroOne, format!("{column} is 1")),
            (Some(least), None) => (LabelRule::AtLeast(least), format!("{column} is at least {least}")),
            (None, Some(text)) => (LabelRule::Equals(text.clone()), format!("{column} is {text:?}")),
            (Some(_), Some(_)) => return Err(refuse("label: at_least and equals exclude each other".to_owned())),
        };
        let mut names = HashSet::new();
        let mut fields = Vec::new();
        for field in &description.fields {
            let name = &field.name;
            if name == LABEL_COLUMN || !names.insert(name) {
                return Err(refuse(format!("field {name:?}: this name is taken")));
            }
            if field.kind != FieldKind::Bag && (field.separator.is_some() || field.max_bag.is_some()) {
                return Err(refuse(format!("field {name:?}: separator and max_bag are for bags")));
            }
            if field.separator.as_ref().is_some_and(String::is_empty) {
                return Err(refuse(format!("field {name:?}: an empty separator")));
            }
            let max_bag = field.max_bag.unwrap_or(MAX_BAG);
            if !(1..=MAX_BAG).contains(&max_bag) {
                return Err(refuse(format!("field {name:?}: max_bag {max_bag}, 1 to {MAX_BAG} expected")));
            }
            let min_count = field.min_count.unwrap_or(description.min_count);
            fields.push(RawField { name: name.clone(), kind: field.kind, min_count, max_bag });
        }
        let source = CsvSource { path: path.to_owned(), description, label, rule, fields, skip_bad };
        source.columns(&mut source.reader()?)?;
        Ok(source)
    }

    fn reader(&self) -> Result<Reader<fs::File>, DataError> {
        let file = fs::File::open(&self.path).map_err(DataError::io(&self.path))?;
        let quoting = self.description.quoting.unwrap_or(self.description.delimiter != '\t');
        Ok(ReaderBuilder::new()
            .delimiter(self.description.delimiter as u8)
            .has_headers(self.description.header)
            .quoting(quoting)
            .flexible(true)
            .buffer_capacity(1 << 18)
            .from_reader(file))
    }

    /// Finds the columns by the header; or by position, in a file as wide as its first row.
    fn columns(&self, reader: &mut Reader<fs::File>) -> Result<Columns, DataError> {
        // Without a header this is the first row, which the pass will give again.
        let first = reader.byte_headers().map_err(|e| self.csv_error(e))?.clone();
        if first.is_empty() {
            return Err(DataError::file(&self.path, "an empty file"));
        }
        let header = self.description.header;
        let find = |column: &ColumnName| match column {
            ColumnName::Position(position) if *position < first.len() => Ok(*position),
            ColumnName::Position(position) => {
                let what = format!("column {position} is wanted, but the first line has {} (from 0)", first.len());
                Err(DataError::row(&self.path, 1, what))
            }
            ColumnName::Name(name) if !header => {
                Err(DataError::file(&self.path, format!("column {name:?} is wanted by name, but header = false")))
            }
            ColumnName::Name(name) => {
                let mut places = (0..first.len()).filter(|&i| &first[i] == name.as_bytes());
                match (places.next(), places.next()) {
                    (Some(place), None) => Ok(place),
                    (None, _) => Err(DataError::row(&self.path, 1, format!("the header has no column {name:?}"))),
                    _ => Err(DataError::row(&self.path, 1, format!("the header has column {name:?} twice"))),
                }
            }
        };
        let of_field = |f: &FieldDescription| find(f.column.as_ref().unwrap_or(&ColumnName::Name(f.name.clone())));
        Ok(Columns {
            label: find(&self.description.label.column)?,
            time: self.description.time.as_ref().map(find).transpose()?,
            fields: self.description.fields.iter().map(of_field).collect::<Result<_, _>>()?,
            width: first.len(),
        })
    }

    /// Fills `row`, or says what is wrong.
    fn parse(&self, columns: &Columns, record: &ByteRecord, row: &mut RawRow) -> Result<(), String> {
        if record.len() != columns.width {
            return Err(format!("{} columns, {} expected", record.len(), columns.width));
        }
        let text = |name: &str, column: usize| {
            str::from_utf8(&record[column]).map_err(|e| format!("field {name:?}: not UTF-8: {e}"))
        };
        let number = |name: &str, column: usize| {
            let text = text(name, column)?;
            let value = text.parse().ok().filter(|v: &f64| v.is_finite());
            value.ok_or_else(|| format!("field {name:?}: {text:?} is not a number"))
        };
        row.label = match &self.rule {
            LabelRule::ZeroOne => match text(LABEL_COLUMN, columns.label)? {
                "0" => 0,
                "1" => 1,
                other => return Err(format!("field {LABEL_COLUMN:?}: {other:?}, 0 or 1 expected")),
            },
            LabelRule::AtLeast(least) => u8::from(number(LABEL_COLUMN, columns.label)? >= *least),
            LabelRule::Equals(positive) => u8::from(text(LABEL_COLUMN, columns.label)? == positive),
        };
        row.time = columns.time.map(|column| number("time", column)).transpose()?;
        row.clear();
        for (field, &column) in self.description.fields.iter().zip(&columns.fields) {
            let value = text(&field.name, column)?;
            match field.kind {
                FieldKind::Categorical => row.push_field(value),
                FieldKind::Numeric => {
                    let token = bucket(value);
                    row.push_field(&token.ok_or_else(|| format!("field {:?}: {value:?} is not a number", field.name))?);
                }
                FieldKind::Bag => {
                    let separator = field.separator.as_deref().unwrap_or("|");
                    value.split(separator).filter(|token| !token.is_empty()).for_each(|token| row.push_token(token));
                    row.end_field();
                }
            }
        }
        Ok(())
    }

    fn csv_error(&self, error: csv::Error) -> DataError {
        match error.into_kind() {
            csv::ErrorKind::Io(source) => DataError::Io { path: self.path.clone(), source },
            other => DataError::file(&self.path, format!("{other:?}")),
        }
    }
}

impl Source for CsvSource {
    fn fields(&self) -> &[RawField] {
        &self.fields
    }

    fn label(&self) -> &str {
        &self.label
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn pass(&self, progress: &ProgressBar, visit: Visit<'_>) -> Result<Walk, DataError> {
        let mut reader = self.reader()?;
        let columns = self.columns(&mut reader)?;
        let (mut walk, mut row, mut record) = (Walk::default(), RawRow::default(), ByteRecord::new());
        while reader.read_byte_record(&mut record).map_err(|e| self.csv_error(e))? {
            row.number = walk.rows;
            walk.rows += 1;
            if walk.rows % 4096 == 0 {
                progress.set_position(reader.position().byte());
            }
            if let Err(what) = self.parse(&columns, &record, &mut row) {
                let line = record.position().map_or(0, csv::Position::line);
                let error = DataError::row(&self.path, line, what);
                if !self.skip_bad {
                    return Err(error);
                }
                walk.skipped += 1;
                if walk.skipped_examples.len() < EXAMPLES {
                    walk.skipped_examples.push(error.to_string());
                }
                continue;
            }
            visit(&row)?;
        }
        Ok(walk)
    }
}

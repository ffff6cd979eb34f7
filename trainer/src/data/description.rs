//! The TOML file that says what the columns of a CSV or Parquet file are.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use xsfm_interchange::bucket::bucket;
use xsfm_interchange::rows::{LABEL_COLUMN, MAX_BAG};
use xsfm_interchange::schema::FieldKind;

use super::source::{DataError, RawField, RawRow};

/// Shown by `xsfm-train prepare csv --help` and `prepare parquet --help`.
pub(super) const SCHEMA_HELP: &str = r#"The schema file:

  delimiter = ","        # default ","; "\t" for a TSV       (this and the next two: CSV only)
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
  bytes = [6, 8]         # optional: these bytes of the value, from 0, for example the hour of 14102100

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

/// The columns of a file, and what becomes of them.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) delimiter: u8,
    pub(super) header: bool,
    pub(super) quoting: bool,
    /// Names or places of the columns: label, time, fields.
    pub(super) label_column: ColumnName,
    pub(super) time_column: Option<ColumnName>,
    pub(super) field_columns: Vec<ColumnName>,
    /// What a label of 1 means.
    pub(super) label: String,
    pub(super) fields: Vec<RawField>,
    rule: LabelRule,
    cuts: Vec<Cut>,
}

/// A column, as the file calls it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ColumnName {
    Position(usize),
    Name(String),
}

/// A value of a column.
#[derive(Clone, Debug)]
pub(super) enum Cell<'a> {
    Text(Cow<'a, str>),
    /// Only in files that know lists.
    List(Vec<Cow<'a, str>>),
}

#[derive(Debug)]
enum LabelRule {
    ZeroOne,
    AtLeast(f64),
    Equals(String),
}

/// What of a value is taken.
#[derive(Debug)]
struct Cut {
    /// Between the tokens of a bag.
    separator: String,
    bytes: Option<[usize; 2]>,
}

/// The TOML file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "comma")]
    delimiter: char,
    #[serde(default = "yes")]
    header: bool,
    quoting: Option<bool>,
    #[serde(default = "one")]
    min_count: u64,
    time: Option<ColumnName>,
    label: WrittenLabel,
    fields: Vec<WrittenField>,
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
struct WrittenLabel {
    column: ColumnName,
    at_least: Option<f64>,
    equals: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenField {
    name: String,
    column: Option<ColumnName>,
    kind: FieldKind,
    min_count: Option<u64>,
    bytes: Option<[usize; 2]>,
    separator: Option<String>,
    max_bag: Option<usize>,
}

impl Description {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or contradicts itself.
    pub(super) fn load(path: &Path) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).map_err(DataError::io(path))?;
        Self::parse(&text, None).map_err(|what| DataError::file(path, what))
    }

    /// Reads the text of such a file. `min_count` overrides the text's.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str, min_count: Option<u64>) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|e| format!("not a schema: {e}"))?;
        let Ok(delimiter) = u8::try_from(written.delimiter) else {
            return Err(format!("delimiter {:?}: one ASCII character expected", written.delimiter));
        };
        if !delimiter.is_ascii() {
            return Err(format!("delimiter {:?}: one ASCII character expected", written.delimiter));
        }
        if written.fields.is_empty() {
            return Err("no fields".to_owned());
        }
        let column = match &written.label.column {
            ColumnName::Name(name) => name.clone(),
            ColumnName::Position(position) => format!("column {position}"),
        };
        let (rule, label) = match (written.label.at_least, written.label.equals) {
            (None, None) => (LabelRule::ZeroOne, format!("{column} is 1")),
            (Some(least), None) => (LabelRule::AtLeast(least), format!("{column} is at least {least}")),
            (None, Some(text)) => {
                let label = format!("{column} is {text:?}");
                (LabelRule::Equals(text), label)
            }
            (Some(_), Some(_)) => return Err("label: at_least and equals exclude each other".to_owned()),
        };
        let mut description = Description {
            delimiter,
            header: written.header,
            quoting: written.quoting.unwrap_or(delimiter != b'\t'),
            label_column: written.label.column,
            time_column: written.time,
            field_columns: Vec::new(),
            label,
            fields: Vec::new(),
            rule,
            cuts: Vec::new(),
        };
        let min_count = min_count.unwrap_or(written.min_count);
        let mut names = HashSet::new();
        for field in written.fields {
            let name = &field.name;
            if name == LABEL_COLUMN || !names.insert(name.clone()) {
                return Err(format!("field {name:?}: this name is taken"));
            }
            description.add(field, min_count)?;
        }
        Ok(description)
    }

    fn add(&mut self, field: WrittenField, min_count: u64) -> Result<(), String> {
        let WrittenField { name, kind, separator, bytes, .. } = field;
        if kind != FieldKind::Bag && (separator.is_some() || field.max_bag.is_some()) {
            return Err(format!("field {name:?}: separator and max_bag are for bags"));
        }
        if separator.as_ref().is_some_and(String::is_empty) {
            return Err(format!("field {name:?}: an empty separator"));
        }
        if let Some([from, to]) = bytes
            && from >= to
        {
            return Err(format!("field {name:?}: bytes {from} to {to}: the second must be larger"));
        }
        let max_bag = field.max_bag.unwrap_or(MAX_BAG);
        if !(1..=MAX_BAG).contains(&max_bag) {
            return Err(format!("field {name:?}: max_bag {max_bag}, 1 to {MAX_BAG} expected"));
        }
        self.field_columns.push(field.column.unwrap_or_else(|| ColumnName::Name(name.clone())));
        self.fields.push(RawField { name, kind, min_count: field.min_count.unwrap_or(min_count), max_bag });
        self.cuts.push(Cut { separator: separator.unwrap_or_else(|| "|".to_owned()), bytes });
        Ok(())
    }

    /// Fills an empty `row` from the cells of the label, the time, and field `f`.
    ///
    /// # Errors
    /// What is wrong with the row, with the field's name.
    pub(super) fn fill<'a>(
        &self,
        row: &mut RawRow,
        label: Result<Cell<'a>, String>,
        time: Option<Result<Cell<'a>, String>>,
        mut cell: impl FnMut(usize) -> Result<Cell<'a>, String>,
    ) -> Result<(), String> {
        let label = text(label, LABEL_COLUMN)?;
        row.label = match &self.rule {
            LabelRule::ZeroOne => match &*label {
                "0" => 0,
                "1" => 1,
                other => return Err(format!("field {LABEL_COLUMN:?}: {other:?}, 0 or 1 expected")),
            },
            LabelRule::AtLeast(least) => u8::from(number(&label, LABEL_COLUMN)? >= *least),
            LabelRule::Equals(positive) => u8::from(label == positive.as_str()),
        };
        row.time = time.map(|time| number(&text(time, "time")?, "time")).transpose()?;
        for (f, (field, cut)) in self.fields.iter().zip(&self.cuts).enumerate() {
            let name = &field.name;
            let value = match (field.kind, cell(f).map_err(|what| format!("field {name:?}: {what}"))?) {
                (FieldKind::Bag, Cell::List(tokens)) => {
                    tokens.iter().filter(|token| !token.is_empty()).for_each(|token| row.push_token(token));
                    row.end_field();
                    continue;
                }
                (_, cell) => text(Ok(cell), name)?,
            };
            let value = match cut.bytes {
                None => &*value,
                Some([from, to]) => value
                    .get(from..to)
                    .ok_or_else(|| format!("field {name:?}: {value:?} has no bytes {from} to {to}"))?,
            };
            match field.kind {
                FieldKind::Categorical => row.push_field(value),
                FieldKind::Numeric => {
                    let token = bucket(value).ok_or_else(|| format!("field {name:?}: {value:?} is not a number"))?;
                    row.push_field(&token);
                }
                FieldKind::Bag => {
                    let tokens = value.split(cut.separator.as_str()).filter(|token| !token.is_empty());
                    tokens.for_each(|token| row.push_token(token));
                    row.end_field();
                }
            }
        }
        Ok(())
    }
}

fn text<'a>(cell: Result<Cell<'a>, String>, name: &str) -> Result<Cow<'a, str>, String> {
    match cell {
        Ok(Cell::Text(text)) => Ok(text),
        Ok(Cell::List(_)) => Err(format!("field {name:?}: a list, one value expected")),
        Err(what) => Err(format!("field {name:?}: {what}")),
    }
}

fn number(text: &str, name: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|v: &f64| v.is_finite());
    value.ok_or_else(|| format!("field {name:?}: {text:?} is not a number"))
}

//! The TOML file that says what the columns of a CSV or Parquet file are.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use xsfm_interchange::bucket::bucket;
use xsfm_interchange::input::{ColumnName, Input, Table, TableField};
use xsfm_interchange::rows::{LABEL_COLUMN, MAX_BAG, WEIGHT_COLUMN};
use xsfm_interchange::schema::FieldKind;

use crate::error::DataError;
use crate::label::LabelRule;
use crate::open::read_to_string;
use crate::raw::{RawField, RawRow};
use crate::records::Dialect;
use crate::time::Time;

/// What such a file may hold, as the help of `xsfm-train prepare csv` and `prepare parquet` shows it.
pub const SCHEMA_HELP: &str = r#"The schema file:

  delimiter = ","        # default ","; "\t" for a TSV       (this and the next two: CSV only)
  header = true          # default true; without one, columns are positions from 0
  quoting = true         # default true, but false for a TSV
  min_count = 2          # default 1: rarer tokens share the out-of-vocabulary row
  time = "timestamp"     # optional: what --split chronological orders by, in place of the order of the file.
                         # A number, or ISO 8601: 2024-03-05, 2024-03-05T10:00:00.25+01:00,
                         # 2024-03-05 09:00:00 (UTC, where no zone is said)
  weight = "cost"        # optional: how much a row counts, in the loss and in every figure; a number from 0 on

  [label]
  column = "rating"      # a name of the header, or a position
  at_least = 4           # the rule: at_least = NUMBER, or equals = "TEXT"; without one, values are 0 and 1
                         # (also 1.0, true); an empty label makes its row malformed

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
  keep = "last"          # default "first": which tokens of a longer bag stay; "last" for histories whose
                         # oldest come first

  [[fields]]
  name = "views"
  kind = "numeric"       # Criteo log bucketing, for counts: v <= 2 has the token floor(v), so that all of
                         # [0, 1) are one token; v > 2 has that of floor(ln(v)^2); empty is a token of its own
"#;

/// The columns of a file, and what becomes of them.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) dialect: Dialect,
    pub(crate) header: bool,
    /// Names or places of the columns: label, time, weight, fields.
    pub(crate) label_column: ColumnName,
    pub(crate) time_column: Option<ColumnName>,
    pub(crate) weight_column: Option<ColumnName>,
    pub(crate) field_columns: Vec<ColumnName>,
    /// What a label of 1 means.
    pub(crate) label: String,
    pub(crate) fields: Vec<RawField>,
    rule: LabelRule,
    cuts: Vec<Cut>,
    /// As it was written.
    table: Table,
}

/// A value of a column.
#[derive(Clone, Debug)]
pub enum Cell<'a> {
    /// As a CSV would have it.
    Text(Cow<'a, str>),
    /// Only in files that know lists.
    List(Vec<Cow<'a, str>>),
}

/// What of a value is taken.
#[derive(Debug, PartialEq)]
struct Cut {
    /// Between the tokens of a bag.
    separator: String,
    bytes: Option<[usize; 2]>,
}

impl Description {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or contradicts itself.
    pub(crate) fn load(path: &Path) -> Result<Self, DataError> {
        let text = read_to_string(path)?;
        Self::parse(&text, None).map_err(|what| DataError::file(path, what))
    }

    /// Reads the text of such a file. `min_count` overrides the text's.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str, min_count: Option<u64>) -> Result<Self, String> {
        let mut table: Table = toml::from_str(text).map_err(|e| format!("not a schema: {e}"))?;
        if let Some(min_count) = min_count {
            table.min_count = min_count;
        }
        Self::new(table)
    }

    /// What columns are that a file describes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(table: Table) -> Result<Self, String> {
        let written = table.clone();
        let Ok(delimiter) = u8::try_from(written.delimiter) else {
            return Err(format!("delimiter {:?}: one ASCII character expected", written.delimiter));
        };
        if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\r' | b'\n' | 0) {
            return Err(format!(
                "delimiter {:?}: one ASCII character expected, no quote or line end",
                written.delimiter
            ));
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
            (Some(least), None) if !least.is_finite() => {
                return Err(format!("label: at_least {least}: a number expected"));
            }
            (None, Some(text)) if text.is_empty() => {
                return Err("label: equals an empty text, but an empty label is a missing one".to_owned());
            }
            (Some(least), None) => (LabelRule::AtLeast(least), format!("{column} is at least {least}")),
            (None, Some(text)) => {
                let label = format!("{column} is {text:?}");
                (LabelRule::Equals(text), label)
            }
            (Some(_), Some(_)) => return Err("label: at_least and equals exclude each other".to_owned()),
        };
        let mut description = Description {
            dialect: Dialect { delimiter, quoting: written.quoting.unwrap_or(delimiter != b'\t') },
            header: written.header,
            label_column: written.label.column,
            time_column: written.time,
            weight_column: written.weight,
            field_columns: Vec::new(),
            label,
            fields: Vec::new(),
            rule,
            cuts: Vec::new(),
            table,
        };
        let min_count = written.min_count;
        let mut names = HashSet::new();
        for field in written.fields {
            let name = &field.name;
            let is_weight = name == WEIGHT_COLUMN && description.weight_column.is_some();
            if name == LABEL_COLUMN || is_weight || !names.insert(name.clone()) {
                return Err(format!("field {name:?}: this name is taken"));
            }
            description.add(field, min_count)?;
        }
        Ok(description)
    }

    fn add(&mut self, field: TableField, min_count: u64) -> Result<(), String> {
        let TableField { name, kind, separator, bytes, .. } = field;
        if kind != FieldKind::Bag && (separator.is_some() || field.max_bag.is_some() || field.keep.is_some()) {
            return Err(format!("field {name:?}: separator, max_bag and keep are for bags"));
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
        let (min_count, keep) = (field.min_count.unwrap_or(min_count), field.keep.unwrap_or_default());
        self.fields.push(RawField { name, kind, min_count, max_bag, keep });
        self.cuts.push(Cut { separator: separator.unwrap_or_else(|| "|".to_owned()), bytes });
        Ok(())
    }

    /// For `schema.json`: read by it, other rows become the same tokens.
    pub(crate) fn input(&self) -> Input {
        Input::Table(Box::new(self.table.clone()))
    }

    /// Checks the places of the label, the weight and the fields in a file.
    ///
    /// # Errors
    /// A field or the weight is the label, or two fields are the same.
    pub(crate) fn check_columns(
        &self,
        label: Option<usize>,
        weight: Option<usize>,
        places: &[usize],
    ) -> Result<(), String> {
        if weight.is_some() && weight == label {
            return Err("the weight is the label's column: rows with label 0 would count nothing".to_owned());
        }
        for (f, (field, place)) in self.fields.iter().zip(places).enumerate() {
            let name = &field.name;
            if Some(*place) == label {
                return Err(format!(
                    "field {name:?} is the label's column: a model would be told what it is to predict"
                ));
            }
            let same =
                |&g: &usize| places[g] == *place && self.fields[g].kind == field.kind && self.cuts[g] == self.cuts[f];
            if let Some(g) = (0..f).find(same) {
                let earlier = &self.fields[g].name;
                return Err(format!(
                    "fields {earlier:?} and {name:?} are the same column, and nothing tells them apart"
                ));
            }
        }
        Ok(())
    }

    /// Fills an empty `row` from the cells of the label, the time, the weight, and field `f`.
    ///
    /// # Errors
    /// What is wrong with the row, with the field's name.
    pub(crate) fn fill<'a>(
        &self,
        row: &mut RawRow,
        label: Option<Result<Cell<'a>, String>>,
        time: Option<Result<Cell<'a>, String>>,
        weight: Option<Result<Cell<'a>, String>>,
        mut cell: impl FnMut(usize) -> Result<Cell<'a>, String>,
    ) -> Result<(), String> {
        if let Some(label) = label {
            let label = text(label, LABEL_COLUMN)?;
            row.label = self.rule.apply(&label).map_err(|what| format!("field {LABEL_COLUMN:?}: {what}"))?;
            row.label_text.push_str(&label);
        }
        row.time = match time {
            None => None,
            Some(time) => {
                let time = text(time, "time")?;
                let bad = || format!("field \"time\": {time:?} is neither a number nor a time of ISO 8601");
                Some(Time::parse(&time).ok_or_else(bad)?)
            }
        };
        row.weight = match weight {
            None => None,
            Some(weight) => {
                let weight = text(weight, "weight")?;
                let number = weight.parse::<f32>().ok().filter(|number| number.is_finite() && *number >= 0.0);
                let bad = || format!("field \"weight\": {weight:?}, a finite number that is not negative expected");
                Some(number.ok_or_else(bad)?)
            }
        };
        for (f, (field, cut)) in self.fields.iter().zip(&self.cuts).enumerate() {
            let name = &field.name;
            let value = match (field.kind, cell(f).map_err(|what| format!("field {name:?}: {what}"))?) {
                (FieldKind::Bag, Cell::List(tokens)) => {
                    tokens.iter().filter(|token| !token.is_empty()).for_each(|token| row.push_token(token));
                    row.end_bag(field);
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
                    row.push_number(value, &token);
                }
                FieldKind::Bag => {
                    let tokens = value.split(cut.separator.as_str()).filter(|token| !token.is_empty());
                    tokens.for_each(|token| row.push_token(token));
                    row.end_bag(field);
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

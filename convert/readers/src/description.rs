//! The TOML file that says what the columns of a CSV or Parquet file are.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use xsfm_interchange::bounds::number;
use xsfm_interchange::bucket::bucket;
use xsfm_interchange::encoding::Rule;
use xsfm_interchange::input::{Clock, ColumnName, Combine, Input, Table, TableField};
use xsfm_interchange::rows::{LABEL_COLUMN, MAX_BAG, WEIGHT_COLUMN};
use xsfm_interchange::schema::{FieldKind, Weights};
use xsfm_runtime::Weight;

use crate::error::DataError;
use crate::label::LabelRule;
use crate::open::read_to_string;
use crate::raw::{RawField, RawRow, weight};
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
  name = "hour"
  column = "timestamp"
  kind = "categorical"
  time = "hour"          # or "weekday": in UTC, of a time as above, a number of seconds since 1970. 0 to 23, or 0 to 6
                         # from Monday on; an empty value stays empty, and what is no time makes its row malformed

  [[fields]]
  name = "tags"
  column = 7
  kind = "bag"           # several tokens; empty ones are dropped
  separator = " "        # default "|"
  max_bag = 20           # default 1024, which is the most: longer bags are cut, and counted
  combine = "mean"       # default "sum": what becomes of the tokens' vectors. "weighted": each is multiplied by a
                         # number behind its token, a:0.5|b:2, in JSON {"a": 0.5, "b": 2}; without one by 1
  keep = "last"          # default "first": which tokens of a longer bag stay; "last" for histories whose
                         # oldest come first

  [[fields]]
  name = "session"
  kind = "categorical"   # or "bag"
  buckets = 100000       # in place of a vocabulary: every token has one of so many buckets, by its hash (XXH64).
                         # Nothing is unseen, and tokens take no bytes on a device; index 0 is an empty value or bag
  seed = 1               # default 0: fields of the same tokens need not have the same collisions

  [[fields]]
  name = "price"
  kind = "numeric"
  quantiles = 32         # at most so many buckets (2 to 4096) with equally many training rows each
  # bounds = [0, 9.99]   # or buckets with these bounds: below 0, from 0 up to below 9.99, from 9.99 on

  [[fields]]
  name = "age"
  kind = "numeric"
  numbers = "value"      # the number times one vector: its distance from a centre in widths, up to 7.9998 of them
  # scale = [40, 15]     # centre and width; without them the median of the training rows, and half of what lies
                         # between their first tenth and their last one
  # numbers = "interpolated"  # beside bounds or quantiles: the weighted mean of the vectors of the two between which
                         # the number lies; below the first and above the last the vector of that one

  [[fields]]
  name = "views"
  kind = "numeric"       # without bounds or quantiles Criteo log bucketing, for counts: v <= 2 has the token
                         # floor(v), so that all of [0, 1) are one token; v > 2 has that of floor(ln(v)^2).
                         # In all of them an empty value has a vector of its own, and what is no finite number
                         # makes its row malformed
"#;

/// What is told of an object that is no value of its field.
pub(crate) const AN_OBJECT: &str = "an object: neither text, a number, nor a list of them";

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
    /// Tokens, and the numbers behind them: an object of JSON.
    Weights(Vec<(Cow<'a, str>, Cow<'a, str>)>),
}

/// What of a value is taken.
#[derive(Debug, PartialEq)]
struct Cut {
    /// Between the tokens of a bag.
    separator: String,
    bytes: Option<[usize; 2]>,
    /// Of a time.
    clock: Option<Clock>,
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
        let rule = field.rule().map_err(|what| format!("field {:?}: {what}", field.name))?;
        let TableField { name, kind, separator, bytes, time: clock, .. } = field;
        if clock.is_some() && (kind != FieldKind::Categorical || bytes.is_some()) {
            return Err(format!("field {name:?}: time is for a category, and for a whole value"));
        }
        let of_bags = [separator.is_some(), field.max_bag.is_some(), field.keep.is_some(), field.combine.is_some()];
        if kind != FieldKind::Bag && of_bags.contains(&true) {
            return Err(format!("field {name:?}: separator, max_bag, keep and combine are for bags"));
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
        let weights = match field.combine.unwrap_or_default() {
            Combine::Sum => None,
            Combine::Mean => Some(Weights::Mean),
            Combine::Weighted => Some(Weights::Given),
        };
        self.fields.push(RawField { name, kind, rule, weights, min_count, max_bag, keep });
        self.cuts.push(Cut { separator: separator.unwrap_or_else(|| "|".to_owned()), bytes, clock });
        Ok(())
    }

    /// Whether field `f` is the hour or the weekday of a time.
    pub(crate) fn is_clock(&self, f: usize) -> bool {
        self.cuts[f].clock.is_some()
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
            let same = |&g: &usize| places[g] == *place && self.is_alike(g, f);
            if let Some(g) = (0..f).find(same) {
                let earlier = &self.fields[g].name;
                return Err(format!(
                    "fields {earlier:?} and {name:?} are the same column, and nothing tells them apart"
                ));
            }
        }
        Ok(())
    }

    /// Whether two fields make the same of a value.
    fn is_alike(&self, g: usize, f: usize) -> bool {
        let of = |f: usize| {
            let RawField { kind, rule, weights, .. } = &self.fields[f];
            (kind, rule, weights, &self.cuts[f])
        };
        of(g) == of(f)
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
                    tokens.iter().filter(|token| !token.is_empty()).for_each(|token| push(row, field, token));
                    row.end_bag(field);
                    continue;
                }
                (FieldKind::Bag, Cell::Weights(tokens)) if field.weights == Some(Weights::Given) => {
                    for (token, value) in tokens.iter().filter(|(token, _)| !token.is_empty()) {
                        push_with(row, field, token, value)?;
                    }
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
                FieldKind::Categorical => match cut.clock {
                    Some(clock) if !value.is_empty() => {
                        let time = Time::parse(value).and_then(|time| time.clock(clock));
                        let bad = || {
                            format!("field {name:?}: {value:?} is neither seconds since 1970 nor a time of ISO 8601")
                        };
                        row.push_field(&time.ok_or_else(bad)?.to_string());
                    }
                    _ => row.push_field(value),
                },
                FieldKind::Numeric => {
                    let bad = || format!("field {name:?}: {value:?} is not a number");
                    match field.rule {
                        Rule::Tokens => row.push_number(value, &bucket(value).ok_or_else(bad)?),
                        _ if value.is_empty() || number(value).is_some() => row.push_field(value),
                        _ => return Err(bad()),
                    }
                }
                FieldKind::Bag => {
                    for token in value.split(cut.separator.as_str()) {
                        let (token, value) = match token.rsplit_once(':') {
                            Some((token, value)) if field.weights == Some(Weights::Given) => (token, Some(value)),
                            _ => (token, None),
                        };
                        match value {
                            _ if token.is_empty() => {}
                            None => push(row, field, token),
                            Some(value) => push_with(row, field, token, value)?,
                        }
                    }
                    row.end_bag(field);
                }
            }
        }
        Ok(())
    }
}

/// Adds a token to a bag; one whose weight nobody says has the weight 1.
fn push(row: &mut RawRow, field: &RawField, token: &str) {
    match field.weights {
        Some(Weights::Given) => row.push_weighted(token, Weight::ONE),
        Some(Weights::Mean) | None => row.push_token(token),
    }
}

/// Adds a token to a bag with the weight that a text is.
fn push_with(row: &mut RawRow, field: &RawField, token: &str, text: &str) -> Result<(), String> {
    row.push_weighted(token, weight(text).map_err(|what| format!("field {:?}: {what}", field.name))?);
    Ok(())
}

fn text<'a>(cell: Result<Cell<'a>, String>, name: &str) -> Result<Cow<'a, str>, String> {
    match cell {
        Ok(Cell::Text(text)) => Ok(text),
        Ok(Cell::List(_)) => Err(format!("field {name:?}: a list, one value expected")),
        Ok(Cell::Weights(_)) => Err(format!("field {name:?}: {AN_OBJECT}")),
        Err(what) => Err(format!("field {name:?}: {what}")),
    }
}

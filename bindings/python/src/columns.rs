//! Raw values by the names of their columns: which fields they are of, and their indices.

use std::collections::HashSet;

use xsfm_convert::raw::Columns;
use xsfm_readers::time::Time;
use xsfm_runtime::{EncodeError, Encoder, Value};

use crate::error::Problem;
use crate::scoring::Loaded;

/// Names that a message tells at most.
const SHOWN: usize = 20;

/// The fields of a row, all of a model's or some, and what makes indices of their columns' values.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) encoder: Encoder<'a>,
    columns: &'a Columns,
    names: &'a [String],
    /// Numbers of the fields, in the model's order.
    pub(crate) fields: Vec<usize>,
}

impl<'a> Reader<'a> {
    /// Of rows that have all fields.
    pub(crate) fn new(loaded: &'a Loaded) -> Result<Self, Problem> {
        let encoder = loaded.encoder()?;
        let columns = loaded.columns(&encoder)?;
        Ok(Reader { encoder, columns, names: &loaded.names, fields: (0..loaded.names.len()).collect() })
    }

    /// Of rows that have these fields alone.
    pub(crate) fn of(self, fields: &[usize]) -> Self {
        Reader { fields: fields.to_vec(), ..self }
    }

    /// The fields whose columns are among `found`, and the others.
    pub(crate) fn split(&self, found: &HashSet<String>) -> (Vec<usize>, Vec<usize>) {
        self.fields.iter().partition(|&&field| found.contains(self.column(field)))
    }

    /// The column of a field.
    pub(crate) fn column(&self, field: usize) -> &'a str {
        self.columns.fields.get(field).map_or("", |column| &column.name)
    }

    /// The name of a field.
    pub(crate) fn name(&self, field: usize) -> &'a str {
        self.names.get(field).map_or("", String::as_str)
    }

    /// Whether a column is none of the fields', but of what training rows had beside them.
    pub(crate) fn is_beside(&self, column: &str) -> bool {
        self.columns.others.iter().any(|other| other == column)
    }

    /// Whether a row may have several indices in one of the fields.
    pub(crate) fn has_bags(&self) -> bool {
        self.fields.iter().any(|&field| self.encoder.is_bag(field) || self.encoder.is_weighted(field))
    }

    /// Checks that `found` has the columns of the fields, and no others.
    pub(crate) fn check(&self, row: Option<usize>, found: &HashSet<String>) -> Result<(), Problem> {
        let wanted: Vec<&str> = self.fields.iter().map(|&field| self.column(field)).collect();
        let mut missing: Vec<&str> = wanted.iter().copied().filter(|name| !found.contains(*name)).collect();
        missing.dedup();
        let is_extra = |name: &&str| !wanted.contains(name) && !self.is_beside(name);
        let mut extra: Vec<&str> = found.iter().map(String::as_str).filter(is_extra).collect();
        extra.sort_unstable();
        let list = |names: &[&str]| {
            let shown = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            let more = names.len().saturating_sub(SHOWN);
            if more > 0 { format!("{shown} and {more} more") } else { shown }
        };
        let what = match (missing.is_empty(), extra.is_empty()) {
            (true, true) => return Ok(()),
            (false, true) => format!("missing columns: {}", list(&missing)),
            (true, false) => format!("columns that are none of the model's: {}", list(&extra)),
            (false, false) => {
                format!("missing columns: {}; columns that are none of the model's: {}", list(&missing), list(&extra))
            }
        };
        Err(Problem { row, field: None, what })
    }

    /// Room for the indices of any field.
    pub(crate) fn room(&self) -> Vec<u32> {
        vec![0; self.encoder.max_indices().max(1)]
    }

    /// Writes the indices of a field's value in row `row` to the beginning of `room`; says how many there are.
    pub(crate) fn encode(
        &self,
        row: usize,
        field: usize,
        value: &Value<'_>,
        room: &mut [u32],
    ) -> Result<usize, Problem> {
        let problem = |error| Problem::encoding(row, error, self.names);
        let clock = self.columns.fields.get(field).and_then(|column| column.clock);
        let Some(clock) = clock else {
            let encoded = self.encoder.encode_field(field, value, room);
            // A number with a fraction whose text is cut, or is a token.
            let encoded = match (encoded, value) {
                (Err(EncodeError::Number { .. }), Value::Real(number)) => {
                    self.encoder.encode_field(field, &Value::Text(&number.to_string()), room)
                }
                (encoded, _) => encoded,
            };
            return encoded.map_err(problem);
        };
        let number;
        let text = match *value {
            Value::Missing | Value::Text("") => {
                return self.encoder.encode_field(field, &Value::Missing, room).map_err(problem);
            }
            Value::Text(text) => text,
            Value::Integer(seconds) => {
                number = seconds.to_string();
                &number
            }
            Value::Real(seconds) => {
                number = seconds.to_string();
                &number
            }
            Value::Bytes(_) | Value::Tokens(_) | Value::Weighted(_) => {
                return Err(problem(EncodeError::Several { field }));
            }
        };
        let Some(time) = Time::parse(text).and_then(|time| time.clock(clock)) else {
            let what = format!("{text:?} is neither seconds since 1970 nor a time of ISO 8601");
            return Err(Problem::of_field(row, self.name(field), what));
        };
        self.encoder.encode_field(field, &Value::Integer(time), room).map_err(problem)
    }

    /// Whether a field is the hour or the weekday of a time.
    pub(crate) fn is_clock(&self, field: usize) -> bool {
        self.columns.fields.get(field).is_some_and(|column| column.clock.is_some())
    }
}

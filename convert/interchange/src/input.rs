//! What files of raw rows are and how their columns are read: kept in `schema.json`, so that rows of another day become
//! the same indices.

use serde::{Deserialize, Serialize};

use crate::kind::FieldKind;

/// What raw rows are read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    /// Lines of the Criteo Display Advertising Challenge.
    Criteo,
    /// Lines of the RecSys Challenge 2020.
    Recsys2020 {
        /// What counts as a click.
        label: String,
    },
    /// Ratings of MovieLens, whose users and films are joined from other files.
    Movielens,
    /// Columns of a CSV, a TSV or a Parquet file.
    Table(Box<Table>),
}

impl Input {
    /// The same with at least this minimum count in every field.
    pub fn with_min_count(mut self, least: u64) -> Self {
        if let Input::Table(table) = &mut self {
            let all = [&mut table.min_count].into_iter().chain(table.fields.iter_mut().flat_map(|f| &mut f.min_count));
            all.for_each(|min_count| *min_count = least.max(*min_count));
        }
        self
    }
}

/// What the columns of a file are, as it is written by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Between the values of a CSV.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Whether a CSV's first record has the names of its columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// Whether values of a CSV may be quoted; by default unless the delimiter is a tab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoting: Option<bool>,
    /// Training rows from which on a token has an index of its own.
    #[serde(default = "one")]
    pub min_count: u64,
    /// When rows happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<ColumnName>,
    /// How much rows count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<ColumnName>,
    /// What became of them.
    pub label: TableLabel,
    /// The fields, in the order of a row.
    pub fields: Vec<TableField>,
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

/// A column, as the file calls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ColumnName {
    /// Its place, from 0.
    Position(usize),
    /// Its name.
    Name(String),
}

/// The label's column, and which of its values are 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableLabel {
    /// Where it is.
    pub column: ColumnName,
    /// Numbers from this one on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// This text alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
}

/// A field, and what becomes of its column's values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableField {
    /// Its name in the schema.
    pub name: String,
    /// The column of another name, or a position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<ColumnName>,
    /// How a value becomes tokens.
    pub kind: FieldKind,
    /// As that of all fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_count: Option<u64>,
    /// Bytes of the value that are taken, `[from, to)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<[usize; 2]>,
    /// Between the tokens of a bag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Most tokens of a bag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bag: Option<usize>,
    /// Which of a longer bag are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
}

/// Which tokens of a bag stay where it is longer than allowed; their order stays too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The first.
    #[default]
    First,
    /// The last: of histories whose oldest come first.
    Last,
}

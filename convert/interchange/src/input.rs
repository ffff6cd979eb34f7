//! What files of raw rows are and how their columns are read: kept in `schema.json`, so that rows of another day become
//! the same indices.

use serde::{Deserialize, Serialize};

use crate::bounds::Bounds;
use crate::encoding::{Hashing, Rule};
use crate::kind::FieldKind;
use crate::quantiles::MAX_QUANTILES;
use crate::scale::Scale;

/// Tokens that bags of the RecSys Challenge keep: longer lists of hashtags, media, links or domains are cut, and
/// counted.
pub const RECSYS_MAX_BAG: usize = 32;

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
    /// Lines of libffm.
    Libffm {
        /// The fields, in the order of a row.
        fields: Vec<String>,
    },
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

impl Table {
    /// Columns with names, without times and weights.
    pub fn new(label: &str, fields: Vec<TableField>) -> Self {
        let label = TableLabel { column: ColumnName::Name(label.to_owned()), at_least: None, equals: None };
        Table {
            delimiter: comma(),
            header: yes(),
            quoting: None,
            min_count: one(),
            time: None,
            weight: None,
            label,
            fields,
        }
    }
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
    /// Categories: the value is a time, of which this is the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Clock>,
    /// Between the tokens of a bag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Most tokens of a bag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bag: Option<usize>,
    /// Which of a longer bag are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Numbers: where buckets begin, but for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// Numbers: so many buckets with equally many training rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<u32>,
    /// Tokens: so many buckets by their hash, in place of a vocabulary; with a minimum count of the field's own, for
    /// the tokens that are rarer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
    /// What that hash begins with; 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// What the vectors of a bag's tokens become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combine: Option<Combine>,
    /// Numbers: how they are weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// Numbers that are weights by their value: `[centre, width]`; by default those of the training rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
}

impl TableField {
    /// A field whose column has its name, and of which nothing is said but the kind.
    pub fn new(name: &str, kind: FieldKind) -> Self {
        TableField {
            name: name.to_owned(),
            column: None,
            kind,
            min_count: None,
            bytes: None,
            time: None,
            separator: None,
            max_bag: None,
            keep: None,
            bounds: None,
            quantiles: None,
            buckets: None,
            seed: None,
            combine: None,
            numbers: None,
            scale: None,
        }
    }

    /// How its values become indices.
    ///
    /// # Errors
    /// What does not go together, or is no number of buckets.
    pub fn rule(&self) -> Result<Rule, String> {
        let is_number = self.kind == FieldKind::Numeric;
        if !is_number && (self.bounds.is_some() || self.quantiles.is_some()) {
            return Err("bounds and quantiles are for numbers".to_owned());
        }
        if is_number && (self.buckets.is_some() || self.seed.is_some()) {
            return Err("buckets and seed are those of a hash, for tokens; numbers have bounds or quantiles".to_owned());
        }
        if !is_number && self.numbers.is_some() {
            return Err("numbers is for a field of numbers".to_owned());
        }
        if self.scale.is_some() && self.numbers != Some(Numbers::Value) {
            return Err("scale is for numbers = \"value\"".to_owned());
        }
        if self.numbers.is_some() && self.min_count.is_some() {
            return Err("min_count is for vocabularies: numbers that are weights have none".to_owned());
        }
        let places = match (&self.bounds, self.quantiles, self.buckets) {
            (Some(_), Some(_), _) => Err("bounds and quantiles exclude each other".to_owned()),
            (Some(bounds), None, _) if bounds.as_slice().is_empty() => Err("no bounds".to_owned()),
            (Some(bounds), None, _) => Ok(Rule::Bounds(bounds.clone())),
            (None, Some(quantiles), _) if !(2..=MAX_QUANTILES).contains(&quantiles) => {
                Err(format!("quantiles {quantiles}, 2 to {MAX_QUANTILES} expected"))
            }
            (None, Some(quantiles), _) => Ok(Rule::Quantiles(quantiles)),
            (None, None, Some(buckets)) if !(1..u32::MAX).contains(&buckets) => {
                Err(format!("buckets {buckets}, 1 to {} expected", u32::MAX - 1))
            }
            (None, None, Some(buckets)) => {
                let hashing = Hashing { buckets, seed: self.seed.unwrap_or(0) };
                Ok(if self.min_count.is_some() { Rule::OovBuckets(hashing) } else { Rule::Hash(hashing) })
            }
            (None, None, None) if self.seed.is_some() => Err("seed is for a field that has buckets".to_owned()),
            (None, None, None) => Ok(Rule::Tokens),
        };
        match (self.numbers, places?) {
            (None, places) => Ok(places),
            (Some(Numbers::Value), Rule::Tokens) => Ok(Rule::Value(self.scale)),
            (Some(Numbers::Value), _) => Err("bounds and quantiles are for numbers = \"interpolated\"".to_owned()),
            (Some(Numbers::Interpolated), Rule::Bounds(bounds)) => Ok(Rule::Interpolated(bounds)),
            (Some(Numbers::Interpolated), Rule::Quantiles(quantiles)) => Ok(Rule::InterpolatedQuantiles(quantiles)),
            (Some(Numbers::Interpolated), _) => {
                Err("numbers = \"interpolated\" needs bounds or quantiles, between which they lie".to_owned())
            }
        }
    }
}

/// What of a time is a token: in UTC, decimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The hour of the day, 0 to 23.
    Hour,
    /// The day of the week, 0 to 6 from Monday on.
    Weekday,
}

/// What the vectors of a bag's tokens become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Their sum.
    #[default]
    Sum,
    /// Their mean: each has a weight of 1 over their number.
    Mean,
    /// Their sum, each times the weight that the data say.
    Weighted,
}

/// How numbers are weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// One vector, times the number's distance from a centre.
    Value,
    /// The weighted mean of the vectors of the two bounds, or quantiles, between which the number lies.
    Interpolated,
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

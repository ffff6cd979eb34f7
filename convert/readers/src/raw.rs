//! Rows of a raw data set, block by block, and what their fields are.

use std::path::Path;

use serde::{Deserialize, Serialize};
use xsfm_interchange::encoding::Rule;
use xsfm_interchange::input::Keep;
use xsfm_interchange::schema::{FieldKind, Weights};
use xsfm_runtime::Weight;

use crate::error::DataError;
use crate::time::Time;

/// The rows of one pass; an error ends it.
pub type Blocks<'a> = Box<dyn Iterator<Item = Result<Box<dyn Block + 'a>, DataError>> + Send + 'a>;

/// A place between two rows of a file, from which on they are read as they would be from the file's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What lies before it: bytes of a text, row groups of Parquet.
    pub offset: u64,
    /// Number of the line that begins here, from 1; of Parquet that of the row.
    pub line: u64,
}

/// Consecutive rows, read but not yet taken apart: what one thread works on at a time.
pub trait Block: Send {
    /// The file that the rows stand in.
    fn path(&self) -> &Path;

    /// Number of rows, malformed ones included.
    fn rows(&self) -> usize;

    /// Where row `i < rows()` stands: the number of its line, or of the row in a file without lines, from 1.
    fn line(&self, i: usize) -> u64;

    /// The place behind the rows of a text; `None` where reading cannot begin there, as inside of gzip.
    fn end(&self) -> Option<Place> {
        None
    }

    /// Fills an empty `row` with row `i < rows()`: label, time, weight, tokens.
    ///
    /// # Errors
    /// What is wrong with the row, with the field's name.
    fn fill(&self, i: usize, row: &mut RawRow) -> Result<(), String>;
}

/// One field of a raw data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawField {
    /// Name in the schema.
    pub name: String,
    /// How values become tokens.
    pub kind: FieldKind,
    /// How those become indices. A row has numbers as they are written where there are bounds, else their tokens.
    pub rule: Rule,
    /// Where the weights of tokens come from, where they have some.
    pub weights: Option<Weights>,
    /// A token that occurs less often in the training rows shares the out-of-vocabulary row.
    pub min_count: u64,
    /// A longer bag is cut.
    pub max_bag: usize,
    /// What is kept of it.
    pub keep: Keep,
}

/// One row: its label and its tokens, all in one string that is reused from row to row.
#[derive(Clone, Debug, Default)]
pub struct RawRow {
    /// Number of the row in the files from 0, malformed rows counted too.
    pub number: u64,
    /// 0 or 1.
    pub label: u8,
    /// What the label was, where that is more than 0 or 1.
    pub label_text: String,
    /// When it happened, where the data set says so.
    pub time: Option<Time>,
    /// How much it counts, where the data set says so: finite and not negative.
    pub weight: Option<f32>,
    /// Whether numbers are their own tokens, not yet in buckets: to see whether they differ.
    pub(crate) plain_numbers: bool,
    /// Room for whoever fills it: where values end in a line.
    pub(crate) ends: Vec<usize>,
    text: String,
    /// End of each token in `text`.
    tokens: Vec<usize>,
    /// Of each token up to the last that was given one.
    weights: Vec<Weight>,
    /// End of each field in `tokens`.
    fields: Vec<usize>,
    cut_fields: Vec<usize>,
}

impl RawRow {
    /// Forgets the tokens, the time and the weight.
    pub fn clear(&mut self) {
        self.time = None;
        self.weight = None;
        self.label_text.clear();
        self.text.clear();
        self.tokens.clear();
        self.weights.clear();
        self.fields.clear();
        self.cut_fields.clear();
    }

    /// Adds a token to the current field.
    pub fn push_token(&mut self, token: &str) {
        self.text.push_str(token);
        self.tokens.push(self.text.len());
    }

    /// Adds a token with its weight to the current field, each of whose tokens has one.
    pub fn push_weighted(&mut self, token: &str, weight: Weight) {
        // Of fields before that have none.
        self.weights.resize(self.tokens.len(), Weight::ONE);
        self.push_token(token);
        self.weights.push(weight);
    }

    /// Ends the current field, of as many tokens as there are.
    pub(crate) fn end_field(&mut self) {
        self.fields.push(self.tokens.len());
    }

    /// Ends the current field, a bag, of which no more is kept than `field` allows.
    pub fn end_bag(&mut self, field: &RawField) {
        let start = self.fields.last().copied().unwrap_or(0);
        let others = (self.tokens.len() - start).saturating_sub(field.max_bag);
        if others > 0 {
            self.cut_fields.push(self.fields.len());
            match field.keep {
                Keep::First => self.tokens.truncate(start + field.max_bag),
                Keep::Last => {
                    let text_start = if start == 0 { 0 } else { self.tokens[start - 1] };
                    let bytes = self.tokens[start + others - 1] - text_start;
                    self.text.drain(text_start..text_start + bytes);
                    self.tokens.drain(start..start + others);
                    self.weights.drain(start.min(self.weights.len())..(start + others).min(self.weights.len()));
                    self.tokens[start..].iter_mut().for_each(|end| *end -= bytes);
                }
            }
            self.text.truncate(self.tokens.last().copied().unwrap_or(0));
            self.weights.truncate(self.tokens.len());
        }
        self.end_field();
    }

    /// Adds a field of one token.
    pub fn push_field(&mut self, token: &str) {
        self.push_token(token);
        self.fields.push(self.tokens.len());
    }

    /// Adds a field of one number, whose bucket is `token`.
    pub(crate) fn push_number(&mut self, value: &str, token: &str) {
        self.push_field(if self.plain_numbers { value } else { token });
    }

    /// The tokens of field `f`.
    pub fn field(&self, f: usize) -> impl Iterator<Item = &str> + Clone {
        let end_before = |ends: &[usize], i: usize| if i == 0 { 0 } else { ends[i - 1] };
        (end_before(&self.fields, f)..self.fields[f])
            .map(move |t| &self.text[end_before(&self.tokens, t)..self.tokens[t]])
    }

    /// The weights of the tokens of field `f`; none where rows do not say them.
    pub fn token_weights(&self, f: usize) -> &[Weight] {
        let start = if f == 0 { 0 } else { self.fields[f - 1] };
        self.weights.get(start..self.fields[f]).unwrap_or_default()
    }

    /// The fields whose bags were cut.
    pub fn cut_fields(&self) -> &[usize] {
        &self.cut_fields
    }
}

/// The weight that a text means: the nearest to its number.
///
/// # Errors
/// It is no number, or none that a weight can have.
pub(crate) fn weight(text: &str) -> Result<Weight, String> {
    let number: f64 = text.parse().map_err(|_| format!("value {text:?} is not a number"))?;
    let most = Weight::MAX;
    Weight::nearest(number).ok_or_else(|| format!("value {text}, -{most} to {most} allowed"))
}

//! Rows of a raw data set, block by block, and what their fields are.

use std::path::Path;

use xsfm_interchange::input::Keep;
use xsfm_interchange::schema::FieldKind;

use crate::error::DataError;
use crate::time::Time;

/// The rows of one pass; an error ends it.
pub type Blocks<'a> = Box<dyn Iterator<Item = Result<Box<dyn Block + 'a>, DataError>> + Send + 'a>;

/// Consecutive rows, read but not yet taken apart: what one thread works on at a time.
pub trait Block: Send {
    /// The file that the rows stand in.
    fn path(&self) -> &Path;

    /// Number of rows, malformed ones included.
    fn rows(&self) -> usize;

    /// Where row `i < rows()` stands: the number of its line, or of the row in a file without lines, from 1.
    fn line(&self, i: usize) -> u64;

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
        self.fields.clear();
        self.cut_fields.clear();
    }

    /// Adds a token to the current field.
    pub fn push_token(&mut self, token: &str) {
        self.text.push_str(token);
        self.tokens.push(self.text.len());
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
                    self.tokens[start..].iter_mut().for_each(|end| *end -= bytes);
                }
            }
            self.text.truncate(self.tokens.last().copied().unwrap_or(0));
        }
        self.fields.push(self.tokens.len());
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
    pub fn field(&self, f: usize) -> impl Iterator<Item = &str> {
        let end_before = |ends: &[usize], i: usize| if i == 0 { 0 } else { ends[i - 1] };
        (end_before(&self.fields, f)..self.fields[f])
            .map(move |t| &self.text[end_before(&self.tokens, t)..self.tokens[t]])
    }

    /// The fields whose bags were cut.
    pub fn cut_fields(&self) -> &[usize] {
        &self.cut_fields
    }
}

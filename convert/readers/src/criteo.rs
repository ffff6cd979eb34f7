//! `train.txt` of the Criteo Display Advertising Challenge (Kaggle 2014): no header, tab-separated, label, I1 to I13
//! (integers, may be empty), C1 to C26 (32 bits as hexadecimal digits, may be empty). It may be gzip, and in several
//! files.

use indicatif::ProgressBar;
use xsfm_interchange::bucket::bucket;
use xsfm_interchange::encoding::Rule;
use xsfm_interchange::input::{Input, Keep};
use xsfm_interchange::rows::LABEL_COLUMN;
use xsfm_interchange::schema::FieldKind;

use crate::error::DataError;
use crate::files::Files;
use crate::lines::{self, LineParser};
use crate::raw::{Blocks, Place, RawField, RawRow};
use crate::source::Source;

/// Number of fields of integers.
pub const NUMERIC_FIELDS: usize = 13;
/// Number of fields of categories.
pub const CATEGORICAL_FIELDS: usize = 26;
const COLUMNS: usize = 1 + NUMERIC_FIELDS + CATEGORICAL_FIELDS;

/// The data set.
#[derive(Debug)]
pub struct Criteo {
    files: Files,
    fields: Vec<RawField>,
    labels: bool,
}

impl Criteo {
    /// Files whose tokens are kept from `min_count` training rows on.
    pub fn new(files: impl Into<Files>, min_count: u64) -> Self {
        let field = |name, kind| RawField {
            name,
            kind,
            rule: Rule::Tokens,
            weights: None,
            min_count,
            max_bag: 1,
            keep: Keep::First,
        };
        let numeric = (1..=NUMERIC_FIELDS).map(|i| field(format!("I{i}"), FieldKind::Numeric));
        let categorical = (1..=CATEGORICAL_FIELDS).map(|i| field(format!("C{i}"), FieldKind::Categorical));
        Criteo { files: files.into(), fields: numeric.chain(categorical).collect(), labels: true }
    }

    /// The same of lines without a label, as those of test.txt; the label of those of train.txt is not looked at.
    pub fn unlabelled(self) -> Self {
        Criteo { labels: false, ..self }
    }
}

impl LineParser for Criteo {
    fn parse(&self, line: &[u8], row: &mut RawRow) -> Result<(), String> {
        let text = str::from_utf8(line).map_err(|e| format!("not UTF-8: {e}"))?;
        // Where each column ends. `str::split` took a fifth of the time of `prepare`.
        let mut ends = [0; COLUMNS];
        let mut columns = 0;
        for end in memchr::memchr_iter(b'\t', line).chain([line.len()]) {
            if let Some(place) = ends.get_mut(columns) {
                *place = end;
            }
            columns += 1;
        }
        let fields = NUMERIC_FIELDS + CATEGORICAL_FIELDS;
        let wanted = usize::from(self.labels) + fields;
        // Labels that nobody asks for may be there.
        let is_skipped = !self.labels && columns == fields + 1;
        if columns != wanted && !is_skipped {
            return Err(format!("{columns} columns, {wanted} expected"));
        }
        let (mut start, mut ends) = (0, ends.into_iter());
        if is_skipped {
            start = ends.next().unwrap_or(0) + 1;
        }
        if self.labels {
            let end = ends.next().unwrap_or(0);
            row.label = match &text[..end] {
                "0" => 0,
                "1" => 1,
                other => return Err(format!("field {LABEL_COLUMN:?}: {other:?}, 0 or 1 expected")),
            };
            start = end + 1;
        }
        for (field, end) in self.fields.iter().zip(ends) {
            let value = &text[start..end];
            start = end + 1;
            if field.kind == FieldKind::Numeric {
                let token = bucket(value).filter(|_| value.as_bytes().iter().all(|b| b.is_ascii_digit() || *b == b'-'));
                let bad = || format!("field {:?}: {value:?} is not an integer", field.name);
                row.push_number(value, &token.ok_or_else(bad)?);
            } else {
                // Without a branch for each digit.
                let is_hex = value.as_bytes().iter().fold(true, |all, b| all & b.is_ascii_hexdigit());
                if value.len() > 8 || !is_hex {
                    return Err(format!("field {:?}: {value:?} is not 32 bits in hexadecimal digits", field.name));
                }
                row.push_field(value);
            }
        }
        Ok(())
    }
}

impl Source for Criteo {
    fn fields(&self) -> &[RawField] {
        &self.fields
    }

    fn input(&self) -> Input {
        Input::Criteo
    }

    fn has_labels(&self) -> bool {
        self.labels
    }

    fn label(&self) -> &str {
        "clicked"
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn open(&self, file: usize, from: Option<Place>, progress: &ProgressBar) -> Result<Blocks<'_>, DataError> {
        lines::blocks(&self.files, (file, from), 0, self, progress)
    }
}

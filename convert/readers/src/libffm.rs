//! Lines of libffm (Juan et al. 2016, doi:10.1145/2959100.2959134): `label field:feature:value field:feature:value …`,
//! between spaces or tabs. They may be gzip, and in several files.
//!
//! A field is a bag whose tokens are the features' texts and whose weights are the values. A row that has nothing in a
//! field has its out-of-vocabulary row with a weight of 0, which adds nothing.

use std::collections::{BTreeSet, HashMap};

use indicatif::ProgressBar;
use xsfm_interchange::encoding::Rule;
use xsfm_interchange::input::{Input, Keep};
use xsfm_interchange::rows::{LABEL_COLUMN, MAX_BAG};
use xsfm_interchange::schema::{FieldKind, Weights};

use crate::error::DataError;
use crate::files::Files;
use crate::lines::{self, LineParser};
use crate::raw::{Blocks, Place, RawField, RawRow, weight};
use crate::source::Source;

/// The data set.
#[derive(Debug)]
pub struct Libffm {
    files: Files,
    fields: Vec<RawField>,
    places: HashMap<String, usize>,
    labels: bool,
}

impl Libffm {
    /// Files whose fields are found by reading them once: in the order of their numbers, or of their names where one is
    /// no number. Tokens are kept from `min_count` training rows on.
    ///
    /// # Errors
    /// A file cannot be read, or no line has a field.
    pub fn open(files: Files, min_count: u64) -> Result<Self, DataError> {
        let (mut names, mut row) = (BTreeSet::new(), RawRow::default());
        for block in files.blocks(|file| lines::blocks(&files, (file, None), 0, &FieldNames, &ProgressBar::hidden())) {
            let block = block?;
            for i in 0..block.rows() {
                row.clear();
                // What is wrong with a line is told when it is read for its values.
                if block.fill(i, &mut row).is_err() {
                    continue;
                }
                for name in row.field(0) {
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
            }
        }
        if names.is_empty() {
            return Err(DataError::file(files.name(), "no line has a field; label field:feature:value … expected"));
        }
        let mut names: Vec<String> = names.into_iter().collect();
        if names.iter().all(|name| name.parse::<u64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<u64>().unwrap_or(0));
        }
        Ok(Self::of_fields(files, names, min_count))
    }

    /// Files of fields that are known.
    pub fn of_fields(files: Files, names: Vec<String>, min_count: u64) -> Self {
        let field = |name: &String| RawField {
            name: name.clone(),
            kind: FieldKind::Bag,
            rule: Rule::Tokens,
            weights: Some(Weights::Given),
            min_count,
            max_bag: MAX_BAG,
            keep: Keep::First,
        };
        let fields = names.iter().map(field).collect();
        let places = names.into_iter().enumerate().map(|(place, name)| (name, place)).collect();
        Libffm { files, fields, places, labels: true }
    }

    /// The same of lines whose labels, which they have all the same, are not looked at.
    pub fn unlabelled(self) -> Self {
        Libffm { labels: false, ..self }
    }
}

/// Of a line, the parts that are no label.
fn parts(line: &[u8]) -> Result<(&str, impl Iterator<Item = &str>), String> {
    lines::check_bytes(line)?;
    let text = str::from_utf8(line).map_err(|e| format!("not UTF-8: {e}"))?;
    let mut parts = text.split([' ', '\t']).filter(|part| !part.is_empty());
    let label = parts.next().ok_or("an empty line; label field:feature:value … expected")?;
    Ok((label, parts))
}

/// Field, feature, value.
fn entry(part: &str) -> Result<[&str; 3], String> {
    let mut split = part.split(':');
    match (split.next(), split.next(), split.next(), split.next()) {
        (Some(field), Some(feature), Some(value), None) if !field.is_empty() && !feature.is_empty() => {
            Ok([field, feature, value])
        }
        _ => Err(format!("{part:?}, field:feature:value expected")),
    }
}

/// The names of a line's fields as the tokens of one.
struct FieldNames;

impl LineParser for FieldNames {
    fn parse(&self, line: &[u8], row: &mut RawRow) -> Result<(), String> {
        for part in parts(line)?.1 {
            let [field, ..] = entry(part)?;
            row.push_token(field);
        }
        row.end_field();
        Ok(())
    }
}

impl LineParser for Libffm {
    fn parse(&self, line: &[u8], row: &mut RawRow) -> Result<(), String> {
        let (label, parts) = parts(line)?;
        if self.labels {
            // 1 and 0, or 1 and -1.
            row.label = match label {
                "1" | "+1" => 1,
                "0" | "-1" => 0,
                other => return Err(format!("field {LABEL_COLUMN:?}: {other:?}; 1, 0 or -1 expected")),
            };
        }
        let mut entries = Vec::new();
        for part in parts {
            let [field, feature, value] = entry(part)?;
            let place = *self.places.get(field).ok_or_else(|| format!("field {field:?} is none of the schema's"))?;
            let weight = weight(value).map_err(|what| format!("field {field:?}: {what}"))?;
            entries.push((place, feature, weight));
        }
        entries.sort_by_key(|&(place, ..)| place);
        let mut rest = entries.iter().peekable();
        for (f, field) in self.fields.iter().enumerate() {
            while let Some((_, feature, weight)) = rest.next_if(|(place, ..)| *place == f) {
                row.push_weighted(feature, *weight);
            }
            row.end_bag(field);
        }
        Ok(())
    }
}

impl Source for Libffm {
    fn fields(&self) -> &[RawField] {
        &self.fields
    }

    fn input(&self) -> Input {
        Input::Libffm { fields: self.fields.iter().map(|field| field.name.clone()).collect() }
    }

    fn has_labels(&self) -> bool {
        self.labels
    }

    fn label(&self) -> &str {
        "the label is 1"
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn open(&self, file: usize, from: Option<Place>, progress: &ProgressBar) -> Result<Blocks<'_>, DataError> {
        lines::blocks(&self.files, (file, from), 0, self, progress)
    }
}

//! A data set without a description, some fields of which are hashed, or their rare tokens.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use xsfm_interchange::input::{Input, TableField};

use crate::error::DataError;
use crate::files::Files;
use crate::raw::{Blocks, Place, RawField};
use crate::source::Source;

/// The rows of `S`, with other rules for some fields.
#[derive(Debug)]
pub struct Hashed<S> {
    source: S,
    fields: Vec<RawField>,
}

impl<S: Source> Hashed<S> {
    /// Hashes the fields of these names to so many buckets each, and of the others the tokens that are rarer than the
    /// field's minimum count.
    ///
    /// # Errors
    /// A field that the source does not have or that comes twice, one of numbers, no number of buckets.
    pub fn new(source: S, buckets: &[(String, u32)], oov_buckets: &[(String, u32)]) -> Result<Self, DataError> {
        let mut fields = source.fields().to_vec();
        let wrong = |name: &str, what: String| DataError::file(source.path(), format!("field {name:?}: {what}"));
        let all: Vec<&(String, u32)> = buckets.iter().chain(oov_buckets).collect();
        for (n, &(name, buckets_of)) in all.iter().enumerate() {
            let Some(field) = fields.iter_mut().find(|field| field.name == *name) else {
                let known: Vec<&str> = source.fields().iter().map(|field| field.name.as_str()).collect();
                return Err(wrong(name, format!("there is none of this name; there are {}", known.join(", "))));
            };
            if all[..n].iter().any(|(earlier, _)| earlier == name) {
                return Err(wrong(name, "its buckets are given twice".to_owned()));
            }
            // The rule of a description is in one place.
            let min_count = (n >= buckets.len()).then_some(field.min_count);
            let described = TableField { buckets: Some(*buckets_of), min_count, ..TableField::new(name, field.kind) };
            field.rule = described.rule().map_err(|what| wrong(name, what))?;
        }
        Ok(Hashed { source, fields })
    }
}

impl<S: Source> Source for Hashed<S> {
    fn fields(&self) -> &[RawField] {
        &self.fields
    }

    fn label(&self) -> &str {
        self.source.label()
    }

    fn files(&self) -> &Files {
        self.source.files()
    }

    fn path(&self) -> &Path {
        self.source.path()
    }

    fn inputs(&self) -> Vec<PathBuf> {
        self.source.inputs()
    }

    fn has_time(&self) -> bool {
        self.source.has_time()
    }

    fn input(&self) -> Input {
        self.source.input()
    }

    fn has_labels(&self) -> bool {
        self.source.has_labels()
    }

    fn has_weights(&self) -> bool {
        self.source.has_weights()
    }

    fn unread(&self) -> &[String] {
        self.source.unread()
    }

    fn open(&self, file: usize, from: Option<Place>, progress: &ProgressBar) -> Result<Blocks<'_>, DataError> {
        self.source.open(file, from, progress)
    }

    fn spans(&self, file: usize, rows: u64) -> Result<Vec<(Option<Place>, u64)>, DataError> {
        self.source.spans(file, rows)
    }
}

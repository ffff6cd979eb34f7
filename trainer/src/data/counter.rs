//! The first pass: what training rows have of each field, and what becomes of it: vocabularies.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use xsfm_interchange::encoding::{Encoding, Rule};
use xsfm_interchange::schema::{Field, Schema};
use xsfm_interchange::tokens::TokenMap;
use xsfm_readers::error::DataError;
use xsfm_readers::parallel::lock;
use xsfm_readers::pass::{Rows, Walk};
use xsfm_readers::raw::RawField;
use xsfm_readers::source::Source;

use super::count::FieldCounts;
use super::extend;
use super::split::{Assigner, Part};

/// Counts of all fields, which any number of threads add to.
///
/// There is one map for each field, whatever the number of threads: a thread gathers the tokens of a block, and counts
/// a field at a time. Maps of its own would multiply the memory by the number of threads.
#[derive(Debug)]
pub(super) struct Counter {
    fields: Vec<Mutex<FieldCounts>>,
}

/// How many rows of a block, or of all of them, are for training, and how many labels are 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) train_rows: u64,
    pub(super) labels: [u64; 2],
}

/// The tokens of one field of a block.
#[derive(Clone, Default)]
struct Tokens {
    text: String,
    ends: Vec<usize>,
}

impl Tokens {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.text[std::mem::replace(&mut start, end)..end])
    }
}

impl Totals {
    pub(super) fn add(&mut self, other: Totals) {
        self.train_rows += other.train_rows;
        self.labels.iter_mut().zip(other.labels).for_each(|(all, labels)| *all += labels);
    }

    /// Checks that there are rows to learn from, where `walk` has seen all.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn check(&self, source: &dyn Source, walk: &Walk) -> Result<(), DataError> {
        if self.train_rows > 0 {
            return Ok(());
        }
        let what = format!("{} rows, none of them for training", walk.rows - walk.malformed);
        Err(DataError::file(source.path(), what))
    }
}

impl Counter {
    /// Of the fields of a source, or by the rules that those of `before` have.
    pub(super) fn new(fields: &[RawField], before: Option<&[Field]>) -> Self {
        let rule = |(f, field): (usize, &RawField)| -> Rule {
            before.map_or(field.rule.clone(), |before| before[f].encoding.rule())
        };
        let counts = fields.iter().enumerate().map(rule).map(|rule| Mutex::new(FieldCounts::new(&rule)));
        Counter { fields: counts.collect() }
    }

    /// Counts the rows of a block; `fields` are the source's.
    pub(super) fn block(&self, fields: &[RawField], rows: &mut Rows<'_, Assigner>) -> Totals {
        let mut totals = Totals::default();
        let mut gathered = vec![Tokens::default(); fields.len()];
        rows.each(|part, row| {
            totals.labels[usize::from(row.label)] += 1;
            if part != Part::Train {
                return;
            }
            totals.train_rows += 1;
            let is_counted = |f: &usize| !matches!(fields[*f].rule, Rule::Hash(_));
            for (f, tokens) in gathered.iter_mut().enumerate().filter(|(f, _)| is_counted(f)) {
                for token in row.field(f) {
                    tokens.text.push_str(token);
                    tokens.ends.push(tokens.text.len());
                }
            }
        });
        for (counts, tokens) in self.fields.iter().zip(&gathered) {
            let mut counts = lock(counts);
            tokens.iter().for_each(|token| counts.add(token));
        }
        totals
    }

    /// How many counts there are.
    pub(super) fn len(&self) -> usize {
        self.fields.iter().map(|counts| lock(counts).len()).sum()
    }

    /// What was counted of each field.
    pub(super) fn into_fields(self) -> Vec<FieldCounts> {
        self.fields.into_iter().map(|counts| counts.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

/// What was counted of all rows.
pub(super) struct CountedFields {
    encodings: Vec<Encoding>,
    /// By field: how often each token is there.
    pub(super) counts: Vec<TokenMap<u64>>,
}

impl CountedFields {
    pub(super) fn new(fields: Vec<FieldCounts>) -> Self {
        let (encodings, counts) = fields.into_iter().map(FieldCounts::finish).unzip();
        CountedFields { encodings, counts }
    }

    /// The schema of a source whose rows these are: in the vocabulary of each field, frequent tokens first, equally
    /// frequent ones in alphabetical order. Behind those of `before` where there are some.
    pub(super) fn schema(self, source: &dyn Source, before: Option<&[Field]>) -> Schema {
        let vocabulary = |f: usize, field: &RawField, counts: TokenMap<u64>| -> Vec<String> {
            let mut kept = counts.filtered(|count| count >= field.min_count);
            kept.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
            let kept = kept.into_iter().map(|(token, _)| token);
            match before {
                Some(before) => extend::extended(&before[f].vocabulary, kept),
                None => kept.collect(),
            }
        };
        let counted = self.encodings.into_iter().zip(self.counts);
        let fields = source.fields().iter().zip(counted).enumerate().map(|(f, (raw, (encoding, counts)))| Field {
            encoding,
            weights: raw.weights,
            ..Field::new(&raw.name, raw.kind, vocabulary(f, raw, counts))
        });
        Schema {
            version: Schema::VERSION,
            label: source.label().to_owned(),
            input: Some(source.input()),
            fields: fields.collect(),
        }
    }
}

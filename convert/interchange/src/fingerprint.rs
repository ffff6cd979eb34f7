//! Which data are these? A few bytes for a vocabulary, and for the rows of each part of a data set.
//!
//! An index means nothing without the vocabulary that it was made with, and a figure nothing without its rows. Rows,
//! checkpoints, packed files and results carry these fingerprints, and are compared wherever two of them meet. They are
//! XXH3 (64 bits, seed 0, <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>): against mistakes, not
//! against an adversary.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};
use zerocopy::IntoBytes;

use crate::encoding::{Encoding, Hashing};
use crate::part::Part;
use crate::schema::{Field, Schema};

/// The fingerprint of a vocabulary: of its fields' names, kinds, bounds, hashes and tokens, and of the order of both.
///
/// As bytes (in a packed file) and as text (in hexadecimal digits): eight bytes for the whole, then one for each field,
/// by which the first field that differs is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Vocabulary {
    whole: u64,
    fields: Vec<u8>,
}

impl Vocabulary {
    /// That of a schema. The text of its label is no part of it.
    pub fn of(schema: &Schema) -> Self {
        Self::of_fields(&schema.fields)
    }

    /// That of a schema's fields.
    pub fn of_fields(fields: &[Field]) -> Self {
        let fields: Vec<u64> = fields.iter().map(of_field).collect();
        Vocabulary {
            whole: xxh3_64(&fields.iter().flat_map(|digest| digest.to_le_bytes()).collect::<Vec<_>>()),
            fields: fields.iter().map(|digest| digest.to_le_bytes()[0]).collect(),
        }
    }

    /// The bytes of a packed file.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.whole.to_le_bytes(), self.fields.as_slice()].concat()
    }

    /// Reads those bytes; `None` where they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (whole, fields) = bytes.split_first_chunk()?;
        Some(Vocabulary { whole: u64::from_le_bytes(*whole), fields: fields.to_vec() })
    }

    /// The number of the first field that differs, as far as a byte for each can tell.
    pub fn first_difference(&self, other: &Self) -> Option<usize> {
        self.fields.iter().zip(&other.fields).position(|(ours, theirs)| ours != theirs)
    }
}

/// Lengths stand before texts, so that no two vocabularies are the same bytes.
fn of_field(field: &Field) -> u64 {
    let mut hash = Xxh3Default::new();
    let mut bytes = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    bytes(field.name.as_bytes());
    match &field.encoding {
        Encoding::Tokens => bytes(field.kind.name().as_bytes()),
        Encoding::Bounds(bounds) => {
            bytes(b"numeric, bounds");
            bytes(&bits(bounds.as_slice()));
        }
        Encoding::Value(scale) => {
            bytes(b"numeric, value");
            bytes(&bits(&scale.numbers()));
        }
        Encoding::Interpolated(bounds) => {
            bytes(b"numeric, interpolated");
            bytes(&bits(bounds.as_slice()));
        }
        Encoding::Hash(Hashing { buckets, seed }) | Encoding::OovBuckets(Hashing { buckets, seed }) => {
            let which = if matches!(field.encoding, Encoding::Hash(_)) { "hashed" } else { "others hashed" };
            bytes(format!("{}, {which}", field.kind.name()).as_bytes());
            bytes(&[buckets.to_le_bytes(), seed.to_le_bytes()].concat());
        }
    }
    // Fields without weights have the fingerprint that they had before there were weights.
    if let Some(weights) = field.weights {
        bytes(b"weights");
        bytes(weights.name().as_bytes());
    }
    field.vocabulary.iter().for_each(|token| bytes(token.as_bytes()));
    hash.digest()
}

fn bits(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_bits().to_le_bytes()).collect()
}

impl fmt::Display for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Vocabulary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.as_bytes().chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok());
        let bytes = digits.collect::<Option<Vec<u8>>>().filter(|_| text.len().is_multiple_of(2));
        bytes.and_then(|bytes| Self::from_bytes(&bytes)).ok_or_else(|| format!("{text:?} is no fingerprint"))
    }
}

/// The fingerprint of the rows of one file: labels, weights and indices, in their order, however they are divided in
/// blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Rows(u64);

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Rows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        u64::from_str_radix(text, 16).map(Rows).map_err(|_| format!("{text:?} is no fingerprint"))
    }
}

/// Text and back, for serde.
macro_rules! as_text {
    ($($fingerprint:ty),*) => {$(
        impl From<$fingerprint> for String {
            fn from(fingerprint: $fingerprint) -> String {
                fingerprint.to_string()
            }
        }

        impl TryFrom<String> for $fingerprint {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    )*};
}

as_text!(Vocabulary, Rows);

/// Takes the fingerprint of rows as they are written.
#[derive(Default)]
pub struct RowsHash {
    labels: Xxh3Default,
    weights: Xxh3Default,
    has_weights: bool,
    indices: Xxh3Default,
    lengths: Xxh3Default,
    rows: u64,
}

impl fmt::Debug for RowsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsHash").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl RowsHash {
    /// The next `rows` rows: their labels, weights, indices and offsets, as a
    /// [`RowBlock`](crate::rows::RowBlock) has them.
    pub fn push(&mut self, rows: usize, labels: &[u8], weights: &[f32], indices: &[u32], offsets: &[u32]) {
        self.labels.update(labels);
        self.weights.update(weights.as_bytes());
        self.has_weights |= !weights.is_empty();
        self.indices.update(indices.as_bytes());
        let lengths: Vec<u32> = offsets.windows(2).map(|two| two[1] - two[0]).collect();
        self.lengths.update(lengths.as_bytes());
        self.rows += rows as u64;
    }

    /// The fingerprint of all rows so far.
    pub fn finish(&self) -> Rows {
        let parts = [self.labels.digest(), self.indices.digest(), self.lengths.digest(), self.rows];
        // Rows without weights have the fingerprint that they had before there were weights.
        let weights = self.has_weights.then(|| self.weights.digest());
        Rows(xxh3_64([&parts[..], weights.as_slice()].concat().as_bytes()))
    }
}

/// The fingerprint of a data set. A part that it does not have, or that an older program wrote, is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of the fields and their tokens.
    pub vocabulary: Vocabulary,
    /// Of the training rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Rows>,
    /// Of the validation rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Rows>,
    /// Of the test rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Rows>,
}

impl Fingerprint {
    /// That of the rows of one part.
    pub fn rows(&self, part: Part) -> Option<Rows> {
        match part {
            Part::Train => self.train,
            Part::Valid => self.valid,
            Part::Test => self.test,
        }
    }

    /// The first part whose rows are known to be others, with both fingerprints.
    pub fn other_rows(&self, other: &Self) -> Option<(Part, Rows, Rows)> {
        let both = |part| Some((part, self.rows(part)?, other.rows(part)?));
        Part::ALL.into_iter().filter_map(both).find(|(_, ours, theirs)| ours != theirs)
    }
}

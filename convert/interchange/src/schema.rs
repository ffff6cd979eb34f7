//! `schema.json`: the fields of a data set, and how raw values become indices.
//!
//! Index 0 of a field is its out-of-vocabulary row: values that training did not see, or saw less often than the
//! minimum count. A missing (empty) value is not unseen: it is a token like any other, the empty one, because that a
//! value is missing says something. The tokens of a bag are all kept, in the order of the raw value, unseen ones as 0;
//! a bag without tokens is `[0]`. In a hashed field index 0 is the missing value alone, and nothing is unseen; so it is
//! where numbers are weights.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xsfm_runtime::Weight;
use xsfm_runtime::weight::{OneOrTwo, interpolated};

use crate::atomic;
use crate::bounds::{Bounds, number};
use crate::bucket;
use crate::encoding::{Encoding, Hashing, Rule};
use crate::input::Input;
use crate::scale::Scale;
use crate::tokens::TokenMap;

pub use crate::kind::FieldKind;
pub use crate::weights::Weights;

/// The fields of an encoded data set, in the order of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Always [`Schema::VERSION`].
    pub version: u32,
    /// What a label of 1 means, in words.
    pub label: String,
    /// How raw rows are read; absent in schemas of older programs, and of rows that were never raw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// The fields.
    pub fields: Vec<Field>,
}

/// One field and its vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Column name.
    pub name: String,
    /// How a raw value becomes tokens.
    pub kind: FieldKind,
    /// How a token or a number becomes an index.
    #[serde(default, skip_serializing_if = "Encoding::is_tokens")]
    pub encoding: Encoding,
    /// Where the weights of a bag's indices come from; absent where they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Token of index 1, 2, …; index 0 is the out-of-vocabulary row, which every field has.
    /// None of a field that is hashed, or whose numbers are weights.
    pub vocabulary: Vec<String>,
}

/// Why a schema could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The file system.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it reported.
        source: io::Error,
    },
    /// Not JSON, or not the JSON of a schema.
    #[error("{path}: not a schema: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// A schema that contradicts itself.
    #[error("{path}: {what}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field's name.
        what: String,
    },
}

impl Schema {
    /// The version that this code writes and reads.
    pub const VERSION: u32 = 1;

    /// Reads and checks a schema.
    ///
    /// # Errors
    /// The file cannot be read, is not a schema of this version, has no field, or names a field or a token twice.
    pub fn load(path: &Path) -> Result<Self, SchemaError> {
        let text = std::fs::read(path).map_err(|source| SchemaError::Io { path: path.to_owned(), source })?;
        let schema: Schema =
            serde_json::from_slice(&text).map_err(|source| SchemaError::Json { path: path.to_owned(), source })?;
        schema.problem().map_or(Ok(schema), |what| Err(SchemaError::Invalid { path: path.to_owned(), what }))
    }

    /// Writes the schema; the file appears whole or not at all.
    ///
    /// # Errors
    /// A schema that [`load`](Self::load) would refuse; whatever the file system reports.
    pub fn save(&self, path: &Path) -> Result<(), SchemaError> {
        if let Some(what) = self.problem() {
            return Err(SchemaError::Invalid { path: path.to_owned(), what });
        }
        atomic::write(path, |output| {
            serde_json::to_writer_pretty(&mut *output, self)?;
            output.write_all(b"\n")
        })
        .map_err(|source| SchemaError::Io { path: path.to_owned(), source })
    }

    /// The first thing in which the vocabularies differ: number, order and kinds of fields, then tokens by their
    /// indices; `None` where they are the same. `ours` and `theirs` name the two.
    pub fn difference(&self, other: &Schema, ours: &str, theirs: &str) -> Option<String> {
        if self.fields.len() != other.fields.len() {
            let (here, there) = (self.fields.len(), other.fields.len());
            return Some(format!("{here} fields in {ours}, {there} in {theirs}"));
        }
        for (f, (a, b)) in self.fields.iter().zip(&other.fields).enumerate() {
            if a.name != b.name {
                return Some(format!("field {f} is {:?} in {ours}, {:?} in {theirs}", a.name, b.name));
            }
            if a.weights != b.weights {
                let name = |field: &Field| field.weights.map_or("none", Weights::name);
                let (here, there) = (name(a), name(b));
                return Some(format!("field {:?} has weights {here} in {ours}, {there} in {theirs}", a.name));
            }
            if a.kind != b.kind {
                let (name, here, there) = (&a.name, a.kind.name(), b.kind.name());
                return Some(format!("field {name:?} is {here} in {ours}, {there} in {theirs}"));
            }
            if let Some(what) = encoding_difference(a, b, ours, theirs) {
                return Some(what);
            }
            let longest = a.vocabulary.len().max(b.vocabulary.len());
            if let Some(t) = (0..longest).find(|&t| a.vocabulary.get(t) != b.vocabulary.get(t)) {
                let token = |field: &Field| match field.vocabulary.get(t) {
                    Some(token) => format!("{token:?}"),
                    None => format!("none (it has {} tokens)", field.vocabulary.len()),
                };
                return Some(format!(
                    "field {:?}: the first token that differs is that of index {}, {} in {ours}, {} in {theirs}",
                    a.name,
                    t + 1,
                    token(a),
                    token(b)
                ));
            }
        }
        None
    }

    fn problem(&self) -> Option<String> {
        if self.version != Self::VERSION {
            return Some(format!("schema version {}, {} expected", self.version, Self::VERSION));
        }
        if self.fields.is_empty() {
            return Some("a schema without fields".to_owned());
        }
        let mut names = HashSet::new();
        for field in &self.fields {
            if !names.insert(&field.name) {
                return Some(format!("two fields are named {:?}", field.name));
            }
            if field.weights.is_some() && field.kind != FieldKind::Bag {
                let (name, kind) = (&field.name, field.kind.name());
                return Some(format!("field {name:?} has weights, but is {kind}; bags alone have them"));
            }
            if field.vocabulary.len() >= u32::MAX as usize {
                return Some(format!(
                    "field {:?} has {} tokens, too many for 32 bits",
                    field.name,
                    field.vocabulary.len()
                ));
            }
            if let Some(what) = field.problem() {
                return Some(format!("field {:?} {what}", field.name));
            }
            if let Some(asked) = self.rule(field).filter(|asked| !asked.is_met_by(&field.encoding)) {
                let (name, found) = (&field.name, &field.encoding);
                return Some(format!("field {name:?} is {found}, but its column is to be {asked}"));
            }
            let mut tokens = HashSet::new();
            if let Some(token) = field.vocabulary.iter().find(|&token| !tokens.insert(token)) {
                return Some(format!("field {:?} has the token {token:?} twice", field.name));
            }
        }
        None
    }

    /// What is asked of a field where rows are read; `None` where the schema does not say.
    fn rule(&self, field: &Field) -> Option<Rule> {
        match self.input.as_ref()? {
            // One that contradicts itself is told of where rows are read.
            Input::Table(table) => table.fields.iter().find(|column| column.name == field.name)?.rule().ok(),
            // Fields of data sets without a description may be hashed too.
            _ => Some(Rule::Tokens).filter(|_| !matches!(field.encoding, Encoding::Hash(_) | Encoding::OovBuckets(_))),
        }
    }
}

/// How the bounds or the hash of two fields differ.
fn encoding_difference(a: &Field, b: &Field, ours: &str, theirs: &str) -> Option<String> {
    let name = &a.name;
    if let (Encoding::Bounds(here), Encoding::Bounds(there)) = (&a.encoding, &b.encoding) {
        let (here, there) = (here.as_slice(), there.as_slice());
        let n = (0..here.len().max(there.len())).find(|&n| here.get(n) != there.get(n))?;
        let [here, there] = [here, there].map(|bounds| bounds.get(n).map_or("none".to_owned(), |b| format!("{b:?}")));
        return Some(format!("field {name:?}: bound {n} is {here} in {ours}, {there} in {theirs}"));
    }
    let (here, there) = (&a.encoding, &b.encoding);
    (here != there).then(|| format!("field {name:?} is {here} in {ours}, {there} in {theirs}"))
}

impl Field {
    /// A field of tokens, whose indices have no weights.
    pub fn new(name: &str, kind: FieldKind, vocabulary: Vec<String>) -> Self {
        Field { name: name.to_owned(), kind, encoding: Encoding::Tokens, weights: None, vocabulary }
    }

    /// Whether its indices have weights.
    pub fn is_weighted(&self) -> bool {
        self.weights.is_some() || self.encoding.is_weighted()
    }

    /// Whether a row may have several indices, or has weights, which rows keep alike.
    pub fn has_several(&self) -> bool {
        self.kind == FieldKind::Bag || self.is_weighted()
    }

    /// Number of rows in the field's table, the out-of-vocabulary row included.
    pub fn features(&self) -> u32 {
        match self.encoding {
            Encoding::Hash(hashing) => hashing.features(),
            Encoding::OovBuckets(hashing) => self.tokens().saturating_add(hashing.features()),
            Encoding::Value(_) => 2,
            Encoding::Interpolated(ref bounds) => u32::try_from(bounds.buckets()).unwrap_or(u32::MAX),
            _ => self.tokens().saturating_add(1),
        }
    }

    /// Number of tokens that have an index of their own.
    fn tokens(&self) -> u32 {
        // `Schema::load` refuses longer vocabularies.
        u32::try_from(self.vocabulary.len()).unwrap_or(u32::MAX)
    }

    /// Index of a token from now on in constant time.
    pub fn encoder(&self) -> Encoder {
        let indices: TokenMap<u32> = self.vocabulary.iter().map(String::as_str).zip(1..).collect();
        match &self.encoding {
            Encoding::Tokens => Encoder::Tokens(indices),
            Encoding::Hash(hashing) => Encoder::Hash(*hashing),
            Encoding::OovBuckets(hashing) => Encoder::OovBuckets(indices, *hashing),
            Encoding::Value(scale) => Encoder::Value(*scale),
            Encoding::Interpolated(bounds) => Encoder::Interpolated(bounds.clone()),
            Encoding::Bounds(bounds) => {
                let index = |token: &str| indices.get(token).copied().unwrap_or(0);
                let buckets = (0..bounds.buckets()).map(|bucket| index(&bounds.token(bucket))).collect();
                Encoder::Numbers { bounds: bounds.clone(), buckets, missing: index("") }
            }
        }
    }

    /// The finite numbers of a token, from the first up to the second; `None` for the empty token, and for one that no
    /// number has.
    pub fn interval(&self, token: &str) -> Option<Range<f64>> {
        match &self.encoding {
            Encoding::Bounds(bounds) => bounds.interval(token),
            _ => bucket::interval(token),
        }
    }

    fn problem(&self) -> Option<String> {
        let is_number = self.kind == FieldKind::Numeric;
        match &self.encoding {
            Encoding::Bounds(_) if !is_number => Some("has bounds, but no numbers".to_owned()),
            Encoding::Value(_) | Encoding::Interpolated(_) if !is_number => {
                Some("has weights of numbers, but no numbers".to_owned())
            }
            Encoding::Value(_) | Encoding::Interpolated(_) if !self.vocabulary.is_empty() => {
                Some(format!("has weights of numbers, but {} tokens", self.vocabulary.len()))
            }
            Encoding::Interpolated(bounds) if bounds.as_slice().is_empty() => Some("has no bounds".to_owned()),
            Encoding::Hash(_) | Encoding::OovBuckets(_) if is_number => {
                Some("is hashed, but a number has no token".to_owned())
            }
            Encoding::Hash(hashing) | Encoding::OovBuckets(hashing)
                if !(1..u32::MAX - self.tokens()).contains(&hashing.buckets) =>
            {
                Some(format!("has {} buckets", hashing.buckets))
            }
            Encoding::Hash(_) if !self.vocabulary.is_empty() => {
                Some(format!("is hashed, but has {} tokens", self.vocabulary.len()))
            }
            Encoding::Bounds(bounds) => {
                let is_known = |token: &String| token.is_empty() || bounds.interval(token).is_some();
                let unknown = self.vocabulary.iter().find(|token| !is_known(token));
                unknown.map(|token| format!("has the token {token:?}, which no bucket has"))
            }
            _ => None,
        }
    }
}

/// The indices of a field's tokens.
#[derive(Clone, Debug)]
pub enum Encoder {
    /// By a vocabulary.
    Tokens(TokenMap<u32>),
    /// By bounds.
    Numbers {
        /// Of the buckets.
        bounds: Bounds,
        /// The index of each bucket.
        buckets: Vec<u32>,
        /// The index of no number.
        missing: u32,
    },
    /// By a hash.
    Hash(Hashing),
    /// By a vocabulary, others by a hash.
    OovBuckets(TokenMap<u32>, Hashing),
    /// By the distance from a centre.
    Value(Scale),
    /// Between bounds.
    Interpolated(Bounds),
}

impl Encoder {
    /// The indices of a number, from its text, with their weights: of a field whose numbers are weights. `None` in
    /// other fields.
    pub fn weighted(&self, text: &str) -> Option<OneOrTwo> {
        let missing = ((0, Weight::ONE), None);
        match self {
            Encoder::Tokens(_) | Encoder::Numbers { .. } | Encoder::Hash(_) | Encoder::OovBuckets(..) => None,
            Encoder::Value(scale) => Some(number(text).map_or(missing, |number| ((1, scale.weight(number)), None))),
            Encoder::Interpolated(bounds) => Some(number(text).map_or(missing, |number| {
                let below = bounds.bucket(number);
                let bound = |place: usize| bounds.as_slice().get(place).copied();
                interpolated(number, below as u32, [below.checked_sub(1).and_then(bound), bound(below)])
            })),
        }
    }

    /// Index of a token, or of a number's text where there are bounds; 0, the out-of-vocabulary row, for one that is
    /// not in the vocabulary. Where numbers are weights, the first of [`weighted`](Self::weighted).
    pub fn index_of(&self, token: &str) -> u32 {
        match self {
            Encoder::Tokens(indices) => indices.get(token).copied().unwrap_or(0),
            Encoder::Numbers { missing, .. } if token.is_empty() => *missing,
            Encoder::Numbers { bounds, buckets, .. } => {
                // What readers give is finite; the token of the lowest bucket is not.
                let number = token.parse().ok().filter(|number: &f64| !number.is_nan());
                number.map_or(0, |number| buckets[bounds.bucket(number)])
            }
            Encoder::Hash(hashing) => hashing.index_of(token),
            Encoder::OovBuckets(indices, hashing) => match indices.get(token) {
                Some(&index) => index,
                // A vocabulary that leaves room for the buckets: see `Field::problem`.
                None => hashing.index_behind(indices.len() as u32, token),
            },
            Encoder::Value(_) | Encoder::Interpolated(_) => self.weighted(token).map_or(0, |((index, _), _)| index),
        }
    }

    /// Whether a token may be one that training has not seen.
    pub fn has_unseen(&self) -> bool {
        matches!(self, Encoder::Tokens(_) | Encoder::Numbers { .. })
    }
}

//! `schema.json`: the fields of a data set, and how raw values become indices.
//!
//! Index 0 of a field is its out-of-vocabulary row: values that training did not see, or saw less often than the
//! minimum count. A missing (empty) value is not unseen: it is a token like any other, the empty one, because that a
//! value is missing says something. The tokens of a bag are all kept, in the order of the raw value, unseen ones as 0;
//! a bag without tokens is `[0]`.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::input::Input;
use crate::tokens::TokenMap;

pub use crate::kind::FieldKind;

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
    /// Token of index 1, 2, …; index 0 is the out-of-vocabulary row, which every field has.
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
            if a.kind != b.kind {
                let (name, here, there) = (&a.name, a.kind.name(), b.kind.name());
                return Some(format!("field {name:?} is {here} in {ours}, {there} in {theirs}"));
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
            if field.vocabulary.len() >= u32::MAX as usize {
                return Some(format!(
                    "field {:?} has {} tokens, too many for 32 bits",
                    field.name,
                    field.vocabulary.len()
                ));
            }
            let mut tokens = HashSet::new();
            if let Some(token) = field.vocabulary.iter().find(|&token| !tokens.insert(token)) {
                return Some(format!("field {:?} has the token {token:?} twice", field.name));
            }
        }
        None
    }
}

impl Field {
    /// Number of rows in the field's table, the out-of-vocabulary row included.
    pub fn features(&self) -> u32 {
        // `Schema::load` refuses longer vocabularies.
        u32::try_from(self.vocabulary.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Index of a token from now on in constant time.
    pub fn encoder(&self) -> Encoder {
        Encoder { indices: self.vocabulary.iter().map(String::as_str).zip(1..).collect() }
    }
}

/// The indices of a field's tokens.
#[derive(Clone, Debug)]
pub struct Encoder {
    indices: TokenMap<u32>,
}

impl Encoder {
    /// Index of a token; 0, the out-of-vocabulary row, for one that is not in the vocabulary.
    pub fn index_of(&self, token: &str) -> u32 {
        self.indices.get(token).copied().unwrap_or(0)
    }
}

//! `schema.json`: the fields of a data set, and how raw values become indices.

use serde::{Deserialize, Serialize};

/// The fields of an encoded data set, in the order of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Always [`Schema::VERSION`].
    pub version: u32,
    /// What a label of 1 means, in words.
    pub label: String,
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

/// How a raw value becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// The value is the token.
    Categorical,
    /// Several tokens; an empty bag is encoded as the out-of-vocabulary row alone.
    Bag,
    /// A number v: v <= 2 keeps its own token, larger ones share `floor(ln(v)^2)` (Criteo log bucketing).
    Numeric,
}

impl Schema {
    /// The version that this code writes and reads.
    pub const VERSION: u32 = 1;
}

impl Field {
    /// Number of rows in the field's table, the out-of-vocabulary row included.
    pub fn features(&self) -> u32 {
        self.vocabulary.len() as u32 + 1
    }
}

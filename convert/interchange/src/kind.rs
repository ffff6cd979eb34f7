//! Kinds of fields.

use serde::{Deserialize, Serialize};

/// How a raw value becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// The value is the token.
    Categorical,
    /// Several tokens; an empty bag is encoded as the out-of-vocabulary row alone.
    Bag,
    /// A number v becomes the token of [`bucket`](crate::bucket::bucket) (Criteo log bucketing).
    Numeric,
}

impl FieldKind {
    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            FieldKind::Categorical => "categorical",
            FieldKind::Bag => "bag",
            FieldKind::Numeric => "numeric",
        }
    }
}

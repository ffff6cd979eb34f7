//! Where the weights of a field's indices come from.

use serde::{Deserialize, Serialize};

/// Of a field whose indices have weights; the rule by which a raw value has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// The data say them, for each token.
    Given,
    /// 1 over the number of the bag's tokens: the field's vector is their mean.
    Mean,
}

impl Weights {
    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Weights::Given => "given",
            Weights::Mean => "mean",
        }
    }
}

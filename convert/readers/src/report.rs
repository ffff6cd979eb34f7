//! What rows had that their schema does not, field by field.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use xsfm_interchange::schema::{Field, FieldKind, Schema};

use crate::encoder::Told;

/// One field of encoded rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldReport {
    /// Its name.
    pub name: String,
    /// How values become tokens.
    pub kind: FieldKind,
    /// Number of features, the out-of-vocabulary row included.
    pub features: u32,
    /// Indices that are 0 in rows that were not trained on: values that training did not see often enough.
    pub unseen: u64,
    /// Bags that were cut to the largest allowed length.
    pub cut_bags: u64,
}

impl FieldReport {
    /// The fields of a schema, and what its rows had.
    pub fn all(schema: &Schema, told: &Told) -> Vec<Self> {
        let field = |(f, field): (usize, &Field)| FieldReport {
            name: field.name.clone(),
            kind: field.kind,
            features: field.features(),
            unseen: told.unseen[f],
            cut_bags: told.cut_bags[f],
        };
        schema.fields.iter().enumerate().map(field).collect()
    }

    /// Writes a line for each field.
    ///
    /// # Errors
    /// Whatever `output` reports.
    pub fn print_all(fields: &[FieldReport], output: &mut dyn Write) -> io::Result<()> {
        let width = fields.iter().map(|f| f.name.chars().count()).max().unwrap_or(0).max(5);
        writeln!(output, "{:<width$} {:<11} {:>10} {:>10} {:>10}", "field", "kind", "features", "unseen", "cut bags")?;
        for f in fields {
            let kind = f.kind.name();
            writeln!(output, "{:<width$} {kind:<11} {:>10} {:>10} {:>10}", f.name, f.features, f.unseen, f.cut_bags)?;
        }
        Ok(())
    }
}

//! What was prepared: `prepare.json`, and the table that the command prints.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use xsfm_interchange::fingerprint::Fingerprint;
use xsfm_interchange::schema::FieldKind;

use super::split::Part;

/// What was prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Training rows.
    pub train: PartReport,
    /// Validation rows.
    pub valid: PartReport,
    /// Test rows.
    pub test: PartReport,
    /// Malformed rows that were left out.
    pub malformed_rows: u64,
    /// The first few of them: file, line and reason.
    pub malformed_examples: Vec<String>,
    /// What is not wrong, but hardly wanted.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The fields.
    pub fields: Vec<FieldReport>,
    /// What tells these rows and their vocabulary from others.
    pub fingerprint: Fingerprint,
}

/// Size of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReport {
    /// Number of rows.
    pub rows: u64,
    /// Rows with label 1.
    pub positives: u64,
}

/// One field of a prepared data set.
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

impl Report {
    /// Writes a table for people.
    ///
    /// # Errors
    /// Whatever `output` reports.
    pub fn print(&self, output: &mut dyn Write) -> io::Result<()> {
        writeln!(output, "{:<10} {:>12} {:>12}", "part", "rows", "positives")?;
        for (part, report) in [(Part::Train, self.train), (Part::Valid, self.valid), (Part::Test, self.test)] {
            writeln!(output, "{:<10} {:>12} {:>12}", part.name(), report.rows, report.positives)?;
        }
        writeln!(output, "{:<10} {:>12}", "malformed", self.malformed_rows)?;
        writeln!(output)?;
        FieldReport::print_all(&self.fields, output)
    }
}

impl FieldReport {
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

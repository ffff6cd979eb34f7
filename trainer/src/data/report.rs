//! What was prepared: `prepare.json`, and the table that the command prints.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use xsfm_interchange::fingerprint::Fingerprint;
use xsfm_readers::report::FieldReport;

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

//! Click rates against predictions of a table's rows, from the logits that `run` kept.

use anyhow::Result;
use xsfm_interchange::figure;
use xsfm_interchange::metrics::calibration::Reliability;

use super::entry::Entry;
use super::tables;
use crate::experiment::predictions::Predictions;

/// A figure for each table, of the first seed of each of its rows; `None` where no logits were kept.
///
/// # Errors
/// Logits that cannot be read.
pub(super) fn by_table(entries: &[Entry]) -> Result<Vec<Option<String>>> {
    let tables = tables::by_table(entries, |entry| &entry.line.table).into_iter();
    tables.map(|(table, entries)| of_table(table, entries)).collect()
}

fn of_table(table: &str, entries: &[Entry]) -> Result<Option<String>> {
    let mut models: Vec<(&str, Reliability)> = Vec::new();
    for entry in entries {
        let Some(folder) = entry.folders.first() else { continue };
        if let Some(predictions) = Predictions::read(folder)? {
            models.push((&entry.line.title, predictions.reliability()?));
        }
    }
    let models: Vec<(&str, &Reliability)> = models.iter().map(|(title, of_model)| (*title, of_model)).collect();
    if models.is_empty() {
        return Ok(None);
    }
    Ok(Some(figure::reliability(&format!("Reliability, first seed: {table}"), &models)?))
}

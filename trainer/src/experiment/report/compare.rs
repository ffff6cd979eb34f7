//! By how much rows of a table really differ: their models' logits on the same test rows, paired
//! (`xsfm_interchange::metrics::auc`).
//!
//! A row is the mean AUC of its seeds. Two rows err together on the rows that are hard for both, so that their
//! difference is known far better than either.

use std::path::PathBuf;

use anyhow::{Result, bail};
use xsfm_interchange::metrics::auc::{AucDifference, AucShares};

use super::entry::Entry;
use crate::experiment::predictions::Predictions;

/// Seeds of a row on the test rows.
struct OnRows {
    labels: Vec<u8>,
    shares: AucShares,
}

/// Compares the rows of each table with its best by the validation rows, or all with `against`. Rows without logits,
/// which older programs made, stay as they are.
///
/// # Errors
/// Logits that cannot be read; no row `against`, or no logits of it.
pub(super) fn compare(entries: &mut [Entry], against: Option<&str>) -> Result<()> {
    if let Some(name) = against {
        let Some(entry) = entries.iter().find(|entry| entry.line.row == name) else {
            bail!("--against {name}: no such row among those of this report");
        };
        let Some(reference) = on_rows(&entry.folders)? else {
            bail!(
                "--against {name}: its logits were not kept; remove its outcome.json, and `xsfm-train run` measures it \
                 again"
            );
        };
        return compare_with(name, &reference, entries);
    }
    for table in entries.chunk_by_mut(|a, b| a.line.table == b.line.table) {
        // The best of all, not of those with logits: another would be called the best.
        let known = table.iter().filter(|entry| entry.line.valid_auc.is_finite());
        let Some(best) = known.max_by(|a, b| a.line.valid_auc.total_cmp(&b.line.valid_auc)) else { continue };
        let name = best.line.row.clone();
        if let Some(reference) = on_rows(&best.folders)? {
            compare_with(&name, &reference, table)?;
        }
    }
    Ok(())
}

fn compare_with(name: &str, reference: &OnRows, entries: &mut [Entry]) -> Result<()> {
    for entry in entries.iter_mut().filter(|entry| entry.line.row != name) {
        let Some(own) = on_rows(&entry.folders)?.filter(|own| own.labels == reference.labels) else { continue };
        let Some(difference) = own.shares.less(&reference.shares) else { continue };
        entry.line.against = Some(name.to_owned());
        entry.line.auc_difference = Some(difference.difference);
        entry.line.auc_difference_standard_error = difference.standard_error;
    }
    Ok(())
}

/// By how much the AUC of some seeds is above that of others on the same test rows; `None` where logits were not kept.
///
/// # Errors
/// Logits that cannot be read.
pub(crate) fn difference(folders: &[PathBuf], others: &[PathBuf]) -> Result<Option<AucDifference>> {
    let (Some(own), Some(other)) = (on_rows(folders)?, on_rows(others)?) else { return Ok(None) };
    Ok(own.shares.less(&other.shares).filter(|_| own.labels == other.labels))
}

/// `None` where the logits of a seed were not kept, or seeds were measured on other rows.
fn on_rows(folders: &[PathBuf]) -> Result<Option<OnRows>> {
    let (mut labels, mut all): (Option<Vec<u8>>, _) = (None, Vec::new());
    for folder in folders {
        let Some(predictions) = Predictions::read(folder)? else { return Ok(None) };
        if labels.as_ref().is_some_and(|labels| labels != predictions.labels()) {
            return Ok(None);
        }
        let Some(shares) = predictions.shares()? else { return Ok(None) };
        labels.get_or_insert_with(|| predictions.labels().to_vec());
        all.push(shares);
    }
    Ok(labels.zip(AucShares::mean(&all)).map(|(labels, shares)| OnRows { labels, shares }))
}

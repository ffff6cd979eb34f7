//! Rows of both classes: with one alone there is nothing to learn, and no AUC to choose an epoch by.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::rows::RowsReader;

/// Checks that training and validation rows have both classes. Of each file as much is read as it takes to see both.
///
/// # Errors
/// Files that cannot be read, have no rows, or rows of one class alone; the message names the file, the number and the
/// class.
pub fn check(data: &Dataset) -> Result<()> {
    for (part, why) in [
        (Part::Train, "there is nothing to learn from them"),
        (Part::Valid, "so there is no AUC, and no telling which epoch is best"),
    ] {
        check_file(&data.path(part), why)?;
    }
    Ok(())
}

fn check_file(path: &Path, why: &str) -> Result<()> {
    let mut rows = RowsReader::open(path)?;
    let at = || path.display().to_string();
    let mut first = None;
    for block in rows.blocks() {
        let labels = block.with_context(at)?.labels;
        let &class = match (&first, labels.first()) {
            (Some(first), _) | (None, Some(first)) => first,
            (None, None) => bail!("{}: rows without labels", path.display()),
        };
        if labels.iter().any(|&label| label != class) {
            return Ok(());
        }
        first = Some(class);
    }
    let count = rows.num_rows();
    ensure!(count > 0, "{}: no rows", path.display());
    let class = first.map_or(String::new(), |class| class.to_string());
    bail!(
        "{}: all {count} rows have the label {class}: {why}; split the data anew, or in another way (`xsfm-train \
         prepare --help`)",
        path.display()
    )
}

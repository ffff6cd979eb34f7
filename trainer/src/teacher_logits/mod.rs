//! Logits of teachers that another system trained, read from a file: one for every training row.
//!
//! | file | logits |
//! |---|---|
//! | `.npy` | an array, `[rows]` or `[rows, 1]` |
//! | `.npz`, `.safetensors` | the array `logits` (or `logit`), or the only one |
//! | `.parquet` | the column `logit` (or `logits`), or the only one |
//! | `.csv`, `.tsv` | the same; without a header there is one column |
//!
//! They are in the order of the training rows, unless the file has an array or column `row` (or `id`) too, which
//! numbers the rows from 0: then in any order, each row once. Integers and floating point numbers of 16 to 64 bits are
//! read.

mod arrays;
mod collected;
mod columns;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use self::collected::Collected;

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherLogits {
    /// `[rows]`, in the order of the training rows.
    pub logits: Vec<f32>,
    /// SHA-256 of the file, in hexadecimal digits.
    pub hash: String,
}

/// Reads the logits of `rows` training rows.
///
/// # Errors
/// A file that cannot be read or is none of these, another number of logits, a row that is missing, there twice or out
/// of range, a logit that is not a finite number; the message names the file, the line or entry, and the value.
pub fn read(path: &Path, rows: u64) -> Result<TeacherLogits> {
    let at = || path.display().to_string();
    let bytes = fs::read(path).with_context(at)?;
    let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let mut collected = Collected::new(rows);
    match ending.as_deref() {
        Some("npy") => arrays::npy(&bytes, &mut collected),
        Some("npz") => arrays::npz(&bytes, &mut collected),
        Some("safetensors") => arrays::safetensors(&bytes, &mut collected),
        Some("parquet") => columns::parquet(path, &mut collected),
        Some("csv") => text::read(&bytes, b',', &mut collected),
        Some("tsv") => text::read(&bytes, b'\t', &mut collected),
        _ => bail!("{}: logits are read from .npy, .npz, .safetensors, .parquet, .csv and .tsv", at()),
    }
    .with_context(at)?;
    Ok(TeacherLogits { logits: collected.finish().with_context(at)?, hash })
}

//! Logits of teachers that another system trained, read from a file: one for every training row.
//!
//! | file | logits |
//! |---|---|
//! | `.npy` | an array, `[rows]` or `[rows, 1]` |
//! | `.npz`, `.safetensors` | the array `logits` (or `logit`), or the only one |
//! | `.parquet` | the column `logit` (or `logits`), or the only one |
//! | `.csv`, `.tsv` | the same; without a header there is one column |
//!
//! They are in the order of the training rows, unless the file has an array or column `row` (or `id`) too, which numbers the rows from 0:
//! then in any order, each row once. Integers and floating point numbers of 16 to 64 bits are read.

mod arrays;
mod columns;
mod text;

use std::fmt::Display;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// Names of the logits, and of the numbers of their rows.
const LOGITS: [&str; 2] = ["logits", "logit"];
const ROWS: [&str; 2] = ["row", "id"];

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
/// A file that cannot be read or is none of these, another number of logits, a row that is missing, there twice or out of range, a logit that is
/// not a finite number; the message names the file, the line or entry, and the value.
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

/// Places of the row numbers, if there are any, and of the logits among what a file has.
fn choose<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(Option<usize>, usize)> {
    let names: Vec<&str> = names.into_iter().collect();
    let list = |places: &[usize]| places.iter().map(|&p| format!("`{}`", names[p])).collect::<Vec<_>>().join(", ");
    let called = |wanted: &[&str]| -> Vec<usize> { (0..names.len()).filter(|&p| wanted.contains(&names[p])).collect() };
    let rows = match called(&ROWS)[..] {
        [] => None,
        [place] => Some(place),
        ref several => bail!("{} all number the rows; one does", list(several)),
    };
    let others: Vec<usize> = (0..names.len()).filter(|&p| Some(p) != rows).collect();
    let logits = match (&called(&LOGITS)[..], &others[..]) {
        (&[place], _) | (&[], &[place]) => place,
        ([], []) => bail!("there are no logits"),
        ([], _) => bail!("which are the logits? There are {}; name them `logits` or `logit`", list(&others)),
        (several, _) => bail!("{} are all logits; one is", list(several)),
    };
    Ok((rows, logits))
}

/// Logits by row, as they come.
#[derive(Debug)]
struct Collected {
    /// NaN: not yet.
    logits: Vec<f32>,
    expected: u64,
    found: u64,
}

impl Collected {
    fn new(expected: u64) -> Self {
        Collected { logits: Vec::new(), expected, found: 0 }
    }

    /// The number of logits, where a file says it before it has them.
    fn check_count(&self, count: u64) -> Result<()> {
        if count != self.expected {
            bail!("it has {count} logits, but there are {} training rows", self.expected);
        }
        Ok(())
    }

    /// A logit at a place in the file, of the row with a number, or of the next one.
    fn add(&mut self, place: impl Display, row: Option<f64>, logit: f64) -> Result<()> {
        let row = match row {
            None => self.found,
            Some(row) if row.fract() == 0.0 && row >= 0.0 && row < self.expected as f64 => row as u64,
            Some(row) => bail!("{place}: there is no training row {row}; there are {}, the first is 0", self.expected),
        };
        let narrow = logit as f32;
        if !narrow.is_finite() {
            bail!("{place}: the logit is {logit}, not a finite number of 32 bits");
        }
        self.found += 1;
        if row >= self.expected {
            // Counted, and told with all others.
            return Ok(());
        }
        let row = row as usize;
        if self.logits.len() <= row {
            self.logits.resize(row + 1, f32::NAN);
        }
        if !self.logits[row].is_nan() {
            bail!("{place}: training row {row} has a logit already");
        }
        self.logits[row] = narrow;
        Ok(())
    }

    fn finish(self) -> Result<Vec<f32>> {
        let missing = (0..self.expected).find(|&row| self.logits.get(row as usize).is_none_or(|logit| logit.is_nan()));
        if let Some(row) = missing.filter(|&row| row < self.logits.len() as u64 || self.found == self.expected) {
            bail!("training row {row} has no logit; {} of {} have one", self.found, self.expected);
        }
        self.check_count(self.found)?;
        Ok(self.logits)
    }
}

//! Logits as a file gives them, and which of its names they have.

use std::fmt::Display;

use anyhow::{Result, bail};

/// Names of the logits, and of the numbers of their rows.
const LOGITS: [&str; 2] = ["logits", "logit"];
const ROWS: [&str; 2] = ["row", "id"];

/// Places of the row numbers, if there are any, and of the logits among what a file has.
pub(super) fn choose<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(Option<usize>, usize)> {
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
pub(super) struct Collected {
    /// NaN: not yet.
    logits: Vec<f32>,
    pub(super) expected: u64,
    found: u64,
}

impl Collected {
    pub(super) fn new(expected: u64) -> Self {
        Collected { logits: Vec::new(), expected, found: 0 }
    }

    /// The number of logits, where a file says it before it has them.
    pub(super) fn check_count(&self, count: u64) -> Result<()> {
        if count != self.expected {
            bail!("it has {count} logits, but there are {} training rows", self.expected);
        }
        Ok(())
    }

    /// A logit at a place in the file, of the row with a number, or of the next one.
    pub(super) fn add(&mut self, place: impl Display, row: Option<f64>, logit: f64) -> Result<()> {
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

    pub(super) fn finish(self) -> Result<Vec<f32>> {
        let missing = (0..self.expected).find(|&row| self.logits.get(row as usize).is_none_or(|logit| logit.is_nan()));
        if let Some(row) = missing.filter(|&row| row < self.logits.len() as u64 || self.found == self.expected) {
            bail!("training row {row} has no logit; {} of {} have one", self.found, self.expected);
        }
        self.check_count(self.found)?;
        Ok(self.logits)
    }
}

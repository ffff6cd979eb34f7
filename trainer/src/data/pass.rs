//! A pass over all rows of a raw data set, on all cores, with a policy for malformed rows.

use std::path::Path;
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};

use super::error::DataError;
use super::files::Files;
use super::parallel::in_order;
use super::raw::{Block, RawRow};
use super::source::Source;
use super::split::{Assigner, Part, Parts};

/// How many malformed rows are shown.
const EXAMPLES: usize = 5;
/// A pass is not given up for its malformed rows before this many rows, lest a few at the beginning count for too much.
const ROWS_BEFORE_GIVING_UP: u64 = 100_000;

/// How rows are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Stop at the first malformed row.
    pub strict: bool,
    /// Stop where more than this share of the rows is malformed.
    pub max_bad: f64,
    /// Number of threads. The result does not depend on it.
    pub threads: usize,
}

impl Default for Reading {
    fn default() -> Self {
        Reading { strict: false, max_bad: 0.01, threads: thread::available_parallelism().map_or(1, usize::from) }
    }
}

/// What a pass has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// Rows of the file, malformed ones included.
    pub(super) rows: u64,
    /// Malformed rows, which were left out.
    pub(super) malformed: u64,
    /// The first few of them: file, line and reason.
    pub(super) examples: Vec<String>,
}

/// The rows of one block, each with the part it belongs to.
pub(super) struct Rows<'a> {
    block: Box<dyn Block + 'a>,
    first_row: u64,
    parts: Parts,
    malformed: u64,
    /// Line and reason of the first few.
    examples: Vec<(u64, String)>,
    /// Whether numbers are to be their own tokens.
    pub(super) plain_numbers: bool,
}

impl Rows<'_> {
    /// Visits the well-formed rows in order.
    pub(super) fn each(&mut self, mut visit: impl FnMut(Part, &RawRow)) {
        let mut row = RawRow::default();
        row.plain_numbers = self.plain_numbers;
        for i in 0..self.block.rows() {
            row.clear();
            row.number = self.first_row + i as u64;
            match self.block.fill(i, &mut row) {
                Ok(()) => visit(self.parts.of(i, &row), &row),
                Err(what) => {
                    self.malformed += 1;
                    if self.examples.len() < EXAMPLES {
                        self.examples.push((self.block.line(i), what));
                    }
                }
            }
        }
    }
}

/// Gives blocks of rows to `work` on all threads, and its results to `collect` in the order of the file.
///
/// # Errors
/// Files that cannot be read, malformed rows that `reading` does not allow, a split that does not fit, and those of
/// `collect`.
pub(super) fn pass<R>(
    source: &dyn Source,
    reading: Reading,
    doing: &'static str,
    mut assigner: Assigner,
    work: impl Fn(&mut Rows<'_>) -> R + Sync,
    mut collect: impl FnMut(R) -> Result<(), DataError> + Send,
) -> Result<Walk, DataError> {
    let path = source.path();
    let bar = progress(source.files(), doing)?;
    let mut blocks = source.blocks(&bar);
    let mut rows_read = 0;
    let jobs = std::iter::from_fn(move || match blocks.next() {
        Some(block) => Some(block.and_then(|block| {
            let (first_row, rows) = (rows_read, block.rows());
            rows_read += rows as u64;
            let parts = assigner.parts(first_row, rows)?;
            Ok(Rows { block, first_row, parts, malformed: 0, examples: Vec::new(), plain_numbers: false })
        })),
        None => assigner.finish(rows_read).err().map(Err),
    });
    let mut walk = Walk::default();
    let worked = |mut rows: Rows<'_>| {
        let result = work(&mut rows);
        let error = |(line, what)| DataError::row(rows.block.path(), line, what);
        let examples: Vec<DataError> = rows.examples.into_iter().map(error).collect();
        (rows.block.rows() as u64, rows.malformed, examples, result)
    };
    in_order(reading.threads, jobs, worked, |(rows, malformed, examples, result)| {
        walk.rows += rows;
        walk.malformed += malformed;
        bar.set_message(format!("{} rows", walk.rows));
        for error in examples {
            if reading.strict {
                return Err(error);
            }
            if walk.examples.len() < EXAMPLES {
                walk.examples.push(error.to_string());
            }
        }
        if walk.rows >= ROWS_BEFORE_GIVING_UP {
            walk.check(path, reading.max_bad)?;
        }
        collect(result)
    })?;
    bar.finish_and_clear();
    walk.check(path, reading.max_bad)?;
    Ok(walk)
}

impl Walk {
    fn check(&self, path: &Path, max_bad: f64) -> Result<(), DataError> {
        let &Walk { rows, malformed, .. } = self;
        if malformed as f64 <= max_bad * rows as f64 {
            return Ok(());
        }
        Err(DataError::Malformed { path: path.to_owned(), malformed, rows, max_bad, examples: self.examples.clone() })
    }
}

/// A bar over the bytes of the files, with the rows so far and the time that is left; silent where there is no
/// terminal.
///
/// # Errors
/// A file cannot be read.
pub(super) fn progress(files: &Files, doing: &'static str) -> Result<ProgressBar, DataError> {
    let bar = ProgressBar::new(files.bytes()?).with_prefix(doing);
    let template = "{prefix:>10} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    Ok(bar)
}

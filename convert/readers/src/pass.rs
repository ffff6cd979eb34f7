//! A pass over all rows of a raw data set, on all cores, with a policy for malformed rows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::files::Files;
use crate::parallel::in_order;
use crate::raw::{Block, RawRow};
use crate::source::Source;

/// How many malformed rows are shown.
pub(crate) const EXAMPLES: usize = 5;
/// A pass is not given up for its malformed rows before this many rows, lest a few at the beginning count for too much.
pub(crate) const ROWS_BEFORE_GIVING_UP: u64 = 100_000;

/// How rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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

/// What each row is for: asked in the order of the files, block by block, before threads take the blocks apart.
/// Malformed rows are asked for too.
pub trait Assign: Send {
    /// What a row is for.
    type Part;
    /// What is said of a block's rows.
    type Parts: Send;

    /// Says it of the next `rows` rows, which begin at row `first`.
    ///
    /// # Errors
    /// Nothing is said of some of them.
    fn parts(&mut self, first: u64, rows: usize) -> Result<Self::Parts, DataError>;

    /// What `row` is for, row `i` of its block.
    fn part(parts: &Self::Parts, i: usize, row: &RawRow) -> Self::Part;

    /// Checks at the end of a pass over `rows` rows that nothing was said of others.
    ///
    /// # Errors
    /// Something was.
    fn finish(&mut self, rows: u64) -> Result<(), DataError>;
}

/// All rows are for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct All;

impl Assign for All {
    type Part = ();
    type Parts = ();

    fn parts(&mut self, _: u64, _: usize) -> Result<(), DataError> {
        Ok(())
    }

    fn part((): &(), _: usize, _: &RawRow) {}

    fn finish(&mut self, _: u64) -> Result<(), DataError> {
        Ok(())
    }
}

/// What was seen of some consecutive rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How many they are, malformed ones included.
    pub rows: u64,
    /// Malformed ones, which were left out.
    pub malformed: u64,
    /// The first few of those.
    pub examples: Vec<Example>,
}

/// A malformed row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    path: PathBuf,
    line: u64,
    what: String,
}

impl Example {
    fn error(&self) -> DataError {
        DataError::row(&self.path, self.line, self.what.as_str())
    }
}

/// What a pass has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Rows of the file, malformed ones included.
    pub rows: u64,
    /// Malformed rows, which were left out.
    pub malformed: u64,
    /// The first few of them: file, line and reason.
    pub examples: Vec<String>,
}

/// The rows of one block, each with what it is for.
pub struct Rows<'a, A: Assign = All> {
    block: Box<dyn Block + 'a>,
    first_row: u64,
    parts: A::Parts,
    seen: Seen,
    /// Whether numbers are to be their own tokens.
    pub plain_numbers: bool,
}

impl<A: Assign> fmt::Debug for Rows<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} from {})", self.block.rows(), self.first_row)
    }
}

impl<'a, A: Assign> Rows<'a, A> {
    /// The rows of the next block, which begin at row `first_row`.
    pub(crate) fn new(block: Box<dyn Block + 'a>, first_row: u64, assigner: &mut A) -> Result<Self, DataError> {
        let rows = block.rows();
        let parts = assigner.parts(first_row, rows)?;
        let seen = Seen { rows: rows as u64, ..Seen::default() };
        Ok(Rows { block, first_row, parts, seen, plain_numbers: false })
    }

    /// What was seen of them where they were visited.
    pub(crate) fn into_seen(self) -> Seen {
        self.seen
    }

    /// Visits the well-formed rows in order; the others are counted.
    pub fn each(&mut self, mut visit: impl FnMut(A::Part, &RawRow)) {
        let mut row = RawRow::default();
        row.plain_numbers = self.plain_numbers;
        for i in 0..self.block.rows() {
            row.clear();
            row.number = self.first_row + i as u64;
            match self.block.fill(i, &mut row) {
                Ok(()) => visit(A::part(&self.parts, i, &row), &row),
                Err(what) => {
                    self.seen.malformed += 1;
                    if self.seen.examples.len() < EXAMPLES {
                        let (path, line) = (self.block.path().to_owned(), self.block.line(i));
                        self.seen.examples.push(Example { path, line, what });
                    }
                }
            }
        }
    }
}

/// Gives blocks of rows to `work` on all threads, and its results to `collect` in the order of the file. `doing` is the
/// word beside the bar that shows how far it is.
///
/// # Errors
/// Files that cannot be read, malformed rows that `reading` does not allow, an assigner that does not fit, and those of
/// `collect`.
pub fn pass<A: Assign, R, E: From<DataError> + Send>(
    source: &dyn Source,
    reading: Reading,
    doing: &'static str,
    mut assigner: A,
    work: impl Fn(&mut Rows<'_, A>) -> R + Sync,
    mut collect: impl FnMut(R) -> Result<(), E> + Send,
) -> Result<Walk, E> {
    let path = source.path();
    let bar = progress(source.files(), doing)?;
    let mut blocks = source.blocks(&bar);
    let mut rows_read = 0;
    let jobs = std::iter::from_fn(move || match blocks.next() {
        Some(block) => Some(block.and_then(|block| {
            let first_row = rows_read;
            rows_read += block.rows() as u64;
            Rows::new(block, first_row, &mut assigner)
        })),
        None => assigner.finish(rows_read).err().map(Err),
    });
    let jobs = jobs.map(|job| job.map_err(E::from));
    let mut walk = Walk::default();
    let worked = |mut rows: Rows<'_, A>| {
        let result = work(&mut rows);
        (rows.into_seen(), result)
    };
    in_order(reading.threads, jobs, worked, |(seen, result)| {
        walk.add(&seen, path, reading)?;
        bar.set_message(format!("{} rows", walk.rows));
        collect(result)
    })?;
    bar.finish_and_clear();
    walk.check(path, reading)?;
    Ok(walk)
}

/// The rows of these numbers, from 0 and in ascending order, with numbers as they are written. No other is taken apart.
///
/// # Errors
/// Files that cannot be read; a row that is malformed, or not there.
pub fn pick(source: &dyn Source, numbers: &[u64]) -> Result<Vec<RawRow>, DataError> {
    let (mut first, mut picked) = (0, Vec::with_capacity(numbers.len()));
    let mut blocks = source.blocks(&ProgressBar::hidden());
    while let Some(&wanted) = numbers.get(picked.len()) {
        let Some(block) = blocks.next().transpose()? else {
            return Err(DataError::file(source.path(), format!("no row {}", wanted + 1)));
        };
        let end = first + block.rows() as u64;
        for &number in numbers[picked.len()..].iter().take_while(|number| **number < end) {
            let i = (number - first) as usize;
            let mut row = RawRow::default();
            (row.number, row.plain_numbers) = (number, true);
            block.fill(i, &mut row).map_err(|what| DataError::row(block.path(), block.line(i), what))?;
            picked.push(row);
        }
        first = end;
    }
    Ok(picked)
}

impl Walk {
    /// Adds what was seen of the next rows of a data set, `path`.
    ///
    /// # Errors
    /// Malformed rows that `reading` does not allow.
    pub fn add(&mut self, seen: &Seen, path: &Path, reading: Reading) -> Result<(), DataError> {
        self.rows += seen.rows;
        self.malformed += seen.malformed;
        for example in &seen.examples {
            if reading.strict {
                return Err(example.error());
            }
            if self.examples.len() < EXAMPLES {
                self.examples.push(example.error().to_string());
            }
        }
        if self.rows >= ROWS_BEFORE_GIVING_UP { self.check(path, reading) } else { Ok(()) }
    }

    /// Checks at the end of a pass that no larger share of the rows was malformed than `reading` allows.
    ///
    /// # Errors
    /// There was.
    pub fn check(&self, path: &Path, reading: Reading) -> Result<(), DataError> {
        let &Walk { rows, malformed, .. } = self;
        let max_bad = reading.max_bad;
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
pub fn progress(files: &Files, doing: &'static str) -> Result<ProgressBar, DataError> {
    let bar = ProgressBar::new(files.bytes()?).with_prefix(doing);
    let template = "{prefix:>10} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    Ok(bar)
}

//! A pass over all rows of a raw data set, on all cores, with a policy for malformed rows.

use std::fmt;
use std::path::Path;
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::DataError;
use crate::files::Files;
use crate::parallel::in_order;
use crate::raw::{Block, RawRow};
use crate::source::Source;

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
    malformed: u64,
    /// Line and reason of the first few.
    examples: Vec<(u64, String)>,
    /// Whether numbers are to be their own tokens.
    pub plain_numbers: bool,
}

impl<A: Assign> fmt::Debug for Rows<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} from {})", self.block.rows(), self.first_row)
    }
}

impl<A: Assign> Rows<'_, A> {
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
                    self.malformed += 1;
                    if self.examples.len() < EXAMPLES {
                        self.examples.push((self.block.line(i), what));
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
            let (first_row, rows) = (rows_read, block.rows());
            rows_read += rows as u64;
            let parts = assigner.parts(first_row, rows)?;
            Ok(Rows { block, first_row, parts, malformed: 0, examples: Vec::new(), plain_numbers: false })
        })),
        None => assigner.finish(rows_read).err().map(Err),
    });
    let jobs = jobs.map(|job| job.map_err(E::from));
    let mut walk = Walk::default();
    let worked = |mut rows: Rows<'_, A>| {
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
                return Err(error.into());
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
pub fn progress(files: &Files, doing: &'static str) -> Result<ProgressBar, DataError> {
    let bar = ProgressBar::new(files.bytes()?).with_prefix(doing);
    let template = "{prefix:>10} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    Ok(bar)
}

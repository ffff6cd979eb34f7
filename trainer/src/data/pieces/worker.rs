//! What machines do that prepare a data set together.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use xsfm_interchange::encoding::Rule;
use xsfm_interchange::rows::{Bounds, RowBlock, RowsError, RowsReader, RowsWriter};
use xsfm_interchange::schema::{FieldKind, Schema};
use xsfm_readers::encoder::RowEncoder;
use xsfm_readers::error::DataError;
use xsfm_readers::pass::All;
use xsfm_readers::piece::{Piece, pass_piece};
use xsfm_readers::raw::RawField;

use super::counts::{Added, Shares};
use super::job::{self, Found, Job, Joined, Opened, SCHEMA, Split, Work, Written};
use crate::data::checks::LabelTexts;
use crate::data::counter::{Counter, Totals};
use crate::data::encoded::{Encoded, Tally, beside};
use crate::data::plan::{Times, keys};
use crate::data::prepare::writers;
use crate::data::split::{Assigner, Part};

/// Tokens, and cells of numbers, that are counted before they are sent on.
const COUNTED: usize = 1 << 23;

/// A machine's view of a preparation. Threads may share it.
pub struct Worker {
    folder: PathBuf,
    opened: Opened,
    encoder: OnceLock<(Schema, RowEncoder)>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Worker {
    /// Opens the source, as the working folder `folder` says.
    ///
    /// # Errors
    /// There is no such folder, or the source cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let opened = Job::load(folder)?.open()?;
        Ok(Worker { folder: folder.to_owned(), opened, encoder: OnceLock::new() })
    }

    /// Does a task that has no counts. What is wrong with the data is a result too, for the driver to tell.
    ///
    /// # Errors
    /// Those that may not come again where the task runs once more: of the file system.
    pub fn run(&self, task: &[u8]) -> Result<Vec<u8>> {
        answer(self.found(serde_json::from_slice(task)?))
    }

    /// Begins to count, for the tasks of a stage that has counts.
    pub fn counting(&self) -> Counting {
        Counting { counter: self.counter(), times: Times::default() }
    }

    fn counter(&self) -> Counter {
        Counter::new(self.fields(), self.opened.before.as_deref())
    }

    fn fields(&self) -> &[RawField] {
        self.opened.task.source.fields()
    }

    /// Begins to add counts up; `task` is any of the stage's.
    ///
    /// # Errors
    /// It is no task.
    pub fn sums(&self, task: &[u8]) -> Result<Sums> {
        // Whether a number's tokens are several is asked of all of them, however rare.
        let least = |field: &RawField| match (&field.rule, field.kind) {
            (Rule::Tokens | Rule::OovBuckets(_), FieldKind::Categorical | FieldKind::Bag) => field.min_count,
            _ => 1,
        };
        let least = match serde_json::from_slice(task)? {
            Work::Count { .. } => self.fields().iter().map(least).collect(),
            _ => Vec::new(),
        };
        Ok(Sums { added: Added::default(), least })
    }

    fn found(&self, work: Work) -> Result<Found, DataError> {
        let source = &*self.opened.task.source;
        match work {
            Work::Spans { file, rows } => Ok(Found::Spans(source.spans(file, rows)?)),
            Work::Labels { piece } => {
                let mut found = LabelTexts::default();
                let seen = pass_piece(source, &piece, All, |rows| {
                    found.add(LabelTexts::of(rows));
                    Ok(())
                })?;
                Ok(Found::Labels(seen, found))
            }
            Work::Numbers { piece, suspects } => {
                let seen = pass_piece(source, &piece, All, |rows| {
                    suspects.compare(rows);
                    Ok(())
                })?;
                Ok(Found::Numbers(seen, suspects))
            }
            Work::Encode { number, piece, rows } => self.encode(number, &piece, &rows),
            Work::Join(file) => self.join(&file),
            Work::Times { .. } | Work::Count { .. } => {
                Err(DataError::file(&self.folder, "a task that counts, for whoever has no counts"))
            }
        }
    }

    fn encoder(&self) -> Result<&(Schema, RowEncoder), DataError> {
        if let Some(encoder) = self.encoder.get() {
            return Ok(encoder);
        }
        let schema = Schema::load(&self.folder.join(SCHEMA))?;
        let encoder = RowEncoder::new(&schema, true);
        Ok(self.encoder.get_or_init(|| (schema, encoder)))
    }

    /// Each file appears whole or not at all, and has the same bytes whoever writes it.
    fn encode(&self, number: usize, piece: &Piece, split: &Split) -> Result<Found, DataError> {
        let source = &*self.opened.task.source;
        let (schema, encoder) = self.encoder()?;
        let mut writers = writers(source, schema, |part| job::file(&self.folder, part, number))?;
        let (mut tally, mut written) = (Tally::new(schema), Written::default());
        let seen = pass_piece(source, piece, assigner(piece, split)?, |rows| {
            let encoded = Encoded::of(encoder, schema, rows);
            tally.add(&encoded.tally);
            encoded.rows.iter().filter_map(words).for_each(|words| written.add_words(words));
            Ok(writers.iter_mut().zip(&encoded.rows).try_for_each(|(writer, block)| writer.push_block(block))?)
        })?;
        for (rows, writer) in written.rows.iter_mut().zip(writers) {
            *rows = writer.num_rows();
            if *rows > 0 {
                writer.commit()?;
            }
        }
        Ok(Found::Encoded(seen, Box::new(tally), written))
    }

    /// Writes rows of several pieces to a file.
    fn join(&self, Joined { name, part, rows, pieces, skipped }: &Joined) -> Result<Found, DataError> {
        let (schema, _) = self.encoder()?;
        let (bounds, beside) = (Bounds::from(schema), beside(&*self.opened.task.source));
        let mut writer = RowsWriter::create_with(&self.folder.join(name), &bounds, beside)?;
        let mut skipped = *skipped;
        for &piece in pieces {
            let path = job::file(&self.folder, Part::ALL[*part], piece);
            for block in RowsReader::open(&path)?.expecting(bounds.clone())?.blocks() {
                let block = block?;
                let from = skipped.min(block.len() as u64);
                let to = (from + rows - writer.num_rows()).min(block.len() as u64);
                skipped -= from;
                if from == 0 && to == block.len() as u64 {
                    writer.push_block(&block)?;
                    continue;
                }
                let mut some = RowBlock::new(block.num_fields, !block.offsets.is_empty());
                (from..to).for_each(|row| some.push_row_of(&block, row as usize));
                writer.push_block(&some)?;
            }
        }
        let found = writer.num_rows();
        writer.commit()?;
        Ok(Found::Joined(found))
    }
}

/// The least and the most words of a row.
fn words(block: &RowBlock) -> Option<[usize; 2]> {
    let lengths = (0..block.len()).map(|row| match block.offsets.is_empty() {
        true => block.num_fields,
        false => {
            let (from, to) = (row * block.num_fields, (row + 1) * block.num_fields);
            (block.offsets[to] - block.offsets[from]) as usize
        }
    });
    lengths.fold(None, |found: Option<[usize; 2]>, words| {
        Some(found.map_or([words; 2], |[least, most]| [least.min(words), most.max(words)]))
    })
}

fn assigner(piece: &Piece, Split { plan, start }: &Split) -> Result<Assigner, DataError> {
    plan.assigner_at(piece.first_row, start.clone())
}

/// A result, as bytes.
fn answer(found: Result<Found, DataError>) -> Result<Vec<u8>> {
    let found = match found {
        Err(error @ (DataError::Io { .. } | DataError::Rows(RowsError::Io { .. }))) => return Err(error.into()),
        found => found.map_err(|error| error.to_string()),
    };
    Ok(serde_json::to_vec(&found)?)
}

/// Counts of some tasks.
#[derive(Debug)]
pub struct Counting {
    counter: Counter,
    times: Times,
}

impl Counting {
    /// Does a task that has counts; what is left of it is its result.
    ///
    /// # Errors
    /// Those of [`Worker::run`].
    pub fn run(&mut self, worker: &Worker, task: &[u8]) -> Result<Vec<u8>> {
        answer(self.found(worker, &serde_json::from_slice(task)?))
    }

    fn found(&mut self, worker: &Worker, work: &Work) -> Result<Found, DataError> {
        let source = &*worker.opened.task.source;
        match work {
            Work::Times { piece } => {
                let seen = pass_piece(source, piece, All, |rows| {
                    keys(rows).into_iter().for_each(|key| *self.times.entry(key).or_default() += 1);
                    Ok(())
                })?;
                Ok(Found::Times(seen))
            }
            Work::Count { piece, rows: split } => {
                let mut totals = Totals::default();
                let seen = pass_piece(source, piece, assigner(piece, split)?, |rows| {
                    totals.add(self.counter.block(source.fields(), rows));
                    Ok(())
                })?;
                Ok(Found::Counted(seen, totals))
            }
            _ => Err(DataError::file(&worker.folder, "a task without counts, for whoever counts")),
        }
    }

    /// Whether it is time to [send on](Self::drain) what was counted, lest it fills the memory.
    pub fn is_full(&self) -> bool {
        self.counter.len() + self.times.len() >= COUNTED
    }

    /// What was counted, as bytes with the numbers of their shares; all of a share go to one [`Sums`].
    pub fn drain(&mut self, worker: &Worker) -> Vec<(u32, Vec<u8>)> {
        let mut shares = Shares::default();
        let counter = std::mem::replace(&mut self.counter, worker.counter());
        for (field, counts) in counter.into_fields().iter().enumerate() {
            counts.entries(|key, count| shares.push(field, key, count));
        }
        for (key, count) in std::mem::take(&mut self.times) {
            shares.push(0, &format!("{key:x}"), count);
        }
        shares.finish()
    }
}

/// Counts of some shares, added up.
#[derive(Debug)]
pub struct Sums {
    added: Added,
    least: Vec<u64>,
}

impl Sums {
    /// Adds bytes that [`Counting::drain`] gave.
    ///
    /// # Errors
    /// They are none.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.added.add(bytes).map_err(|what| anyhow!(what))
    }

    /// What the driver takes: counts of what is no rarer than it must be.
    pub fn drain(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.added).finish(&self.least)
    }
}

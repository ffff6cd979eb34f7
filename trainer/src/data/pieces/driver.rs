//! Which tasks many machines do to prepare a data set, and what their results add up to.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use xsfm_interchange::input::Input;
use xsfm_interchange::rows::RowsWriter;
use xsfm_interchange::schema::Schema;
use xsfm_readers::error::DataError;
use xsfm_readers::pass::{Seen, Walk};
use xsfm_readers::piece::{Piece, pieces};

use super::counts::entries;
use super::job::{self, Found, Job, Joined, Opened, SCHEMA, Split, Work, Written};
use super::join::{self, Told};
use crate::data::checks::{LabelTexts, Suspects, one_class};
use crate::data::count::FieldCounts;
use crate::data::counter::{CountedFields, Counter, Totals};
use crate::data::encoded::Tally;
use crate::data::plan::{Plan, Times, boundaries_in_time};
use crate::data::report::Report;
use crate::data::split::{self, Shares};

/// The working folder's name begins so, in the folder that is written to.
const WORKING: &str = ".preparing-";

/// A preparation by many machines. Dropped before its end, it leaves the folder as it was.
pub struct Preparation {
    opened: Opened,
    folder: PathBuf,
    /// At least, as far as files can be divided.
    rows_per_piece: u64,
    /// Whether parts stay in several files.
    in_parts: bool,
    pieces: Vec<Piece>,
    splits: Vec<Split>,
    state: State,
}

/// Which stage comes next, and what it needs.
enum State {
    Spans,
    Times(Shares, Times),
    Count(Vec<FieldCounts>),
    Labels(&'static str),
    Numbers(CountedFields, Suspects),
    Encode(Box<Schema>, Vec<String>),
    Join(Box<Told>, Vec<Joined>),
    Done(Box<Report>),
}

/// What machines are asked for: each task of some of them, in any order.
#[derive(Debug)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// For [`Worker::run`](super::worker::Worker::run), or where there are counts for
    /// [`Counting::run`](super::worker::Counting::run).
    pub tasks: Vec<Vec<u8>>,
    /// Whether there are counts beside the results.
    pub has_counts: bool,
}

impl fmt::Debug for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preparation").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// How many folders a command line of `prepare`, given without this word, makes, each by a [`Preparation`].
///
/// # Errors
/// Words that are none, which is a [`clap::Error`]; a source that cannot be read.
pub fn folders(words: &[String]) -> Result<usize> {
    // Those of libffm, which are not asked for, would be found by reading all rows.
    Ok(job::parse(words)?.args.tasks(Some(&[]))?.len())
}

/// What a command line itself has to say, where it is none or asks for help; and the exit status.
pub fn answer(words: &[String]) -> Option<(String, i32)> {
    job::parse(words).err().map(|error| (error.render().to_string(), error.exit_code()))
}

impl Preparation {
    /// Begins to make folder `number` of those of a command line. What another preparation of the folder has left is
    /// removed.
    ///
    /// # Errors
    /// Those of [`folders`]; a relative path; the folder cannot be written to.
    pub fn begin(words: &[String], number: usize) -> Result<Self> {
        let (line, mut job) = (job::parse(words)?, Job { words: words.to_vec(), number, fields: None });
        let opened = job.open()?;
        if let Input::Libffm { fields } = opened.task.source.input() {
            job.fields = Some(fields);
        }
        // A file that is not there would be tried again and again.
        for path in opened.task.source.inputs() {
            fs::metadata(&path).map_err(DataError::io(&path))?;
        }
        let out = &opened.task.out;
        fs::create_dir_all(out).map_err(DataError::io(out))?;
        for entry in fs::read_dir(out).map_err(DataError::io(out))? {
            let entry = entry.map_err(DataError::io(out))?;
            if entry.file_name().to_string_lossy().starts_with(WORKING) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(DataError::io(&path))?;
            }
        }
        let folder = out.join(format!("{WORKING}{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).map_err(DataError::io(&folder))?;
        let preparation = Preparation {
            opened,
            folder,
            rows_per_piece: line.rows_per_piece,
            in_parts: line.parts,
            pieces: Vec::new(),
            splits: Vec::new(),
            state: State::Spans,
        };
        job.save(&preparation.folder)?;
        Ok(preparation)
    }

    /// The working folder, by which a [`Worker`](super::worker::Worker) is opened.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// A task that cannot be written.
    pub fn stage(&self) -> Result<Option<Stage>> {
        let of_pieces = |work: &dyn Fn(usize, Piece) -> Result<Vec<u8>>| -> Result<Vec<Vec<u8>>> {
            self.pieces.iter().enumerate().map(|(number, &piece)| work(number, piece)).collect()
        };
        let (name, tasks, has_counts) = match &self.state {
            State::Spans => {
                let files = 0..self.opened.task.source.files().parts().len();
                let work = |file| written(&Work::Spans { file, rows: self.rows_per_piece });
                ("spans", files.map(work).collect(), false)
            }
            State::Times(..) => ("times", of_pieces(&|_, piece| written(&Work::Times { piece })), true),
            State::Count(_) => {
                let work = |n: usize, piece| written(&Work::Count { piece, rows: self.splits[n].clone() });
                ("count", of_pieces(&work), true)
            }
            State::Labels(_) => ("labels", of_pieces(&|_, piece| written(&Work::Labels { piece })), false),
            State::Numbers(_, suspects) => {
                let work = |_, piece| written(&Work::Numbers { piece, suspects: suspects.unseen() });
                ("numbers", of_pieces(&work), false)
            }
            State::Encode(..) => {
                let work =
                    |number: usize, piece| written(&Work::Encode { number, piece, rows: self.splits[number].clone() });
                ("encode", of_pieces(&work), false)
            }
            State::Join(_, files) => {
                ("join", files.iter().map(|file| written(&Work::Join(file.clone()))).collect(), false)
            }
            State::Done(_) => return Ok(None),
        };
        Ok(Some(Stage { name, tasks: tasks?, has_counts }))
    }

    /// Takes counts of the stage, which [`Sums`](super::worker::Sums) gave: of each share once.
    ///
    /// # Errors
    /// Bytes that are none; a stage without counts.
    pub fn take_counts(&mut self, bytes: &[u8]) -> Result<()> {
        let taken = match &mut self.state {
            State::Times(_, times) => entries(bytes, |_, key, count| {
                let key = u128::from_str_radix(key, 16).map_err(|_| format!("{key:?} is no time"))?;
                *times.entry(key).or_default() += count;
                Ok(())
            }),
            State::Count(fields) => entries(bytes, |field, key, count| {
                let fields_count = fields.len();
                let counts = fields.get_mut(field).ok_or_else(|| format!("field {field} of {fields_count}"))?;
                counts.add_entry(key, count)
            }),
            _ => Err("counts of a stage without them".to_owned()),
        };
        taken.map_err(|what| anyhow!(what))
    }

    /// Ends the stage with the results of its tasks, in their order.
    ///
    /// # Errors
    /// What a task says of the data, the first of them; malformed rows that are not allowed; the outputs cannot be
    /// written.
    pub fn take(&mut self, results: &[impl AsRef<[u8]>]) -> Result<()> {
        let read = |bytes: &[u8]| serde_json::from_slice::<Result<Found, String>>(bytes);
        let found = results.iter().map(|bytes| read(bytes.as_ref())?.map_err(|what| anyhow!(what)));
        let found = found.collect::<Result<Vec<_>>>()?;
        let wanted = match &self.state {
            State::Spans => self.files(),
            State::Join(_, files) => files.len(),
            _ => self.pieces.len(),
        };
        ensure!(found.len() == wanted, "{} results of {wanted} tasks", found.len());
        self.state = match std::mem::replace(&mut self.state, State::Spans) {
            State::Spans => self.divided(found)?,
            State::Times(shares, times) => {
                self.walk(&found)?;
                let source = &*self.opened.task.source;
                self.counting(Plan::Keys(boundaries_in_time(source, times, shares)?))?
            }
            State::Count(fields) => self.counted(fields, &found)?,
            State::Labels(what) => {
                self.walk(&found)?;
                let mut texts = LabelTexts::default();
                for found in found {
                    let Found::Labels(_, of_piece) = found else { bail!("a result of another stage") };
                    texts.add(of_piece);
                }
                return Err(texts.error(&*self.opened.task.source, what).into());
            }
            State::Numbers(counted, suspects) => {
                self.walk(&found)?;
                for found in &found {
                    let Found::Numbers(_, of_piece) = found else { bail!("a result of another stage") };
                    suspects.add(of_piece);
                }
                let warnings = suspects.warnings(self.opened.task.source.fields());
                self.encoding(counted, warnings)?
            }
            State::Encode(schema, warnings) => self.encoded(schema, warnings, &found)?,
            State::Join(told, files) => self.joined(*told, &files, &found)?,
            State::Done(_) => bail!("results behind the end"),
        };
        Ok(())
    }

    /// What was prepared, at the end.
    ///
    /// # Errors
    /// It is not the end.
    pub fn report(&self) -> Result<&Report> {
        match &self.state {
            State::Done(report) => Ok(report),
            _ => bail!("{}: not yet prepared", self.opened.task.out.display()),
        }
    }

    /// Shows it as `prepare` does.
    ///
    /// # Errors
    /// It is not the end; standard output cannot be written.
    pub fn show(&self) -> Result<()> {
        self.opened.task.show(self.report()?)
    }

    fn files(&self) -> usize {
        self.opened.task.source.files().parts().len()
    }

    /// The pieces are known.
    fn divided(&mut self, found: Vec<Found>) -> Result<State> {
        let mut files = Vec::new();
        for found in found {
            let Found::Spans(spans) = found else { bail!("a result of another stage") };
            files.push(spans);
        }
        self.pieces = pieces(&files);
        let task = &self.opened.task;
        match &task.split {
            split::Split::Chronological(shares) if task.source.has_time() => {
                Ok(State::Times(*shares, Times::default()))
            }
            split::Split::Chronological(shares) => {
                self.counting(Plan::of_rows(*shares, self.pieces.iter().map(|piece| piece.rows).sum()))
            }
            split => self.counting(Plan::new(split, &*task.source, task.reading)?),
        }
    }

    /// It is known what rows are for.
    fn counting(&mut self, plan: Plan) -> Result<State> {
        let starts = plan.starts(&self.pieces)?;
        self.splits = starts.into_iter().map(|start| Split { plan: plan.clone(), start }).collect();
        let Opened { task, before } = &self.opened;
        Ok(State::Count(Counter::new(task.source.fields(), before.as_deref()).into_fields()))
    }

    fn counted(&mut self, fields: Vec<FieldCounts>, found: &[Found]) -> Result<State> {
        let (walk, source) = (self.walk(found)?, &*self.opened.task.source);
        let mut totals = Totals::default();
        for found in found {
            let Found::Counted(_, of_piece) = found else { bail!("a result of another stage") };
            totals.add(*of_piece);
        }
        totals.check(source, &walk)?;
        if let Some(what) = one_class(totals.labels) {
            return Ok(State::Labels(what));
        }
        let counted = CountedFields::new(fields);
        let suspects = Suspects::new(source.fields(), &counted.counts);
        if suspects.is_empty() { self.encoding(counted, Vec::new()) } else { Ok(State::Numbers(counted, suspects)) }
    }

    /// The vocabularies are known.
    fn encoding(&self, counted: CountedFields, warnings: Vec<String>) -> Result<State> {
        let schema = counted.schema(&*self.opened.task.source, self.opened.before.as_deref());
        schema.save(&self.folder.join(SCHEMA))?;
        Ok(State::Encode(Box::new(schema), warnings))
    }

    /// All rows are encoded: their pieces are joined, here or by all machines.
    fn encoded(&mut self, schema: Box<Schema>, warnings: Vec<String>, found: &[Found]) -> Result<State> {
        let walk = self.walk(found)?;
        let (mut tally, mut all, mut rows) = (Tally::new(&schema), Written::default(), Vec::new());
        for found in found {
            let Found::Encoded(_, of_piece, written) = found else { bail!("a result of another stage") };
            tally.add(of_piece);
            written.words.into_iter().for_each(|words| all.add_words(words));
            rows.push(written.rows);
        }
        let told = Told { schema, warnings, walk, tally };
        // Blocks that end with bags of long rows would not be those of one file.
        let block_rows = all.words.and_then(|[least, most]| RowsWriter::block_rows(least, most));
        match block_rows.filter(|_| self.in_parts) {
            Some(block_rows) => Ok(State::Join(Box::new(told), join::files(&rows, block_rows as u64))),
            None => self.done(join::one_file_each(&self.opened.task, &self.folder, told, &rows)?),
        }
    }

    /// The machines have joined the pieces: what they wrote gets its places.
    fn joined(&self, told: Told, files: &[Joined], found: &[Found]) -> Result<State> {
        for (file, found) in files.iter().zip(found) {
            let Found::Joined(rows) = found else { bail!("a result of another stage") };
            ensure!(*rows == file.rows, "{}: {rows} rows, {} expected", file.name, file.rows);
        }
        self.done(join::several_files_each(&self.opened.task, &self.folder, told, files)?)
    }

    fn done(&self, report: Report) -> Result<State> {
        fs::remove_dir_all(&self.folder).map_err(DataError::io(&self.folder))?;
        Ok(State::Done(Box::new(report)))
    }

    /// What all tasks of the stage have seen.
    fn walk(&self, found: &[Found]) -> Result<Walk> {
        let task = &self.opened.task;
        let (path, mut walk) = (task.source.path(), Walk::default());
        for seen in found.iter().flat_map(Found::seen) {
            walk.add(seen, path, task.reading)?;
        }
        walk.check(path, task.reading)?;
        Ok(walk)
    }
}

impl Found {
    fn seen(&self) -> &[Seen] {
        match self {
            Found::Spans(_) | Found::Joined(_) => &[],
            Found::Times(seen)
            | Found::Counted(seen, _)
            | Found::Labels(seen, _)
            | Found::Numbers(seen, _)
            | Found::Encoded(seen, ..) => seen,
        }
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        if !matches!(self.state, State::Done(_)) {
            // The next preparation of the folder removes what is left.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn written(work: &Work) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(work)?)
}

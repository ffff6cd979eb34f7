//! What is prepared: a command line, in a file of the working folder, which all machines open alike; and what they are
//! asked to do.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use clap::builder::RangedU64ValueParser;
use rand::rngs::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use xsfm_interchange::atomic;
use xsfm_interchange::schema::Field;
use xsfm_readers::error::DataError;
use xsfm_readers::pass::Seen;
use xsfm_readers::piece::Piece;
use xsfm_readers::raw::Place;

use crate::data::checks::{LabelTexts, Suspects};
use crate::data::command::{Args, Task};
use crate::data::counter::Totals;
use crate::data::encoded::Tally;
use crate::data::extend;
use crate::data::plan::Plan;
use crate::data::split::Part;

/// The job, in the working folder.
const JOB: &str = "job.json";
/// The vocabularies, there, once they are known.
pub(super) const SCHEMA: &str = "schema.json";

/// A command line of `xsfm-train prepare`, without these two words.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) words: Vec<String>,
    /// Which of the folders that it makes.
    pub(super) number: usize,
    /// Of libffm, whose fields are found by reading all rows.
    pub(super) fields: Option<Vec<String>>,
}

#[derive(Debug, Parser)]
#[command(name = "xsfm-prepare-spark", version, args_override_self = true)]
pub(super) struct Line {
    #[command(flatten)]
    pub(super) args: Args,
    /// Rows of a task, at least; what a file of text or Parquet is divided in, gzip is not
    #[arg(long, global = true, value_name = "N", default_value_t = 1 << 18)]
    #[arg(value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub(super) rows_per_piece: u64,
    /// Leave the rows of each part in several files, which its manifest lists (train.parts): training reads them as one
    #[arg(long, global = true)]
    pub(super) parts: bool,
}

/// What the command line asks for.
///
/// # Errors
/// Words that are none, or that ask for help, whose text the error is.
pub(super) fn parse(words: &[String]) -> Result<Line, clap::Error> {
    let name = "xsfm-prepare-spark".to_owned();
    Line::try_parse_from([&name].into_iter().chain(words))
}

/// An opened job.
pub(super) struct Opened {
    pub(super) task: Task,
    /// The fields whose vocabularies go on.
    pub(super) before: Option<Vec<Field>>,
}

impl Job {
    /// Opens the source.
    ///
    /// # Errors
    /// It cannot be read, or the command line is none.
    pub(super) fn open(&self) -> Result<Opened> {
        let tasks = parse(&self.words)?.args.tasks(self.fields.as_deref())?;
        let count = tasks.len();
        let task = tasks.into_iter().nth(self.number);
        let task = task.with_context(|| format!("folder {} of {count} that the command line makes", self.number))?;
        let before = task.before.as_ref().map(|schema| extend::known(&*task.source, schema)).transpose()?;
        // Machines have other working folders.
        let inputs = task.source.inputs();
        if let Some(path) = inputs.iter().chain([&task.out]).find(|path| path.is_relative()) {
            bail!("{}: all machines must find it, so the whole path is needed, from the root on", path.display());
        }
        Ok(Opened { task, before })
    }

    /// Writes it to a working folder.
    pub(super) fn save(&self, folder: &Path) -> Result<(), DataError> {
        let path = folder.join(JOB);
        atomic::write(&path, |output| Ok(serde_json::to_writer(output, self)?)).map_err(DataError::io(&path))
    }

    /// Reads that of a working folder.
    ///
    /// # Errors
    /// There is none: the preparation has ended, or never was.
    pub(super) fn load(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(JOB);
        let text = fs::read(&path).map_err(DataError::io(&path))?;
        serde_json::from_slice(&text).map_err(|error| DataError::file(&path, error.to_string()))
    }
}

/// What is asked of a machine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Work {
    Spans { file: usize, rows: u64 },
    Times { piece: Piece },
    Count { piece: Piece, rows: Split },
    Labels { piece: Piece },
    Numbers { piece: Piece, suspects: Suspects },
    Encode { number: usize, piece: Piece, rows: Split },
    Join(Joined),
}

/// A file of rows of several pieces.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Joined {
    /// Its name, in the working folder.
    pub(super) name: String,
    /// The number of the part.
    pub(super) part: usize,
    pub(super) rows: u64,
    /// The pieces, of the first of which so many rows are in a file before.
    pub(super) pieces: Vec<usize>,
    pub(super) skipped: u64,
}

/// What the rows of a piece are for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Split {
    pub(super) plan: Plan,
    pub(super) start: Option<Xoshiro256PlusPlus>,
}

/// What comes back, beside counts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Found {
    Spans(Vec<(Option<Place>, u64)>),
    Times(Vec<Seen>),
    Counted(Vec<Seen>, Totals),
    Labels(Vec<Seen>, LabelTexts),
    Numbers(Vec<Seen>, Suspects),
    Encoded(Vec<Seen>, Box<Tally>, Written),
    Joined(u64),
}

/// A piece's files.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Written {
    /// How many rows each has.
    pub(super) rows: [u64; 3],
    /// The least and the most words of a row, in all fields together.
    pub(super) words: Option<[usize; 2]>,
}

impl Written {
    /// Adds words of other rows.
    pub(super) fn add_words(&mut self, [least, most]: [usize; 2]) {
        let known = self.words.unwrap_or([least, most]);
        self.words = Some([known[0].min(least), known[1].max(most)]);
    }
}

/// A file of a piece's encoded rows, in the working folder.
pub(super) fn file(folder: &Path, part: Part, piece: usize) -> PathBuf {
    folder.join(format!("piece-{}-{piece:06}.arrow", part.word()))
}

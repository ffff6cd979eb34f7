//! Rows of indices through the runtime: in chunks, on as many threads as are asked for.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use xsfm_convert::mapped::Mapped;
use xsfm_convert::pack::Packed;
use xsfm_convert::raw::{self, Columns};
use xsfm_convert::{Error, input};
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::{BatchError, Encoder, LoadError, LoadOptions, Model, OwnedModel, Score, Scorer, ScratchBlock};

use crate::error::Problem;

/// Rows that are encoded, and then scored, together: so few that their indices stay in the first-level cache.
const CHUNK: usize = 128;
/// Workers whose memory is kept between calls.
const KEPT: usize = 64;

/// The bytes of a packed file.
pub(crate) enum Bytes {
    Mapped(Mapped),
    Copied(Packed),
}

/// The same, of a model and of whoever pickles it.
#[derive(Clone)]
struct File(Arc<Bytes>);

impl AsRef<[u8]> for File {
    fn as_ref(&self) -> &[u8] {
        match &*self.0 {
            Bytes::Mapped(mapped) => mapped,
            Bytes::Copied(packed) => packed,
        }
    }
}

/// A model with its file, its prepared layers, and memory that calls have left for the next ones.
pub(crate) struct Loaded {
    pub(crate) model: Arc<OwnedModel>,
    file: File,
    /// What it is called in errors.
    pub(crate) name: String,
    /// Of the fields.
    pub(crate) names: Vec<String>,
    columns: OnceLock<Columns>,
    workers: Mutex<Vec<Worker>>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("model", &self.model).finish_non_exhaustive()
    }
}

/// What a thread scores with.
struct Worker {
    scratch: Vec<ScratchBlock>,
    block: RowBlock,
    scores: Vec<Score>,
}

/// What a score is told as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Output {
    Logit,
    Probability,
}

impl Output {
    pub(crate) fn asked(raw_score: bool) -> Self {
        if raw_score { Output::Logit } else { Output::Probability }
    }

    pub(crate) fn of(self, score: Score) -> f32 {
        match self {
            Output::Logit => score.logit,
            Output::Probability => score.probability(),
        }
    }
}

/// Rows of which any part can become indices, on any thread.
pub(crate) trait Rows: Sync {
    /// How many they are.
    fn len(&self) -> usize;

    /// Whether a row may have several indices in a field.
    fn has_bags(&self) -> bool;

    /// Appends the rows of `range` to an empty block.
    fn fill(&self, range: Range<usize>, block: &mut RowBlock) -> Result<(), Problem>;
}

impl Loaded {
    pub(crate) fn new(name: String, bytes: Bytes) -> Result<Self, LoadError> {
        let file = File(Arc::new(bytes));
        let model = Arc::new(OwnedModel::new(file.clone(), LoadOptions::default())?);
        let names = model.get().fields().map(|field| field.name.to_owned()).collect();
        Ok(Loaded { model, file, name, names, columns: OnceLock::new(), workers: Mutex::default() })
    }

    /// The model, prepared for this CPU.
    pub(crate) fn model(&self) -> &Model<'_> {
        self.model.get()
    }

    /// The model with its layers as they lie in the file.
    pub(crate) fn as_packed(&self) -> Result<Model<'_>, LoadError> {
        Model::from_bytes_skipping_checksum(self.file())
    }

    /// As it was packed.
    pub(crate) fn file(&self) -> &[u8] {
        self.file.as_ref()
    }

    /// What makes indices of raw values.
    pub(crate) fn encoder(&self) -> Result<Encoder<'_>, Problem> {
        let encoder = self.model().encoder().map_err(|error| Problem::of_all(format!("{}: {error}", self.name)))?;
        encoder.ok_or_else(|| {
            let what = "packed without its vocabulary, so it takes arrays of indices alone; pack it anew, with its \
                        schema.json";
            Problem::of_all(format!("{}: {what}", self.name))
        })
    }

    /// The columns of raw rows.
    pub(crate) fn columns(&self, encoder: &Encoder<'_>) -> Result<&Columns, Problem> {
        if let Some(columns) = self.columns.get() {
            return Ok(columns);
        }
        let columns = raw::columns(Path::new(&self.name), self.model(), encoder);
        let columns = columns.map_err(|error| Problem::of_all(error.to_string()))?;
        Ok(self.columns.get_or_init(|| columns))
    }

    /// The scores of rows, `[rows]`, on `jobs` threads at most.
    pub(crate) fn score(
        &self,
        rows: &dyn Rows,
        output: Output,
        jobs: usize,
        scores: &mut [f32],
    ) -> Result<(), Problem> {
        let count = rows.len();
        // A thread has whole chunks, but for the last.
        let part = count.div_ceil(jobs.max(1)).next_multiple_of(CHUNK);
        if part >= count {
            return self.score_part(rows, output, 0..count, scores);
        }
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for (p, scores) in scores.chunks_mut(part).enumerate() {
                let range = p * part..p * part + scores.len();
                let score = move || self.score_part(rows, output, range, scores);
                // One that cannot be started, of so many, is no panic.
                let thread = thread::Builder::new().spawn_scoped(scope, score);
                threads.push(thread.map_err(|error| Problem::of_all(format!("{jobs} threads: {error}")))?);
            }
            let broken = || Err(Problem::of_all("a thread that scores has ended early"));
            let outcomes = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| broken()));
            // All of them end before the first problem is told.
            outcomes.collect::<Vec<_>>().into_iter().collect()
        })
    }

    fn score_part(
        &self,
        rows: &dyn Rows,
        output: Output,
        range: Range<usize>,
        scores: &mut [f32],
    ) -> Result<(), Problem> {
        let mut worker = self.worker();
        let mut done = 0;
        let outcome = scores.chunks_mut(CHUNK).try_for_each(|scores| {
            let first = range.start + done;
            done += scores.len();
            self.score_chunk(rows, output, first, scores, &mut worker)
        });
        self.keep(worker);
        outcome
    }

    fn score_chunk(
        &self,
        rows: &dyn Rows,
        output: Output,
        first: usize,
        scores: &mut [f32],
        worker: &mut Worker,
    ) -> Result<(), Problem> {
        let Worker { scratch, block, scores: found } = worker;
        if rows.has_bags() == block.offsets.is_empty() {
            *block = RowBlock::new(self.names.len(), rows.has_bags());
        }
        block.clear();
        rows.fill(first..first + scores.len(), block)?;
        let problem = |row, error| Problem::scoring(first + row, error, &self.names);
        let mut scorer = Scorer::new(self.model(), scratch).map_err(|error| problem(0, error))?;
        if let [score] = scores {
            *score = output.of(scorer.score(block.row(0)).map_err(|error| problem(0, error))?);
            return Ok(());
        }
        found.clear();
        found.resize(scores.len(), Score::default());
        let rows: Vec<_> = (0..scores.len()).map(|i| block.row(i)).collect();
        scorer.score_batch(&rows, found).map_err(|BatchError { row, error }| problem(row, error))?;
        scores.iter_mut().zip(found).for_each(|(score, found)| *score = output.of(*found));
        Ok(())
    }

    fn worker(&self) -> Worker {
        let kept = self.workers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Worker {
            scratch: vec![ScratchBlock::ZERO; self.model().batch_scratch_blocks()],
            block: RowBlock::new(self.names.len(), false),
            scores: Vec::new(),
        })
    }

    fn keep(&self, worker: Worker) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if workers.len() < KEPT {
            workers.push(worker);
        }
    }
}

/// Opens a file as the programs do: mapped, where it can be.
pub(crate) fn open(path: &Path) -> Result<Loaded, Error> {
    let mapped = input::packed(path)?;
    let loaded = Loaded::new(path.display().to_string(), Bytes::Mapped(mapped));
    loaded.map_err(|source| Error::Load { path: path.to_owned(), source })
}

/// Rows of a block, as they are.
impl Rows for RowBlock {
    fn len(&self) -> usize {
        RowBlock::len(self)
    }

    fn has_bags(&self) -> bool {
        !self.offsets.is_empty()
    }

    fn fill(&self, range: Range<usize>, block: &mut RowBlock) -> Result<(), Problem> {
        range.for_each(|row| block.push_row_of(self, row));
        Ok(())
    }
}

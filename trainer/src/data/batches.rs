//! Batches for training: shuffled within a bounded window, the same for the same seed and epoch.
//!
//! Blocks of the file are visited in a random order; a window of several blocks is held in memory and its rows are
//! visited in a random order. A file no larger than the window is shuffled fully. An epoch's order depends on the seed
//! and the epoch's number alone, so that a resumed run sees what an uninterrupted one would have.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use xsfm_interchange::rows::{BLOCK_ROWS, Bounds, RowBlock, RowsError, RowsReader};

/// A window is closed at this many rows,
const WINDOW_ROWS: usize = 4 * BLOCK_ROWS;
/// or this many indices (64 MB), whichever comes first.
const WINDOW_INDICES: usize = 1 << 24;

/// A file of encoded rows, read in batches.
#[derive(Debug)]
pub struct Batches {
    reader: RowsReader,
    batch_size: usize,
    mean_weight: Option<f64>,
}

/// The order of the rows in one pass over the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As in the file.
    Sequential,
    /// Shuffled for one epoch.
    Shuffled {
        /// The run's seed.
        seed: u64,
        /// The epoch's number.
        epoch: u64,
    },
}

/// Rows that are computed together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Labels `[batch]`, indices and offsets flattened over rows and fields.
    pub rows: RowBlock,
    /// `[batch]`: the rows' numbers in the file, from 0.
    pub numbers: Vec<u64>,
}

/// One pass over a file: an iterator of batches. All have `batch_size` rows but the last, which has what remains.
#[derive(Debug)]
pub struct Pass<'a> {
    reader: &'a mut RowsReader,
    batch_size: usize,
    /// Blocks still to read, the next one last.
    blocks: Vec<usize>,
    random: Option<Xoshiro256PlusPlus>,
    window: Vec<RowBlock>,
    /// Number in the file of the first row of each block in the window.
    first_rows: Vec<u64>,
    /// `(block in the window, row in the block)`, the next one last.
    rows: Vec<(u32, u32)>,
    failed: bool,
}

impl Batches {
    /// Opens a file whose columns and indices must fit `bounds`. A batch size of 0 counts as 1.
    ///
    /// # Errors
    /// The file cannot be read, or is not a file of such rows.
    pub fn open(path: &Path, bounds: Bounds, batch_size: usize) -> Result<Self, RowsError> {
        let reader = RowsReader::open(path)?.expecting(bounds)?;
        if !reader.beside().labels {
            let what =
                "its rows have no labels: they can be scored, but nothing can be learned from or measured on them";
            return Err(RowsError::Columns { path: path.to_owned(), what: what.to_owned() });
        }
        Ok(Batches { reader, batch_size: batch_size.max(1), mean_weight: None })
    }

    /// Number of rows of a pass.
    pub fn num_rows(&self) -> u64 {
        self.reader.num_rows()
    }

    /// Number of batches of a pass.
    pub fn num_batches(&self) -> u64 {
        self.num_rows().div_ceil(self.batch_size as u64)
    }

    /// The mean weight of all rows, 1 where they have none; read once.
    ///
    /// # Errors
    /// Those of [`RowsReader::mean_weight`].
    pub fn mean_weight(&mut self) -> Result<f64, RowsError> {
        if let Some(mean) = self.mean_weight {
            return Ok(mean);
        }
        let mean = self.reader.mean_weight()?;
        self.mean_weight = Some(mean);
        Ok(mean)
    }

    /// Starts a pass over the file.
    pub fn pass(&mut self, order: Order) -> Pass<'_> {
        self.pass_of(None, order)
    }

    /// Starts a pass over the file in batches of at least so many rows.
    pub fn pass_of(&mut self, rows: Option<usize>, order: Order) -> Pass<'_> {
        let mut blocks: Vec<usize> = (0..self.reader.num_blocks()).rev().collect();
        let random = match order {
            Order::Sequential => None,
            Order::Shuffled { seed, epoch } => {
                // An odd factor maps seeds one to one; `seed_from_u64` makes unrelated streams of neighbouring values.
                let mut random = Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ epoch);
                blocks.shuffle(&mut random);
                Some(random)
            }
        };
        Pass {
            reader: &mut self.reader,
            batch_size: rows.map_or(self.batch_size, |rows| rows.max(self.batch_size)),
            blocks,
            random,
            window: Vec::new(),
            first_rows: Vec::new(),
            rows: Vec::new(),
            failed: false,
        }
    }
}

impl Pass<'_> {
    fn read_window(&mut self) -> Result<(), RowsError> {
        self.window.clear();
        self.first_rows.clear();
        // In the order of the file one block at a time will do.
        let (max_rows, max_indices) = if self.random.is_some() { (WINDOW_ROWS, WINDOW_INDICES) } else { (1, 1) };
        let (mut rows, mut indices) = (0, 0);
        while rows < max_rows && indices < max_indices {
            let Some(i) = self.blocks.pop() else { break };
            let block = self.reader.read_block(i)?;
            rows += block.len();
            indices += block.indices.len();
            self.window.push(block);
            self.first_rows.push(self.reader.block_rows(i).map_or(0, |rows| rows.start));
        }
        for (b, block) in (0_u32..).zip(&self.window) {
            self.rows.extend((0_u32..).take(block.len()).map(|r| (b, r)));
        }
        match &mut self.random {
            Some(random) => self.rows.shuffle(random),
            None => self.rows.reverse(),
        }
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Batch, RowsError> {
        let columns = self.reader.columns();
        let mut rows = RowBlock::new(columns.len(), columns.iter().any(|c| c.bag));
        rows.indices.reserve(self.batch_size * columns.len());
        let mut numbers = Vec::with_capacity(self.batch_size);
        while numbers.len() < self.batch_size {
            let Some((b, r)) = self.rows.pop() else {
                if self.blocks.is_empty() {
                    break;
                }
                self.read_window()?;
                continue;
            };
            let (block, row) = (&self.window[b as usize], r as usize);
            rows.push_row_of(block, row);
            numbers.push(self.first_rows[b as usize] + u64::from(r));
        }
        Ok(Batch { rows, numbers })
    }
}

impl Iterator for Pass<'_> {
    type Item = Result<Batch, RowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.next_batch();
        self.failed = batch.is_err();
        batch.map(|batch| (!batch.numbers.is_empty()).then_some(batch)).transpose()
    }
}

//! Which rows are for training, validation and test: 8 : 1 : 1 at random or by time, or as a file says.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::source::{DataError, RawRow, Source, progress};

/// What a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Training.
    Train,
    /// Validation: early stopping, calibration.
    Valid,
    /// Test.
    Test,
}

/// How rows are assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// Each row independently, with probabilities 0.8, 0.1 and 0.1.
    Random {
        /// Same seed, same parts.
        seed: u64,
    },
    /// The first 80 % for training, the next 10 % for validation, the last for test: by the data set's time, or where it
    /// has none by the order of the file. Rows of the same time stay together.
    Chronological,
    /// One letter per row: t, v or e.
    File(PathBuf),
}

/// The options of the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct SplitArgs {
    /// How rows are assigned to training, validation and test
    #[arg(long, value_enum, default_value_t = SplitKind::Random)]
    split: SplitKind,
    /// One letter per row: t (training), v (validation), e (test)
    #[arg(long, value_name = "FILE", required_if_eq("split", "file"))]
    split_file: Option<PathBuf>,
    /// Seed of the random split
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SplitKind {
    /// 8 : 1 : 1 at random
    Random,
    /// 8 : 1 : 1 by time
    Chronological,
    /// As --split-file says
    File,
}

impl SplitArgs {
    /// The split that was asked for.
    ///
    /// # Errors
    /// `--split-file` and another `--split` together.
    pub fn split(&self) -> anyhow::Result<Split> {
        match (self.split, &self.split_file) {
            (SplitKind::File, Some(path)) => Ok(Split::File(path.clone())),
            (_, Some(_)) | (SplitKind::File, None) => anyhow::bail!("--split-file and --split file go together"),
            (SplitKind::Random, None) => Ok(Split::Random { seed: self.seed }),
            (SplitKind::Chronological, None) => Ok(Split::Chronological),
        }
    }
}

/// A split whose boundaries are known: gives every pass the same [`Assigner`].
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Random {
        seed: u64,
    },
    /// A row whose key is below the first is for training, below the second for validation.
    Keys([u64; 2]),
    File(PathBuf),
}

impl Plan {
    /// Finds the boundaries; takes passes over the rows where the split is chronological.
    pub(super) fn new(split: &Split, source: &dyn Source) -> Result<Self, DataError> {
        Ok(match split {
            Split::Random { seed } => Plan::Random { seed: *seed },
            Split::File(path) => Plan::File(path.clone()),
            Split::Chronological => Plan::Keys(boundaries(source)?),
        })
    }

    pub(super) fn assigner(&self) -> Result<Assigner, DataError> {
        Ok(match self {
            Plan::Random { seed } => Assigner::Random { random: Xoshiro256PlusPlus::seed_from_u64(*seed), drawn: 0 },
            Plan::Keys(keys) => Assigner::Keys(*keys),
            Plan::File(path) => {
                let file = File::open(path).map_err(DataError::io(path))?;
                Assigner::File { path: path.clone(), lines: BufReader::new(file).lines(), read: 0 }
            }
        })
    }
}

/// Assigns the rows of one pass, in the order of the file.
#[derive(Debug)]
pub(super) enum Assigner {
    Random { random: Xoshiro256PlusPlus, drawn: u64 },
    Keys([u64; 2]),
    File { path: PathBuf, lines: Lines<BufReader<File>>, read: u64 },
}

impl Assigner {
    /// What a row is for. Malformed rows that a pass left out have their draw or letter too.
    pub(super) fn part(&mut self, row: &RawRow) -> Result<Part, DataError> {
        match self {
            Assigner::Random { random, drawn } => {
                let mut draw = 0_u32;
                while *drawn <= row.number {
                    draw = random.random_range(0..10);
                    *drawn += 1;
                }
                Ok(match draw {
                    0..8 => Part::Train,
                    8 => Part::Valid,
                    _ => Part::Test,
                })
            }
            Assigner::Keys([valid, test]) => Ok(match key(row) {
                key if key < *valid => Part::Train,
                key if key < *test => Part::Valid,
                _ => Part::Test,
            }),
            Assigner::File { path, lines, read } => {
                let mut part = None;
                while *read <= row.number {
                    part = next_letter(path, lines, read)?;
                    if part.is_none() {
                        let what = format!("{read} letters, but row {} needs one", row.number + 1);
                        return Err(DataError::file(path, what));
                    }
                }
                part.ok_or_else(|| DataError::file(path, format!("row {} came twice", row.number + 1)))
            }
        }
    }

    /// Checks at the end of a pass that a split file has no letters left.
    pub(super) fn finish(mut self, rows: u64) -> Result<(), DataError> {
        if let Assigner::File { path, lines, read } = &mut self {
            while next_letter(path, lines, read)?.is_some() {}
            if *read != rows {
                return Err(DataError::file(path, format!("{read} letters for {rows} rows")));
            }
        }
        Ok(())
    }
}

fn next_letter(path: &Path, lines: &mut Lines<BufReader<File>>, read: &mut u64) -> Result<Option<Part>, DataError> {
    let Some(line) = lines.next() else { return Ok(None) };
    let line = line.map_err(DataError::io(path))?;
    *read += 1;
    match line.trim() {
        "t" => Ok(Some(Part::Train)),
        "v" => Ok(Some(Part::Valid)),
        "e" => Ok(Some(Part::Test)),
        other => Err(DataError::row(path, *read, format!("{other:?} is not one of t, v, e"))),
    }
}

/// An integer that orders rows by time, or by number where there is no time.
fn key(row: &RawRow) -> u64 {
    let Some(time) = row.time else { return row.number };
    // The usual map from IEEE-754 to integers of the same order: flip the sign bit, or all bits of negative numbers.
    let bits = (time + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The keys at 80 % and 90 % of the sorted rows, without holding the keys: sixteen bits per pass, from the top.
fn boundaries(source: &dyn Source) -> Result<[u64; 2], DataError> {
    let mut found = [0_u64; 2];
    let mut ranks = [0_u64; 2];
    for shift in [48, 32, 16, 0] {
        let mut counts = [vec![0_u64; 1 << 16], vec![0_u64; 1 << 16]];
        let mut rows = 0_u64;
        let bar = progress(source.path(), "ordering")?;
        source.pass(&bar, &mut |row| {
            rows += 1;
            let key = key(row);
            for (counts, found) in counts.iter_mut().zip(found) {
                // In the first pass nothing is known of the key; the shift by 64 bits would overflow.
                if shift == 48 || key >> (shift + 16) == found {
                    counts[(key >> shift) as usize & 0xffff] += 1;
                }
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        if shift == 48 {
            ranks = [8, 9].map(|tenths| rows * tenths / 10);
        }
        for ((counts, found), rank) in counts.iter().zip(&mut found).zip(&mut ranks) {
            let mut digit = 0;
            while digit < 0xffff && *rank >= counts[digit] {
                *rank -= counts[digit];
                digit += 1;
            }
            *found = *found << 16 | digit as u64;
        }
    }
    Ok(found)
}

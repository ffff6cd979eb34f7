//! Where the parts of a split begin, which may take a pass over the rows to find.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use foldhash::fast::RandomState;
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use xsfm_readers::error::DataError;
use xsfm_readers::open::open;
use xsfm_readers::pass::{All, Assign, Reading, Rows, pass, progress};
use xsfm_readers::piece::Piece;
use xsfm_readers::source::Source;
use xsfm_readers::time::Time;

use super::split::{Assigner, Shares, Split, key};

/// A split whose boundaries are known: gives every pass the same [`Assigner`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Plan {
    Random {
        seed: u64,
        /// Draws below the first are for training, below the second for validation.
        draws: [u64; 2],
    },
    /// A row whose key is below the first is for training, below the second for validation.
    Keys([u128; 2]),
    File(PathBuf),
}

impl Plan {
    /// Finds the boundaries; takes a pass over the rows where the split is chronological.
    pub(super) fn new(split: &Split, source: &dyn Source, reading: Reading) -> Result<Self, DataError> {
        Ok(match split {
            Split::Random { seed, shares } => Plan::Random { seed: *seed, draws: shares.boundaries(1000) },
            Split::File(path) => Plan::File(path.clone()),
            Split::Chronological(shares) if source.has_time() => {
                Plan::Keys(boundaries_in_time(source, times(source, reading)?, *shares)?)
            }
            Split::Chronological(shares) => {
                let bar = progress(source.files(), "counting")?;
                let mut rows = 0;
                for block in source.blocks(&bar) {
                    rows += block?.rows() as u64;
                    bar.set_message(format!("{rows} rows"));
                }
                bar.finish_and_clear();
                Plan::of_rows(*shares, rows)
            }
        })
    }

    /// By the order of so many rows.
    pub(super) fn of_rows(shares: Shares, rows: u64) -> Self {
        Plan::Keys(shares.boundaries(rows).map(u128::from))
    }

    /// What the assigner of each piece begins with, which goes to whoever reads the piece: a generator's state.
    pub(super) fn starts(&self, pieces: &[Piece]) -> Result<Vec<Option<Xoshiro256PlusPlus>>, DataError> {
        let mut assigner = self.assigner()?;
        let start = |piece: &Piece| {
            let start = match &assigner {
                Assigner::Random(random, _) => Some(random.clone()),
                Assigner::Keys(_) | Assigner::File { .. } => None,
            };
            assigner.skip(piece.first_row, piece.rows)?;
            Ok(start)
        };
        let starts = pieces.iter().map(start).collect::<Result<_, DataError>>()?;
        assigner.finish(pieces.iter().map(|piece| piece.rows).sum())?;
        Ok(starts)
    }

    /// The assigner of the rows from row `first` on, with its [start](Self::starts).
    pub(super) fn assigner_at(&self, first: u64, start: Option<Xoshiro256PlusPlus>) -> Result<Assigner, DataError> {
        let mut assigner = self.assigner()?;
        match (&mut assigner, start) {
            (Assigner::Random(random, _), Some(start)) => *random = start,
            (assigner, _) => assigner.skip(0, first)?,
        }
        Ok(assigner)
    }

    pub(super) fn assigner(&self) -> Result<Assigner, DataError> {
        Ok(match self {
            Plan::Random { seed, draws } => Assigner::Random(Xoshiro256PlusPlus::seed_from_u64(*seed), *draws),
            Plan::Keys(keys) => Assigner::Keys(*keys),
            Plan::File(path) => {
                let letters = open(path, &ProgressBar::hidden())?;
                Assigner::File { path: path.clone(), lines: BufReader::new(letters).lines(), read: 0 }
            }
        })
    }
}

/// How many rows have each time. Memory grows with the number of distinct times, not of rows.
pub(super) type Times = HashMap<u128, u64, RandomState>;

fn times(source: &dyn Source, reading: Reading) -> Result<Times, DataError> {
    let mut counts = Times::default();
    pass(source, reading, "ordering", All, keys, |keys| -> Result<(), DataError> {
        keys.into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
        Ok(())
    })?;
    Ok(counts)
}

/// The time of each well-formed row of a block.
pub(super) fn keys(rows: &mut Rows<'_>) -> Vec<u128> {
    let mut keys = Vec::new();
    rows.each(|(), row| keys.push(key(row)));
    keys
}

/// The times where validation and test begin; an error where there is one time alone.
pub(super) fn boundaries_in_time(source: &dyn Source, counts: Times, shares: Shares) -> Result<[u128; 2], DataError> {
    let mut counts: Vec<(u128, u64)> = counts.into_iter().collect();
    counts.sort_unstable();
    if let [(key, rows @ 2..)] = counts[..] {
        let time = Time::of_key(key);
        let what = format!(
            "all {rows} rows have one time, {time}: nothing tells which come last (--split random needs no time)"
        );
        return Err(DataError::file(source.path(), what));
    }
    let rows = counts.iter().map(|(_, count)| count).sum();
    Ok(shares.boundaries(rows).map(|rank| {
        let mut before = 0;
        let reached = counts.iter().find(|(_, count)| {
            before += count;
            before > rank
        });
        reached.map_or(u128::MAX, |&(key, _)| key)
    }))
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::data::split::{Part, Parts};

    #[test]
    fn draws_are_those_of_one_in_ten() {
        // The student in the repository goes with rows that were split by drawing one of ten. Thousandths give the
        // same.
        for seed in 0..4 {
            let plan = Plan::Random { seed, draws: Shares::default().boundaries(1000) };
            let Ok(Parts::Each(parts)) = plan.assigner().and_then(|mut assigner| assigner.parts(0, 200_000)) else {
                panic!("a part for each row")
            };
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            let tenths = (0..200_000).map(|_| match random.random_range(0..10) {
                0..8 => Part::Train,
                8 => Part::Valid,
                _ => Part::Test,
            });
            assert!(tenths.eq(parts));
        }
    }
}

//! Which rows are for training, validation and test: at random, by time, or as a file says.

use std::io::{BufReader, Lines};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use serde::Serialize;
pub use xsfm_interchange::dataset::Part;
use xsfm_readers::error::DataError;
use xsfm_readers::open::Text;
use xsfm_readers::pass::Assign;
use xsfm_readers::raw::RawRow;
use xsfm_readers::time::Time;

/// How many of a thousand rows are for validation and for test; the others are for training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shares {
    /// Validation rows.
    pub valid: u16,
    /// Test rows.
    pub test: u16,
}

/// 8 : 1 : 1.
impl Default for Shares {
    fn default() -> Self {
        Shares { valid: 100, test: 100 }
    }
}

/// Three percentages, for example `85:7.5:7.5`.
impl FromStr for Shares {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let thousandths = |percent: &str| {
            let value = percent.parse::<f64>().map_err(|_| format!("{percent:?} is not a number"))? * 10.0;
            if !(0.0..=1000.0).contains(&value) || (value - value.round()).abs() > 1e-9 {
                return Err(format!("{percent}: a percentage from 0 to 100 with at most one decimal expected"));
            }
            Ok(value.round() as u16)
        };
        let parts = text.split(':').map(thousandths).collect::<Result<Vec<_>, _>>()?;
        match parts[..] {
            [train, valid, test] if train + valid + test == 1000 => Ok(Shares { valid, test }),
            [_, _, _] => Err(format!(
                "{text}: the three add up to {}, 100 expected",
                f64::from(parts.iter().sum::<u16>()) / 10.0
            )),
            _ => Err(format!("{text:?}: three percentages expected, for example 85:7.5:7.5")),
        }
    }
}

impl Shares {
    /// Where validation and test begin, among `rows` ordered rows.
    pub(super) fn boundaries(self, rows: u64) -> [u64; 2] {
        [self.valid + self.test, self.test].map(|after| {
            let before = u128::from(rows) * u128::from(1000 - after) / 1000;
            // No more than `rows`.
            before as u64
        })
    }
}

/// How rows are assigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Split {
    /// Each row independently, with the probabilities of the shares.
    Random {
        /// Same seed, same parts.
        seed: u64,
        /// How many for what.
        shares: Shares,
    },
    /// The first rows for training, the next for validation, the last for test: by the data set's time, of which rows
    /// of the same stay together, or where it has none by the order of the file, in which malformed rows have their
    /// place too.
    Chronological(Shares),
    /// One letter per row: t, v or e.
    File(PathBuf),
}

/// The options of the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct SplitArgs {
    /// How rows are assigned to training, validation and test [default: random; criteo, recsys2020: chronological]
    #[arg(long, value_enum)]
    split: Option<SplitKind>,
    /// Percentages for training, validation and test [default: 80:10:10; criteo: 85:7.5:7.5]
    #[arg(long, value_name = "T:V:E")]
    shares: Option<Shares>,
    /// One letter per row: t (training), v (validation), e (test)
    #[arg(long, value_name = "FILE", required_if_eq("split", "file"))]
    split_file: Option<PathBuf>,
    /// Seed of the random split
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The ways of splitting that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SplitKind {
    /// At random
    Random,
    /// By time, or where rows have none by the order of the file: the last ones are for test
    Chronological,
    /// As --split-file says
    File,
}

impl SplitArgs {
    /// The split that was asked for, or else the data set's usual one.
    ///
    /// # Errors
    /// `--split-file` together with another `--split` or with `--shares`.
    pub fn split(&self, usual: SplitKind, usual_shares: Shares) -> anyhow::Result<Split> {
        let shares = self.shares.unwrap_or(usual_shares);
        match (self.split.unwrap_or(usual), &self.split_file) {
            (SplitKind::File, Some(_)) if self.shares.is_some() => {
                anyhow::bail!("--shares and --split file exclude each other")
            }
            (SplitKind::File, Some(path)) => Ok(Split::File(path.clone())),
            (_, Some(_)) | (SplitKind::File, None) => anyhow::bail!("--split-file and --split file go together"),
            (SplitKind::Random, None) => Ok(Split::Random { seed: self.seed, shares }),
            (SplitKind::Chronological, None) => Ok(Split::Chronological(shares)),
        }
    }
}

/// Assigns the rows of one pass. Malformed rows have their draw or letter too.
#[derive(Debug)]
pub(super) enum Assigner {
    Random(Xoshiro256PlusPlus, [u64; 2]),
    Keys([u128; 2]),
    File { path: PathBuf, lines: Lines<BufReader<Text>>, read: u64 },
}

/// What the rows of a block are for.
#[derive(Debug)]
pub(super) enum Parts {
    Each(Vec<Part>),
    ByKey([u128; 2]),
}

fn part<K: PartialOrd>(key: K, [valid, test]: [K; 2]) -> Part {
    match key {
        key if key < valid => Part::Train,
        key if key < test => Part::Valid,
        _ => Part::Test,
    }
}

/// The draw of the next row.
fn draw(random: &mut Xoshiro256PlusPlus) -> u64 {
    u64::from(random.random_range(0..1000_u32))
}

impl Assigner {
    /// Passes over the next `rows` rows, which begin at row `first`.
    ///
    /// # Errors
    /// Those of [`parts`](Assign::parts).
    pub(super) fn skip(&mut self, first: u64, rows: u64) -> Result<(), DataError> {
        match self {
            Assigner::Random(random, _) => (0..rows).for_each(|_| _ = draw(random)),
            Assigner::Keys(_) => {}
            Assigner::File { path, lines, read } => {
                (first..first + rows).try_for_each(|row| letter(path, lines, read, row).map(drop))?;
            }
        }
        Ok(())
    }
}

impl Assign for Assigner {
    type Part = Part;
    type Parts = Parts;

    fn parts(&mut self, first: u64, rows: usize) -> Result<Parts, DataError> {
        Ok(match self {
            Assigner::Random(random, draws) => Parts::Each((0..rows).map(|_| part(draw(random), *draws)).collect()),
            Assigner::Keys(keys) => Parts::ByKey(*keys),
            Assigner::File { path, lines, read } => {
                let parts = (first..first + rows as u64).map(|row| letter(path, lines, read, row));
                Parts::Each(parts.collect::<Result<_, _>>()?)
            }
        })
    }

    fn part(parts: &Parts, i: usize, row: &RawRow) -> Part {
        match parts {
            Parts::Each(parts) => parts[i],
            Parts::ByKey(keys) => part(key(row), *keys),
        }
    }

    /// A split file has no letters left.
    fn finish(&mut self, rows: u64) -> Result<(), DataError> {
        if let Assigner::File { path, lines, read } = self {
            while next_letter(path, lines, read)?.is_some() {}
            if *read != rows {
                return Err(DataError::file(path, format!("{read} letters for {rows} rows")));
            }
        }
        Ok(())
    }
}

/// The letter of row `row`, which comes next.
fn letter(path: &Path, lines: &mut Lines<BufReader<Text>>, read: &mut u64, row: u64) -> Result<Part, DataError> {
    next_letter(path, lines, read)?
        .ok_or_else(|| DataError::file(path, format!("{read} letters, but row {} needs one", row + 1)))
}

fn next_letter(path: &Path, lines: &mut Lines<BufReader<Text>>, read: &mut u64) -> Result<Option<Part>, DataError> {
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
pub(super) fn key(row: &RawRow) -> u128 {
    row.time.map_or(u128::from(row.number), Time::key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages() {
        let shares = |text: &str| text.parse::<Shares>();
        assert_eq!(shares("85:7.5:7.5"), Ok(Shares { valid: 75, test: 75 }));
        assert_eq!(shares("100:0:0"), Ok(Shares { valid: 0, test: 0 }));
        assert_eq!(Shares { valid: 75, test: 75 }.boundaries(45_840_617), [38_964_524, 42_402_570]);
        for (text, expected) in [
            ("80:10", "three percentages"),
            ("80:10:20", "add up to 110"),
            ("80:x:10", "\"x\" is not a number"),
            ("80:10.25:9.75", "10.25"),
            ("200:-50:-50", "200"),
            ("NaN:0:100", "NaN"),
        ] {
            assert!(shares(text).is_err_and(|what| what.contains(expected)), "{text}");
        }
    }
}

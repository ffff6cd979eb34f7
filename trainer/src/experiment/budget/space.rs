//! What `fit` may choose from: a few values of a few flags, and every combination of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use xsfm_runtime::format::vocabulary::MAX_FINGERPRINT_BITS;

use crate::experiment::row::{Mode, Pack, Row};
use crate::experiment::tools::OWN;

/// Shown by `xsfm-train fit --help`.
pub const HELP: &str = r#"The file of --space; it is this one where there is none:

  # Flags of every training, as in the settings files of `xsfm-train train` and `distill`.
  [train]
  learning_rate = 0.002
  epochs = 30

  # Values that are tried, each list from the least capable to the most.
  [try]
  embed_dim = [2, 4, 8, 16, 32]
  hidden = ["none", [8], [16], [32], [16, 16], [32, 32], [64, 64]]
  interaction = ["none", "field-weighted"]
  qr_collisions = [16, 8, 4, 2, 1]
  table_bits = [4, 8]
  min_count = [20, 5, 1]

Any flag of `train` and `distill` can stand in either. `table_bits` is how tables are packed; `fingerprint_bits` and
`renumber` are how vocabularies are (`xsfm pack --help`): with `renumber = [true]` and `fingerprint_bits = [6]` these
have a third of the bytes, and the files of the end take raw values alone. `min_count`: what fewer training rows have
shares its field's out-of-vocabulary row (`xsfm-train fold`); teachers read the rows as they are.
`encoding`: names of --encoding, and "own" for that of --data; where it is absent, all of them. Hashed fields, say,
which have no vocabulary, compete so with others at equal bytes.

How it searches: sizes, instructions and times do not depend on weights, so what fits is known before anything is
trained. Half of the trials go to every value of every list in turn, with as much of everything else as fits beside
it; the others to neighbours of the best so far. A training that diverges counts as tried and as the worst, and is not
tried again. The best few are trained with the other seeds too; the mean AUC on the validation rows decides, and test
rows only tell what was decided. A killed search goes on where it was. With --minutes it goes on until they are used: to
neighbours of the next best where those of the best are through, and to what is far off where all are."#;

/// The built-in space.
pub const DEFAULT: &str = r#"
[train]
learning_rate = 0.002
epochs = 30
[try]
embed_dim = [2, 4, 8, 16, 32]
hidden = ["none", [8], [16], [32], [16, 16], [32, 32], [64, 64]]
interaction = ["none", "field-weighted"]
qr_collisions = [16, 8, 4, 2, 1]
table_bits = [4, 8]
min_count = [20, 5, 1]
"#;

/// What packing takes, not training.
const TABLE_BITS: &str = "table_bits";
const FINGERPRINT_BITS: &str = "fingerprint_bits";
const RENUMBER: &str = "renumber";
/// What the rows take.
const MIN_COUNT: &str = "min_count";
const ENCODING: &str = "encoding";
/// More combinations than this take too long to pack.
const MOST: usize = 5_000;

/// The file, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    train: toml::Table,
    r#try: BTreeMap<String, Vec<toml::Value>>,
}

/// Flags of every model, and values that are tried.
#[derive(Clone, Debug)]
pub struct Space {
    /// Flags of every model.
    pub train: toml::Table,
    axes: Vec<Axis>,
}

/// One flag and its values, from the least capable.
#[derive(Clone, Debug)]
struct Axis {
    flag: String,
    values: Vec<toml::Value>,
}

/// A position on every axis.
pub type Choice = Vec<usize>;

impl Space {
    /// Reads a file, or takes the built-in space.
    ///
    /// # Errors
    /// The file cannot be read or is no space; the message says what is wrong.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        match path {
            None => Self::parse(DEFAULT),
            Some(path) => {
                let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
                Self::parse(&text).with_context(|| path.display().to_string())
            }
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let written: Written = toml::from_str(text)?;
        let axes: Vec<Axis> = written.r#try.into_iter().map(|(flag, values)| Axis { flag, values }).collect();
        ensure!(!axes.is_empty(), "[try] is empty: there is nothing to choose from");
        for axis in &axes {
            ensure!(!axis.values.is_empty(), "[try] {}: no value", axis.flag);
            ensure!(!written.train.contains_key(&axis.flag), "`{}` is both in [train] and in [try]", axis.flag);
        }
        for name in [TABLE_BITS, FINGERPRINT_BITS, RENUMBER, MIN_COUNT, ENCODING] {
            if let Some(value) = written.train.get(name) {
                bail!("`{name}` belongs to [try]: `{name} = [{value}]`");
            }
        }
        for (flag, value) in axes.iter().flat_map(|axis| axis.values.iter().map(|value| (axis.flag.as_str(), value))) {
            let (is_right, wanted) = match flag {
                MIN_COUNT => (min_count(value).is_some(), "an integer of at least 1"),
                FINGERPRINT_BITS => {
                    (bits(value).is_some_and(|bits| bits <= MAX_FINGERPRINT_BITS), "a number of bits, 0 to 24")
                }
                RENUMBER => (value.is_bool(), "true or false"),
                _ => continue,
            };
            ensure!(is_right, "[try] {flag}: {value} is not {wanted}");
        }
        let space = Space { train: written.train, axes };
        ensure!(space.size() <= MOST, "[try] has {} combinations, at most {MOST} allowed", space.size());
        Ok(space)
    }

    /// Lets the encodings that were given compete with the data's own, where the space does not say which do.
    ///
    /// # Errors
    /// It names one that was not given.
    pub fn with_encodings<'a>(mut self, names: impl Iterator<Item = &'a String>) -> Result<Self> {
        let all: Vec<toml::Value> = names.cloned().chain([OWN.to_owned()]).map(toml::Value::String).collect();
        match self.axes.iter().find(|axis| axis.flag == ENCODING) {
            Some(axis) => {
                if let Some(value) = axis.values.iter().find(|value| !all.contains(value)) {
                    bail!("[try] {ENCODING}: {value} is no --encoding");
                }
            }
            None if all.len() > 1 => self.axes.push(Axis { flag: ENCODING.to_owned(), values: all }),
            None => {}
        }
        ensure!(self.size() <= MOST, "{} combinations with all encodings, at most {MOST} allowed", self.size());
        Ok(self)
    }

    /// Refuses what says how vocabularies are packed, for files that have none.
    ///
    /// # Errors
    /// The space says it.
    pub fn has_no_vocabulary(&self) -> Result<()> {
        match self.axes.iter().find(|axis| [FINGERPRINT_BITS, RENUMBER].contains(&axis.flag.as_str())) {
            Some(axis) => bail!("[try] {}: files without a vocabulary have none", axis.flag),
            None => Ok(()),
        }
    }

    fn size(&self) -> usize {
        self.axes.iter().fold(1, |size: usize, axis| size.saturating_mul(axis.values.len()))
    }

    /// Every combination, in a fixed order.
    pub fn choices(&self) -> Vec<Choice> {
        self.axes.iter().fold(vec![Vec::new()], |shorter, axis| {
            let longer =
                |choice: &Choice| (0..axis.values.len()).map(|at| [choice.as_slice(), &[at]].concat()).collect();
            shorter.iter().flat_map(|choice| -> Vec<Choice> { longer(choice) }).collect()
        })
    }

    /// Those one step away, and those one step up on one axis and one down on another.
    pub fn neighbours(&self, choice: &Choice) -> Vec<Choice> {
        let moved = |choice: &Choice, axis: usize, up: bool| {
            let at = if up { choice[axis] + 1 } else { choice[axis].checked_sub(1)? };
            let mut moved = choice.clone();
            moved[axis] = at;
            (at < self.axes[axis].values.len()).then_some(moved)
        };
        let mut all = Vec::new();
        for axis in 0..self.axes.len() {
            all.extend(moved(choice, axis, false));
            let Some(higher) = moved(choice, axis, true) else { continue };
            let others = (0..self.axes.len()).filter(|&other| other != axis);
            all.extend(others.filter_map(|other| moved(&higher, other, false)));
            all.push(higher);
        }
        all
    }

    /// `embed_dim=8 hidden=32,32 …`
    pub fn title(&self, choice: &Choice) -> String {
        self.words(choice, "=", ",", " ")
    }

    /// The row of a choice: how it is trained and packed. Its name is a folder's.
    pub fn row(&self, choice: &Choice) -> Row {
        let mut train = self.train.clone();
        let mut pack = Pack { mode: Mode::Int8, calibrate: true, ..Pack::default() };
        let (mut rows_min_count, mut encoding) = (1, None);
        for (axis, &at) in self.axes.iter().zip(choice) {
            let value = axis.values[at].clone();
            match axis.flag.as_str() {
                TABLE_BITS => pack.table_bits = bits(&value),
                FINGERPRINT_BITS => pack.fingerprint_bits = bits(&value),
                RENUMBER => pack.renumber = value.as_bool() == Some(true),
                ENCODING => encoding = value.as_str().filter(|name| *name != OWN).map(str::to_owned),
                MIN_COUNT => rows_min_count = min_count(&value).unwrap_or(1),
                _ => drop(train.insert(axis.flag.clone(), value)),
            }
        }
        Row {
            file: PathBuf::new(),
            name: self.words(choice, "-", "x", "_"),
            title: self.title(choice),
            table: String::new(),
            teacher: Vec::new(),
            from: None,
            model: None,
            ensemble: Vec::new(),
            hidden_from_report: false,
            seeds: Vec::new(),
            min_count: rows_min_count,
            encoding,
            train,
            pack,
        }
    }

    fn words(&self, choice: &Choice, equals: &str, comma: &str, space: &str) -> String {
        let scalar = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let shown = |value: &toml::Value| match value.as_array() {
            Some(values) => values.iter().map(scalar).collect::<Vec<_>>().join(comma),
            None => scalar(value).replace(',', comma),
        };
        let word = |(axis, &at): (&Axis, &usize)| format!("{}{equals}{}", axis.flag, shown(&axis.values[at]));
        self.axes.iter().zip(choice).map(word).collect::<Vec<_>>().join(space)
    }
}

fn bits(value: &toml::Value) -> Option<u8> {
    value.as_integer().and_then(|bits| u8::try_from(bits).ok())
}

fn min_count(value: &toml::Value) -> Option<u64> {
    value.as_integer().and_then(|count| u64::try_from(count).ok()).filter(|&count| count > 0)
}

/// Whether `a` is at least as capable as `b` on every axis, and is not `b`.
pub fn exceeds(a: &Choice, b: &Choice) -> bool {
    a != b && a.iter().zip(b).all(|(a, b)| a >= b)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_help_shows_the_default() {
        let lines = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .collect()
        };
        let (help, default) = (lines(HELP), lines(DEFAULT));
        assert!(help.windows(default.len()).any(|part| part == default), "{help:?}");
    }

    #[test]
    fn a_row_has_its_own_values_and_the_common_ones() {
        let space = Space::parse(
            "[train]\nepochs = 3\n[try]\nhidden = ['none', [16, 8]]\nembed_dim = [2, 4]\nmin_count = [9, 1]\n\
             table_bits = [4]\n",
        )
        .unwrap();
        assert_eq!(space.choices().len(), 8);
        // Axes are in the order of their names.
        let row = space.row(&vec![1, 1, 0, 0]);
        assert_eq!(row.name, "embed_dim-4_hidden-16x8_min_count-9_table_bits-4");
        assert_eq!(row.title, "embed_dim=4 hidden=16,8 min_count=9 table_bits=4");
        assert_eq!((row.min_count, row.train.contains_key("min_count")), (9, false));
        assert_eq!(row.train["epochs"].as_integer(), Some(3));
        assert_eq!(row.train["hidden"].as_array().unwrap().len(), 2);
        assert_eq!(
            (row.pack.table_bits, row.pack.mode, row.train.contains_key("table_bits")),
            (Some(4), Mode::Int8, false)
        );
    }

    #[test]
    fn vocabularies_are_packed_as_the_space_says() {
        let space = Space::parse("[try]\nfingerprint_bits = [6, 8]\nrenumber = [true]\n").unwrap();
        let row = space.row(&vec![0, 0]);
        assert_eq!(row.name, "fingerprint_bits-6_renumber-true");
        assert_eq!((row.pack.fingerprint_bits, row.pack.renumber, row.train.len()), (Some(6), true, 0));
        assert!(space.has_no_vocabulary().unwrap_err().to_string().contains("fingerprint_bits"));
        assert!(Space::parse("[try]\ntable_bits = [4]\n").unwrap().has_no_vocabulary().is_ok());
    }

    #[test]
    fn neighbours_are_one_step_away_and_within() {
        let space = Space::parse("[try]\na = [1, 2, 3]\nb = [1, 2]\n").unwrap();
        let mut found = space.neighbours(&vec![1, 0]);
        found.sort();
        assert_eq!(found, [[0, 0], [0, 1], [1, 1], [2, 0]]);
        assert!(
            exceeds(&vec![1, 1], &vec![1, 0])
                && !exceeds(&vec![1, 1], &vec![1, 1])
                && !exceeds(&vec![2, 0], &vec![1, 1])
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("[try]\n", "empty"),
            ("[try]\na = []\n", "a: no value"),
            ("[train]\na = 1\n[try]\na = [1]\n", "`a` is both"),
            ("[train]\ntable_bits = 8\n[try]\na = [1]\n", "belongs to [try]: `table_bits = [8]`"),
            ("[train]\nmin_count = 5\n[try]\na = [1]\n", "belongs to [try]: `min_count = [5]`"),
            ("[train]\nrenumber = true\n[try]\na = [1]\n", "belongs to [try]: `renumber = [true]`"),
            ("[try]\nrenumber = [1]\n", "renumber: 1 is not true or false"),
            ("[try]\nfingerprint_bits = [25]\n", "fingerprint_bits: 25 is not a number of bits, 0 to 24"),
            ("[try]\nmin_count = [5, 0]\n", "0 is not an integer"),
            ("[tri]\na = [1]\n", "tri"),
        ] {
            let message = format!("{:#}", Space::parse(text).unwrap_err());
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}

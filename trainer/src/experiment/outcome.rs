//! What came out of one row with one seed: `outcome.json`, or `diverged.json` where its training diverged.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xsfm_interchange::dataset::Dataset;
use xsfm_interchange::fingerprint::Fingerprint;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::output;

use super::row::{Experiments, Row};
use crate::checkpoint::write_json;

/// Name of the file.
pub const FILE: &str = "outcome.json";
/// Name of the file of a training that diverged.
const DIVERGED_FILE: &str = "diverged.json";

/// The figures of one row with one seed, and where they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The row.
    pub row: String,
    /// The seed.
    pub seed: u64,
    /// On which data; absent in outcomes of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Fingerprint>,
    /// In which other encoding, where its row names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Fingerprint>,
    /// Figures on the validation rows: of the packed model, or of the checkpoints where there is none.
    pub valid: Metrics,
    /// Figures on the test rows.
    pub test: Option<Metrics>,
    /// Trained numbers that scoring uses.
    pub parameters: u64,
    /// Those that are not 0, where some were pruned.
    pub nonzero: Option<u64>,
    /// The packed model.
    pub packed: Option<Packed>,
    /// How it was trained; absent where nothing was.
    pub training: Option<Training>,
    /// The row and those that it needs, as they were: with others it has to be done anew.
    pub definition: Value,
    /// Where and from what.
    pub origin: Origin,
}

/// Bytes of a packed model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// Those of the file without its vocabulary: of a device that is given indices.
    pub bytes: u64,
    /// Those of the file with what raw values mean, which a device stores. Absent in files of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_bytes: Option<u64>,
}

impl Sizes {
    /// Those that are asked for.
    pub fn counted(self, without_vocabulary: bool) -> u64 {
        if without_vocabulary { self.bytes } else { self.deployed_bytes.unwrap_or(self.bytes) }
    }
}

/// A packed model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Packed {
    /// `f32`, `int8` or `dynamic`.
    pub mode: String,
    /// How large it is.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// Bytes of scratch on a microcontroller.
    pub microcontroller_ram: u64,
    /// Instructions of one score on a Cortex-M4F, as `xsfm analyze` predicts them.
    pub cortex_m4f_instructions: Option<u64>,
}

/// A training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The epoch that was kept.
    pub best_epoch: u64,
    /// Validation LogLoss after each epoch.
    pub valid_log_loss: Vec<f64>,
}

/// Where figures come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The commit of the folder in which the command ran, with `+` where files were changed; `unknown` outside of git.
    pub commit: String,
    /// Name and CPU of the machine.
    pub host: String,
    /// The last command that made the model.
    pub command: String,
}

impl Outcome {
    /// The outcome of `row` in its folder; `None` where there is none yet, or one of other settings.
    ///
    /// # Errors
    /// It cannot be read, or is not an outcome.
    pub fn made(experiments: &Experiments, row: &Row, folder: &Path) -> Result<Option<Self>> {
        let definition = definition(experiments, row)?;
        Ok(read::<Self>(&folder.join(FILE))?.filter(|outcome| outcome.definition == definition))
    }

    /// The figures that a report shows: on the test rows or, where there are none, the validation rows.
    pub fn reported(&self) -> &Metrics {
        self.test.as_ref().unwrap_or(&self.valid)
    }

    /// Writes it; the file appears whole or not at all.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(FILE), self)
    }
}

/// A training that diverged. With the same settings it would again, so it is not tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// The row.
    pub row: String,
    /// The seed.
    pub seed: u64,
    /// What was found, and where.
    pub what: String,
    /// As that of an [`Outcome`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Fingerprint>,
    /// As that of an [`Outcome`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Fingerprint>,
    /// As that of an [`Outcome`].
    pub definition: Value,
    /// As that of an [`Outcome`].
    pub origin: Origin,
}

impl Divergence {
    /// That of `row` in its folder; `None` where there is none, or one of other settings.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn made(experiments: &Experiments, row: &Row, folder: &Path) -> Result<Option<Self>> {
        let definition = definition(experiments, row)?;
        Ok(read::<Self>(&folder.join(DIVERGED_FILE))?.filter(|divergence| divergence.definition == definition))
    }

    /// Writes it; the file appears whole or not at all.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(DIVERGED_FILE), self)
    }
}

/// What a row with one seed came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    /// A model and its figures.
    Outcome(Box<Outcome>),
    /// None.
    Diverged(Box<Divergence>),
}

impl Made {
    /// What `row` came to in its folder; `None` where it was not made yet, or with other settings.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(experiments: &Experiments, row: &Row, folder: &Path) -> Result<Option<Self>> {
        if let Some(outcome) = Outcome::made(experiments, row, folder)? {
            return Ok(Some(Made::Outcome(Box::new(outcome))));
        }
        Ok(Divergence::made(experiments, row, folder)?.map(|divergence| Made::Diverged(Box::new(divergence))))
    }

    /// The same, of these data in this encoding, where the row names one; `None` also where an older program packed it
    /// without its vocabulary.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); what `row` came to on other data.
    pub fn read_of(
        data: &Dataset,
        encoding: Option<&Dataset>,
        experiments: &Experiments,
        row: &Row,
        folder: &Path,
    ) -> Result<Option<Self>> {
        let Some(made) = Self::read(experiments, row, folder)? else { return Ok(None) };
        let packed = if let Made::Outcome(outcome) = &made { outcome.packed.as_ref() } else { None };
        if packed.is_some_and(|packed| packed.sizes.deployed_bytes.is_none()) {
            output::say(format_args!(
                "NOTE: {}: an older program packed it without its vocabulary; it is packed and measured again",
                folder.display()
            ));
            return Ok(None);
        }
        let (recorded, encoded, path) = match &made {
            Made::Outcome(outcome) => (&outcome.data, &outcome.encoding, folder.join(FILE)),
            Made::Diverged(divergence) => (&divergence.data, &divergence.encoding, folder.join(DIVERGED_FILE)),
        };
        match recorded {
            None => output::say(format_args!(
                "NOTE: {}: an older program made it and did not say of which rows; they are not compared",
                path.display()
            )),
            Some(recorded) => {
                let of_encoding = || encoding?.problem(encoded.as_ref()?, &path);
                if let Some(problem) = data.problem(recorded, &path).or_else(of_encoding) {
                    bail!("{problem}: these are results of other data; choose another --out, or delete that folder");
                }
            }
        }
        Ok(Some(made))
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    if !path.try_exists().with_context(|| path.display().to_string())? {
        return Ok(None);
    }
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    let made = serde_json::from_slice(&text).with_context(|| format!("{}: not what `run` writes", path.display()))?;
    Ok(Some(made))
}

/// What decides a row's figures apart from the seed: its settings, and the same of the rows that it needs.
///
/// # Errors
/// None but those of writing JSON.
pub fn definition(experiments: &Experiments, row: &Row) -> Result<Value> {
    let mut needs = serde_json::Map::new();
    for (name, _) in row.needs(1)? {
        if !needs.contains_key(&name) {
            let needed = definition(experiments, &experiments.rows[&name])?;
            needs.insert(name, needed);
        }
    }
    Ok(serde_json::json!({ "row": row, "needs": needs }))
}

//! What a model will cost, before it is trained: none of it depends on the weights' values.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Parser;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tch::Device;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::rows::{RowBlock, RowsWriter};
use xsfm_runtime::Weight;

use super::space::{Choice, Space};
use crate::checkpoint::{self, write_json};
use crate::commands::TrainArgs;
use crate::experiment::outcome::Sizes;
use crate::experiment::row::{Reads, Row};
use crate::experiment::tools::Tools;
use crate::model::Model;
use crate::settings;
use crate::training_loop::{progress, seed_torch};

/// Costs of the models of a search, in its folder.
const FILE: &str = "costs.json";
/// Rows on which an untrained model's scales are chosen: any will do.
const ROWS: usize = 64;

/// What a model costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Bytes of the packed file. Trained weights may change it by a few: some numbers of the manifest are written in as
    /// few bytes as they need.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// Instructions of a score on a Cortex-M4F, as `xsfm analyze` predicts them.
    pub instructions: Option<u64>,
    /// Median microseconds of a call of one row on this CPU, where it was asked for.
    pub us: Option<f64>,
}

/// Packs untrained models.
#[derive(Debug)]
pub struct Estimator<'a> {
    space: &'a Space,
    tools: &'a Tools,
    vocabularies: BTreeMap<Reads, Vocabularies>,
    folder: PathBuf,
    known: BTreeMap<String, Cost>,
    /// Why the first combination is no model, where there is such a one.
    pub refused: Option<String>,
}

/// Fields as some models read them.
#[derive(Debug)]
struct Vocabularies {
    data: Dataset,
    /// Rows that fit them.
    rows: PathBuf,
}

/// A row's flags, read as `xsfm-train train` reads them.
#[derive(Debug, Parser)]
#[command(name = "train", no_binary_name = true)]
struct Flags {
    #[command(flatten)]
    train: TrainArgs,
    #[command(flatten)]
    distill: Option<DistillFlags>,
}

/// Flags of `distill` that a space may have.
#[derive(Clone, Debug, clap::Args)]
struct DistillFlags {
    #[arg(long)]
    alpha: Option<f64>,
    #[arg(long)]
    temperature: Option<f64>,
}

impl<'a> Estimator<'a> {
    /// Opens a search's folder.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn open(space: &'a Space, tools: &'a Tools) -> Result<Self> {
        let path = tools.out.join(FILE);
        let known = match path.try_exists().with_context(|| path.display().to_string())? {
            false => BTreeMap::new(),
            true => serde_json::from_slice(&fs::read(&path).with_context(|| path.display().to_string())?)
                .with_context(|| path.display().to_string())?,
        };
        let folder = tools.out.join("untrained");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(Estimator { space, tools, vocabularies: BTreeMap::new(), folder, known, refused: None })
    }

    /// Costs of all choices, in their order; `None` for a combination that is no model.
    ///
    /// # Errors
    /// A flag that `train` does not know; packing fails.
    pub fn bytes(&mut self, choices: &[Choice]) -> Result<Vec<Option<Cost>>> {
        let bar = progress(choices.len() as u64);
        bar.set_message("sizes");
        let mut costs = Vec::new();
        for (n, choice) in choices.iter().enumerate() {
            bar.inc(1);
            let row = self.space.row(choice);
            let before = self.known.get(&row.name).copied();
            // An older program did not know what is deployed.
            if before.is_none_or(|cost| cost.sizes.deployed_bytes.is_none())
                && let Some((packed, sizes)) = self.pack(&row)?
            {
                let instructions = self.tools.instructions(&packed, &self.folder)?;
                let us = before.and_then(|cost| cost.us);
                self.known.insert(row.name.clone(), Cost { sizes, instructions, us });
            }
            costs.push(self.known.get(&row.name).copied());
            if n % 100 == 99 {
                self.save()?;
            }
        }
        bar.finish_and_clear();
        self.save()?;
        Ok(costs)
    }

    /// Microseconds of a call of one row on this CPU.
    ///
    /// # Errors
    /// Measuring fails.
    pub fn us(&mut self, choice: &Choice) -> Result<f64> {
        let row = self.space.row(choice);
        if let Some(us) = self.known.get(&row.name).and_then(|cost| cost.us) {
            return Ok(us);
        }
        let (packed, _) = self.pack(&row)?.with_context(|| format!("{}: not a model", row.title))?;
        let us = time(self.tools, &packed, &row.reads(), &self.folder)?;
        self.known.entry(row.name).and_modify(|cost| cost.us = Some(us));
        self.save()?;
        Ok(us)
    }

    /// What [`us`](Self::us) measured, if it was asked.
    pub fn known_us(&self, choice: &Choice) -> Option<f64> {
        self.known.get(&self.space.row(choice).name)?.us
    }

    fn save(&self) -> Result<()> {
        write_json(&self.tools.out.join(FILE), &self.known)
    }

    fn vocabularies(&mut self, reads: &Reads) -> Result<&Vocabularies> {
        if !self.vocabularies.contains_key(reads) {
            self.tools.fold(reads)?;
            let data = Dataset::open(&self.tools.data(reads)?)?;
            let rows = self.folder.join(format!("rows-{}.arrow", self.vocabularies.len()));
            any_rows(&data, &rows)?;
            self.vocabularies.insert(reads.clone(), Vocabularies { data, rows });
        }
        Ok(&self.vocabularies[reads])
    }

    /// An untrained model of a row, packed as a trained one would be; `None` where the flags contradict each other.
    fn pack(&mut self, row: &Row) -> Result<Option<(PathBuf, Sizes)>> {
        let mut flags = settings::flags(&row.train).with_context(|| row.title.clone())?;
        flags.extend(["--data=.".to_owned(), "--out=.".to_owned()]);
        let flags = Flags::try_parse_from(flags).with_context(|| row.title.clone())?;
        let architecture = flags.train.architecture();
        seed_torch(1, 0);
        let folder = self.folder.join("checkpoint");
        let Vocabularies { data, rows } = self.vocabularies(&row.reads())?;
        let schema = data.schema();
        let model = architecture
            .check()
            .and_then(|()| architecture.model_config(schema))
            .and_then(|config| Model::new(config, &architecture.initialization, Device::Cpu));
        let model = match model {
            Ok(model) => model,
            Err(error) => {
                self.refused.get_or_insert(format!("{}: {error:#}", row.title));
                return Ok(None);
            }
        };
        checkpoint::save(&folder, &model, None, schema, &serde_json::json!({}))?;
        let rows = rows.clone();
        let packed = self.folder.join("model.xsfm");
        let (_, sizes) = self.tools.packed(row, &folder, &packed, &rows, &self.folder)?;
        Ok(Some((packed, sizes)))
    }
}

/// Median microseconds of a call of one row.
fn time(tools: &Tools, packed: &Path, reads: &Reads, folder: &Path) -> Result<f64> {
    let mut bench = Command::new(&tools.xsfm);
    bench.arg("bench").arg(packed).args(["--json", "--rows"]).arg(Part::Valid.path(&tools.data(reads)?));
    let report = tools.json(&mut bench, folder)?;
    Ok(report["ns_median"].as_f64().context("xsfm bench has no ns_median")? / 1e3)
}

/// Writes rows of any indices that the vocabularies have to a file.
fn any_rows(data: &Dataset, output: &Path) -> Result<()> {
    let bounds = data.bounds();
    let mut writer = RowsWriter::create(output, &bounds)?;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let has_bag = bounds.columns.iter().any(|column| column.bag);
    for _ in 0..ROWS {
        let mut row = RowBlock::new(bounds.columns.len(), has_bag);
        for (column, &features) in bounds.columns.iter().zip(&bounds.features) {
            let words = [random.random_range(0..features), Weight::ONE.word()];
            row.push_field(&words[..if column.weighted { 2 } else { 1 }]);
        }
        writer.push(0, &row.row(0))?;
    }
    writer.commit()?;
    Ok(())
}

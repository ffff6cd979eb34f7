//! Time of a call to each model, one after another: of the packed file on this CPU, and of the checkpoint in libtorch
//! where it was trained. `latency.json` in the folder of a row's first seed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use xsfm_interchange::dataset::Part;
use xsfm_interchange::output;

use super::outcome::Outcome;
use super::plan::{Plan, Unit};
use super::row::Experiments;
use super::tools::{CHECKPOINT, PACKED, Tools, host};
use crate::bench::{Batch, Libtorch};
use crate::checkpoint::write_json;

/// Name of the file.
pub const FILE: &str = "latency.json";
/// Rows of a call.
const BATCHES: [u32; 5] = [1, 8, 64, 512, 1024];

/// Times of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Name and CPU of the machine.
    pub host: String,
    /// The instructions that scored the packed file.
    pub backend: String,
    /// For each size of a call of it; empty where no file holds the model.
    pub batches: Vec<Batch>,
    /// In libtorch, where the row has a checkpoint of its own.
    pub libtorch: Option<Libtorch>,
}

impl Latency {
    /// Reads a folder's times; `None` where none were taken.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(Some(serde_json::from_slice(&text).with_context(|| path.display().to_string())?))
    }
}

/// Measures every row's first unit, where it has a model.
///
/// # Errors
/// `xsfm bench` or `xsfm-train bench` fails.
pub fn measure(experiments: &Experiments, plan: &Plan, tools: &Tools) -> Result<()> {
    for name in &experiments.asked {
        let Some(unit) = plan.units.iter().find(|unit| unit.row == *name) else { continue };
        let folder = tools.folder(unit);
        if Outcome::made(experiments, &experiments.rows[name], &folder)?.is_none() {
            continue;
        }
        let reads = experiments.rows[name].reads();
        tools.fold(&reads)?;
        let rows = Part::Test.path(&tools.data(&reads)?);
        let mut latency = Latency { host: host(), ..Latency::default() };
        if folder.join(PACKED).exists() {
            measure_packed(unit, tools, &folder, &rows, &mut latency)?;
            output::say(format_args!("{name}: {:.0} ns for one row", latency.batches[0].ns_per_row));
        }
        if folder.join(CHECKPOINT).exists() {
            latency.libtorch = Some(measure_checkpoint(tools, &folder, &rows)?);
        }
        write_json(&folder.join(FILE), &latency)?;
    }
    Ok(())
}

fn measure_packed(unit: &Unit, tools: &Tools, folder: &Path, data: &Path, latency: &mut Latency) -> Result<()> {
    for rows in BATCHES {
        let mut bench = Command::new(&tools.xsfm);
        bench.arg("bench").arg(folder.join(PACKED)).args(["--batch", &rows.to_string(), "--json", "--rows"]);
        let report = tools.json(bench.arg(data), folder)?;
        let ns_per_row =
            report["ns_median"].as_f64().with_context(|| format!("{}: xsfm bench has no ns_median", unit.row))?;
        report["backend"].as_str().unwrap_or_default().clone_into(&mut latency.backend);
        latency.batches.push(Batch { rows, ns_per_row });
    }
    Ok(())
}

fn measure_checkpoint(tools: &Tools, folder: &Path, data: &Path) -> Result<Libtorch> {
    let mut bench = Command::new(&tools.trainer);
    bench.arg("bench").arg("--checkpoint").arg(folder.join(CHECKPOINT)).arg("--rows").arg(data);
    bench.args(["--device", &tools.device, "--threads", &tools.threads.to_string(), "--json"]);
    Ok(serde_json::from_value(tools.json(&mut bench, folder)?)?)
}

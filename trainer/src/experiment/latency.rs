//! Time of a call to each packed model on this CPU, one model after another: `latency.json` in the folder of its first seed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::plan::{Plan, Unit};
use super::row::Experiments;
use super::tools::{PACKED, Tools, host};
use crate::checkpoint::write_json;

/// Name of the file.
pub const FILE: &str = "latency.json";
/// Rows of a call.
const BATCHES: [u32; 5] = [1, 8, 64, 512, 1024];

/// Times of one packed model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Name and CPU of the machine.
    pub host: String,
    /// The instructions that scored.
    pub backend: String,
    /// For each size of a call.
    pub batches: Vec<Batch>,
}

/// Times of calls of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Rows of a call.
    pub rows: u32,
    /// Median nanoseconds per row.
    pub ns_per_row: f64,
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

/// Measures every row's first unit that is packed.
///
/// # Errors
/// `xsfm bench` fails.
pub fn measure(experiments: &Experiments, plan: &Plan, tools: &Tools) -> Result<()> {
    for name in &experiments.asked {
        let Some(unit) = plan.units.iter().find(|unit| unit.row == *name) else { continue };
        let folder = tools.folder(unit);
        if folder.join(PACKED).exists() {
            let latency = measure_one(unit, tools, &folder)?;
            eprintln!("{name}: {:.0} ns for one row", latency.batches[0].ns_per_row);
            write_json(&folder.join(FILE), &latency)?;
        }
    }
    Ok(())
}

fn measure_one(unit: &Unit, tools: &Tools, folder: &Path) -> Result<Latency> {
    let mut latency = Latency { host: host(), backend: String::new(), batches: Vec::new() };
    for rows in BATCHES {
        let mut bench = Command::new(&tools.xsfm);
        bench.arg("bench").arg(folder.join(PACKED)).args(["--batch", &rows.to_string(), "--json", "--rows"]);
        let report = tools.json(bench.arg(tools.data.join("test.arrow")), folder)?;
        let ns_per_row =
            report["ns_median"].as_f64().with_context(|| format!("{}: xsfm bench has no ns_median", unit.row))?;
        report["backend"].as_str().unwrap_or_default().clone_into(&mut latency.backend);
        latency.batches.push(Batch { rows, ns_per_row });
    }
    Ok(latency)
}

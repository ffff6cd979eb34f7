//! `xsfm-train report`: what `run` made, mean and spread over the seeds: tables in Markdown and CSV, figures in SVG,
//! and all of it in one HTML page.
//!
//! | module | gives |
//! |---|---|
//! | `compare` | by how much models really differ |
//! | `tables` | report.md, report.csv |
//! | `figures` | auc-bytes.svg, auc-latency.svg, field-matrix.svg, and curves of every table |
//! | `reliability` | click rates against predictions, where `run` kept logits |
//! | `page` | report.html, which needs no other file |

pub(crate) mod compare;
mod entry;
pub(crate) mod figures;
mod page;
mod reliability;
mod tables;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind};
use xsfm_interchange::atomic;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::output;

use self::entry::{Entry, Line};
use super::latency::Latency;
use super::outcome::{Divergence, Made, Outcome};
use super::row::{Experiments, Row};
use super::tools::CHECKPOINT;
use crate::checkpoint;

/// Writes the tables and figures of rows that were made: report.html, report.md, report.csv and SVG files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of rows, as for `run`
    #[arg(required = true)]
    rows: Vec<PathBuf>,
    /// Folder that `run` wrote
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder for report.html, report.md, report.csv and figures
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The row that all others are compared with, on the same test rows; by default, in each table, the one with the
    /// best AUC on the validation rows
    #[arg(long, value_name = "ROW")]
    against: Option<String>,
    /// Also print the rows as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Files that are not those of rows; a row of which no seed was made; outputs that cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let experiments = Experiments::load(&args.rows)?;
    let mut entries = Vec::new();
    for name in &experiments.asked {
        let row = &experiments.rows[name];
        if !row.hidden_from_report {
            entries.push(entry(&experiments, row, &args.out)?);
        }
    }
    check_data(&entries)?;
    compare::compare(&mut entries, args.against.as_deref())?;
    let lines: Vec<&Line> = entries.iter().map(|entry| &entry.line).collect();
    write(&args.to.join("report.md"), &tables::markdown(&experiments, &lines))?;
    write(&args.to.join("report.csv"), &tables::csv(&lines)?)?;
    let mut overview = Vec::new();
    for (name, figure) in [
        ("auc-bytes.svg", figures::auc_by_bytes(&lines)?),
        ("auc-latency.svg", figures::auc_by_latency(&lines)?),
        ("field-matrix.svg", field_matrix(&experiments, &args.out)?),
    ] {
        if let Some(svg) = figure {
            write(&args.to.join(name), &svg)?;
            overview.push(svg);
        }
    }
    let reliabilities = reliability::by_table(&entries)?;
    for (n, svg) in (1..).zip(&reliabilities).filter_map(|(n, svg)| Some((n, svg.as_ref()?))) {
        write(&args.to.join(format!("reliability-{n}.svg")), svg)?;
    }
    write(&args.to.join("report.html"), &page::html(&experiments, &entries, overview, reliabilities)?)?;
    if args.json {
        output::json(&lines)?;
    }
    Ok(())
}

/// A table is of one data set.
fn check_data(entries: &[Entry]) -> Result<()> {
    let mut known = entries.iter().flat_map(|entry| entry.data.iter().map(move |data| (&entry.line.row, data)));
    let Some((first, of_first)) = known.next() else { return Ok(()) };
    match known.find(|(_, data)| *data != of_first) {
        None => Ok(()),
        Some((other, data)) => bail!(
            "rows `{first}` and `{other}` were made of other data ({} and {}): nothing can be compared",
            serde_json::to_string(of_first)?,
            serde_json::to_string(data)?
        ),
    }
}

/// The field matrix of the first row that trained one, and whose checkpoint was not removed to save space.
fn field_matrix(experiments: &Experiments, out: &Path) -> Result<Option<String>> {
    for name in &experiments.asked {
        let row = &experiments.rows[name];
        let Some(seed) = row.seeds.first().filter(|_| row.is_trained()) else { continue };
        let checkpoint = folder(out, row, *seed).join(CHECKPOINT);
        if !checkpoint.exists() {
            continue;
        }
        let model = checkpoint::load(&checkpoint, Device::Cpu)?;
        if let Some(matrix) = &model.parameters.field_matrix {
            let symmetric: Vec<f64> =
                Vec::try_from(((matrix + matrix.tr()) / 2.0).to_kind(Kind::Double).flatten(0, -1))?;
            let names: Vec<&str> = model.config.fields.iter().map(|field| field.name.as_str()).collect();
            return figures::heat_map(&format!("Field matrix of {}", row.title), &names, &symmetric).map(Some);
        }
    }
    Ok(None)
}

fn folder(out: &Path, row: &Row, seed: u64) -> PathBuf {
    out.join(&row.name).join(format!("seed-{seed}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    atomic::write(path, |output| output.write_all(text.as_bytes())).with_context(|| path.display().to_string())
}

fn entry(experiments: &Experiments, row: &Row, out: &Path) -> Result<Entry> {
    let (mut outcomes, mut folders, mut diverged) = (Vec::new(), Vec::new(), 0);
    for &seed in &row.seeds {
        let folder = folder(out, row, seed);
        match Made::read(experiments, row, &folder)? {
            Some(Made::Outcome(outcome)) => {
                outcomes.push(*outcome);
                folders.push(folder);
            }
            Some(Made::Diverged(_)) => diverged += 1,
            None if needs_what_diverged(experiments, row, seed, out)? => diverged += 1,
            None => {
                bail!("{}: not made, or made with other settings; `xsfm-train run` makes it", folder.display())
            }
        }
    }
    ensure!(!row.seeds.is_empty(), "row `{}` has no seed", row.name);
    let first = outcomes.first();
    let latency = first.map(|first| Latency::read(&folder(out, row, first.seed))).transpose()?.flatten();
    let metrics = Outcome::reported;
    let figures = |of: fn(&Metrics) -> f64| -> Vec<f64> { outcomes.iter().map(|o| of(metrics(o))).collect() };
    let aucs = figures(|m| m.auc.unwrap_or(f64::NAN));
    let valid_aucs: Vec<f64> = outcomes.iter().map(|o| o.valid.auc.unwrap_or(f64::NAN)).collect();
    // Of all seeds, where none was measured by an older program.
    let known = |of: fn(&Metrics) -> Option<f64>| -> Option<f64> {
        let figures: Option<Vec<f64>> = outcomes.iter().map(|o| of(metrics(o))).collect();
        figures.filter(|figures| !figures.is_empty()).map(|figures| mean(&figures))
    };
    let mut commits: Vec<&str> = outcomes.iter().map(|o| o.origin.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    let packed = first.and_then(|first| first.packed.as_ref());
    let line = Line {
        table: row.table.clone(),
        row: row.name.clone(),
        title: row.title.clone(),
        seeds: outcomes.len(),
        diverged,
        valid_auc: mean(&valid_aucs),
        auc: mean(&aucs),
        auc_deviation: deviation(&aucs),
        auc_standard_error: known(|m| m.auc_standard_error),
        against: None,
        auc_difference: None,
        auc_difference_standard_error: None,
        log_loss: mean(&figures(|m| m.log_loss)),
        prauc: mean(&figures(|m| m.prauc.unwrap_or(f64::NAN))),
        rce: mean(&figures(|m| m.rce.unwrap_or(f64::NAN))),
        ece: known(|m| m.ece),
        calibration: known(|m| m.calibration),
        parameters: first.map(|first| first.parameters),
        nonzero: first.and_then(|first| first.nonzero),
        deployed_bytes: packed.and_then(|packed| packed.sizes.deployed_bytes),
        packed_bytes: packed.map(|packed| packed.sizes.bytes),
        ns_per_row: latency.as_ref().and_then(|latency| Some(latency.batches.first()?.ns_per_row)),
        latency_host: latency.as_ref().map(|latency| latency.host.clone()),
        cortex_m4f_instructions: packed.and_then(|packed| packed.cortex_m4f_instructions),
        commits: commits.join(" "),
        host: first.map(|first| first.origin.host.clone()).unwrap_or_default(),
        command: command(row),
    };
    let training = first.and_then(|first| first.training.as_ref());
    let log_losses = training.map(|training| training.valid_log_loss.clone()).unwrap_or_default();
    let Latency { batches, libtorch, .. } = latency.unwrap_or_default();
    let data = outcomes.iter().filter_map(|outcome| outcome.data.clone()).collect();
    Ok(Entry { line, folders, log_losses, batches, libtorch, data })
}

/// Whether a seed of a row was not made because what it is made of diverged.
fn needs_what_diverged(experiments: &Experiments, row: &Row, seed: u64, out: &Path) -> Result<bool> {
    for (name, seed) in row.needs(seed)? {
        let needed = &experiments.rows[&name];
        let is_there = Divergence::made(experiments, needed, &folder(out, needed, seed))?.is_some();
        if is_there || needs_what_diverged(experiments, needed, seed, out)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What makes a row, and what it needs.
fn command(row: &Row) -> String {
    let seeds: Vec<String> = row.seeds.iter().map(u64::to_string).collect();
    format!("xsfm-train run {} --seeds {} --data DATA --out RUNS", row.file.display(), seeds.join(","))
}

/// `sum x / n`
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `sqrt(sum (x - mean)^2 / (n - 1))`
pub(super) fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::{deviation, mean};

    #[test]
    fn spread_is_of_a_sample() {
        assert_eq!((mean(&[1.0, 2.0, 6.0]), deviation(&[1.0, 2.0, 6.0])), (3.0, Some(7.0_f64.sqrt())));
        assert_eq!(deviation(&[1.0]), None);
    }
}

//! `xsfm-train report`: the tables of what `run` made, mean and spread over the seeds, in Markdown and CSV.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use xsfm_interchange::atomic;
use xsfm_interchange::metrics::Metrics;

use super::latency::Latency;
use super::outcome::Outcome;
use super::row::{Experiments, Row};

/// Writes the tables of rows that were made: report.md and report.csv.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of rows, as for `run`
    #[arg(required = true)]
    rows: Vec<PathBuf>,
    /// Folder that `run` wrote
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder for report.md and report.csv
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Also print the rows as JSON
    #[arg(long)]
    json: bool,
}

/// A row of a table; figures are means over the seeds, on the test rows or, where there are none, the validation rows.
#[derive(Clone, Debug, Serialize)]
struct Line {
    table: String,
    row: String,
    title: String,
    seeds: usize,
    auc: f64,
    /// Deviation of the seeds' AUC from their mean; absent for a single seed.
    auc_deviation: Option<f64>,
    log_loss: f64,
    prauc: f64,
    rce: f64,
    parameters: u64,
    nonzero: Option<u64>,
    packed_bytes: Option<u64>,
    cortex_m4f_instructions: Option<u64>,
    /// Median of a call of one row, where `run --latency` took it, and the machine that took it.
    ns_per_row: Option<f64>,
    latency_host: Option<String>,
    commits: String,
    host: String,
}

/// Runs the command.
///
/// # Errors
/// Files that are not those of rows; a row of which no seed was made; outputs that cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let experiments = Experiments::load(&args.rows)?;
    let mut lines = Vec::new();
    for name in &experiments.asked {
        let row = &experiments.rows[name];
        if !row.hidden_from_report {
            lines.push(line(&experiments, row, &args.out)?);
        }
    }
    write(&args.to.join("report.md"), &markdown(&experiments, &lines))?;
    write(&args.to.join("report.csv"), &csv(&lines)?)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    atomic::write(path, |output| output.write_all(text.as_bytes())).with_context(|| path.display().to_string())
}

fn line(experiments: &Experiments, row: &Row, out: &Path) -> Result<Line> {
    let folder = |seed: &u64| out.join(&row.name).join(format!("seed-{seed}"));
    let made = |seed: &u64| -> Result<Outcome> {
        let folder = folder(seed);
        Outcome::made(experiments, row, &folder)?.with_context(|| {
            format!("{}: not made, or made with other settings; `xsfm-train run` makes it", folder.display())
        })
    };
    let outcomes: Vec<Outcome> = row.seeds.iter().map(made).collect::<Result<_>>()?;
    let Some(first) = outcomes.first() else { bail!("row `{}` has no seed", row.name) };
    let latency = Latency::read(&folder(&first.seed))?;
    let metrics = |outcome: &Outcome| outcome.test.unwrap_or(outcome.valid);
    let figures = |of: fn(&Metrics) -> f64| -> Vec<f64> { outcomes.iter().map(|o| of(&metrics(o))).collect() };
    let aucs = figures(|m| m.auc.unwrap_or(f64::NAN));
    let mut commits: Vec<&str> = outcomes.iter().map(|o| o.origin.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    Ok(Line {
        table: row.table.clone(),
        row: row.name.clone(),
        title: row.title.clone(),
        seeds: outcomes.len(),
        auc: mean(&aucs),
        auc_deviation: deviation(&aucs),
        log_loss: mean(&figures(|m| m.log_loss)),
        prauc: mean(&figures(|m| m.prauc.unwrap_or(f64::NAN))),
        rce: mean(&figures(|m| m.rce.unwrap_or(f64::NAN))),
        parameters: first.parameters,
        nonzero: first.nonzero,
        packed_bytes: first.packed.as_ref().map(|packed| packed.bytes),
        ns_per_row: latency.as_ref().and_then(|latency| Some(latency.batches.first()?.ns_per_row)),
        latency_host: latency.map(|latency| latency.host),
        cortex_m4f_instructions: first.packed.as_ref().and_then(|packed| packed.cortex_m4f_instructions),
        commits: commits.join(" "),
        host: first.origin.host.clone(),
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `sqrt(sum (x - mean)^2 / (n - 1))`
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

fn markdown(experiments: &Experiments, lines: &[Line]) -> String {
    let mut text = format!("# {}\n", experiments.defaults.dataset);
    let mut table = "";
    for line in lines {
        if line.table != table {
            table = &line.table;
            let _ = write!(
                text,
                "\n## {table}\n\n| model | AUC | ± | LogLoss | PRAUC | RCE % | parameters | not 0 | packed bytes | ns | M4F instructions |\n\
                 |---|---|---|---|---|---|---|---|---|---|---|\n"
            );
        }
        let count = |n: Option<u64>| n.map_or(String::new(), |n| n.to_string());
        let spread = line.auc_deviation.map_or(String::new(), |d| format!("{d:.4}"));
        let _ = writeln!(
            text,
            "| {} | {:.4} | {spread} | {:.4} | {:.4} | {:.2} | {} | {} | {} | {} | {} |",
            line.title,
            line.auc,
            line.log_loss,
            line.prauc,
            line.rce,
            line.parameters,
            count(line.nonzero),
            count(line.packed_bytes),
            line.ns_per_row.map_or(String::new(), |ns| format!("{ns:.0}")),
            count(line.cortex_m4f_instructions)
        );
    }
    let _ = write!(
        text,
        "\nMeans over the seeds of a row; ± is their standard deviation. ns: a call of one row, where it was measured. \
         M4F instructions: as `xsfm analyze` predicts them. Data: `{}`.\n",
        experiments.defaults.prepare
    );
    let trained = lines.iter().map(|line| format!("Made at {} on {}.", line.commits, line.host));
    let timed = lines.iter().filter_map(|line| Some(format!("Calls timed on {}.", line.latency_host.as_ref()?)));
    for origin in trained.chain(timed).collect::<BTreeSet<_>>() {
        let _ = writeln!(text, "{origin}");
    }
    text
}

fn csv(lines: &[Line]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.serialize(line)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
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

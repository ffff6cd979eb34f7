//! The table, and the record of a run: what was measured, where, with what, by which command.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use xsfm_interchange::atomic;

use crate::check::Agreement;
use crate::engine::Kind;
use crate::engines;
use crate::measure::Timing;
use crate::models::SAMPLES;

/// What a run cannot know itself.
#[derive(Clone, Debug, Default, Serialize, clap::Args)]
pub(crate) struct Provenance {
    /// Day of the run, for example 2026-01-31.
    #[arg(long, default_value = "undated")]
    date: String,
    /// The commit that was built.
    #[arg(long, default_value = "unknown")]
    commit: String,
    /// The command that a reader would type to run it again.
    #[arg(long, default_value = "xsfm-peers run")]
    command: String,
    /// Names and versions of the engines, separated by commas.
    #[arg(long, default_value = "")]
    versions: String,
}

/// An engine on one model and one size of batch.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) width: String,
    pub(crate) batch: usize,
    pub(crate) engine: &'static Kind,
    #[serde(flatten)]
    pub(crate) timing: Timing,
    #[serde(flatten)]
    pub(crate) agreement: Agreement,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) provenance: Provenance,
    /// `full` or `QR`.
    pub(crate) tables: &'static str,
    /// `warm`, or `cold`: calls that find nothing in them.
    pub(crate) caches: &'static str,
    pub(crate) rounds: usize,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Prints the table, or all figures as JSON.
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let text = if json { serde_json::to_string_pretty(self)? + "\n" } else { self.table() };
        Ok(io::stdout().lock().write_all(text.as_bytes())?)
    }

    /// Writes `<host>/<date>.csv` and `.md` into `folder`; quotient-remainder tables have `-qr` in the name, calls
    /// without caches `-cold`.
    pub(crate) fn record(&self, folder: &Path) -> Result<()> {
        let machine = Machine::read()?;
        let tables = if self.tables == "full" { "" } else { "-qr" };
        let suffix = format!("{tables}{}", if self.caches == "warm" { "" } else { "-cold" });
        for (ending, text) in [("csv", self.csv()), ("md", self.markdown(&machine))] {
            let path = folder.join(slug(&machine.cpu)).join(format!("{}{suffix}.{ending}", self.provenance.date));
            let written = atomic::write(&path, |out| out.write_all(text.as_bytes()));
            written.with_context(|| path.display().to_string())?;
            eprintln!("{}", path.display());
        }
        Ok(())
    }

    /// Microseconds per sample: a row per engine, a column per model and batch.
    fn table(&self) -> String {
        let mut columns: Vec<(&str, usize)> = self.rows.iter().map(|row| (row.width.as_str(), row.batch)).collect();
        columns.dedup();
        let mut text = format!("| {:<20} |", "us per sample");
        columns.iter().for_each(|(width, batch)| text += &format!(" {:>9} |", format!("{width} b{batch}")));
        text += &format!("\n|{:-<22}|{}\n", "", "----------:|".repeat(columns.len()));
        for kind in engines::kinds() {
            let cells: Vec<_> = self.rows.iter().filter(|row| row.engine == kind).collect();
            if cells.is_empty() {
                continue;
            }
            let _ = write!(text, "| {:<20} |", kind.name);
            for column in &columns {
                let cell = cells.iter().find(|row| (row.width.as_str(), row.batch) == *column);
                text += &cell.map_or(format!(" {:>9} |", ""), |row| format!(" {:>9.3} |", row.timing.per_sample));
            }
            text.push('\n');
        }
        text
    }

    fn csv(&self) -> String {
        let mut text =
            "tables,width,batch,engine,us_per_sample,us_per_sample_min,us_per_call_p50,us_per_call_p99,rounds,\
                        logit_error_max,logit_error_mean_share,logit_correlation\n"
                .to_owned();
        for Row { width, batch, engine, timing, agreement } in &self.rows {
            let (tables, name, rounds) = (self.tables, engine.name, self.rounds);
            let Timing { per_sample, per_sample_min, call_p50, call_p99 } = timing;
            let Agreement { error_max, error_mean_share, correlation } = agreement;
            let _ = writeln!(
                text,
                "{tables},{width},{batch},{name},{per_sample:.4},{per_sample_min:.4},{call_p50:.3},{call_p99:.3},\
                 {rounds},{error_max:.6},{error_mean_share:.6},{correlation:.6}"
            );
        }
        text
    }

    fn markdown(&self, machine: &Machine) -> String {
        let Provenance { date, commit, command, versions } = &self.provenance;
        let Machine { cpu, cores } = machine;
        let (tables, rounds, table) = (self.tables, self.rounds, self.table());
        let caches = match self.caches {
            "cold" => "nothing in the caches when a call begins: twice the largest was written before",
            _ => "caches as calls before leave them",
        };
        let mut text = format!(
            "# Engines on the same model\n\n\
             DeepFwFM, 39 fields, embed_dim 10, 1,086,810 features, {tables} tables, {SAMPLES} distinct samples with \
             Zipf indices; one thread, pinned to one core. Columns are the width of the hidden layers (three; of 16 \
             two; none is FwFM) and the samples in a call.\n\n\
             - {cpu}, {cores} cores, {date}\n\
             - `{command}`, commit {commit}\n\
             - {versions}\n\
             - engines take turns; medians over {rounds} rounds of a round's mean; {caches}\n\n\
             {table}\n\
             How far the answers are from the oracle's, over all columns:\n\n\
             | engine               | largest error | mean error / deviation | correlation |\n\
             |----------------------|--------------:|-----------------------:|------------:|\n"
        );
        for kind in engines::kinds() {
            let agreements: Vec<&Agreement> =
                self.rows.iter().filter(|row| row.engine == kind).map(|row| &row.agreement).collect();
            if agreements.is_empty() {
                continue;
            }
            let most = |of: fn(&Agreement) -> f64| agreements.iter().map(|a| of(a)).fold(f64::MIN, f64::max);
            let (error, share) = (most(|a| a.error_max), most(|a| a.error_mean_share));
            let correlation = -most(|a| -a.correlation);
            let _ = writeln!(text, "| {:<20} | {error:>13.6} | {share:>22.6} | {correlation:>11.6} |", kind.name);
        }
        text
    }
}

/// The machine, by `/proc/cpuinfo`: a pinned process would count one core.
struct Machine {
    cpu: String,
    cores: usize,
}

impl Machine {
    fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
        let names = text.lines().filter(|line| line.starts_with("model name"));
        let cpu = names.clone().next().and_then(|line| line.split_once(": ")).map_or("unknown CPU", |(_, name)| name);
        Ok(Machine { cpu: cpu.trim().to_owned(), cores: names.count() })
    }
}

/// A folder's name: lower-case words with a dash between them.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn report() -> Report {
        let row = |width: &str, batch, engine, per_sample| Row {
            width: width.to_owned(),
            batch,
            engine: engines::named(engine).unwrap(),
            timing: Timing { per_sample, per_sample_min: 1.0, call_p50: 2.0, call_p99: 3.0 },
            agreement: Agreement { error_max: 0.5, error_mean_share: 0.01, correlation: 0.999 },
        };
        Report {
            provenance: Provenance { date: "2026-01-31".into(), commit: "abc".into(), ..Provenance::default() },
            tables: "full",
            caches: "warm",
            rounds: 7,
            rows: vec![
                row("400", 1, "ours-int8", 1.25),
                row("400", 1, "litert-int8", 2.5),
                row("none", 64, "ours-int8", 0.125),
            ],
        }
    }

    #[test]
    fn the_table_has_a_row_per_engine_and_a_column_per_model_and_batch() {
        let table = report().table();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].contains("400 b1") && lines[0].contains("none b64"), "{table}");
        let words = |line: &str| line.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ");
        assert_eq!(
            lines[2..].iter().map(|line| words(line)).collect::<Vec<_>>(),
            ["ours-int8 1.250 0.125", "litert-int8 2.500"]
        );
    }

    #[test]
    fn a_record_lies_under_its_host_and_date() {
        let folder = tempfile::tempdir().unwrap();
        report().record(folder.path()).unwrap();
        let host = folder.path().join(slug(&Machine::read().unwrap().cpu));
        let csv = fs::read_to_string(host.join("2026-01-31.csv")).unwrap();
        assert_eq!(
            csv.lines().nth(2),
            Some("full,400,1,litert-int8,2.5000,1.0000,2.000,3.000,7,0.500000,0.010000,0.999000")
        );
        assert_eq!(csv.lines().next().unwrap().split(',').count(), csv.lines().nth(1).unwrap().split(',').count());
        Report { caches: "cold", ..report() }.record(folder.path()).unwrap();
        let cold = fs::read_to_string(host.join("2026-01-31-cold.md")).unwrap();
        assert!(cold.contains("nothing in the caches"), "{cold}");
        let text = fs::read_to_string(host.join("2026-01-31.md")).unwrap();
        assert!(text.contains("commit abc") && text.contains("7 rounds") && text.contains("1.250"), "{text}");
    }

    #[test]
    fn slugs() {
        assert_eq!(slug("AMD EPYC 9B14 (Zen 4) @ 2.6GHz"), "amd-epyc-9b14-zen-4-2-6ghz");
    }
}

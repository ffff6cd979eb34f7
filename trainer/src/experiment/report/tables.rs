//! The tables, in Markdown and CSV.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;

use super::Line;
use crate::experiment::row::Experiments;

/// Headings of a table's columns.
pub(super) const COLUMNS: [&str; 11] =
    ["model", "AUC", "±", "LogLoss", "PRAUC", "RCE %", "parameters", "not 0", "packed bytes", "ns", "M4F instructions"];

/// A line's cells, in the order of [`COLUMNS`].
pub(super) fn cells(line: &Line) -> [String; 11] {
    let count = |n: Option<u64>| n.map_or(String::new(), |n| n.to_string());
    [
        line.title.clone(),
        format!("{:.4}", line.auc),
        line.auc_deviation.map_or(String::new(), |d| format!("{d:.4}")),
        format!("{:.4}", line.log_loss),
        format!("{:.4}", line.prauc),
        format!("{:.2}", line.rce),
        line.parameters.to_string(),
        count(line.nonzero),
        count(line.packed_bytes),
        line.ns_per_row.map_or(String::new(), |ns| format!("{ns:.0}")),
        count(line.cortex_m4f_instructions),
    ]
}

/// Tables in the order of the lines: title, lines.
pub(super) fn by_table<T>(lines: &[T], table_of: impl Fn(&T) -> &str) -> Vec<(&str, &[T])> {
    let tables = lines.chunk_by(|a, b| table_of(a) == table_of(b));
    tables.map(|lines| (table_of(&lines[0]), lines)).collect()
}

/// What the columns mean and where the figures come from.
pub(super) fn notes(experiments: &Experiments, lines: &[&Line]) -> Vec<String> {
    let mut notes = vec![format!(
        "Means over the seeds of a row; ± is their standard deviation. ns: a call of one row, where it was measured. \
         M4F instructions: as `xsfm analyze` predicts them. Data: `{}`. The command of a row stands in report.csv and, in \
         report.html, under the pointer.",
        experiments.defaults.prepare
    )];
    let trained = lines.iter().map(|line| format!("Made at {} on {}.", line.commits, line.host));
    let timed = lines.iter().filter_map(|line| Some(format!("Calls timed on {}.", line.latency_host.as_ref()?)));
    notes.extend(trained.chain(timed).collect::<BTreeSet<_>>());
    notes
}

pub(super) fn markdown(experiments: &Experiments, lines: &[&Line]) -> String {
    let mut text = format!("# {}\n", experiments.defaults.dataset);
    for (table, lines) in by_table(lines, |line| &line.table) {
        let rule = "|---".repeat(COLUMNS.len());
        let _ = write!(text, "\n## {table}\n\n| {} |\n{rule}|\n", COLUMNS.join(" | "));
        for line in lines {
            let _ = writeln!(text, "| {} |", cells(line).join(" | "));
        }
    }
    let _ = write!(text, "\n{}\n", notes(experiments, lines).join("\n"));
    text
}

pub(super) fn csv(lines: &[&Line]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.serialize(line)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

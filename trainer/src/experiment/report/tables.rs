//! The tables, in Markdown and CSV.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;

use super::entry::Line;
use crate::experiment::row::Experiments;

const NUM_COLUMNS: usize = 17;

/// Headings of a table's columns.
pub(super) const COLUMNS: [&str; NUM_COLUMNS] = [
    "model",
    "valid AUC",
    "test AUC",
    "± seeds",
    "± rows",
    "difference",
    "LogLoss",
    "PRAUC",
    "RCE %",
    "ECE",
    "calibration",
    "parameters",
    "not 0",
    "deployed bytes",
    "without vocabulary",
    "ns",
    "M4F instructions",
];

/// A line's cells, in the order of [`COLUMNS`].
pub(super) fn cells(line: &Line) -> [String; NUM_COLUMNS] {
    let count = |n: Option<u64>| n.map_or(String::new(), |n| n.to_string());
    let small = |d: Option<f64>| d.map_or(String::new(), |d| format!("{d:.4}"));
    // A row of which no seed was made has no figure.
    let figure = |f: f64, digits: usize| if f.is_nan() { String::new() } else { format!("{f:.digits$}") };
    let title = match (line.diverged, line.seeds) {
        (0, _) => line.title.clone(),
        (_, 0) => format!("{} (diverged)", line.title),
        (diverged, made) => format!("{} ({diverged} of {} seeds diverged)", line.title, diverged + made),
    };
    let difference = match (line.auc_difference, line.auc_difference_standard_error) {
        (Some(difference), Some(error)) => format!("{difference:+.4} ± {error:.4}"),
        (Some(difference), None) => format!("{difference:+.4}"),
        _ => String::new(),
    };
    [
        title,
        figure(line.valid_auc, 4),
        figure(line.auc, 4),
        small(line.auc_deviation),
        small(line.auc_standard_error),
        difference,
        figure(line.log_loss, 4),
        figure(line.prauc, 4),
        figure(line.rce, 2),
        small(line.ece),
        small(line.calibration),
        count(line.parameters),
        count(line.nonzero),
        count(line.deployed_bytes),
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
        "Means over the seeds of a row. Choose by the AUC on the validation rows; the other figures are those on the \
         test rows, which choose nothing. ± seeds: how far seeds are from their mean. ± rows: the standard error of an \
         AUC on these test rows, which are a sample (DeLong 1988): seeds say nothing of it, and it is the same sample \
         for all rows, so that it is not how far two of them differ. That is in `difference`: AUC less that of {}, \
         with the standard error of the difference on the same rows; less than two of them may be chance. ECE: \
         expected calibration error, in 15 bins of equal mass; calibration: mean prediction over click rate. Deployed \
         bytes: of the packed file, model and vocabulary. ns: a \
         call of one row, where it was measured. M4F instructions: as `xsfm analyze` predicts them. Data: `{}`. The \
         command of a row stands in report.csv and, in report.html, under the pointer.",
        compared_with(lines),
        experiments.defaults.prepare
    )];
    let trained =
        lines.iter().filter(|line| line.seeds > 0).map(|line| format!("Made at {} on {}.", line.commits, line.host));
    let timed = lines.iter().filter_map(|line| Some(format!("Calls timed on {}.", line.latency_host.as_ref()?)));
    notes.extend(trained.chain(timed).collect::<BTreeSet<_>>());
    notes
}

/// What the lines were compared with.
fn compared_with(lines: &[&Line]) -> String {
    let mut names: Vec<&str> = lines.iter().filter_map(|line| line.against.as_deref()).collect();
    names.dedup();
    match names[..] {
        [name] => format!("`{name}`"),
        _ => "the table's best by the validation rows".to_owned(),
    }
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

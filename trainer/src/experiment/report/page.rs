//! One HTML page that needs no other file.

use anyhow::Result;
use maud::{DOCTYPE, PreEscaped, html};

use super::entry::{Entry, Line};
use super::figures;
use super::tables::{COLUMNS, by_table, cells, notes};
use crate::experiment::row::Experiments;

const STYLE: &str = "\
    body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}\
    th,td{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right}\
    th:first-child,td:first-child{text-align:left}\
    .figures{display:flex;flex-wrap:wrap;gap:1em}svg{max-width:100%;height:auto}\
    footer{color:#666;font-size:13px;margin-top:2em}";

/// `overview`: figures of all tables, as SVG.
/// `reliabilities`: the figure of each table, where there is one.
pub(super) fn html(
    experiments: &Experiments,
    entries: &[Entry],
    overview: Vec<String>,
    reliabilities: Vec<Option<String>>,
) -> Result<String> {
    let title = &experiments.defaults.dataset;
    let lines: Vec<&Line> = entries.iter().map(|entry| &entry.line).collect();
    let mut tables = Vec::new();
    for ((table, entries), reliability) in by_table(entries, |entry| &entry.line.table).into_iter().zip(reliabilities) {
        let curves = [
            figures::loss_by_epoch(entries)?,
            figures::latency_by_batch(entries)?,
            figures::libtorch_by_batch(entries)?,
            reliability,
        ];
        tables.push((table, entries, curves.into_iter().flatten().collect::<Vec<_>>()));
    }
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                div.figures { @for svg in &overview { (PreEscaped(svg)) } }
                @for (table, entries, curves) in &tables {
                    h2 { (table) }
                    table {
                        thead { tr { @for column in COLUMNS { th { (column) } } } }
                        tbody {
                            @for entry in *entries {
                                tr title=(entry.line.command) { @for cell in cells(&entry.line) { td { (cell) } } }
                            }
                        }
                    }
                    div.figures { @for svg in curves { (PreEscaped(svg)) } }
                }
                footer { @for note in notes(experiments, &lines) { p { (note) } } }
            }
        }
    };
    Ok(page.into_string())
}

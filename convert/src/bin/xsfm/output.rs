//! What every command prints with.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use xsfm_interchange::output;

pub(crate) fn print(report: &(impl Serialize + std::fmt::Display), json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(report);
    }
    Ok(output::print(report)?)
}

pub(crate) fn print_json(report: &impl Serialize) -> anyhow::Result<()> {
    Ok(output::json(report)?)
}

/// A bar on standard error, or nothing where that is not a terminal. Without a total, only a count.
pub(crate) fn progress_bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} [{bar:40}] {pos}/{len} eta {eta}"),
        None => (ProgressBar::no_length(), "{msg} {pos} {per_sec}"),
    };
    // A template that indicatif cannot read leaves its own style.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

//! Instructions of a score, by callgrind: a measure that a busy machine does not move.
//!
//! They rank kernels only roughly, but a kernel that suddenly needs more of them has become slower.
//! `benches/callgrind.rs` is what runs; `benches/counts.toml` has what it took when somebody last said that it was
//! right. AArch64: [`crate::measure::count`].

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::record::{Figures, Record};
use crate::setup::debian;
use crate::{cargo, command, workspace};

/// How each model is scored.
const CASES: [&str; 4] = ["single", "batch", "ranked", "items"];

pub(crate) fn run(bless: bool) -> Result<()> {
    debian::provide("valgrind", "valgrind")?;
    let record = Record {
        path: workspace::root().join("benches/counts.toml"),
        header: HEADER,
        tolerance: 0.03,
        bless: "cargo xtask test callgrind --bless",
    };
    record.judge(&count_all()?, bless)
}

const HEADER: &str = "\
# Instructions per row on AVX2, counted by callgrind: `cargo xtask test callgrind`; `--bless` rewrites this file.
# 39 fields of 10 numbers. single: one row per call. batch: eight. ranked: eight candidates, 20 context fields.
# items: the same candidates from a catalogue.
";

/// Models: the arithmetic, and the hidden layers as `models` takes them.
const MODELS: [(&str, &str); 4] =
    [("int8", "400-400-400"), ("int8", "64-64-64"), ("int8", "none"), ("f32", "64-64-64")];

/// Builds what is counted, and with it all that parts of the tests run optimised on this machine.
pub(crate) fn build() -> Result<PathBuf> {
    cargo::built(&mut cargo::command(&["build", "--release", "--package", "xsfm-benches", "--bins"]), "callgrind")
}

fn count_all() -> Result<Figures> {
    let program = build()?;
    let folder = tempfile::tempdir()?;
    let mut write = Command::new(program.with_file_name("models"));
    command::run(write.arg(folder.path()).args(["400-400-400", "64-64-64", "none"]))?;
    let mut counts = Figures::new();
    for (mode, hidden) in MODELS {
        let model = folder.path().join(hidden).join(mode).with_extension("xsfm");
        for case in CASES {
            let count = count(&program, &model, case, &folder.path().join("callgrind.out"))?;
            counts.entry(format!("{mode}-{hidden}")).or_default().insert(case.to_owned(), count);
        }
    }
    Ok(counts)
}

/// Instructions per row.
fn count(program: &Path, model: &Path, case: &str, out: &Path) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--toggle-collect=*counted_part*"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display())).arg(program).arg(model).arg(case);
    let rows: u64 = command::output(&mut valgrind)?.trim().parse().context("the number of rows")?;
    let text = fs::read_to_string(out)?;
    let total = total(&text).with_context(|| format!("{}: no totals", out.display()))?;
    ensure!(total > 0 && rows > 0, "callgrind has not found the function to count");
    Ok(total / rows)
}

/// The sum of a callgrind file.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_found() {
        assert_eq!(total("events: Ir\nfn=(1)\n3 4\n\ntotals: 1234\n"), Some(1234));
        assert_eq!(total("events: Ir\n"), None);
    }
}

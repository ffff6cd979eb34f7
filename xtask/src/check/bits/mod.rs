//! The same bits everywhere: one packed model and rows, scored by every back end of this machine, on ARM Linux, on
//! microcontrollers and in WebAssembly.

mod score;
mod targets;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use xsfm_interchange::output;

use self::score::{Difference, F32_TOLERANCE, Score, Subject, checksum, compare};
use crate::targets::{rows, toolchain};
use crate::{cargo, command, workspace};

/// Rows of each model.
const ROWS: usize = 240;
/// Raw rows with the names of their columns.
const RAW_CSV: &str = "raw.csv";
pub(crate) fn run() -> Result<()> {
    let folder = workspace::target().join("bits");
    fs::create_dir_all(&folder)?;
    // As other parts of the tests have built it.
    let xsfm = cargo::xsfm()?;
    let subjects = subjects(&xsfm, &folder)?;
    let runners = targets::all()?;
    let here = format!("{} (xsfm score)", toolchain::host()?);
    let lines = command::side_by_side(&subjects, |subject| {
        let expected = host_scores(&xsfm, subject, &folder)?;
        if expected.len() < ROWS {
            bail!("{}: {} rows scored, {ROWS} expected", subject.name, expected.len());
        }
        let line = |target: &str, scores: &[Score]| -> Result<Line<'_>> {
            let difference = compare(subject, &expected, scores).with_context(|| target.to_owned())?;
            Ok(Line { subject, target: target.to_owned(), checksum: checksum(scores), difference })
        };
        let mut lines = vec![line(&here, &expected)?];
        lines.extend(command::side_by_side(&runners, |runner| line(&runner.name, &runner.scores(subject)?))?);
        Ok(lines)
    })?;
    let lines: Vec<Line<'_>> = lines.into_iter().flatten().collect();
    output::line(format_args!("Checksums of the logits and probabilities of {ROWS} rows\n"))?;
    output::line(format_args!("{}\n{}", table(&lines, true), table(&lines, false)))?;
    let wrong: Vec<&Line<'_>> = lines.iter().filter(|line| !line.difference.allowed).collect();
    for Line { subject, target, difference, .. } in &wrong {
        output::line(format_args!("{}, {target}: {}", subject.name, difference.text))?;
    }
    if !wrong.is_empty() {
        bail!("{} of {} runs differ more than they may", wrong.len(), lines.len());
    }
    output::line(format_args!(
        "int8: every logit and probability has the same bits; f32: within {F32_TOLERANCE:e} of max(1, |logit|)"
    ))?;
    Ok(())
}

/// One target's scores of one model.
struct Line<'s> {
    subject: &'s Subject,
    target: String,
    checksum: u32,
    difference: Difference,
}

/// A row for each target, a column for each model of a mode.
fn table(lines: &[Line<'_>], int8: bool) -> String {
    let lines: Vec<&Line<'_>> = lines.iter().filter(|line| line.subject.int8 == int8).collect();
    let Some(first) = lines.first() else { return String::new() };
    let targets: Vec<&str> =
        lines.iter().filter(|line| line.subject.name == first.subject.name).map(|line| line.target.as_str()).collect();
    let mut seen = BTreeSet::new();
    let subjects: Vec<&str> =
        lines.iter().map(|line| line.subject.name.as_str()).filter(|name| seen.insert(*name)).collect();
    let width = targets.iter().map(|target| target.len()).fold(0, usize::max);
    let mut text = format!("{:<width$}", "target");
    // Writing to a string cannot fail.
    subjects.iter().for_each(|name| _ = write!(text, "  {name:<12}"));
    for target in targets {
        let _ = write!(text, "\n{target:<width$}");
        for name in &subjects {
            let line = lines.iter().find(|line| line.target == target && line.subject.name == *name);
            let cell = line.map_or_else(String::new, |line| line.cell());
            let _ = write!(text, "  {cell:<len$}", len = name.len().max(12));
        }
        text.truncate(text.trim_end().len());
    }
    text + "\n"
}

impl Line<'_> {
    /// The checksum, and whether it is this machine's, nearly, or by no means.
    fn cell(&self) -> String {
        let mark = match &self.difference {
            Difference { largest: None, .. } => "",
            Difference { allowed: true, .. } => " ~",
            Difference { .. } => " !",
        };
        format!("{:08x}{mark}", self.checksum)
    }
}

/// The project's students, and the models beside the project where they are, in both modes.
fn subjects(xsfm: &Path, folder: &Path) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    let mut add = |name: &str, int8, model: PathBuf, rows: &Path| -> Result<()> {
        let name = format!("{name} {}", if int8 { "int8" } else { "f32" });
        let words = rows.with_extension("words");
        rows::write_table(&model, rows, &words)?;
        subjects.push(Subject { name, int8, model, rows: rows.to_owned(), raw: false, words });
        Ok(())
    };
    let student = workspace::pretrained().join("model.xsfm");
    let student_rows = folder.join("student.tsv");
    rows::write(&student, ROWS, 1, &student_rows)?;
    add("movielens-student", true, student.clone(), &student_rows)?;
    // Both were trained on the same rows: what is an index of one is one of the other.
    add("with QR tables", true, workspace::with_products().join("model.xsfm"), &student_rows)?;
    for target in ["x86-64", "cortex-m4f", "cortex-m55"] {
        let laid = folder.join(format!("student-{target}.xsfm"));
        let mut retarget = Command::new(xsfm);
        command::run_to_stderr(
            retarget.arg("retarget").arg(&student).args(["--target", target]).arg("--output").arg(&laid),
        )?;
        add(&format!("for {target}"), true, laid, &student_rows)?;
    }
    for golden in workspace::golden_models()? {
        let name = golden.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let [float, int8] = ["f32", "int8"].map(|mode| folder.join(format!("{name}-{mode}.xsfm")));
        let import = |mode| {
            let mut import = Command::new(xsfm);
            import.arg("import").arg(&golden).args(["--mode", mode]);
            import
        };
        command::run_to_stderr(import("f32").arg("--output").arg(&float))?;
        let golden_rows = folder.join(format!("{name}.tsv"));
        rows::write(&float, ROWS, 1, &golden_rows)?;
        // What the scales are does not matter here: random rows will do to calibrate on.
        command::run_to_stderr(import("int8").arg("--calibrate").arg(&golden_rows).arg("--output").arg(&int8))?;
        add(&name, true, int8, &golden_rows)?;
        add(&name, false, float, &golden_rows)?;
    }
    let (rows, columns) = workspace::raw_rows();
    rows::write_csv(&rows, columns, &folder.join(RAW_CSV))?;
    let model = workspace::with_vocabulary().join("model.xsfm");
    subjects.push(Subject { name: "raw values".to_owned(), int8: true, model, words: rows.clone(), rows, raw: true });
    Ok(subjects)
}

fn host_scores(xsfm: &Path, subject: &Subject, folder: &Path) -> Result<Vec<Score>> {
    let mut score = Command::new(xsfm);
    score.arg("score").arg(&subject.model);
    let text = command::output(match subject.raw {
        true => score.arg("--raw").arg(folder.join(RAW_CSV)),
        false => score.arg("--indices").arg(&subject.rows),
    })?;
    let parse = |line: &str| {
        let (logit, probability) = line.split_once('\t')?;
        Some(Score { logit: logit.parse().ok()?, probability: probability.parse().ok()? })
    };
    text.lines().map(|line| parse(line).ok_or_else(|| anyhow!("not a score: {line:?}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(int8: bool) -> Subject {
        let [model, rows, words] = [const { PathBuf::new() }; 3];
        Subject { name: "m".to_owned(), int8, model, rows, raw: false, words }
    }

    #[test]
    fn the_table_marks_what_differs() {
        let subjects = [subject(true), Subject { name: "n".to_owned(), ..subject(true) }];
        let line = |of: usize, target: &str, largest: Option<f32>| Line {
            subject: &subjects[of],
            target: target.to_owned(),
            checksum: 0xab,
            difference: Difference { largest, text: String::new(), allowed: largest.is_none() },
        };
        let lines = [line(0, "x86", None), line(0, "arm", Some(1.0)), line(1, "x86", None)];
        let table = table(&lines, true);
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words,
            [vec!["target", "m", "n"], vec!["x86", "000000ab", "000000ab"], vec!["arm", "000000ab", "!"]]
        );
    }
}

//! The same bits everywhere: one packed model and rows, scored on this machine, on ARM Linux and on a Cortex-M.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use xsfm_runtime::format::CRC;

use crate::cross::ARM_LINUX;
use crate::firmware::Board;
use crate::{command, cross, rows, workspace};

/// Rows of each model.
const ROWS: usize = 240;
/// f32 mode: sums may be taken in another order elsewhere. Relative to `max(1, |logit|)`; the probability's is a quarter of it.
const F32_TOLERANCE: f32 = 1e-5;

/// A model to score.
struct Subject {
    name: String,
    int8: bool,
    model: PathBuf,
    rows: PathBuf,
}

/// A row's logit and probability.
#[derive(Clone, Copy, Debug)]
struct Score {
    logit: f32,
    probability: f32,
}

pub(crate) fn run() -> Result<()> {
    let folder = workspace::target().join("bits");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let xsfm = workspace::built(&mut workspace::cargo(&["build", "--release", "--package", "xsfm-convert"]), "xsfm")?;
    let subjects = subjects(&xsfm, &folder)?;
    let board = Board::set_up()?;
    let mut scorers = Vec::new();
    for target in ARM_LINUX {
        let toolchain = target.set_up()?;
        let program = toolchain.scorer()?;
        scorers.push((toolchain, program));
    }

    let host = cross::host()?;
    let mut differences = 0;
    let mut table = Vec::new();
    for subject in &subjects {
        let here = host_scores(&xsfm, subject, &folder)?;
        if here.len() < ROWS {
            bail!("{}: {} rows scored, {ROWS} expected", subject.name, here.len());
        }
        let mut line = |target: String, scores: &[Score]| -> Result<()> {
            let difference = compare(subject, &here, scores).with_context(|| target.clone())?;
            differences += usize::from(!difference.allowed);
            let (name, rows, checksum) = (&subject.name, scores.len(), checksum(scores));
            table.push(format!("{name:<24} {target:<42} {rows:>4}  {checksum:08x}  {}", difference.text));
            Ok(())
        };
        line(format!("{host} (xsfm score)"), &here)?;
        for (toolchain, program) in &scorers {
            for (cpu, mut scorer) in toolchain.runs(program) {
                let text = command::output(scorer.args([&subject.model, &subject.rows]).arg("--bits"))?;
                line(format!("{} ({cpu})", toolchain.target.triple), &hexadecimal(text.lines())?)?;
            }
        }
        let log = board.run("score", Some((&subject.model, &subject.rows)))?;
        let triple = board.toolchain().target.triple;
        line(format!("{triple} (cortex-m4)"), &device_scores(&log)?)?;
    }

    println!("{:<24} {:<42} {:>4}  {:<8}  compared with this machine", "model", "target", "rows", "checksum");
    table.iter().for_each(|line| println!("{line}"));
    if differences > 0 {
        bail!("{differences} of {} runs differ more than they may", table.len());
    }
    println!("int8: every logit and probability has the same bits; f32: within {F32_TOLERANCE:e} of max(1, |logit|)");
    Ok(())
}

/// The project's student, and the models beside the project where they are, in both modes.
fn subjects(xsfm: &Path, folder: &Path) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    let mut add = |name: &str, int8, model: PathBuf, rows: &Path| {
        let name = format!("{name} {}", if int8 { "int8" } else { "f32" });
        subjects.push(Subject { name, int8, model, rows: rows.to_owned() });
    };
    let student = workspace::pretrained().join("model.xsfm");
    let student_rows = folder.join("student.tsv");
    rows::write(&student, ROWS, 1, &student_rows)?;
    add("movielens-student", true, student, &student_rows);
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
        add(&name, true, int8, &golden_rows);
        add(&name, false, float, &golden_rows);
    }
    Ok(subjects)
}

fn host_scores(xsfm: &Path, subject: &Subject, folder: &Path) -> Result<Vec<Score>> {
    let output = folder.join("host-scores.tsv");
    let mut score = Command::new(xsfm);
    score.arg("score").arg(&subject.model).arg("--indices").arg(&subject.rows).arg("--output").arg(&output);
    command::run(&mut score)?;
    let text = fs::read_to_string(&output).with_context(|| output.display().to_string())?;
    let parse = |line: &str| {
        let (logit, probability) = line.split_once('\t')?;
        Some(Score { logit: logit.parse().ok()?, probability: probability.parse().ok()? })
    };
    text.lines().map(|line| parse(line).ok_or_else(|| anyhow!("not a score: {line:?}"))).collect()
}

/// Lines of `logit<TAB>probability` as hexadecimal bits.
fn hexadecimal<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Score>> {
    let bits = |word: &str| u32::from_str_radix(word, 16).ok().map(f32::from_bits);
    let parse = |line: &str| {
        let (logit, probability) = line.split_once('\t')?;
        Some(Score { logit: bits(logit)?, probability: bits(probability)? })
    };
    lines.map(|line| parse(line).ok_or_else(|| anyhow!("not the bits of a score: {line:?}"))).collect()
}

/// The scores in the log of the Cortex-M program, whose own checksum must agree with them.
fn device_scores(log: &str) -> Result<Vec<Score>> {
    let mut lines = Vec::new();
    for line in log.lines() {
        if let ["INFO", "row", _, "logit", logit, "probability", probability] =
            line.split_whitespace().collect::<Vec<_>>()[..]
        {
            lines.push(format!("{logit}\t{probability}"));
        }
    }
    let scores = hexadecimal(lines.iter().map(String::as_str))?;
    let stated = log.lines().find_map(|line| line.rsplit_once("rows, checksum ")).map(|(_, checksum)| checksum);
    let computed = format!("{:08x}", checksum(&scores));
    if stated != Some(&computed) {
        bail!("the device states the checksum {stated:?}, its {} scores have {computed}", scores.len());
    }
    Ok(scores)
}

/// CRC-32 of the bits of all logits and probabilities, as the Cortex-M program computes it.
fn checksum(scores: &[Score]) -> u32 {
    let mut digest = CRC.digest();
    for score in scores {
        digest.update(&score.logit.to_le_bytes());
        digest.update(&score.probability.to_le_bytes());
    }
    digest.finalize()
}

/// How scores compare with those of this machine.
struct Difference {
    text: String,
    allowed: bool,
}

fn compare(subject: &Subject, here: &[Score], there: &[Score]) -> Result<Difference> {
    if here.len() != there.len() {
        bail!("{}: {} rows scored, {} on this machine", subject.name, there.len(), here.len());
    }
    let bits = |score: &Score| (score.logit.to_bits(), score.probability.to_bits());
    let differ = here.iter().zip(there).filter(|(a, b)| bits(a) != bits(b)).count();
    if differ == 0 {
        return Ok(Difference { text: "the same bits".to_owned(), allowed: true });
    }
    let relative = |(a, b): (&Score, &Score)| {
        let logit = (a.logit - b.logit).abs() / a.logit.abs().max(1.0);
        // The sigmoid's slope is at most a quarter.
        let probability = 4.0 * (a.probability - b.probability).abs() / a.logit.abs().max(1.0);
        if logit.is_nan() || probability.is_nan() { f32::INFINITY } else { logit.max(probability) }
    };
    let largest = here.iter().zip(there).map(relative).fold(0.0, f32::max);
    let text = format!("{differ} rows differ, at most by {largest:.1e} of max(1, |logit|)");
    Ok(Difference { text, allowed: !subject.int8 && largest <= F32_TOLERANCE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(int8: bool) -> Subject {
        Subject { name: "m".to_owned(), int8, model: PathBuf::new(), rows: PathBuf::new() }
    }

    #[test]
    fn one_bit_is_too_much_in_int8_and_not_in_f32() {
        let here = [Score { logit: 1.5, probability: 0.75 }];
        let there = [Score { logit: f32::from_bits(1.5_f32.to_bits() + 1), probability: 0.75 }];
        assert!(!compare(&subject(true), &here, &there).expect("as many").allowed);
        assert!(compare(&subject(false), &here, &there).expect("as many").allowed);
        assert!(compare(&subject(true), &here, &here).expect("as many").allowed);
        let far = [Score { logit: 1.501, probability: 0.75 }];
        assert!(!compare(&subject(false), &here, &far).expect("as many").allowed);
        assert!(compare(&subject(true), &here, &[]).is_err());
    }

    #[test]
    fn a_log_that_lost_a_row_is_noticed() {
        let row = "INFO  row 0 logit 3fc00000 probability 3f400000\n";
        let scores = [Score { logit: 1.5, probability: 0.75 }];
        let log = format!("{row}INFO  1 rows, checksum {:08x}\n", checksum(&scores));
        assert_eq!(device_scores(&log).expect("a whole log").len(), 1);
        assert!(device_scores(log.strip_prefix(row).expect("its row")).is_err());
        assert!(device_scores(row).is_err());
    }
}

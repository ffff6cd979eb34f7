//! `cargo xtask gpu-check`: what a machine with a GPU is asked, in at most eight minutes: whether it trains what a CPU trains, and how fast.
//!
//! Nobody watches it, and the machine costs by the minute: each command has a time of its own and all have one together ([`budget`]), a step
//! that fails does not end the others, and the record is written in any case.

mod budget;
mod compare;
mod machine;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use xsfm_benches::EMBED_DIM;
use xsfm_interchange::{atomic, output};

use self::budget::Budget;
use self::machine::{Utilisation, Watch};
use crate::measure::{criteo, provenance};
use crate::setup::{movielens, torch};
use crate::{cargo, command, workspace};

/// Flags of `cargo xtask gpu-check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Building, and fetching libtorch and MovieLens, come before the eight minutes; --trainer and --ratings bring what was built \
                  and fetched elsewhere. The record goes to benches/record/<GPU>/<date>-gpu.md. `--device cpu` is a rehearsal: every step in \
                  small, no record."
)]
pub(crate) struct Args {
    /// Which GPU; `cpu` to rehearse.
    #[arg(long, default_value = "cuda:0")]
    device: String,
    /// The program `xsfm-train`, instead of building it.
    #[arg(long, value_name = "PATH")]
    trainer: Option<PathBuf>,
    /// Folder of MovieLens-100K, instead of fetching it.
    #[arg(long, value_name = "DIR")]
    ratings: Option<PathBuf>,
    /// Measure, but write no record.
    #[arg(long)]
    no_record: bool,
}

/// Time for everything.
const ALL: Duration = Duration::from_secs(8 * 60);
/// Time for a command of each step, and how many there are.
const DEVICES: (Duration, u32) = (Duration::from_secs(20), 1);
const STEP: (Duration, u32) = (Duration::from_secs(25), 5);
const EVALUATE: (Duration, u32) = (Duration::from_secs(20), 2);
const TEACHER: (Duration, u32) = (Duration::from_secs(100), 2);
const SPEED: (Duration, u32) = (Duration::from_secs(24), 6);

/// `xsfm-train`'s default.
const LEARNING_RATE: f64 = 1e-3;
const SEED: &str = "1";

/// How large the steps are.
struct Sizes {
    /// Fields have so many times fewer features than Criteo's.
    shrink: u32,
    /// Commands may take so many times their time: of all there is no more.
    patience: u32,
    /// CPU threads of a training on the CPU; 0 for one on each core.
    threads: usize,
    /// Rows of the one batch that is compared.
    step_rows: usize,
    /// Rows to learn at speed, and to evaluate.
    train_rows: usize,
    valid_rows: usize,
    batches: [usize; 2],
    /// How many of [`RULES`] are measured.
    rules: usize,
    hidden: &'static str,
    /// Flags of the teacher on MovieLens, beside its settings.
    teacher: &'static [&'static str],
    /// Its test AUC.
    auc: RangeInclusive<f64>,
}

/// The teacher's AUC on a CPU is 0.8035 with seed 1; others may differ by some thousandths, and a GPU has random numbers of its own.
const WHOLE: Sizes = Sizes {
    shrink: 1,
    patience: 1,
    threads: 0,
    step_rows: 4096,
    train_rows: 40 << 16,
    valid_rows: 3 << 16,
    batches: [4096, 65_536],
    rules: 3,
    hidden: "400,400,400",
    teacher: &[],
    auc: 0.7955..=0.8115,
};
const REHEARSAL: Sizes = Sizes {
    shrink: 100,
    patience: 8,
    threads: 1,
    step_rows: 256,
    train_rows: 4096,
    valid_rows: 4096,
    batches: [512, 2048],
    // Not every CPU has bfloat16.
    rules: 2,
    hidden: "16",
    teacher: &["--epochs", "2", "--embed-dim", "4", "--hidden", "16", "--learning-rate", "0.01"],
    auc: 0.6..=0.85,
};

/// What is measured at speed.
const RULES: [(&str, &[&str]); 3] = [
    ("adam", &[]),
    ("lazy-adam", &["--optimizer", "lazy-adam"]),
    ("lazy-adam, bfloat16", &["--optimizer", "lazy-adam", "--mixed-precision"]),
];

struct Check<'a> {
    args: &'a Args,
    sizes: Sizes,
    folder: PathBuf,
    trainer: PathBuf,
    budget: Budget,
    /// The record's lines.
    text: String,
    failed: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let is_rehearsal = args.device == "cpu";
    if !is_rehearsal {
        machine::expect_gpu()?;
    }
    let (trainer, ratings) = programs(args)?;
    let folder = workspace::target().join("gpu-check");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let sizes = if is_rehearsal { REHEARSAL } else { WHOLE };
    let budget = Budget::new(ALL);
    let mut check = Check { args, sizes, folder, trainer, budget, text: String::new(), failed: Vec::new() };
    let name = check.devices(is_rehearsal)?;
    check.tried("rows", Check::rows);
    check.tried("a step against the CPU", Check::step);
    check.tried("evaluation against the CPU", Check::evaluate);
    check.tried("a MovieLens teacher", |check| check.teacher(&ratings));
    check.tried("rows per second", Check::speed);
    check.end(&name, is_rehearsal)
}

/// The trainer and the ratings, made or fetched where they were not given.
fn programs(args: &Args) -> Result<(PathBuf, PathBuf)> {
    let trainer = match &args.trainer {
        Some(path) => fs::canonicalize(path).with_context(|| path.display().to_string())?,
        None => {
            command::heading("build");
            let mut build = cargo::command(&["build", "--release", "--package", "xsfm-trainer"]);
            cargo::built(torch::set_up()?.use_in(&mut build), "xsfm-train")?
        }
    };
    let ratings = args.ratings.clone().map_or_else(movielens::set_up, Ok)?;
    Ok((trainer, ratings))
}

impl Check<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, word: &str, data: &Path) -> Command {
        let mut command = Command::new(&self.trainer);
        command.arg(word).arg("--data").arg(data).current_dir(workspace::root());
        command
    }

    fn train(&self, data: &Path, out: &Path, device: &str, flags: &[&str], limit: (Duration, u32)) -> Result<()> {
        let mut train = self.command("train", data);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = if device == "cpu" && self.sizes.threads == 0 { cores } else { 1 };
        train.arg("--out").arg(out).args(["--device", device, "--seed", SEED, "--threads", &threads.to_string()]);
        self.output(train.args(flags), limit)?;
        Ok(())
    }

    fn output(&self, command: &mut Command, (limit, _): (Duration, u32)) -> Result<String> {
        self.budget.output(command, limit * self.sizes.patience)
    }

    /// A step, whose failure is told and does not end the others.
    fn tried(&mut self, what: &str, step: impl FnOnce(&mut Self) -> Result<()>) {
        command::heading(what);
        let _ = writeln!(self.text, "\n## {}\n", what[..1].to_uppercase() + &what[1..]);
        if let Err(error) = step(self) {
            let error = format!("{error:#}");
            output::say(format_args!("FAILED: {error}"));
            let _ = writeln!(self.text, "FAILED: {error}");
            self.failed.push(format!("{what}: {error}"));
        }
    }

    fn line(&mut self, line: &str) {
        output::say(line);
        let _ = writeln!(self.text, "{line}");
    }

    fn expect(&self, is_so: bool, what: &str) -> Result<()> {
        ensure!(is_so, "{what}");
        Ok(())
    }

    /// What the program sees; the GPU's name.
    fn devices(&mut self, is_rehearsal: bool) -> Result<String> {
        command::heading("devices");
        let mut devices = Command::new(&self.trainer);
        let text = self.output(devices.args(["devices", "--json"]), DEVICES)?;
        let seen: Value = serde_json::from_str(&text).context("the output of xsfm-train devices --json")?;
        let names = seen["devices"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let wanted = if self.args.device == "cuda" { "cuda:0" } else { self.args.device.as_str() };
        if !names.into_iter().any(|name| name == wanted) {
            let why = seen["why_no_gpu"].as_str().unwrap_or("it is not among those that `xsfm-train devices` shows");
            bail!("{}: {why}", self.args.device);
        }
        let text = |pointer: &str| seen.pointer(pointer).and_then(Value::as_str).unwrap_or("none").to_owned();
        let number = wanted.strip_prefix("cuda:").unwrap_or("0");
        let name = if is_rehearsal { "CPU".to_owned() } else { text(&format!("/gpus/{number}/name")) };
        let lines = [
            format!("# A GPU: {name}\n"),
            format!("- {}, {}", machine::cpu(), provenance::today()?),
            format!(
                "- `cargo xtask {}`, commit {}",
                env::args().skip(1).collect::<Vec<_>>().join(" "),
                provenance::commit()
            ),
            format!(
                "- libtorch {} built with CUDA {}, driver for CUDA up to {}, {}",
                text("/libtorch/version"),
                text("/libtorch/cuda"),
                text("/driver/cuda"),
                text("/driver/module")
            ),
        ];
        lines.iter().for_each(|line| self.line(line));
        Ok(name)
    }

    fn rows(&mut self) -> Result<()> {
        let begun = Instant::now();
        let Sizes { step_rows, train_rows, valid_rows, shrink, .. } = self.sizes;
        criteo::write(&self.at("step"), step_rows, 2048.min(step_rows), shrink)?;
        criteo::write(&self.at("criteo"), train_rows, valid_rows, shrink)?;
        let seconds = begun.elapsed().as_secs_f64();
        self.line(&format!(
            "{train_rows} training and {valid_rows} validation rows with the sizes of Criteo's fields, written in {seconds:.0} s."
        ));
        Ok(())
    }

    /// From the same weights, on the same batch, without dropout: one step of Adam on the CPU and on the GPU.
    fn step(&mut self) -> Result<()> {
        let (data, start) = (self.at("step"), self.at("start"));
        let batch = self.sizes.step_rows.to_string();
        let embed_dim = EMBED_DIM.to_string();
        let one = ["--epochs", "1", "--batch-size", &batch];
        let architecture = ["--embed-dim", &embed_dim, "--hidden", self.sizes.hidden];
        self.train(&data, &start, "cpu", &[&one[..], &architecture].concat(), STEP)?;
        let from = start.display().to_string();
        for (rule, flags) in &RULES[..2] {
            let flags = [&one[..], &["--from", &from, "--l2", "0.01", "--weight-decay", "0.01"], flags].concat();
            let (here, there) = (self.at(&format!("{rule}-cpu")), self.at(&format!("{rule}-gpu")));
            self.train(&data, &here, "cpu", &flags, STEP)?;
            self.train(&data, &there, &self.args.device, &flags, STEP)?;
            let [a, b] = [&here, &there].map(|folder| compare::figure(folder, "/epochs/0/train_loss"));
            let (a, b) = (a?, b?);
            let distance = compare::weights(&here, &there, LEARNING_RATE)?;
            self.line(&format!(
                "{rule}: loss {b:.6}, on the CPU {a:.6}; {} of {} numbers moved otherwise, by {:.1e} at most",
                distance.moved, distance.numbers, distance.most
            ));
            self.expect((a - b).abs() <= compare::LOSS_TOLERANCE * a, "the losses are not the same")?;
            self.expect(distance.is_small(), "the weights after the step are not the same")?;
        }
        self.line(&format!(
            "\nA number moved otherwise where the two differ by more than {} of the learning rate and {} of its magnitude; {} % of them may, \
             and losses may differ by {} of theirs.",
            compare::MOVE_TOLERANCE,
            compare::MAGNITUDE_TOLERANCE,
            compare::MOVED_SHARE * 100.0,
            compare::LOSS_TOLERANCE
        ));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<()> {
        let data = self.at("criteo");
        let mut seconds = Vec::new();
        let files = [("cpu".to_owned(), self.at("cpu.txt")), (self.args.device.clone(), self.at("gpu.txt"))];
        for (device, file) in &files {
            let mut evaluate = self.command("evaluate", &data);
            evaluate.arg("--checkpoint").arg(self.at("start")).args(["--split", "valid", "--json", "--device", device]);
            let begun = Instant::now();
            self.output(evaluate.arg("--logits").arg(file), EVALUATE)?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
        let most = compare::logits(&files[0].1, &files[1].1)?;
        self.line(&format!(
            "{} logits are {most:.1e} of max(1, |logit|) apart at most, {:.1e} may be; {:.1} s with start and end, {:.1} s on one CPU thread.",
            self.sizes.valid_rows,
            compare::LOGIT_TOLERANCE,
            seconds[1],
            seconds[0]
        ));
        self.expect(most <= compare::LOGIT_TOLERANCE, "the logits are not the same")
    }

    fn teacher(&mut self, ratings: &Path) -> Result<()> {
        let (data, out) = (self.at("movielens"), self.at("teacher"));
        let mut prepare = Command::new(&self.trainer);
        prepare.args(["prepare", "movielens", "--split", "random", "--seed", "1", "--source"]).arg(ratings);
        self.output(prepare.arg("--out").arg(&data), TEACHER)?;
        let begun = Instant::now();
        let flags = [&["--config", "trainer/configs/movielens-teacher.toml"], self.sizes.teacher].concat();
        self.train(&data, &out, &self.args.device, &flags, TEACHER)?;
        let auc = compare::figure(&out, "/test/auc")?;
        let (low, high) = (self.sizes.auc.start(), self.sizes.auc.end());
        self.line(&format!("test AUC {auc:.4} ({low} to {high} is right) in {:.0} s", begun.elapsed().as_secs_f64()));
        self.expect(self.sizes.auc.contains(&auc), "the AUC is not that of a CPU")
    }

    fn speed(&mut self) -> Result<()> {
        let (data, embed_dim) = (self.at("criteo"), EMBED_DIM.to_string());
        self.line(&format!(
            "DeepFwFM, Criteo's field sizes, embed_dim {embed_dim}, layers of {} with BatchNorm: the second of two passes over {} rows, all \
             included from the file to the last step.\n\n| rule | batch | rows/s | loss | utilisation | memory |\n|---|---|---|---|---|---|",
            self.sizes.hidden, self.sizes.train_rows
        ));
        let mut failed = Vec::new();
        for batch in self.sizes.batches {
            for (rule, flags) in RULES.into_iter().take(self.sizes.rules) {
                match self.speed_of(&data, &embed_dim, batch, rule, flags) {
                    Ok(line) => self.line(&line),
                    Err(error) => {
                        self.line(&format!("| {rule} | {batch} | FAILED | | | |"));
                        failed.push(format!("{rule}, batches of {batch}: {error:#}"));
                    }
                }
            }
        }
        self.expect(failed.is_empty(), &failed.join("; "))
    }

    fn speed_of(&self, data: &Path, embed_dim: &str, batch: usize, rule: &str, flags: &[&str]) -> Result<String> {
        let out = self.at(&format!("speed-{batch}-{}", rule.replace(", ", "-")));
        let batch_size = batch.to_string();
        let common =
            ["--epochs", "2", "--embed-dim", embed_dim, "--hidden", self.sizes.hidden, "--batch-size", &batch_size];
        let watch = Watch::begin(&self.args.device);
        let trained = self.train(data, &out, &self.args.device, &[&common[..], flags].concat(), SPEED);
        let utilisation = watch.end();
        trained?;
        let rate = compare::figure(&out, "/epochs/1/rows_per_second")?;
        let loss = compare::figure(&out, "/epochs/1/train_loss")?;
        let (share, memory) =
            utilisation.as_ref().map_or(("unknown".to_owned(), "unknown".to_owned()), Utilisation::words);
        Ok(format!("| {rule} | {batch} | {rate:.0} | {loss:.4} | {share} | {memory} |"))
    }

    /// Writes the record, and tells what failed.
    fn end(mut self, name: &str, is_rehearsal: bool) -> Result<()> {
        let spent = self.budget.spent().as_secs_f64();
        self.line(&format!("\nAll of it took {spent:.0} s of {}.", ALL.as_secs()));
        output::print(&self.text)?;
        if !(is_rehearsal || self.args.no_record) {
            let file = format!("{}-gpu.md", provenance::today()?);
            let path = workspace::root().join("benches/record").join(machine::slug(name)).join(file);
            atomic::write(&path, |out| out.write_all(self.text.as_bytes()))
                .with_context(|| path.display().to_string())?;
            output::say(path.display());
        }
        ensure!(self.failed.is_empty(), "{} step(s) failed: {}", self.failed.len(), self.failed.join("; "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What writing rows may take beside the commands.
    const ROWS: Duration = Duration::from_secs(40);

    #[test]
    fn all_steps_fit_the_time_for_everything() {
        let steps = [DEVICES, STEP, EVALUATE, TEACHER, SPEED];
        // Preparing MovieLens takes seconds of its own limit.
        let all: Duration = steps.iter().map(|(limit, count)| *limit * *count).sum();
        assert!(all + ROWS - TEACHER.0 <= ALL, "{} s", all.as_secs());
        assert_eq!((SPEED.1 as usize, WHOLE.rules), (RULES.len() * WHOLE.batches.len(), RULES.len()));
        assert_eq!(STEP.1, 1 + 2 * 2);
    }

    #[test]
    fn rows_fill_whole_batches() {
        for sizes in [WHOLE, REHEARSAL] {
            assert!(sizes.batches.iter().all(|batch| sizes.train_rows.is_multiple_of(*batch)));
        }
    }
}

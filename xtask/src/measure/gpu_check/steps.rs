//! The steps: each asks `xsfm-train` for something on the CPU and on the GPU, and compares.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use xsfm_benches::EMBED_DIM;
use xsfm_interchange::output;

use super::budget::Budget;
use super::machine::{Utilisation, Watch};
use super::sizes::{DEVICES, EVALUATE, LEARNING_RATE, RULES, SEED, SPEED, STEP, Sizes, TEACHER};
use super::{compare, machine};
use crate::measure::{criteo, provenance};
use crate::{command, workspace};

/// What the steps share, and what they have found.
pub(super) struct Check {
    pub(super) device: String,
    pub(super) sizes: Sizes,
    pub(super) folder: PathBuf,
    pub(super) trainer: PathBuf,
    pub(super) budget: Budget,
    /// The record's lines.
    pub(super) record: String,
    pub(super) failed: Vec<String>,
}

impl Check {
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
    pub(super) fn tried(&mut self, what: &str, step: impl FnOnce(&mut Self) -> Result<()>) {
        command::heading(what);
        let _ = writeln!(self.record, "\n## {}\n", what[..1].to_uppercase() + &what[1..]);
        if let Err(error) = step(self) {
            let error = format!("{error:#}");
            output::say(format_args!("FAILED: {error}"));
            let _ = writeln!(self.record, "FAILED: {error}");
            self.failed.push(format!("{what}: {error}"));
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        output::say(line);
        let _ = writeln!(self.record, "{line}");
    }

    /// What the program sees; the GPU's name.
    pub(super) fn devices(&mut self) -> Result<String> {
        command::heading("devices");
        let mut devices = Command::new(&self.trainer);
        let text = self.output(devices.args(["devices", "--json"]), DEVICES)?;
        let seen: Value = serde_json::from_str(&text).context("the output of xsfm-train devices --json")?;
        let names = seen["devices"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let wanted = if self.device == "cuda" { "cuda:0" } else { self.device.as_str() };
        if !names.into_iter().any(|name| name == wanted) {
            let why = seen["why_no_gpu"].as_str().unwrap_or("it is not among those that `xsfm-train devices` shows");
            bail!("{}: {why}", self.device);
        }
        let text = |pointer: &str| seen.pointer(pointer).and_then(Value::as_str).unwrap_or("none").to_owned();
        let number = wanted.strip_prefix("cuda:").unwrap_or("0");
        let name = if wanted == "cpu" { "CPU".to_owned() } else { text(&format!("/gpus/{number}/name")) };
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

    pub(super) fn rows(&mut self) -> Result<()> {
        let begun = Instant::now();
        let Sizes { step_rows, train_rows, valid_rows, shrink, .. } = self.sizes;
        criteo::write(&self.at("step"), step_rows, 2048.min(step_rows), shrink)?;
        criteo::write(&self.at("criteo"), train_rows, valid_rows, shrink)?;
        let seconds = begun.elapsed().as_secs_f64();
        self.line(&format!(
            "{train_rows} training and {valid_rows} validation rows with the sizes of Criteo's fields, written in \
             {seconds:.0} s."
        ));
        Ok(())
    }

    /// From the same weights, on the same batch, without dropout: one step of Adam on the CPU and on the GPU.
    pub(super) fn step(&mut self) -> Result<()> {
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
            self.train(&data, &there, &self.device, &flags, STEP)?;
            let [a, b] = [&here, &there].map(|folder| compare::figure(folder, "/epochs/0/train_loss"));
            let (a, b) = (a?, b?);
            let distance = compare::weights(&here, &there, LEARNING_RATE)?;
            self.line(&format!(
                "{rule}: loss {b:.6}, on the CPU {a:.6}; {} of {} numbers moved otherwise, by {:.1e} at most",
                distance.moved, distance.numbers, distance.most
            ));
            ensure!((a - b).abs() <= compare::LOSS_TOLERANCE * a, "the losses are not the same");
            ensure!(distance.is_small(), "the weights after the step are not the same");
        }
        self.line(&format!(
            "\nA number moved otherwise where the two differ by more than {} of the learning rate and {} of its \
             magnitude; {} % of them may, and losses may differ by {} of theirs.",
            compare::MOVE_TOLERANCE,
            compare::MAGNITUDE_TOLERANCE,
            compare::MOVED_SHARE * 100.0,
            compare::LOSS_TOLERANCE
        ));
        Ok(())
    }

    pub(super) fn evaluate(&mut self) -> Result<()> {
        let data = self.at("criteo");
        let mut seconds = Vec::new();
        let files = [("cpu".to_owned(), self.at("cpu.txt")), (self.device.clone(), self.at("gpu.txt"))];
        for (device, file) in &files {
            let mut evaluate = self.command("evaluate", &data);
            evaluate.arg("--checkpoint").arg(self.at("start")).args(["--split", "valid", "--json", "--device", device]);
            let begun = Instant::now();
            self.output(evaluate.arg("--logits").arg(file), EVALUATE)?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
        let most = compare::logits(&files[0].1, &files[1].1)?;
        self.line(&format!(
            "{} logits are {most:.1e} of max(1, |logit|) apart at most, {:.1e} may be; {:.1} s with start and end, \
             {:.1} s on one CPU thread.",
            self.sizes.valid_rows,
            compare::LOGIT_TOLERANCE,
            seconds[1],
            seconds[0]
        ));
        ensure!(most <= compare::LOGIT_TOLERANCE, "the logits are not the same");
        Ok(())
    }

    pub(super) fn teacher(&mut self, ratings: &Path) -> Result<()> {
        let (data, out) = (self.at("movielens"), self.at("teacher"));
        let mut prepare = Command::new(&self.trainer);
        prepare.args(["prepare", "movielens", "--split", "random", "--seed", "1", "--source"]).arg(ratings);
        self.output(prepare.arg("--out").arg(&data), TEACHER)?;
        let begun = Instant::now();
        let flags = [&["--config", "trainer/configs/movielens-teacher.toml"], self.sizes.teacher].concat();
        self.train(&data, &out, &self.device, &flags, TEACHER)?;
        let auc = compare::figure(&out, "/test/auc")?;
        let (low, high) = (self.sizes.auc.start(), self.sizes.auc.end());
        self.line(&format!("test AUC {auc:.4} ({low} to {high} is right) in {:.0} s", begun.elapsed().as_secs_f64()));
        ensure!(self.sizes.auc.contains(&auc), "the AUC is not that of a CPU");
        Ok(())
    }

    pub(super) fn speed(&mut self) -> Result<()> {
        self.line(&format!(
            "DeepFwFM, Criteo's field sizes, embed_dim {EMBED_DIM}, layers of {} with BatchNorm: the second of two \
             passes over {} rows, all included from the file to the last step.\n\n\
             | rule | batch | rows/s | loss | utilisation | memory |\n|---|---|---|---|---|---|",
            self.sizes.hidden, self.sizes.train_rows
        ));
        let mut failed = Vec::new();
        for batch in self.sizes.batches {
            for (rule, flags) in RULES.into_iter().take(self.sizes.rules) {
                match self.speed_of(batch, rule, flags) {
                    Ok(line) => self.line(&line),
                    Err(error) => {
                        self.line(&format!("| {rule} | {batch} | FAILED | | | |"));
                        failed.push(format!("{rule}, batches of {batch}: {error:#}"));
                    }
                }
            }
        }
        ensure!(failed.is_empty(), "{}", failed.join("; "));
        Ok(())
    }

    fn speed_of(&self, batch: usize, rule: &str, flags: &[&str]) -> Result<String> {
        let out = self.at(&format!("speed-{batch}-{}", rule.replace(", ", "-")));
        let (embed_dim, batch_size) = (EMBED_DIM.to_string(), batch.to_string());
        let common =
            ["--epochs", "2", "--embed-dim", &embed_dim, "--hidden", self.sizes.hidden, "--batch-size", &batch_size];
        let watch = Watch::begin(&self.device);
        let trained = self.train(&self.at("criteo"), &out, &self.device, &[&common[..], flags].concat(), SPEED);
        let utilisation = watch.end();
        trained?;
        let rate = compare::figure(&out, "/epochs/1/rows_per_second")?;
        let loss = compare::figure(&out, "/epochs/1/train_loss")?;
        let (share, memory) =
            utilisation.as_ref().map_or(("unknown".to_owned(), "unknown".to_owned()), Utilisation::words);
        Ok(format!("| {rule} | {batch} | {rate:.0} | {loss:.4} | {share} | {memory} |"))
    }
}

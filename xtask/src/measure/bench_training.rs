//! `cargo xtask bench-training`: how many rows per second the trainer learns, beside
//! loops in PyTorch that train the same model.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xsfm_benches::{EMBED_DIM, FEATURES};
use xsfm_interchange::output;

use super::criteo;
use crate::setup::torch::{self, Torch};
use crate::{cargo, command, workspace};

/// Flags of `cargo xtask bench-training`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DeepFwFM with Criteo's field sizes, embed_dim 10, layers of 400-400-400 with BatchNorm. A round is a \
                  process of each engine: two passes over the same rows, of which the second is timed. \
                  benches/README.md says what each engine does."
)]
pub(crate) struct Args {
    /// Turns that every engine takes.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Batches of a pass.
    #[arg(long, default_value_t = 100)]
    steps: usize,
    /// Rows of a batch.
    #[arg(long, default_value_t = 2048)]
    batch_size: usize,
    /// CPU threads; all by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Which engines, all by default.
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1..)]
    engines: Vec<Engine>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Engine {
    /// xsfm-train, without L2 of whole tables and without averages, as the loops have neither.
    Adam,
    /// The same with L2 of whole tables.
    AdamTableL2,
    /// xsfm-train as it is by default: with both.
    AdamDefault,
    /// xsfm-train --optimizer lazy-adam.
    LazyAdam,
    /// xsfm-train --optimizer lazy-adam --mixed-precision.
    LazyAdamBf16,
    /// PyTorch, term by term as the paper writes it.
    Original,
    /// PyTorch, one sparse table, matrices, fused and sparse Adam.
    Efficient,
    /// The same with layers in bfloat16.
    EfficientBf16,
}

/// What an engine says of a run.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Pass {
    /// Mean loss of the first pass.
    loss: f64,
    rows_per_second: f64,
}

/// An engine's line of the table.
#[derive(Debug, Serialize)]
struct Line {
    engine: Engine,
    /// Median over the rounds.
    rows_per_second: f64,
    rounds: Vec<f64>,
    loss: f64,
}

/// Engines whose losses differ by more than this share do not train the same model: initial weights and
/// order differ, and move it by a hundredth.
const LOSS_TOLERANCE: f64 = 0.02;
/// The same for all engines, as far as their random numbers are the same.
const SEED: u64 = 1;
const VALIDATION_ROWS: usize = 4096;

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds is 0; it is at least 1");
    ensure!(args.steps > 0, "--steps is 0; it is at least 1");
    ensure!(args.batch_size > 1, "--batch-size is {}; it is at least 2", args.batch_size);
    let torch = torch::set_up()?;
    let threads = args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let bench = Bench { folder: workspace::target().join("training"), threads, batch_size: args.batch_size };
    command::heading("build");
    let mut build = cargo::command(&["build", "--release", "--package", "xsfm-trainer"]);
    let trainer = cargo::built(torch.use_in(&mut build), "xsfm-train")?;
    command::heading("rows");
    bench.write_rows(args.batch_size * args.steps)?;

    command::heading("run");
    let python = torch::python()?;
    let engines = if args.engines.is_empty() { Engine::value_variants() } else { &args.engines };
    let mut passes: Vec<Vec<Pass>> = engines.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds {
        // Each round begins with another engine.
        for n in 0..engines.len() {
            let n = (n + round) % engines.len();
            let engine = engines[n];
            let pass = match engine.script() {
                None => bench.train(engine, &trainer, &torch)?,
                Some(script) => bench.python(engine, &python, script)?,
            };
            output::say(format_args!("{}: loss {:.5}, {:.0} rows/s", engine.name(), pass.loss, pass.rows_per_second));
            passes[n].push(pass);
        }
    }
    let lines: Vec<Line> = engines.iter().zip(&passes).map(|(&engine, passes)| Line::new(engine, passes)).collect();
    let [least, most] = [f64::min, f64::max].map(|f| lines.iter().map(|l| l.loss).reduce(f).unwrap_or(0.0));
    if most - least > LOSS_TOLERANCE * least {
        bail!("losses of the first pass are {least} to {most}: the engines do not train the same model");
    }
    if args.json {
        output::json(&lines)?;
    } else {
        output::print(table(&lines))?;
    }
    Ok(())
}

impl Engine {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The loop in `benches/training`; ours has none.
    fn script(self) -> Option<&'static str> {
        match self {
            Engine::Adam | Engine::AdamTableL2 | Engine::AdamDefault | Engine::LazyAdam | Engine::LazyAdamBf16 => None,
            Engine::Original => Some("original.py"),
            Engine::Efficient | Engine::EfficientBf16 => Some("efficient.py"),
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Engine::AdamDefault | Engine::Original | Engine::Efficient => &[],
            Engine::Adam => &["--table-l2", "0", "--average", "0"],
            Engine::AdamTableL2 => &["--table-l2", "0.00001", "--average", "0"],
            Engine::LazyAdam => &["--table-l2", "0", "--average", "0", "--optimizer", "lazy-adam"],
            Engine::LazyAdamBf16 => {
                &["--table-l2", "0", "--average", "0", "--optimizer", "lazy-adam", "--mixed-precision"]
            }
            Engine::EfficientBf16 => &["--bfloat16"],
        }
    }
}

struct Bench {
    folder: PathBuf,
    threads: usize,
    batch_size: usize,
}

impl Bench {
    /// The same rows twice: as `xsfm-train` reads them, and as plain numbers for Python.
    fn write_rows(&self, count: usize) -> Result<()> {
        let (rows, labels) = criteo::write(&self.folder, count, VALIDATION_ROWS, 1)?;
        let bytes: Vec<u8> = rows.iter().flat_map(|index| index.to_le_bytes()).collect();
        for (name, bytes) in [("rows.bin", bytes), ("labels.bin", labels)] {
            let path = self.folder.join(name);
            fs::write(&path, bytes)?;
        }
        Ok(())
    }

    fn train(&self, engine: Engine, trainer: &Path, torch: &Torch) -> Result<Pass> {
        let out = self.folder.join(engine.name());
        let mut train = Command::new(trainer);
        train.arg("train").arg("--data").arg(&self.folder).arg("--out").arg(&out);
        train.args(["--embed-dim", &EMBED_DIM.to_string(), "--hidden", "400,400,400", "--epochs", "2"]);
        train.args(["--seed", &SEED.to_string(), "--threads", &self.threads.to_string()]);
        train.args(["--batch-size", &self.batch_size.to_string()]).args(engine.flags());
        command::run_to_stderr(torch.use_in(&mut train))?;
        let path = out.join("metrics.json");
        let text = fs::read(&path)?;
        let metrics: Value = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        let figure = |epoch: usize, name: &str| {
            let value = metrics["epochs"][epoch][name].as_f64();
            value.with_context(|| format!("{}: epoch {} has no {name}", path.display(), epoch + 1))
        };
        Ok(Pass { loss: figure(0, "train_loss")?, rows_per_second: figure(1, "rows_per_second")? })
    }

    fn python(&self, engine: Engine, python: &Path, script: &str) -> Result<Pass> {
        let features: Vec<String> = FEATURES.iter().map(u32::to_string).collect();
        let mut run = Command::new(python);
        // The wheel warns that there is no NumPy, which nothing here wants.
        run.args(["-W", "ignore"]).arg(workspace::root().join("benches/training").join(script));
        run.arg("--rows").arg(self.folder.join("rows.bin")).arg("--labels").arg(self.folder.join("labels.bin"));
        run.args(["--features", &features.join(","), "--batch-size", &self.batch_size.to_string()]);
        run.args(["--threads", &self.threads.to_string(), "--seed", &SEED.to_string()]).args(engine.flags());
        let text = command::output(&mut run)?;
        serde_json::from_str(&text).with_context(|| format!("{script} said {text:?}"))
    }
}

impl Line {
    fn new(engine: Engine, passes: &[Pass]) -> Self {
        let rounds: Vec<f64> = passes.iter().map(|pass| pass.rows_per_second).collect();
        Line { engine, rows_per_second: median(&rounds), rounds, loss: passes.first().map_or(0.0, |pass| pass.loss) }
    }
}

/// The middle value, or the mean of the two in the middle; 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let (half, count) = (values.len() / 2, values.len());
    let middle = &values[count.saturating_sub(1) / 2..count.min(half + 1)];
    middle.iter().sum::<f64>() / middle.len().max(1) as f64
}

fn table(lines: &[Line]) -> String {
    let rate = |engine| lines.iter().find(|line| line.engine == engine).map(|line| line.rows_per_second);
    let mut text = "| engine | rows/s | times original | times efficient | loss |\n|---|---|---|---|---|\n".to_owned();
    for line in lines {
        let ratio = |engine| rate(engine).map_or(String::new(), |rate| format!("{:.2}", line.rows_per_second / rate));
        let (name, rows, loss) = (line.engine.name(), line.rows_per_second, line.loss);
        let [original, efficient] = [Engine::Original, Engine::Efficient].map(ratio);
        text += &format!("| {name} | {rows:.0} | {original} | {efficient} | {loss:.4} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_ratios_of_medians() {
        let line = |engine, rates: &[f64]| {
            Line::new(engine, &rates.iter().map(|&r| Pass { loss: 0.5, rows_per_second: r }).collect::<Vec<_>>())
        };
        let lines = [line(Engine::LazyAdam, &[700.0, 600.0, 9.0]), line(Engine::Original, &[100.0, 140.0])];
        let text = table(&lines);
        assert!(text.contains("| lazy-adam | 600 | 5.00 |  | 0.5000 |"), "{text}");
    }
}

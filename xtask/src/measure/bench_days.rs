//! `cargo xtask bench-days`: seven days in the order of time, of a model that is trained anew every day, one that goes
//! on from the day before, and one that is never updated.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use fs_err as fs;
use serde::Serialize;
use serde_json::Value;
use xsfm_interchange::output;

use crate::setup::{movielens, torch};
use crate::{cargo, command, workspace};

/// Flags of `cargo xtask bench-days`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A day is 5 % of the rows; the first comes after 60 % of them. A model is trained on the rows before \
                  its day, of which the last 5 % say when to stop, and is measured on its day, with the vocabulary \
                  of the rows before it (`prepare --extend`). Files are left in target/days."
)]
pub(crate) struct Args {
    /// Which rows.
    #[arg(long, value_enum, default_value = "movielens")]
    data: Data,
    /// Seeds of training.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Days, of seven.
    #[arg(long, default_value_t = DAYS, value_parser = clap::value_parser!(u64).range(1..=DAYS))]
    days: u64,
    /// Rows of planted data.
    #[arg(long, default_value_t = 400_000)]
    rows: u64,
    /// Flags of `xsfm-train train` for models that begin anew.
    #[arg(long, default_value = COLD)]
    cold: String,
    /// The same for models that go on.
    #[arg(long, default_value = WARM)]
    warm: String,
    /// This program, in place of one that is built in release.
    #[arg(long, value_name = "FILE")]
    trainer: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Data {
    /// MovieLens-100K: users come once, and rate all their films in one sitting.
    Movielens,
    /// `xsfm-train generate` with drift and turnover.
    Planted,
}

const DAYS: u64 = 7;
const COLD: &str = "--embed-dim 8 --hidden 64,64 --dropout 0.2";
const WARM: &str = "--dropout 0.2 --epochs 2 --evaluations 4 --learning-rate 0.0005";

/// A day: means over the seeds.
#[derive(Debug, Serialize)]
struct Day {
    day: u64,
    /// Rows that models learn from.
    rows: usize,
    cold: Trained,
    warm: Trained,
    /// The first day's model, its vocabulary included.
    never_auc: f64,
}

/// A model of a day.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Trained {
    auc: f64,
    /// Of its epochs.
    seconds: f64,
    /// Over its rows.
    passes: f64,
}

impl Trained {
    fn add(&mut self, other: Trained, share: f64) {
        self.auc += share * other.auc;
        self.seconds += share * other.seconds;
        self.passes += share * other.passes;
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(!args.seeds.is_empty(), "--seeds is empty");
    let torch = torch::set_up()?;
    let trainer = match &args.trainer {
        Some(trainer) => trainer.clone(),
        None => {
            command::heading("build");
            let mut build = cargo::command(&["build", "--release", "--package", "xsfm-trainer"]);
            cargo::built(torch.use_in(&mut build), "xsfm-train")?
        }
    };
    let name = args.data.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let folder = workspace::target().join("days").join(name);
    let train = |arguments: &[&str]| {
        let mut command = Command::new(&trainer);
        torch.use_in(command.args(arguments));
        command
    };
    let bench = Bench { args, folder, train: &train };
    let days = bench.days()?;
    if args.json {
        output::json(&days)?;
    } else {
        output::print(table(&days))?;
    }
    Ok(())
}

struct Bench<'a> {
    args: &'a Args,
    folder: PathBuf,
    train: &'a dyn Fn(&[&str]) -> Command,
}

/// Raw rows in the order of time, and what is read beside them.
struct Raw {
    header: String,
    lines: Vec<String>,
    beside: Vec<PathBuf>,
}

impl Bench<'_> {
    fn days(&self) -> Result<Vec<Day>> {
        let raw = self.raw()?;
        let place = |percent: usize| raw.lines.len() * percent / 100;
        let mut days = Vec::new();
        for day in 1..=self.args.days {
            command::heading(&format!("day {day}"));
            let end = 60 + 5 * day as usize;
            let (valid, test) = (place(end - 10), place(end - 5));
            let splits = (0..place(end)).map(|row| {
                if row < valid {
                    "t\n"
                } else if row < test {
                    "v\n"
                } else {
                    "e\n"
                }
            });
            let splits: String = splits.collect();
            let split_file = self.folder.join(format!("split-{day}.txt"));
            fs::create_dir_all(&self.folder)?;
            fs::write(&split_file, splits)?;
            let data = self.at(&format!("data-{day}"));
            let input = self.input(&raw, &format!("rows-{day}"), 0..place(end))?;
            let mut arguments = self.prepare(&input);
            arguments.extend(["--out", &data, "--split", "file", "--split-file"].map(str::to_owned));
            arguments.push(split_file.display().to_string());
            if day > 1 {
                arguments.extend(["--extend".to_owned(), self.at(&format!("data-{}", day - 1))]);
            }
            self.call(&arguments)?;
            let day_alone = self.input(&raw, &format!("alone-{day}"), test..place(end))?;
            let unchanged = self.with_the_first_vocabulary(day, &day_alone)?;
            let mut found =
                Day { day, rows: valid, cold: Trained::default(), warm: Trained::default(), never_auc: 0.0 };
            let share = 1.0 / self.args.seeds.len() as f64;
            for seed in &self.args.seeds {
                let cold = self.at(&format!("cold-{day}-{seed}"));
                let warm = self.at(&format!("warm-{day}-{seed}"));
                let of_cold = self.trained(&data, &cold, *seed, &self.args.cold, None)?;
                found.cold.add(of_cold, share);
                // The first day has none before it.
                let yesterday = match day {
                    1 => None,
                    2 => Some(self.at(&format!("cold-1-{seed}"))),
                    _ => Some(self.at(&format!("warm-{}-{seed}", day - 1))),
                };
                let of_warm = match yesterday {
                    None => of_cold,
                    Some(from) => self.trained(&data, &warm, *seed, &self.args.warm, Some(&from))?,
                };
                found.warm.add(of_warm, share);
                found.never_auc += share * self.auc(&self.at(&format!("cold-1-{seed}")), &unchanged)?;
            }
            days.push(found);
        }
        Ok(days)
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn call(&self, arguments: &[String]) -> Result<String> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        command::quiet_output(&mut (self.train)(&arguments))
    }

    /// All rows, in the order of time.
    fn raw(&self) -> Result<Raw> {
        match self.args.data {
            Data::Movielens => {
                let source = movielens::set_up()?;
                let text = fs::read_to_string(source.join("ml-100k.inter"))?;
                let (header, rows) = text.split_once('\n').context("ml-100k.inter has no rows")?;
                let mut lines: Vec<String> = rows.lines().map(str::to_owned).collect();
                // Of equal times the order of the file.
                lines.sort_by_key(|line| {
                    line.rsplit('\t').next().and_then(|time| time.parse::<f64>().ok()).map(f64::to_bits)
                });
                let beside = ["ml-100k.user", "ml-100k.item"].map(|name| source.join(name)).to_vec();
                Ok(Raw { header: format!("{header}\n"), lines, beside })
            }
            Data::Planted => {
                let out = self.at("planted");
                let rows = self.args.rows.to_string();
                let flags = "--numeric 4 --categories 20000,5000,1000,1000,100,20 --drift 0.3 --turnover 1 --seed 3";
                let generate = ["generate", "--rows", &rows, "--out", &out].into_iter().chain(flags.split(' '));
                self.call(&generate.map(str::to_owned).collect::<Vec<_>>())?;
                let text = fs::read_to_string(Path::new(&out).join("rows.tsv"))?;
                let lines = text.lines().map(str::to_owned).collect();
                Ok(Raw { header: String::new(), lines, beside: Vec::new() })
            }
        }
    }

    /// Writes some of the rows: the file, or of MovieLens the folder.
    fn input(&self, raw: &Raw, name: &str, rows: std::ops::Range<usize>) -> Result<PathBuf> {
        let lines = raw.lines.get(rows).unwrap_or_default();
        let text = raw.header.clone() + &lines.join("\n") + "\n";
        let path = self.folder.join(name);
        if self.args.data == Data::Planted {
            let path = path.with_extension("tsv");
            fs::write(&path, text)?;
            return Ok(path);
        }
        fs::create_dir_all(&path)?;
        fs::write(path.join("ml-100k.inter"), text)?;
        for beside in &raw.beside {
            fs::copy(beside, path.join(beside.file_name().unwrap_or_default()))?;
        }
        Ok(path)
    }

    fn prepare(&self, input: &Path) -> Vec<String> {
        let input = input.display().to_string();
        match self.args.data {
            Data::Movielens => ["prepare", "movielens", "--source", &input].map(str::to_owned).to_vec(),
            Data::Planted => {
                let schema = self.at("planted/schema.toml");
                ["prepare", "csv", "--input", &input, "--schema", &schema].map(str::to_owned).to_vec()
            }
        }
    }

    /// The day's rows as the first day's vocabulary has them: what a model that is never updated gets.
    fn with_the_first_vocabulary(&self, day: u64, rows: &Path) -> Result<String> {
        let to = self.folder.join(format!("unchanged-{day}"));
        fs::create_dir_all(&to)?;
        let first = self.folder.join("data-1");
        for name in ["schema.json", "train.arrow", "valid.arrow"] {
            fs::copy(first.join(name), to.join(name))?;
        }
        let schema = first.join("schema.json").display().to_string();
        let (input, out) = (rows.display().to_string(), to.join("test.arrow").display().to_string());
        self.call(&["encode", "--schema", &schema, "--input", &input, "--out", &out].map(str::to_owned))?;
        Ok(to.display().to_string())
    }

    /// Trains, or goes on from a checkpoint.
    fn trained(&self, data: &str, out: &str, seed: u64, flags: &str, from: Option<&str>) -> Result<Trained> {
        let seed = seed.to_string();
        let mut arguments: Vec<&str> = vec!["train", "--data", data, "--out", out, "--seed", &seed];
        arguments.extend(flags.split_whitespace());
        if let Some(from) = from {
            arguments.extend(["--from", from, "--map-tokens"]);
        }
        command::quiet_output(&mut (self.train)(&arguments))?;
        let path = Path::new(out).join("metrics.json");
        let metrics: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let epochs = metrics["epochs"].as_array().with_context(|| format!("{}: no epochs", path.display()))?;
        let auc = metrics["test"]["auc"].as_f64().with_context(|| format!("{}: no AUC", path.display()))?;
        let seconds = epochs.iter().filter_map(|epoch| epoch["seconds"].as_f64()).sum();
        // Of several evaluations an epoch each has an entry.
        let passes = epochs.last().and_then(|last| last["epoch"].as_f64()).unwrap_or(0.0);
        Ok(Trained { auc, seconds, passes })
    }

    fn auc(&self, checkpoint: &str, data: &str) -> Result<f64> {
        let arguments = ["evaluate", "--checkpoint", checkpoint, "--data", data, "--other-rows", "--json"];
        let told: Value = serde_json::from_str(&self.call(&arguments.map(str::to_owned))?)?;
        told["auc"].as_f64().context("evaluate tells no AUC")
    }
}

fn table(days: &[Day]) -> String {
    let mut text =
        "| day | rows before | cold AUC | passes | seconds | warm AUC | passes | seconds | never updated |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for Day { day, rows, cold, warm, never_auc } in days {
        let of = |Trained { auc, seconds, passes }: &Trained| format!("{auc:.4} | {passes:.1} | {seconds:.1}");
        let _ = writeln!(text, "| {day} | {rows} | {} | {} | {never_auc:.4} |", of(cold), of(warm));
    }
    // The first day has one model.
    let later = days.get(1..).unwrap_or_default();
    if later.is_empty() {
        return text;
    }
    let mean = |of: &dyn Fn(&Day) -> f64| later.iter().map(of).sum::<f64>() / later.len() as f64;
    let (cold, warm) = (mean(&|day| day.cold.auc), mean(&|day| day.warm.auc));
    let passes = mean(&|day| day.warm.passes) / mean(&|day| day.cold.passes);
    let seconds = mean(&|day| day.warm.seconds) / mean(&|day| day.cold.seconds);
    let never = mean(&|day| day.never_auc);
    let _ = writeln!(
        text,
        "\nmean from the second day on: cold {cold:.4}; warm {warm:.4} by {passes:.2} of the passes, {seconds:.2} of \
         the time; never updated {never:.4}"
    );
    text
}

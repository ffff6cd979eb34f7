//! `cargo xtask demo`: from ratings to ranked films, by the commands that a user would type.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xsfm_interchange::dataset::Part;
use xsfm_interchange::output;

use crate::setup::{movielens, torch};
use crate::{cargo, command, workspace};

/// Flags of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Results, checkpoints and packed models are left in target/demo.")]
pub(crate) struct Args {
    /// Score with the small student that the repository keeps: no libtorch, no training.
    #[arg(long, conflicts_with_all = ["device", "seed"])]
    pretrained: bool,
    /// Where to train: `cpu`, `cuda:0`, …
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Decides initial weights, the order of rows, and dropout.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Whom to rank films for: a user's number in MovieLens, 1 to 943.
    #[arg(long, default_value_t = 1)]
    user: u32,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

/// Seed of the split into training, validation and test rows. Fixed, because the
/// repository's student goes with its indices.
const SPLIT_SEED: &str = "1";
/// A model whose indices mean other users and films reaches about 0.6; one that goes with the data, 0.79.
const LEAST_AUC: f64 = 0.75;
/// How many films are shown.
const TOP: &str = "10";

/// What the demo ends with.
#[derive(Debug, Serialize)]
struct Report {
    models: Vec<ModelReport>,
    user: u32,
    films: Vec<Film>,
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct ModelReport {
    model: String,
    packed_bytes: u64,
    test_auc: f64,
    test_log_loss: f64,
    test_prauc: f64,
    test_rce: f64,
    ns_per_sample: f64,
}

/// An entry of `xsfm rank --json`.
#[derive(Debug, Serialize, Deserialize)]
struct Film {
    rank: u32,
    name: String,
    logit: f64,
    probability: f64,
}

/// The programs and folders of one run.
struct Demo<'a> {
    args: &'a Args,
    folder: PathBuf,
    ratings: PathBuf,
    xsfm: PathBuf,
    trainer: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = workspace::target().join("demo");
    fs::create_dir_all(&folder)?;
    let ratings = movielens::set_up()?;
    command::heading("build");
    let mut build = cargo::command(&["build", "--release", "--package", "xsfm-trainer"]);
    if args.pretrained {
        build.arg("--no-default-features");
    } else {
        torch::set_up()?.use_in(&mut build);
    }
    let trainer = cargo::built(&mut build, "xsfm-train")?;
    let xsfm = cargo::built(&mut cargo::command(&["build", "--release", "--package", "xsfm-convert"]), "xsfm")?;
    let demo = Demo { args, folder, ratings, xsfm, trainer };

    command::heading("prepare: ratings become rows of indices");
    let mut prepare = demo.trainer(&["prepare", "movielens"]);
    prepare.arg("--source").arg(&demo.ratings).arg("--out").arg(demo.data());
    command::run_to_stderr(prepare.args(["--split", "random", "--seed", SPLIT_SEED]))?;

    let models = if args.pretrained { demo.pretrained()? } else { demo.trained()? };
    let films = demo.rank(&models)?;
    let mut reports = Vec::new();
    for model in models {
        reports.push(demo.measured(model)?);
    }
    if let Some(model) = reports.iter().find(|model| model.test_auc < LEAST_AUC) {
        bail!(
            "{}: test AUC {:.4}: its indices are not those of {}",
            model.model,
            model.test_auc,
            demo.data().display()
        );
    }
    let report = Report { models: reports, user: args.user, films };
    let json = serde_json::to_string_pretty(&report)?;
    let saved = demo.folder.join("report.json");
    fs::write(&saved, &json)?;
    if args.json {
        output::line(json)?;
    } else {
        output::line(format_args!("\n{report}"))?;
    }
    Ok(())
}

/// A packed model.
struct Packed {
    name: &'static str,
    path: PathBuf,
}

impl Demo<'_> {
    fn trainer(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.trainer);
        command.args(words).current_dir(workspace::root());
        command
    }

    fn xsfm(&self, word: &str) -> Command {
        let mut command = Command::new(&self.xsfm);
        command.arg(word).current_dir(workspace::root());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn test_rows(&self) -> PathBuf {
        self.data().join(Part::Test.file())
    }

    fn pretrained(&self) -> Result<Vec<Packed>> {
        let path = workspace::pretrained().join("model.xsfm");
        Ok(vec![Packed { name: "student int8 + QR", path }])
    }

    /// Trains the teacher and its two students, packs them, and checks each packed file against its checkpoint.
    fn trained(&self) -> Result<Vec<Packed>> {
        command::heading("train the teacher");
        let teacher = self.folder.join("teacher");
        self.train(self.trainer(&["train"]), "teacher", &teacher)?;
        for (student, what) in [
            ("student-f32", "distil a small student from the teacher"),
            ("student-int8", "the same student, its tables in 4 bits, trained for int8"),
        ] {
            command::heading(what);
            let mut distill = self.trainer(&["distill"]);
            distill.arg("--teacher").arg(&teacher);
            self.train(distill, student, &self.folder.join(student))?;
        }
        command::heading("pack, and compare with the checkpoints");
        Ok(vec![
            self.pack("teacher f32", "teacher", "f32")?,
            self.pack("student f32", "student-f32", "f32")?,
            self.pack("student int8, 4-bit tables", "student-int8", "int8")?,
        ])
    }

    fn train(&self, mut train: Command, settings: &str, out: &Path) -> Result<()> {
        let config = Path::new("trainer/configs").join(format!("movielens-{settings}.toml"));
        train.arg("--config").arg(config).arg("--data").arg(self.data()).arg("--out").arg(out);
        command::run_to_stderr(train.args(["--device", &self.args.device, "--seed", &self.args.seed.to_string()]))
    }

    fn pack(&self, name: &'static str, checkpoint: &str, mode: &str) -> Result<Packed> {
        let checkpoint = self.folder.join(checkpoint);
        let path = checkpoint.with_extension("xsfm");
        let mut pack = self.xsfm("pack");
        command::run_to_stderr(pack.arg(&checkpoint).args(["--mode", mode]).arg("--output").arg(&path))?;
        let mut validate = self.xsfm("validate");
        command::run_to_stderr(validate.arg(&path).arg(&checkpoint).arg("--rows").arg(self.test_rows()))?;
        Ok(Packed { name, path })
    }

    /// The last and smallest model ranks all films that the user has not rated.
    fn rank(&self, models: &[Packed]) -> Result<Vec<Film>> {
        command::heading("rank films");
        let (rows, titles) = (self.folder.join("candidates.tsv"), self.folder.join("titles.txt"));
        let mut candidates = self.trainer(&["candidates", "movielens"]);
        candidates.arg("--source").arg(&self.ratings).arg("--data").arg(self.data());
        candidates.args(["--user", &self.args.user.to_string()]).arg("--output").arg(&rows);
        command::run_to_stderr(candidates.arg("--titles").arg(&titles))?;
        let model = models.last().context("no model to rank with")?;
        let mut rank = self.xsfm("rank");
        rank.arg(&model.path).arg("--indices").arg(&rows).arg("--names").arg(&titles);
        // One user's fields are the same for all films.
        rank.args(["--context", "user,age,gender,occupation"]);
        let ranked = command::output(rank.args(["--top", TOP, "--json"]))?;
        serde_json::from_str(&ranked).context("the output of xsfm rank --json")
    }

    fn measured(&self, model: Packed) -> Result<ModelReport> {
        command::heading(&format!("measure the {}", model.name));
        let json = |word: &str| -> Result<Value> {
            let mut measure = self.xsfm(word);
            let text = command::output(measure.arg(&model.path).arg("--rows").arg(self.test_rows()).arg("--json"))?;
            serde_json::from_str(&text).with_context(|| format!("the output of xsfm {word} --json"))
        };
        let (metrics, bench) = (json("evaluate")?, json("bench")?);
        let figure = |report: &Value, name: &str| {
            report[name].as_f64().with_context(|| format!("{}: no figure {name:?} in {report}", model.name))
        };
        let file = fs::metadata(&model.path)?;
        Ok(ModelReport {
            packed_bytes: file.len(),
            test_auc: figure(&metrics, "auc")?,
            test_log_loss: figure(&metrics, "log_loss")?,
            test_prauc: figure(&metrics, "prauc")?,
            test_rce: figure(&metrics, "rce")?,
            ns_per_sample: figure(&bench, "ns_median")?,
            model: model.name.to_owned(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26}  {:>12}  {:>8}  {:>7}  {:>6}  {:>6}  {:>13}",
            "model", "packed bytes", "test AUC", "LogLoss", "PRAUC", "RCE %", "ns per sample"
        )?;
        for m in &self.models {
            writeln!(
                f,
                "{:<26}  {:>12}  {:>8.4}  {:>7.4}  {:>6.4}  {:>6.2}  {:>13.0}",
                m.model, m.packed_bytes, m.test_auc, m.test_log_loss, m.test_prauc, m.test_rce, m.ns_per_sample
            )?;
        }
        writeln!(f, "\nFilms for user {}, best first, of all that the user has not rated in training:", self.user)?;
        for film in &self.films {
            writeln!(f, "{:>3}  {:.3}  {}", film.rank, film.probability, film.name)?;
        }
        Ok(())
    }
}

//! `cargo xtask demo`: from ratings to ranked films, by the commands that a user would type.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xsfm_interchange::dataset::{Part, SCHEMA};
use xsfm_interchange::output;

use crate::setup::{movielens, torch};
use crate::{cargo, command, workspace};

/// Flags of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Results, checkpoints and packed models are left in target/demo, where a later demo finds them."
)]
pub(crate) struct Args {
    /// Score with the small student that the repository keeps: no libtorch, no training.
    #[arg(long, conflicts_with_all = ["device", "seed", "fresh"])]
    pretrained: bool,
    /// Where to train: `cpu`, `cuda:0`, …
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Decides initial weights, the order of rows, and dropout: of the students, and of the first teacher; the other
    /// three have the seeds after it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Train anew what an earlier demo has trained: else what is finished stays, and what was interrupted goes on.
    #[arg(long)]
    fresh: bool,
    /// Whom to rank films for: a user's number in MovieLens, 1 to 943.
    #[arg(long, default_value_t = 1)]
    user: u32,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

/// How many teachers a student has: their mean errs less than each of them.
const TEACHERS: u64 = 4;
/// Seed of the split into training, validation and test rows. Fixed, because the
/// repository's student goes with its indices.
const SPLIT_SEED: &str = "1";
/// A model whose indices mean other users and films reaches about 0.6; one that goes with the data, 0.79.
const LEAST_AUC: f64 = 0.75;
/// The student that is kept in the repository too.
const STUDENT: &str = "student int8, 4-bit tables";
/// How many films are shown.
const TOP: &str = "10";

/// What the demo ends with.
#[derive(Debug, Serialize)]
struct Report {
    models: Vec<ModelReport>,
    /// None where nothing was trained.
    teachers: Option<TeacherReport>,
    user: u32,
    films: Vec<Film>,
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct ModelReport {
    model: String,
    packed_bytes: u64,
    /// Of them.
    vocabulary_bytes: u64,
    test_auc: f64,
    test_log_loss: f64,
    test_prauc: f64,
    test_rce: f64,
    ns_per_sample: f64,
}

/// What the students' teachers are worth, alone and together, before they are packed.
#[derive(Debug, Serialize)]
struct TeacherReport {
    test_auc: Vec<f64>,
    mean_test_auc: f64,
}

/// An entry of `xsfm rank --json`.
#[derive(Debug, Serialize, Deserialize)]
struct Film {
    rank: u32,
    name: String,
    logit: f64,
    probability: f64,
}

/// What the demo runs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) trainer: PathBuf,
    pub(crate) xsfm: PathBuf,
}

/// Builds them without libtorch.
pub(crate) fn programs() -> Result<Programs> {
    built(|build| Ok(build.args(cargo::WITHOUT_TORCH)))
}

/// Builds them, with the features that `with` asks for.
fn built(with: impl FnOnce(&mut Command) -> Result<&mut Command>) -> Result<Programs> {
    command::heading("build");
    let mut build = cargo::workspace("build");
    build.args(["--release", "--bin", "xsfm-train", "--bin", "xsfm"]);
    let mut programs = cargo::built_all(with(&mut build)?)?;
    let mut program = |name: &str| programs.remove(name).with_context(|| format!("cargo built no {name}"));
    Ok(Programs { trainer: program("xsfm-train")?, xsfm: program("xsfm")? })
}

/// The programs and folders of one run.
struct Demo<'a> {
    args: &'a Args,
    folder: PathBuf,
    ratings: PathBuf,
    programs: Programs,
}

/// Films that a user has not rated, and what ranks them.
pub(crate) struct Films {
    /// The repository's student, with the vocabulary of the data.
    pub(crate) model: PathBuf,
    /// Raw values as JSON, a film a line.
    pub(crate) rows: PathBuf,
    /// In the same order.
    pub(crate) titles: PathBuf,
}

/// Makes them in `folder`.
pub(crate) fn films(programs: &Programs, ratings: &Path, folder: &Path, user: u32) -> Result<Films> {
    let args = &Args { pretrained: true, device: String::new(), seed: 0, fresh: false, user, json: false };
    let demo = Demo { args, folder: folder.to_owned(), ratings: ratings.to_owned(), programs: programs.clone() };
    demo.prepare()?;
    let Packed { path: model, .. } = demo.pretrained()?;
    let (rows, titles) = demo.candidates()?;
    Ok(Films { model, rows, titles })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = workspace::target().join("demo");
    fs::create_dir_all(&folder)?;
    let ratings = movielens::set_up()?;
    let programs = if args.pretrained { programs()? } else { built(|build| Ok(torch::set_up()?.use_in(build)))? };
    let demo = Demo { args, folder, ratings, programs };
    demo.prepare()?;
    let (models, teachers) = if args.pretrained { (vec![demo.pretrained()?], None) } else { demo.trained()? };
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
    let report = Report { models: reports, teachers, user: args.user, films };
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
        let mut command = Command::new(&self.programs.trainer);
        command.args(words).current_dir(workspace::root());
        command
    }

    fn xsfm(&self, word: &str) -> Command {
        let mut command = Command::new(&self.programs.xsfm);
        command.arg(word).current_dir(workspace::root());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn test_rows(&self) -> PathBuf {
        self.data().join(Part::Test.file())
    }

    fn prepare(&self) -> Result<()> {
        command::heading("prepare: ratings become rows of indices");
        let mut prepare = self.trainer(&["prepare", "movielens"]);
        prepare.arg("--source").arg(&self.ratings).arg("--out").arg(self.data());
        command::run_to_stderr(prepare.args(["--split", "random", "--seed", SPLIT_SEED]))
    }

    /// The repository's student takes indices; here it gets the vocabulary of the data.
    fn pretrained(&self) -> Result<Packed> {
        let path = self.folder.join("pretrained.xsfm");
        let mut vocabulary = self.xsfm("vocabulary");
        vocabulary.arg(workspace::pretrained().join("model.xsfm")).arg("--schema").arg(self.data().join(SCHEMA));
        command::run_to_stderr(vocabulary.arg("--output").arg(&path))?;
        Ok(Packed { name: STUDENT, path })
    }

    /// Trains the teachers and their two students, packs them, and checks each packed file against its checkpoint.
    fn trained(&self) -> Result<(Vec<Packed>, Option<TeacherReport>)> {
        let seeds: Vec<u64> = (self.args.seed..).take(TEACHERS as usize).collect();
        let folders: Vec<PathBuf> = seeds.iter().map(|seed| self.checkpoint("teacher", *seed)).collect();
        command::heading(&format!("train {TEACHERS} teachers"));
        self.train(seeds.iter().map(|&seed| (self.trainer(&["train"]), "teacher", seed)).collect())?;
        command::heading("distil small students from them: one in real numbers, one with tables in 4 bits for int8");
        let students = ["student-f32", "student-int8"].map(|student| {
            let mut distill = self.trainer(&["distill"]);
            for folder in &folders {
                distill.arg("--teacher").arg(folder);
            }
            (distill, student, self.args.seed)
        });
        self.train(students.into())?;
        command::heading("measure the teachers, and the mean of their logits");
        let test_auc = folders.iter().map(|folder| self.auc(slice::from_ref(folder))).collect::<Result<_>>()?;
        let teachers = TeacherReport { test_auc, mean_test_auc: self.auc(&folders)? };
        command::heading("pack, and compare with the checkpoints");
        let packed = vec![
            self.pack("teacher f32, the first", "teacher", "f32")?,
            self.pack("student f32", "student-f32", "f32")?,
            self.pack(STUDENT, "student-int8", "int8")?,
        ];
        Ok((packed, Some(teachers)))
    }

    fn checkpoint(&self, name: &str, seed: u64) -> PathBuf {
        self.folder.join(format!("{name}-{seed}"))
    }

    /// Finishes trainings, each a command, the name of its settings and its seed. On a CPU as many at a time as there
    /// are cores, each with one thread, so that their number does not decide the bits.
    fn train(&self, trainings: Vec<(Command, &str, u64)>) -> Result<()> {
        let train = |(mut train, settings, seed): (Command, &str, u64)| {
            let config = Path::new("trainer/configs").join(format!("movielens-{settings}.toml"));
            let out = self.checkpoint(settings, seed);
            train.arg("--config").arg(config).arg("--data").arg(self.data()).arg("--out").arg(out);
            train.args(["--device", &self.args.device, "--threads", "1", "--seed", &seed.to_string()]);
            if !self.args.fresh {
                train.arg("--resume");
            }
            command::run_named(&format!("{settings} {seed}"), train)
        };
        if self.args.device == "cpu" {
            command::side_by_side(trainings, train).map(|_| ())
        } else {
            trainings.into_iter().try_for_each(train)
        }
    }

    /// Test AUC of the mean of checkpoints' logits.
    fn auc(&self, checkpoints: &[PathBuf]) -> Result<f64> {
        let mut evaluate = self.trainer(&["evaluate", "--json", "--device", &self.args.device]);
        for checkpoint in checkpoints {
            evaluate.arg("--checkpoint").arg(checkpoint);
        }
        let text = command::output(evaluate.arg("--data").arg(self.data()))?;
        let metrics: Value = serde_json::from_str(&text).context("the output of xsfm-train evaluate --json")?;
        metrics["auc"].as_f64().with_context(|| format!("no AUC in {metrics}"))
    }

    fn pack(&self, name: &'static str, checkpoint: &str, mode: &str) -> Result<Packed> {
        let checkpoint = self.checkpoint(checkpoint, self.args.seed);
        let path = checkpoint.with_extension("xsfm");
        let mut pack = self.xsfm("pack");
        pack.arg(&checkpoint).args(["--mode", mode]);
        command::run_to_stderr(pack.arg("--output").arg(&path))?;
        let mut validate = self.xsfm("validate");
        command::run_to_stderr(validate.arg(&path).arg(&checkpoint).arg("--rows").arg(self.test_rows()))?;
        Ok(Packed { name, path })
    }

    /// All films that the user has not rated, as raw values, and their titles.
    fn candidates(&self) -> Result<(PathBuf, PathBuf)> {
        let (rows, titles) = (self.folder.join("candidates.jsonl"), self.folder.join("titles.txt"));
        let mut candidates = self.trainer(&["candidates", "movielens"]);
        candidates.arg("--source").arg(&self.ratings).arg("--data").arg(self.data());
        candidates.args(["--user", &self.args.user.to_string()]).arg("--output").arg(&rows);
        command::run_to_stderr(candidates.arg("--titles").arg(&titles))?;
        Ok((rows, titles))
    }

    /// The last and smallest model ranks them.
    fn rank(&self, models: &[Packed]) -> Result<Vec<Film>> {
        command::heading("rank films, of raw values");
        let (rows, titles) = self.candidates()?;
        let model = models.last().context("no model to rank with")?;
        let mut rank = self.xsfm("rank");
        rank.arg(&model.path).arg("--raw").arg(&rows).arg("--names").arg(&titles);
        // One user's fields are the same for all films.
        rank.args(["--context", "user,age,gender,occupation"]);
        let ranked = command::output(rank.args(["--top", TOP, "--json"]))?;
        serde_json::from_str(&ranked).context("the output of xsfm rank --json")
    }

    fn measured(&self, model: Packed) -> Result<ModelReport> {
        command::heading(&format!("measure the {}", model.name));
        let answer = |mut command: Command| -> Result<Value> {
            let text = command::output(command.arg(&model.path).arg("--json"))?;
            serde_json::from_str(&text).with_context(|| format!("what {command:?} prints"))
        };
        let json = |word: &str| {
            let mut measure = self.xsfm(word);
            measure.arg("--rows").arg(self.test_rows());
            answer(measure)
        };
        let inspected = answer(self.xsfm("inspect"))?;
        let (metrics, bench) = (json("evaluate")?, json("bench")?);
        let fields = inspected["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let figure = |report: &Value, name: &str| {
            report[name].as_f64().with_context(|| format!("{}: no figure {name:?} in {report}", model.name))
        };
        let file = fs::metadata(&model.path)?;
        Ok(ModelReport {
            packed_bytes: file.len(),
            vocabulary_bytes: fields.iter().filter_map(|field| field["vocabulary_bytes"].as_u64()).sum(),
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
            "{:<26}  {:>12}  {:>10}  {:>8}  {:>7}  {:>6}  {:>6}  {:>13}",
            "model", "packed bytes", "vocabulary", "test AUC", "LogLoss", "PRAUC", "RCE %", "ns per sample"
        )?;
        for m in &self.models {
            writeln!(
                f,
                "{:<26}  {:>12}  {:>10}  {:>8.4}  {:>7.4}  {:>6.4}  {:>6.2}  {:>13.0}",
                m.model,
                m.packed_bytes,
                m.vocabulary_bytes,
                m.test_auc,
                m.test_log_loss,
                m.test_prauc,
                m.test_rce,
                m.ns_per_sample
            )?;
        }
        if let Some(teachers) = &self.teachers {
            let alone: Vec<String> = teachers.test_auc.iter().map(|auc| format!("{auc:.4}")).collect();
            writeln!(f, "\nThe teachers' test AUC: {}; together {:.4}", alone.join(", "), teachers.mean_test_auc)?;
        }
        writeln!(f, "\nFilms for user {}, best first, of all that the user has not rated in training:", self.user)?;
        for film in &self.films {
            writeln!(f, "{:>3}  {:.3}  {}", film.rank, film.probability, film.name)?;
        }
        Ok(())
    }
}

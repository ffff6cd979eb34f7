//! A model of FuxiCTR teaches a student through a file of logits that the Python package writes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::output;

use super::programs::{self, Programs};
use crate::measure::bench_accuracy::table::Rows;
use crate::setup::torch::Torch;
use crate::setup::{accuracy, movielens, package, python, torch};
use crate::{command, workspace};

const SEEDS: [&str; 3] = ["1", "2", "3"];
/// What the driver is told beside the seed. The L2 is what MovieLens' validation rows like.
const TEACHER: [&str; 8] = ["--model", "DeepFM", "--l2", "0.2", "--epochs", "20", "--threads", "1"];
/// A small student, trained as MovieLens' experiments are.
const STUDENT: &str = "--embed-dim 8 --hidden 16 --learning-rate 0.002 --dropout 0.1 --embedding-dropout 0.1 --l2 0.01 \
                       --table-l2 0 --average 0 --batch-size 1024 --epochs 40 --patience 4 --threads 1";

/// Trains teachers and students on MovieLens-100K, with a teacher and without, and prints their figures.
pub(crate) fn test() -> Result<()> {
    let torch = torch::set_up()?;
    let Programs { train, .. } = programs::build(&torch)?;
    let libraries = accuracy::set_up()?;
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("data");
    let mut prepare = Command::new(&train);
    prepare.args(["prepare", "movielens", "--split", "random", "--seed", "1", "--source"]).arg(movielens::set_up()?);
    command::run_to_stderr(prepare.arg("--out").arg(&data))?;
    let python = both(&scratch.path().join("environment"), &libraries)?;
    let rows = Rows::read(&Dataset::open(&data)?)?;
    let mut figures = Vec::new();
    for seed in SEEDS {
        let folder = scratch.path().join(seed);
        let runs = Runs { data: &data, folder: &folder, seed, train: &train, torch: &torch };
        let teacher = runs.teacher(&python)?;
        let alone = runs.student("train", &[])?;
        let logits = teacher.join("train.npz").display().to_string();
        let taught = runs.student("distill", &["--teacher-logits", &logits])?;
        let mut aucs = Vec::new();
        for folder in [teacher, alone, taught] {
            let measured: Metrics = rows.measure(&folder)?.test;
            aucs.push(measured.auc.with_context(|| format!("{}: no AUC", folder.display()))?);
        }
        figures.push(aucs);
    }
    let mean = |which: usize| figures.iter().map(|aucs| aucs[which]).sum::<f64>() / figures.len() as f64;
    let [teacher, alone, taught] = [0, 1, 2].map(mean);
    output::line(format_args!("test AUC, mean of {} seeds", SEEDS.len()))?;
    for (name, auc) in [("FuxiCTR's DeepFM", teacher), ("student alone", alone), ("student, taught", taught)] {
        output::line(format_args!("{name:<18} {auc:.4}"))?;
    }
    ensure!(teacher > alone, "the teacher is no better than the student: it cannot teach");
    ensure!(taught > alone, "the teacher's logits do not help the student");
    Ok(())
}

/// A Python that has the package, and finds the libraries after its own.
fn both(environment: &Path, libraries: &Path) -> Result<PathBuf> {
    let found = package::install(environment)?;
    // What Python finds there it finds here too, PyTorch through the libraries' own file of paths.
    let folders = python::packages(libraries)?;
    let line = format!("import site; site.addsitedir({:?})\n", folders.display().to_string());
    fs::write(python::packages(&found)?.join("libraries.pth"), line)?;
    Ok(found)
}

/// Trainings with one seed.
struct Runs<'a> {
    data: &'a Path,
    folder: &'a Path,
    seed: &'a str,
    train: &'a Path,
    torch: &'a Torch,
}

impl Runs<'_> {
    /// Trains FuxiCTR's model; gives the folder of its logits.
    fn teacher(&self, python: &Path) -> Result<PathBuf> {
        let folder = self.folder.join("teacher");
        fs::create_dir_all(&folder)?;
        let mut teacher = Command::new(python);
        teacher.args(["-W", "ignore"]).arg(workspace::root().join("benches/accuracy/fuxictr_teacher.py")).args(TEACHER);
        teacher.args(["--seed", self.seed, "--data"]).arg(self.data).arg("--out").arg(&folder);
        command::run_to_stderr(teacher.env("PYTHONDONTWRITEBYTECODE", "1"))?;
        Ok(folder)
    }

    /// Trains a student; gives the folder of its logits.
    fn student(&self, verb: &str, more: &[&str]) -> Result<PathBuf> {
        let folder = self.folder.join(verb);
        let mut train = Command::new(self.train);
        train.arg(verb).args(STUDENT.split_whitespace()).args(more).args(["--seed", self.seed, "--data"]);
        train.arg(self.data).arg("--out").arg(&folder);
        command::run_to_stderr(self.torch.use_in(&mut train))?;
        for part in [Part::Valid, Part::Test] {
            let mut evaluate = Command::new(self.train);
            evaluate.args(["evaluate", "--split", part.word(), "--checkpoint"]).arg(&folder);
            evaluate.arg("--data").arg(self.data).arg("--logits").arg(folder.join(format!("{}.logits", part.word())));
            command::run_to_stderr(self.torch.use_in(&mut evaluate))?;
        }
        Ok(folder)
    }
}

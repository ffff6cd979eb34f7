//! A model that is trained with one seed: its folder has the logits of validation and
//! test rows, and what they were made with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xsfm_interchange::atomic;
use xsfm_interchange::dataset::Part;
use xsfm_interchange::output;

use super::contenders::{Contender, Library, Variant};
use crate::setup::torch::Torch;
use crate::{command, workspace};

/// Our program.
pub(super) struct Trainer {
    pub(super) program: PathBuf,
    pub(super) torch: Torch,
}

impl Trainer {
    pub(super) fn command(&self, word: &str) -> Command {
        let mut command = Command::new(&self.program);
        self.torch.use_in(&mut command);
        command.arg(word);
        command
    }
}

/// What all cells of a data set have in common.
pub(super) struct Cells<'a> {
    pub(super) folder: PathBuf,
    pub(super) data: PathBuf,
    pub(super) fingerprint: String,
    pub(super) python: PathBuf,
    pub(super) trainer: &'a Trainer,
    pub(super) epochs: u32,
    pub(super) threads: usize,
}

/// `cell.json`, which is written last: a cell that was made with other things is made anew.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct MadeOf {
    fingerprint: String,
    epochs: u32,
    /// Of the driver and the reader of rows, or of our flags and program.
    digest: String,
    /// The environment's folder has the versions in its name.
    program: PathBuf,
}

const MADE_OF: &str = "cell.json";

/// What is done, and how long the rest takes.
pub(super) struct Progress {
    cells: usize,
    done: usize,
    /// How many were trained, and since when.
    trained: usize,
    start: Instant,
}

impl Progress {
    pub(super) fn new(cells: usize) -> Self {
        Progress { cells, done: 0, trained: 0, start: Instant::now() }
    }

    /// `[3/20, about 12 min left] FuxiCTR DeepFM …`
    fn say(&mut self, what: &str) {
        let left = self.cells - self.done.min(self.cells);
        let rest = remaining(self.start.elapsed().as_secs_f64(), self.trained, left);
        self.done += 1;
        output::say(format_args!("[{}/{}{rest}] {what}", self.done, self.cells));
    }
}

/// Words for the time that `left` cells take, where `trained` took so long.
fn remaining(seconds: f64, trained: usize, left: usize) -> String {
    match trained {
        0 => String::new(),
        _ => format!(", about {:.0} min left", (seconds / trained as f64 * left as f64 / 60.0).ceil()),
    }
}

impl Cells<'_> {
    /// Trains a cell, unless it was; gives its folder.
    pub(super) fn make(
        &self,
        contender: &Contender,
        variant: &Variant,
        seed: u64,
        progress: &mut Progress,
    ) -> Result<PathBuf> {
        let name = contender.title.replace(' ', "-");
        let folder = self.folder.join("cells").join(name).join(variant.name()).join(format!("seed-{seed}"));
        let made_of = self.made_of(contender.library, variant)?;
        progress.say(&format!("{}, {}, seed {seed}", contender.title, variant.name()));
        let kept = fs::read(folder.join(MADE_OF)).ok().and_then(|text| serde_json::from_slice::<MadeOf>(&text).ok());
        if kept.is_some_and(|kept| kept == made_of) {
            return Ok(folder);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        match variant {
            Variant::Config(config) => self.ours(config, seed, &folder)?,
            Variant::Driver { model, l2 } => self.driver(contender.library, model, *l2, seed, &folder)?,
        }
        let path = folder.join(MADE_OF);
        let text = serde_json::to_vec_pretty(&made_of)?;
        atomic::write(&path, |output| output.write_all(&text)).with_context(|| path.display().to_string())?;
        progress.trained += 1;
        Ok(folder)
    }

    fn made_of(&self, library: Library, variant: &Variant) -> Result<MadeOf> {
        let files = match (variant, library.script()) {
            (Variant::Config(config), _) => vec![config.clone(), self.trainer.program.clone()],
            (Variant::Driver { .. }, script) => script.into_iter().chain(["rows.py"]).map(scripts).collect(),
        };
        let mut hash = Sha256::new();
        for file in files {
            hash.update(fs::read(&file)?);
        }
        let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let program = if library == Library::Ours { &self.trainer.program } else { &self.python };
        Ok(MadeOf { fingerprint: self.fingerprint.clone(), epochs: self.epochs, digest, program: program.clone() })
    }

    fn ours(&self, config: &Path, seed: u64, folder: &Path) -> Result<()> {
        let checkpoint = folder.join("checkpoint");
        let mut train = self.trainer.command("train");
        train.arg("--config").arg(config).arg("--data").arg(&self.data).arg("--out").arg(&checkpoint);
        train.args(["--seed", &seed.to_string(), "--threads", &self.threads.to_string()]);
        command::run_to_stderr(&mut train)?;
        for part in [Part::Valid, Part::Test] {
            let mut evaluate = self.trainer.command("evaluate");
            evaluate.arg("--checkpoint").arg(&checkpoint).arg("--data").arg(&self.data).args(["--split", part.word()]);
            command::run_to_stderr(evaluate.arg("--logits").arg(logits(folder, part)))?;
        }
        Ok(())
    }

    fn driver(&self, library: Library, model: &str, l2: f64, seed: u64, folder: &Path) -> Result<()> {
        let Some(script) = library.script() else { return Ok(()) };
        let mut run = Command::new(&self.python);
        // Of what the libraries write to standard error nothing is about the models.
        run.args(["-W", "ignore"]).arg(scripts(script)).args(["--model", model, "--l2", &l2.to_string()]);
        run.arg("--data").arg(&self.data).arg("--out").arg(folder).args(["--seed", &seed.to_string()]);
        run.args(["--epochs", &self.epochs.to_string(), "--threads", &self.threads.to_string()]);
        command::run_to_stderr(run.env("PYTHONDONTWRITEBYTECODE", "1"))
    }
}

fn scripts(file: &str) -> PathBuf {
    workspace::root().join("benches/accuracy").join(file)
}

/// The file of a part's logits in a cell's folder.
pub(super) fn logits(folder: &Path, part: Part) -> PathBuf {
    folder.join(format!("{}.logits", part.word()))
}

#[cfg(test)]
mod tests {
    use super::remaining;

    #[test]
    fn what_is_left_is_told_from_what_was_trained() {
        assert_eq!(remaining(3.0, 0, 9), "");
        assert_eq!(remaining(120.0, 4, 7), ", about 4 min left");
    }
}

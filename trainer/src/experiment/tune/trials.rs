//! Trainings of a search: children of this process, each in a folder of its own, paused and gone on with.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use xsfm_interchange::atomic;
use xsfm_interchange::output;

use super::search::{Settings, Trials};
use crate::divergence;
use crate::experiment::tools::Means;
use crate::state::{self, State};

/// What a training said, in its folder.
const LOG: &str = "log.txt";
/// Its flags.
const SETTINGS: &str = "settings.toml";
/// That it diverged, and how.
const DIVERGED: &str = "diverged.txt";
/// How often children are looked after.
const POLL: Duration = Duration::from_millis(50);

/// Where trainings are, and until when.
#[derive(Debug)]
pub struct Runner<'a> {
    /// Data, folder, device, threads.
    pub means: &'a Means,
    /// Flags of every training.
    pub base: &'a toml::Table,
    /// Time ends here.
    pub deadline: Instant,
    /// The seed of training.
    pub seed: u64,
    /// Settings in the order in which they were tried first.
    pub tried: Vec<Settings>,
    /// How much time has gone by.
    pub bar: &'a ProgressBar,
}

/// `table_l2-0.1_dropout-0.2`: a folder's name.
pub fn name(settings: &Settings) -> String {
    if settings.is_empty() {
        return "base".to_owned();
    }
    let words = settings.iter().map(|(flag, value)| format!("{flag}-{}", value.replace(',', "x")));
    words.collect::<Vec<_>>().join("_")
}

/// `table_l2=0.1 dropout=0.2`
pub fn title(settings: &Settings) -> String {
    settings.iter().map(|(flag, value)| format!("{flag}={value}")).collect::<Vec<_>>().join(" ")
}

impl Runner<'_> {
    /// The folder of a training.
    pub fn folder(&self, settings: &Settings) -> PathBuf {
        self.folder_of(settings, self.seed)
    }

    /// The folder of a training with another seed.
    pub fn folder_of(&self, settings: &Settings, seed: u64) -> PathBuf {
        self.means.out.join("trials").join(name(settings)).join(format!("seed-{seed}"))
    }

    /// How far a training has come; nothing where it has not begun.
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn state(&self, settings: &Settings) -> Result<Option<State>> {
        state::peek(&self.folder(settings))
    }

    /// Why a training diverged, if it has.
    pub fn divergence(&self, settings: &Settings) -> Option<String> {
        fs::read_to_string(self.folder(settings).join(DIVERGED)).ok()
    }

    /// Whether a training has gone through so many epochs, or has ended.
    fn is_there(&self, settings: &Settings, epochs: Option<u64>) -> Result<bool> {
        let reached = |state: State| {
            state.finished || epochs.is_some_and(|epochs| state.epochs.last().is_some_and(|last| last.epoch >= epochs))
        };
        Ok(self.divergence(settings).is_some() || self.state(settings)?.is_some_and(reached))
    }

    fn command(&self, settings: &Settings, epochs: Option<u64>) -> Result<Command> {
        let folder = self.folder(settings);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let file = folder.join(SETTINGS);
        let text = toml::to_string(&with(self.base, settings))?;
        atomic::write(&file, |output| output.write_all(text.as_bytes())).with_context(|| file.display().to_string())?;
        let mut train = Command::new(std::env::current_exe().context("finding this program")?);
        train.arg("train").arg("--config").arg(file).arg("--data").arg(&self.means.data).arg("--out").arg(&folder);
        train.args(["--seed", &self.seed.to_string(), "--threads", &self.means.threads.to_string()]);
        train.args(["--device", &self.means.device, "--resume"]);
        if let Some(epochs) = epochs {
            train.args(["--pause-after", &epochs.to_string()]);
        }
        let path = folder.join(LOG);
        let log = File::options().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
        train.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(train)
    }

    /// Trains all of them, `jobs` at a time; whether time was left for it. What time ended goes on from its last epoch
    /// another time.
    fn train(&self, all: &[Settings], epochs: Option<u64>) -> Result<bool> {
        let mut missing = Vec::new();
        for settings in all {
            if !self.is_there(settings, epochs)? {
                missing.push(settings);
            }
        }
        let queue = Mutex::new(missing.into_iter());
        let worker = || -> Result<bool> {
            loop {
                let Some(settings) = queue.lock().map_err(|_| anyhow::anyhow!("a training failed"))?.next() else {
                    return Ok(true);
                };
                let child = self.command(settings, epochs)?.spawn().context("starting this program")?;
                if !self.wait(child, settings)? {
                    return Ok(false);
                }
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.means.jobs()).map(|_| scope.spawn(worker)).collect();
            let ends =
                workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?);
            ends.collect::<Result<Vec<bool>>>().map(|ends| ends.into_iter().all(|end| end))
        })
    }

    /// Whether a child came to its end in time.
    fn wait(&self, mut child: Child, settings: &Settings) -> Result<bool> {
        loop {
            if let Some(status) = child.try_wait()? {
                let folder = self.folder(settings);
                if status.success() {
                    return Ok(true);
                }
                let said = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
                let why = said.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it says nothing");
                if status.code() != Some(i32::from(divergence::EXIT_STATUS)) {
                    bail!("{} failed ({status}): {why}", folder.display());
                }
                self.bar.suspend(|| output::say(format_args!("{}: diverged: {why}", title(settings))));
                let path = folder.join(DIVERGED);
                atomic::write(&path, |output| output.write_all(why.as_bytes()))
                    .with_context(|| path.display().to_string())?;
                return Ok(true);
            }
            let now = Instant::now();
            if now >= self.deadline {
                child.kill()?;
                child.wait()?;
                return Ok(false);
            }
            std::thread::sleep(POLL);
        }
    }

    /// The best figure in the first epochs, or in all; nothing where the training diverged.
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn figure(&self, settings: &Settings, epochs: Option<u64>) -> Result<Option<f64>> {
        if self.divergence(settings).is_some() {
            return Ok(None);
        }
        let state = self.state(settings)?.with_context(|| format!("{}: no state", self.folder(settings).display()))?;
        let first = state.epochs.iter().filter(|e| epochs.is_none_or(|epochs| e.epoch <= epochs));
        Ok(first.map(|e| e.valid_auc).reduce(f64::max))
    }
}

impl Trials for Runner<'_> {
    fn figures(&mut self, all: &[Settings], epochs: Option<u64>) -> Result<Option<Vec<Option<f64>>>> {
        for settings in all {
            if !self.tried.contains(settings) {
                self.tried.push(settings.clone());
            }
        }
        let until = epochs.map_or_else(|| "their end".to_owned(), |epochs| format!("epoch {epochs}"));
        self.bar.set_message(format!("{} to {until}; {} tried", all.len(), self.tried.len()));
        if !self.train(all, epochs)? {
            return Ok(None);
        }
        let figures: Vec<Option<f64>> =
            all.iter().map(|settings| self.figure(settings, epochs)).collect::<Result<_>>()?;
        self.bar.suspend(|| {
            for (settings, figure) in all.iter().zip(&figures) {
                let figure = figure.map_or_else(|| "diverged".to_owned(), |auc| format!("{auc:.5}"));
                output::say(format_args!("to {until}: {figure}  {}", title(settings)));
            }
        });
        Ok(Some(figures))
    }
}

/// All flags of a training.
pub fn with(base: &toml::Table, settings: &Settings) -> toml::Table {
    let text = settings.iter().map(|(flag, value)| (flag.clone(), toml::Value::String(value.clone())));
    base.clone().into_iter().chain(text).collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// Whether something is a file of settings.
///
/// # Errors
/// It cannot be read, or is not TOML.
pub fn base(path: Option<&Path>) -> Result<toml::Table> {
    let Some(path) = path else { return Ok(toml::Table::new()) };
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.parse().with_context(|| format!("{}: not TOML", path.display()))
}

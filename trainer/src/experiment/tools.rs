//! The commands that make one row: those that a user would type, each in a process of its own, so that rows train side
//! by side and random numbers of one do not depend on another.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tch::Device;
use xsfm_interchange::atomic;
use xsfm_interchange::checkpoint::file;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::output;

use super::outcome::{Divergence, Made, Origin, Outcome, Packed, Sizes, Training, definition};
use super::plan::Unit;
use super::predictions::Predictions;
use super::row::{Experiments, Mode, Reads, Row, resolve};
use crate::data::{dataset, fold, same};
use crate::device;
use crate::divergence;

/// The packed model in a unit's folder.
pub const PACKED: &str = "model.xsfm";
/// The checkpoint in a unit's folder.
pub const CHECKPOINT: &str = "checkpoint";
/// What the commands said, in a unit's folder.
const LOG: &str = "log.txt";
/// How much of it an error shows.
const LOG_SHOWN: u64 = 1500;

/// The flags of every command that trains rows.
#[derive(Clone, Debug, clap::Args)]
pub struct Means {
    /// Folder of encoded rows
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder for checkpoints, packed models and figures: OUT/ROW/seed-N/
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Trainings at a time; by default one per core, on a GPU one: each has a context of its own there, and they take
    /// turns
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZero<usize>>,
    /// CPU threads of a training
    #[arg(long, default_value_t = 1)]
    pub threads: u16,
    /// Where to train: `cpu`, `cuda:0`, …
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// The program `xsfm`; by default the one beside this program, or on the path
    #[arg(long, value_name = "PATH")]
    pub xsfm: Option<PathBuf>,
}

/// What the encoding of --data is called beside others.
pub const OWN: &str = "own";

/// Other indices of the same rows.
#[derive(Clone, Debug, clap::Args)]
pub struct Encodings {
    /// The rows of --data in the same order, prepared otherwise: hashed fields, other bounds; may be given several
    /// times
    #[arg(long, value_name = "NAME=DIR", value_parser = named)]
    encoding: Vec<(String, PathBuf)>,
}

/// `hashed=DIR`; the name becomes a part of folders' names.
fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, folder) = text.split_once('=').ok_or("NAME=DIR expected")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match name {
        OWN => Err(format!("{OWN:?} is that of --data; choose another name")),
        _ if !name.is_empty() && name.chars().all(is_plain) => Ok((name.to_owned(), folder.into())),
        _ => Err(format!("{name:?}: letters, digits and - make a name")),
    }
}

impl Encodings {
    /// Opens them, and compares every part with that of `data`.
    ///
    /// # Errors
    /// One that cannot be read, has other rows, or the name of another.
    pub fn open(&self, data: &Dataset) -> Result<BTreeMap<String, Dataset>> {
        let mut opened = BTreeMap::new();
        for (name, folder) in &self.encoding {
            let encoding = dataset::open(folder)?;
            for part in [Part::Train, Part::Valid, Part::Test] {
                same::check_part(data, &encoding, part)?;
            }
            ensure!(opened.insert(name.clone(), encoding).is_none(), "--encoding {name} is given twice");
        }
        Ok(opened)
    }
}

impl Means {
    /// Checks the device before any work, and says what several trainings on one GPU mean.
    ///
    /// # Errors
    /// There is no such device.
    pub fn check_device(&self) -> Result<()> {
        let device = device::check(&self.device)?;
        if device != Device::Cpu && self.jobs() > 1 {
            output::say(format_args!(
                "NOTE: --jobs {} on {}: each training has a context of its own there, with its memory, and they take \
                 turns",
                self.jobs(),
                self.device
            ));
        }
        Ok(())
    }

    /// Trainings at a time.
    pub fn jobs(&self) -> usize {
        let usual = || match self.device == "cpu" {
            true => std::thread::available_parallelism().map_or(1, NonZero::get),
            false => 1,
        };
        self.jobs.map_or_else(usual, NonZero::get)
    }
}

/// Where rows are made, and with what.
#[derive(Clone, Debug)]
pub struct Tools {
    /// `xsfm-train`.
    pub trainer: PathBuf,
    /// `xsfm`.
    pub xsfm: PathBuf,
    /// The rows.
    pub data: Dataset,
    /// The same rows in other encodings, by their names.
    pub encodings: BTreeMap<String, Dataset>,
    /// Folder of all units.
    pub out: PathBuf,
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// Threads of a training.
    pub threads: u16,
    /// Checkpoints that teach every row, beside those that a row names.
    pub teachers: Vec<PathBuf>,
    /// Commit and host.
    pub origin: Origin,
}

impl Tools {
    /// Finds the programs: `xsfm-train` is this one; `xsfm` lies beside it or on the path, where it is not named.
    ///
    /// # Errors
    /// There is no `xsfm`.
    pub fn find(means: &Means) -> Result<Self> {
        let trainer = std::env::current_exe().context("finding this program")?;
        let beside = trainer.with_file_name("xsfm");
        let xsfm = match &means.xsfm {
            Some(path) => path.clone(),
            None if beside.exists() => beside,
            None => PathBuf::from("xsfm"),
        };
        let version = Command::new(&xsfm).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            bail!(
                "{} does not run: build it with `cargo build --release -p xsfm-convert`, or give --xsfm",
                xsfm.display()
            );
        }
        let origin = Origin { commit: commit(), host: host(), command: String::new() };
        let data = dataset::open(&means.data)?;
        let Means { out, device, threads, .. } = means.clone();
        let (encodings, teachers) = (BTreeMap::new(), Vec::new());
        Ok(Tools { trainer, xsfm, data, encodings, out, device, threads, teachers, origin })
    }

    /// A unit's folder.
    pub fn folder(&self, unit: &Unit) -> PathBuf {
        self.out.join(&unit.row).join(format!("seed-{}", unit.seed))
    }

    /// The rows in the encoding of this name; in their own, where none is named.
    fn encoding(&self, name: Option<&str>) -> Result<&Dataset> {
        let Some(name) = name else { return Ok(&self.data) };
        self.encodings.get(name).with_context(|| format!("no encoding {name:?}: give --encoding {name}=DIR"))
    }

    /// The rows in the encoding that a row names, if it does.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn other_encoding(&self, row: &Row) -> Result<Option<&Dataset>> {
        row.encoding.as_deref().map(|name| self.encoding(Some(name))).transpose()
    }

    /// The folder of the rows as some models read them.
    ///
    /// # Errors
    /// There is no such encoding.
    pub fn data(&self, reads: &Reads) -> Result<PathBuf> {
        let encoding = self.encoding(reads.encoding.as_deref())?;
        let name = reads.encoding.iter().map(|name| format!("{name}-")).collect::<String>();
        Ok(match reads.min_count {
            1 => encoding.folder().to_owned(),
            count => self.out.join(format!("{name}min-count-{count}")),
        })
    }

    /// Makes that folder, where it is not there.
    ///
    /// # Errors
    /// Rows cannot be read or written.
    pub fn fold(&self, reads: &Reads) -> Result<()> {
        if reads.min_count > 1 {
            let encoding = self.encoding(reads.encoding.as_deref())?;
            fold::fold(encoding.folder(), reads.min_count, &self.data(reads)?)?;
        }
        Ok(())
    }

    fn checkpoint(&self, unit: &Unit) -> PathBuf {
        self.folder(unit).join(CHECKPOINT)
    }

    fn checkpoints(&self, units: Vec<(String, u64)>) -> Vec<PathBuf> {
        units.into_iter().map(|(row, seed)| self.checkpoint(&Unit { row, seed })).collect()
    }

    /// Trains, packs and measures a unit whose needs are met. A training that was interrupted goes on where it was.
    ///
    /// # Errors
    /// A command fails, other than by diverging; the message has the end of what it said.
    pub fn make(&self, experiments: &Experiments, unit: &Unit) -> Result<Made> {
        let error = match self.make_outcome(experiments, unit) {
            Ok(outcome) => return Ok(Made::Outcome(Box::new(outcome))),
            Err(error) => error.downcast::<TrainingDiverged>()?,
        };
        let row = &experiments.rows[&unit.row];
        let divergence = Divergence {
            row: unit.row.clone(),
            seed: unit.seed,
            what: error.what,
            data: Some(self.data.fingerprint().clone()),
            encoding: self.other_encoding(row)?.map(|encoding| encoding.fingerprint().clone()),
            definition: definition(experiments, row)?,
            origin: Origin { command: error.command, ..self.origin.clone() },
        };
        divergence.write(&self.folder(unit))?;
        Ok(Made::Diverged(Box::new(divergence)))
    }

    fn make_outcome(&self, experiments: &Experiments, unit: &Unit) -> Result<Outcome> {
        let row = &experiments.rows[&unit.row];
        let folder = self.folder(unit);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let data = self.data(&row.reads())?;
        let command = if row.is_trained() { self.train(experiments, row, unit)? } else { String::new() };
        let checkpoints: Vec<PathBuf> =
            if row.is_trained() { vec![self.checkpoint(unit)] } else { self.checkpoints(row.needs(unit.seed)?) };
        let metrics = |checkpoint: &Path| -> Result<Value> {
            let path = checkpoint.join(file::METRICS);
            let text = fs::read(&path).with_context(|| path.display().to_string())?;
            serde_json::from_slice(&text).with_context(|| path.display().to_string())
        };
        let trained: Vec<Value> = checkpoints.iter().map(|c| metrics(c)).collect::<Result<_>>()?;
        let parameters = trained.iter().filter_map(|m| m["parameters"].as_u64()).sum();
        let training = match (&trained[..], row.is_trained()) {
            ([report], true) => Some(training(report)),
            _ => None,
        };
        let (packed, command) = if row.pack.mode == Mode::None || !row.ensemble.is_empty() {
            (None, command)
        } else {
            let (packed, packing) = self.pack(row, &checkpoints[0], &folder, &data)?;
            (Some(packed), if command.is_empty() { packing } else { command })
        };
        let test = self.data.has(Part::Test);
        // Reports compare the logits of test rows, where there are any.
        let measure = |part: Part, keep: bool| -> Result<Metrics> {
            let logits = folder.join("logits.txt.part");
            let metrics = match packed {
                Some(_) => self.evaluate_packed(&folder, &data, part, &logits),
                None => self.evaluate_checkpoints(&checkpoints, &folder, &data, part, &logits),
            }?;
            if keep {
                Predictions::keep(&logits, &part.path(&data), &folder)?;
            } else {
                fs::remove_file(&logits).with_context(|| logits.display().to_string())?;
            }
            Ok(metrics)
        };
        let outcome = Outcome {
            row: row.name.clone(),
            seed: unit.seed,
            data: Some(self.data.fingerprint().clone()),
            encoding: self.other_encoding(row)?.map(|encoding| encoding.fingerprint().clone()),
            valid: measure(Part::Valid, !test)?,
            test: test.then(|| measure(Part::Test, true)).transpose()?,
            parameters,
            nonzero: trained[0]["nonzero"].as_u64(),
            packed,
            training,
            definition: definition(experiments, row)?,
            origin: Origin { command, ..self.origin.clone() },
        };
        outcome.write(&folder)?;
        Ok(outcome)
    }

    /// Gives the command.
    fn train(&self, experiments: &Experiments, row: &Row, unit: &Unit) -> Result<String> {
        let (folder, data) = (self.folder(unit), self.data(&row.reads())?);
        let settings = folder.join("settings.toml");
        let text = toml::to_string(&row.train)?;
        atomic::write(&settings, |output| output.write_all(text.as_bytes()))
            .with_context(|| settings.display().to_string())?;
        let mut train = Command::new(&self.trainer);
        let is_taught = !row.teacher.is_empty() || !self.teachers.is_empty();
        train.arg(if is_taught { "distill" } else { "train" });
        for teacher in &self.teachers {
            train.arg("--teacher").arg(teacher);
        }
        for (flag, references) in [("--teacher", row.teacher.as_slice()), ("--from", row.from.as_slice())] {
            for checkpoint in self.checkpoints(resolve(references, unit.seed)?) {
                train.arg(flag).arg(checkpoint);
            }
        }
        // Teachers that no row names read the rows as they are.
        let teachers = if self.teachers.is_empty() { experiments.teachers_read(row)? } else { Reads::default() };
        if is_taught && teachers != row.reads() {
            train.arg("--teacher-data").arg(self.data(&teachers)?);
        }
        train.arg("--config").arg(settings).arg("--data").arg(data).arg("--out").arg(self.checkpoint(unit));
        train.args(["--seed", &unit.seed.to_string(), "--threads", &self.threads.to_string()]);
        train.args(["--device", &self.device, "--resume"]);
        self.output(&mut train, &folder)?;
        Ok(shown(&train))
    }

    fn pack(&self, row: &Row, checkpoint: &Path, folder: &Path, data: &Path) -> Result<(Packed, String)> {
        let (file, rows) = (folder.join(PACKED), Part::Valid.path(data));
        let (report, sizes) = self.packed(row, checkpoint, &file, &rows, folder)?;
        let packed = Packed {
            mode: row.pack.mode.name().to_owned(),
            sizes,
            microcontroller_ram: bytes(&report, "ram_bytes_microcontroller")?,
            cortex_m4f_instructions: self.instructions(&file, folder)?,
        };
        Ok((packed, shown(&self.pack_command(row, checkpoint, &file, &rows))))
    }

    /// Packs a checkpoint as a row says, for rows of indices, and beside that file what is [deployed] where it
    /// is another. Gives what `xsfm pack` tells of the first, and how large the second is.
    ///
    /// # Errors
    /// Packing fails.
    pub fn packed(
        &self,
        row: &Row,
        checkpoint: &Path,
        file: &Path,
        rows: &Path,
        folder: &Path,
    ) -> Result<(Value, Sizes)> {
        let report = self.json(&mut self.pack_command(row, checkpoint, file, rows), folder)?;
        let sizes = match row.pack.renumber {
            false => sizes(&report)?,
            true => {
                let mut pack = self.pack_command(row, checkpoint, &deployed(row, file), rows);
                sizes(&self.json(pack.arg("--renumber"), folder)?)?
            }
        };
        Ok((report, sizes))
    }

    /// The command that packs a checkpoint as a row says, with its vocabulary; `rows` choose its scales.
    pub fn pack_command(&self, row: &Row, checkpoint: &Path, output: &Path, rows: &Path) -> Command {
        let mut pack = Command::new(&self.xsfm);
        pack.arg("pack").arg(checkpoint).args(["--mode", row.pack.mode.name(), "--json", "--output"]).arg(output);
        if row.pack.calibrate {
            pack.arg("--rows").arg(rows);
        }
        if let Some(bits) = row.pack.table_bits {
            pack.args(["--table-bits", &bits.to_string()]);
        }
        if let Some(rank) = row.pack.rank {
            pack.args(["--rank", &rank.to_string()]);
        }
        if let Some(bits) = row.pack.fingerprint_bits {
            pack.args(["--fingerprint-bits", &bits.to_string()]);
        }
        pack
    }

    /// Instructions of one score on a Cortex-M4F, as `xsfm analyze` predicts them.
    ///
    /// # Errors
    /// The command fails.
    pub fn instructions(&self, packed: &Path, folder: &Path) -> Result<Option<u64>> {
        let mut analyze = Command::new(&self.xsfm);
        analyze.arg("analyze").arg(packed).args(["--target", "cortex-m4f", "--json"]);
        Ok(self.json(&mut analyze, folder)?["instructions"].as_u64())
    }

    fn evaluate_packed(&self, folder: &Path, data: &Path, part: Part, logits: &Path) -> Result<Metrics> {
        let mut evaluate = Command::new(&self.xsfm);
        evaluate.arg("evaluate").arg(folder.join(PACKED)).arg("--json").arg("--logits").arg(logits);
        evaluate.arg("--rows").arg(part.path(data));
        Ok(serde_json::from_value(self.json(&mut evaluate, folder)?)?)
    }

    fn evaluate_checkpoints(
        &self,
        checkpoints: &[PathBuf],
        folder: &Path,
        data: &Path,
        part: Part,
        logits: &Path,
    ) -> Result<Metrics> {
        let mut evaluate = Command::new(&self.trainer);
        evaluate.arg("evaluate").arg("--data").arg(data).args(["--split", part.word(), "--json"]);
        evaluate.arg("--logits").arg(logits);
        evaluate.args(["--device", &self.device]);
        for checkpoint in checkpoints {
            evaluate.arg("--checkpoint").arg(checkpoint);
        }
        Ok(serde_json::from_value(self.json(&mut evaluate, folder)?)?)
    }

    /// Runs a command that prints JSON.
    ///
    /// # Errors
    /// The command fails, or its output is not JSON.
    pub fn json(&self, command: &mut Command, folder: &Path) -> Result<Value> {
        let text = self.output(command, folder)?;
        serde_json::from_str(&text).with_context(|| format!("{}: its output is not JSON", shown(command)))
    }

    /// Standard output of a command; what it says goes to the log in `folder`.
    fn output(&self, command: &mut Command, folder: &Path) -> Result<String> {
        let path = folder.join(LOG);
        let at = || path.display().to_string();
        let mut log = File::options().create(true).append(true).open(&path).with_context(at)?;
        writeln!(log, "$ {}", shown(command)).with_context(at)?;
        let said = log.try_clone().with_context(at)?;
        let output = command.stdin(Stdio::null()).stderr(said).output();
        let output = output.with_context(|| shown(command))?;
        if output.status.code() == Some(i32::from(divergence::EXIT_STATUS)) {
            let said = end_of(&path)?;
            let what = said.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("diverged");
            return Err(TrainingDiverged { what: what.to_owned(), command: shown(command) }.into());
        }
        if !output.status.success() {
            bail!("{} failed ({}); {} ends with\n{}", shown(command), output.status, at(), end_of(&path)?);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A training ended with [`divergence::EXIT_STATUS`].
#[derive(Debug, thiserror::Error)]
#[error("{command}: {what}")]
struct TrainingDiverged {
    what: String,
    command: String,
}

fn end_of(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_SHOWN)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn training(report: &Value) -> Training {
    let epochs = report["epochs"].as_array().map(Vec::as_slice).unwrap_or_default();
    Training {
        best_epoch: report["best_epoch"].as_u64().unwrap_or(0),
        valid_log_loss: epochs.iter().filter_map(|epoch| epoch["valid_log_loss"].as_f64()).collect(),
    }
}

/// Where the file that is deployed lies, beside `packed`, the one that is scored: the same, or one whose tables are
/// numbered anew.
pub fn deployed(row: &Row, packed: &Path) -> PathBuf {
    if row.pack.renumber { packed.with_file_name("deployed.xsfm") } else { packed.to_owned() }
}

/// How large a file is by what `xsfm pack --json` prints.
fn sizes(report: &Value) -> Result<Sizes> {
    let (bytes, deployed) = (bytes(report, "file_bytes_without_vocabulary")?, bytes(report, "file_bytes")?);
    Ok(Sizes { bytes, deployed_bytes: Some(deployed) })
}

fn bytes(report: &Value, name: &str) -> Result<u64> {
    report[name].as_u64().with_context(|| format!("xsfm pack --json has no {name}"))
}

/// A command as it would be typed.
fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let words = command.get_args().map(|word| word.to_string_lossy());
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

fn commit() -> String {
    let git = |words: &[&str]| {
        let output = Command::new("git").args(words).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let is_changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    if is_changed { commit + "+" } else { commit }
}

/// Name and CPU of this machine, as far as the system tells.
pub fn host() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match model {
        Some((_, model)) => format!("{model}, {cores} cores"),
        None => format!("{} {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_gpu_has_one_training_at_a_time_unless_more_are_asked_for() {
        let jobs = |device: &str, jobs: Option<usize>| {
            let jobs = jobs.map(|jobs| NonZero::new(jobs).unwrap());
            let (data, out) = (PathBuf::new(), PathBuf::new());
            Means { data, out, jobs, threads: 1, device: device.to_owned(), xsfm: None }.jobs()
        };
        let cores = std::thread::available_parallelism().unwrap().get();
        for (device, asked, expected) in
            [("cpu", None, cores), ("cpu", Some(3), 3), ("cuda", None, 1), ("cuda:1", None, 1), ("cuda:0", Some(4), 4)]
        {
            assert_eq!(jobs(device, asked), expected, "{device}, {asked:?}");
        }
    }
}

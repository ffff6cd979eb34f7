//! What an unfinished run needs to go on after its last epoch: [`STATE_FILE`] in its checkpoint folder, written after
//! every epoch.
//!
//! | tensors | |
//! |---|---|
//! | `model.*` | the parameters, tables as in a checkpoint |
//! | `mean.*`, `square.*` | Adam's two moments of each |
//! | `average.*` | their average, where it is measured in their place |
//!
//! Three numbers for every trained one, or four. The best so far is the model that the last evaluation measured, or
//! where later ones were worse, in a file of its own, `best-N.safetensors` for the N-th evaluation, which is written
//! once. It is there before a state says so and until no state does, so that a run can be killed at any moment.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use xsfm_interchange::checkpoint::file;
use xsfm_interchange::config::Scales;
use xsfm_interchange::dataset::Dataset;
use xsfm_interchange::fingerprint::Fingerprint;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::output;
use xsfm_interchange::schema::Schema;

use crate::average::Average;
use crate::model::Model;
use crate::model::embedding::{Layout, Table};
use crate::optimizer::Adam;
use crate::report::Epoch;
use crate::tensors;

/// The state of an unfinished run, in its checkpoint folder.
pub const STATE_FILE: &str = "training-state.safetensors";
/// The fields of its rows.
const SCHEMA_FILE: &str = "training-schema.json";
const BEST: (&str, &str) = ("best-", ".safetensors");

/// What a state file says beside its tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Every setting that decides the result.
    pub settings: serde_json::Value,
    /// The rows; absent in runs of older programs.
    pub data: Option<Fingerprint>,
    /// Figures on the validation rows before the first step; absent in runs of older programs.
    pub start: Option<Metrics>,
    /// The evaluations so far.
    pub epochs: Vec<Epoch>,
    /// The best of them, from 1; 0: the model before the first step. Older programs had one in an epoch.
    #[serde(alias = "best_epoch")]
    pub best: Option<u64>,
    /// Scales wanted of the integers.
    pub scales: Option<Scales>,
    /// Adam's steps.
    pub optimizer_steps: i32,
    /// Whether the checkpoint is there, and no tensor is needed any more.
    pub finished: bool,
}

impl State {
    /// The number of the last evaluation.
    fn measured_last(&self) -> u64 {
        self.epochs.len() as u64
    }
}

/// All numbers of a model, on the CPU, by name.
pub type Numbers = Vec<(String, Tensor)>;

/// What a run has come to, beside the model that it trains.
#[derive(Debug)]
pub struct Course {
    /// Its evaluations.
    pub state: State,
    /// The optimiser.
    pub adam: Adam,
    /// What is measured in place of the model.
    pub average: Option<Average>,
    /// All numbers of the best evaluation.
    pub best: Numbers,
}

impl Course {
    /// All numbers of the model that is measured: the average's, or `model`'s own.
    pub fn measured(&self, model: &Model) -> Numbers {
        match &self.average {
            None => model.parameters.snapshot(),
            Some(average) => {
                let on_cpu = |tensor: Tensor| tensor.to_device(Device::Cpu).copy();
                average.numbers().into_iter().map(|(name, tensor)| (name, on_cpu(tensor))).collect()
            }
        }
    }
}

/// The state of the run in a folder, without its tensors; nothing where none began.
///
/// # Errors
/// A file that cannot be read, or is no state.
pub fn peek(folder: &Path) -> Result<Option<State>> {
    let path = folder.join(STATE_FILE);
    if !path.try_exists().with_context(|| path.display().to_string())? {
        return Ok(None);
    }
    let text = tensors::read_text(&path)?.unwrap_or_default();
    let state = serde_json::from_str(&text).with_context(|| format!("{}: not a training state", path.display()))?;
    Ok(Some(state))
}

/// The files of a run's state.
#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
    /// The evaluation whose numbers are in a file.
    kept: Option<u64>,
}

impl Keeper {
    /// The state in a checkpoint folder.
    pub fn new(folder: &Path) -> Self {
        Keeper { folder: folder.to_owned(), kept: None }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(STATE_FILE)
    }

    fn best_path(&self, evaluation: u64) -> PathBuf {
        self.folder.join(format!("{}{evaluation}{}", BEST.0, BEST.1))
    }

    /// Forgets the run that was here: another begins.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn forget(&self) -> Result<()> {
        let path = self.path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| path.display().to_string())
            }
            _ => Ok(()),
        }
    }

    /// Keeps the fields, to name what differs should other data come when the run goes on.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn begin(&self, data: &Dataset) -> Result<()> {
        Ok(data.schema().save(&self.folder.join(SCHEMA_FILE))?)
    }

    /// Writes the state after an epoch.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn write(&mut self, course: &mut Course, model: &Model) -> Result<()> {
        let tables = model.layout.tables();
        let Course { state, adam, average, best } = course;
        let elsewhere = state.best.filter(|&best| best != state.measured_last());
        if let Some(best_one) = elsewhere.filter(|&best| Some(best) != self.kept) {
            tensors::write(&self.best_path(best_one), &split(&tables, "", best), None)?;
            self.kept = Some(best_one);
        }
        let (steps, [means, squares]) = adam.snapshot();
        state.optimizer_steps = steps;
        let parameters: Numbers = model.parameters.named().into_iter().map(|(name, t, _)| (name, t)).collect();
        let mut all = split(&tables, "model.", &parameters);
        all.extend(split(&tables, "mean.", &means));
        all.extend(split(&tables, "square.", &squares));
        all.extend(average.iter().flat_map(|average| split(&tables, "average.", &average.numbers())));
        tensors::write(&self.path(), &all, Some(serde_json::to_string(state)?))?;
        self.remove_all_but(elsewhere)
    }

    /// Says that a run is finished: its checkpoint is written.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn finish(&self, state: &mut State) -> Result<()> {
        state.finished = true;
        tensors::write(&self.path(), &[], Some(serde_json::to_string(state)?))?;
        // The checkpoint has its own.
        let path = self.folder.join(SCHEMA_FILE);
        if path.exists() {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
        self.remove_all_but(None)
    }

    /// Goes on with the run that was here, if there is one: sets `model` and, unless it is finished, the rest of
    /// `course`.
    ///
    /// # Errors
    /// Files that cannot be read, other settings than `settings`, other rows than `data`, a run that an older program
    /// began.
    pub fn read(&mut self, course: &mut Course, data: &Dataset, model: &Model) -> Result<bool> {
        let path = self.path();
        let at = || path.display().to_string();
        if !path.try_exists().with_context(at)? {
            return Ok(false);
        }
        let (mut tensors, text) = tensors::read(&path)?;
        let not_a_state = || format!("{}: not a training state", path.display());
        let state: State = serde_json::from_str(&text.with_context(not_a_state)?).with_context(not_a_state)?;
        if state.settings != course.state.settings {
            bail!(
                "{}: a run with other settings ({}); repeat its settings, or train without --resume",
                path.display(),
                difference(&state.settings, &course.state.settings)
            );
        }
        match &state.data {
            None => output::say(format_args!(
                "NOTE: {}: an older program's, which did not say on which rows; they are not compared",
                path.display()
            )),
            Some(before) => self.check_data(before, data)?,
        }
        if state.start.is_none() && !state.finished {
            bail!("{}: a run that an older program began; train without --resume", path.display());
        }
        course.state = state;
        if course.state.finished {
            return Ok(true);
        }
        let layout = &model.layout;
        model.parameters.restore(&join(layout, "model.", &mut tensors)).with_context(at)?;
        let moments = ["mean.", "square."].map(|prefix| join(layout, prefix, &mut tensors));
        course.adam.restore(course.state.optimizer_steps, [&moments[0], &moments[1]]).with_context(at)?;
        if let Some(average) = &mut course.average {
            average.restore(&join(layout, "average.", &mut tensors)).with_context(at)?;
        }
        course.best = match course.state.best {
            Some(best) if best != course.state.measured_last() => {
                let path = self.best_path(best);
                let numbers = join(layout, "", &mut tensors::read(&path)?.0);
                let names = model.parameters.named().into_iter().map(|(name, ..)| name);
                let number = |name: String| {
                    let tensor = numbers.get(&name).map(Tensor::shallow_clone);
                    Ok((name.clone(), tensor.with_context(|| format!("{}: no tensor `{name}`", path.display()))?))
                };
                self.kept = Some(best);
                names.map(number).collect::<Result<_>>()?
            }
            _ => course.measured(model),
        };
        Ok(true)
    }

    /// A run goes on with the rows that it began with.
    fn check_data(&self, before: &Fingerprint, data: &Dataset) -> Result<()> {
        let Some(problem) = data.problem(before, &self.path()) else { return Ok(()) };
        let kept = [SCHEMA_FILE, file::SCHEMA].map(|name| self.folder.join(name));
        let schema = kept.iter().find_map(|path| Schema::load(path).ok());
        let tokens = schema.and_then(|schema| data.vocabulary_problem(&schema, &self.folder));
        let tokens = tokens.map(|text| format!(" ({text})")).unwrap_or_default();
        bail!("{problem}{tokens}: bring the rows back to {}, or train without --resume", data.folder().display())
    }

    /// Removes the files of best epochs but one.
    fn remove_all_but(&self, kept: Option<u64>) -> Result<()> {
        let kept = kept.map(|epoch| self.best_path(epoch));
        for entry in fs::read_dir(&self.folder).with_context(|| self.folder.display().to_string())? {
            let path = entry.with_context(|| self.folder.display().to_string())?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let epoch = name.strip_prefix(BEST.0).and_then(|name| name.strip_suffix(BEST.1));
            if epoch.is_some_and(|epoch| epoch.parse::<u64>().is_ok()) && Some(&path) != kept.as_ref() {
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }
}

/// The two tensors in which tables lie.
fn tensor_of(table: &Table) -> &'static str {
    if table.is_second { "second" } else { "first" }
}

/// Tables apart, without neutral rows and the columns of `concat` that are always 0, which stay so under Adam.
fn split(tables: &[Table], prefix: &str, numbers: &[(String, Tensor)]) -> Numbers {
    let mut all = Vec::new();
    for (name, tensor) in numbers {
        let of_tensor = tables.iter().filter(|table| tensor_of(table) == name).peekable();
        let part = |t: &Table| tensor.narrow(0, t.from, t.rows).narrow(1, t.columns.0, t.columns.1);
        let before = all.len();
        all.extend(of_tensor.map(|table| (format!("{prefix}{}", table.name), part(table))));
        if all.len() == before {
            all.push((format!("{prefix}{name}"), tensor.shallow_clone()));
        }
    }
    all
}

/// What [`split`] took apart; takes it out of `tensors`.
fn join(layout: &Layout, prefix: &str, tensors: &mut HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    let names: Vec<String> = tensors.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    let named = names.into_iter().filter_map(|name| Some((name[prefix.len()..].to_owned(), tensors.remove(&name)?)));
    let mut all: HashMap<String, Tensor> = named.collect();
    for table in layout.tables() {
        let Some(part) = all.remove(&table.name) else { continue };
        let rows = if table.is_second { layout.second_rows() } else { layout.first_rows() };
        let empty = || Tensor::zeros([rows, layout.embed_dim()], (Kind::Float, Device::Cpu));
        let whole = all.entry(tensor_of(&table).to_owned()).or_insert_with(empty);
        let fits = part.size() == [table.rows, table.columns.1];
        if fits {
            whole.narrow(0, table.from, table.rows).narrow(1, table.columns.0, table.columns.1).copy_(&part);
        } else {
            // Under its own name it is missed by name.
            all.insert(table.name, part);
        }
    }
    all
}

/// The first setting that differs, with both values.
fn difference(before: &serde_json::Value, now: &serde_json::Value) -> String {
    let (Some(a), Some(b)) = (before.as_object(), now.as_object()) else {
        return format!("it had {before}, now {now}");
    };
    let null = serde_json::Value::Null;
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort();
    let of = |map: &serde_json::Map<String, serde_json::Value>, name: &str| map.get(name).unwrap_or(&null).clone();
    match names.into_iter().find(|name| of(a, name) != of(b, name)) {
        Some(name) if of(a, name).is_object() && of(b, name).is_object() => difference(&of(a, name), &of(b, name)),
        Some(name) => format!("{name} was {}, now {}", of(a, name), of(b, name)),
        None => "none differs".to_owned(),
    }
}

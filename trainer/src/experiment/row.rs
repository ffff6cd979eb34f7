//! Rows of a table, as their files say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// Beside the files of rows: what they have in common.
pub const DEFAULTS: &str = "defaults.toml";

/// Shown by `xsfm-train run --help`.
pub const HELP: &str = r#"A row's file, experiments/DATASET/NUMBER-NAME.toml; numbers order the rows of a report.
Everything but the title is optional:

  title = "DeepFwFM 64-64, distilled, int8"
  table = "Distillation"          # the table of the report that shows it
  teacher = ["teacher"]           # distil: the same seed of another row; "teacher:7" and "teacher:1-8" name seeds,
                                  # and {seed} is the row's own: "teacher:{seed}1-{seed}8"
  from = "deepfwfm"               # start from the checkpoint of another row (fine-tuning)
  model = "deepfwfm"              # train nothing: pack the checkpoint of another row
  ensemble = ["teacher:1-8"]      # train nothing: the mean of others' logits
  hidden_from_report = true       # a row that others need, and no table shows
  seeds = [1, 2, 3]               # those of defaults.toml, where it is absent
  min_count = 5                   # what fewer training rows have shares the out-of-vocabulary row: `xsfm-train fold`
  encoding = "hashed"             # reads the same rows as --encoding hashed=DIR has them; teachers keep theirs

  [train]                         # flags of `xsfm-train train` or `distill`
  embed_dim = 32
  hidden = [64, 64]

  [pack]                          # how it is packed; absent: f32
  mode = "int8"                   # f32, int8, dynamic, or none for what no packed file holds
  calibrate = true                # choose scales on validation rows
  table_bits = 4
  rank = 2                        # factorise the field matrix after training
  fingerprint_bits = 6            # of a token in the vocabulary, 10 where it is absent: `xsfm pack --fingerprint-bits`
  renumber = true                 # count a file that takes raw values alone, and half of the vocabulary's bytes

A row whose training diverges is told in the end and shown as such by `xsfm-train report`; the others are made all the
same, but not what needs it. It is not tried again with the same settings.

defaults.toml beside them has `dataset`, `prepare` (the command that makes the data), `seeds`, and flags for every
[train].
"#;

/// Which indices of the rows a model reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reads {
    /// Name of another encoding than the data's own.
    pub encoding: Option<String>,
    /// Minimum count of its vocabularies; 1: those of the encoding.
    pub min_count: u64,
}

impl Default for Reads {
    fn default() -> Self {
        Reads { encoding: None, min_count: 1 }
    }
}

impl fmt::Display for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.encoding {
            None => write!(f, "`min_count` {}", self.min_count),
            Some(encoding) => write!(f, "`encoding` {encoding}, `min_count` {}", self.min_count),
        }
    }
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Name of the file without its ending and its number; a folder in the output.
    #[serde(skip_deserializing)]
    pub name: String,
    /// The file.
    #[serde(skip)]
    pub file: PathBuf,
    /// What it is, in the report.
    #[serde(skip_serializing)]
    pub title: String,
    /// The table that shows it.
    #[serde(default, skip_serializing)]
    pub table: String,
    /// Rows whose models teach, with their seeds.
    #[serde(default)]
    pub teacher: Vec<String>,
    /// The row whose checkpoint is trained on.
    pub from: Option<String>,
    /// The row whose checkpoint is packed.
    pub model: Option<String>,
    /// Rows whose logits are averaged, with their seeds.
    #[serde(default)]
    pub ensemble: Vec<String>,
    /// Whether only other rows want it.
    #[serde(default, skip_serializing)]
    pub hidden_from_report: bool,
    /// Its seeds; those of the defaults, where empty.
    #[serde(default, skip_serializing)]
    pub seeds: Vec<u64>,
    /// Minimum count of its vocabularies; 1: those of the data.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub min_count: u64,
    /// Name of the encoding that it reads; the data's own, where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Flags of the training.
    #[serde(default)]
    pub train: toml::Table,
    /// How it is packed.
    #[serde(default)]
    pub pack: Pack,
}

fn one() -> u64 {
    1
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

/// How a row's model is packed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Arithmetic of the packed model.
    #[serde(default)]
    pub mode: Mode,
    /// Whether scales are chosen on validation rows.
    #[serde(default)]
    pub calibrate: bool,
    /// Bits of the tables' numbers: those of training where absent.
    pub table_bits: Option<u8>,
    /// Factors in place of pairs.
    pub rank: Option<u32>,
    /// Bits of a token's fingerprint in the vocabulary: those of `xsfm pack` where absent.
    pub fingerprint_bits: Option<u8>,
    /// Whether what is deployed has rows of full tables numbered anew. It takes no rows of indices, so that scores are
    /// those of a file that does.
    #[serde(default)]
    pub renumber: bool,
}

/// Arithmetic of a packed model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Real numbers ("None").
    #[default]
    F32,
    /// Integers ("Static", "QAT").
    Int8,
    /// Integer weights, outputs of layers quantised for each row.
    Dynamic,
    /// It cannot be packed.
    None,
}

impl Mode {
    /// As `xsfm pack --mode` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::F32 => "f32",
            Mode::Int8 => "int8",
            Mode::Dynamic => "dynamic",
            Mode::None => "none",
        }
    }
}

/// `defaults.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The data set's name.
    pub dataset: String,
    /// The command that makes the data.
    #[serde(default)]
    pub prepare: String,
    /// Seeds of rows that name none.
    pub seeds: Vec<u64>,
    /// Flags of every training; a row's own win.
    #[serde(default)]
    pub train: toml::Table,
}

/// All rows of a data set.
#[derive(Clone, Debug)]
pub struct Experiments {
    /// What they have in common.
    pub defaults: Defaults,
    /// By name, whether asked for or needed by those that were.
    pub rows: BTreeMap<String, Row>,
    /// Names of those asked for, in the order of the command line.
    pub asked: Vec<String>,
}

impl Experiments {
    /// Reads the files, and those of the rows that they need, which lie beside them.
    ///
    /// # Errors
    /// A file cannot be read or is not a row's; files of several folders; a row that does not exist or needs itself.
    pub fn load(files: &[PathBuf]) -> Result<Self> {
        let folder_of = |file: &Path| file.parent().map(Path::to_owned).unwrap_or_default();
        let folder = files.first().map(|file| folder_of(file)).context("no file of a row")?;
        if let Some(other) = files.iter().find(|file| folder_of(file) != folder) {
            bail!("{} does not lie in {}: rows of one data set lie in one folder", other.display(), folder.display());
        }
        let defaults = read(&folder.join(DEFAULTS))?;
        let is_row = |file: &&PathBuf| file.file_name().is_none_or(|name| name != DEFAULTS);
        let asked: Vec<String> = files.iter().filter(is_row).map(|file| name_of(file)).collect();
        let beside = files_by_name(&folder)?;
        let mut experiments = Experiments { defaults, rows: BTreeMap::new(), asked: asked.clone() };
        let mut missing = asked;
        while let Some(name) = missing.pop() {
            if experiments.rows.contains_key(&name) {
                continue;
            }
            let path = beside.get(&name).with_context(|| format!("{}: no file of a row `{name}`", folder.display()))?;
            let row = experiments.read_row(path, &name)?;
            missing.extend(row.needs(1)?.into_iter().map(|(name, _)| name));
            experiments.rows.insert(name, row);
        }
        for row in experiments.rows.values() {
            experiments.check_vocabularies(row).with_context(|| row.file.display().to_string())?;
        }
        Ok(experiments)
    }

    /// A row reads the vocabularies of those that it is made of; teachers may have others, all the same.
    fn check_vocabularies(&self, row: &Row) -> Result<()> {
        let same = resolve(row.ensemble.iter().chain(&row.from).chain(&row.model), 1)?;
        if let Some((name, other)) =
            same.iter().map(|(name, _)| (name, self.rows[name].reads())).find(|(_, other)| *other != row.reads())
        {
            bail!("it reads {}, row `{name}` {other}", row.reads());
        }
        self.teachers_read(row)?;
        Ok(())
    }

    /// What a row's teachers read; the same as itself, where it has none.
    ///
    /// # Errors
    /// They read several.
    pub fn teachers_read(&self, row: &Row) -> Result<Reads> {
        let teachers = resolve(&row.teacher, 1)?;
        let mut all = teachers.iter().map(|(name, _)| (name, self.rows[name].reads()));
        let Some((first, reads)) = all.next() else { return Ok(row.reads()) };
        if let Some((name, other)) = all.find(|(_, other)| *other != reads) {
            bail!("teacher `{first}` reads {reads}, `{name}` {other}");
        }
        Ok(reads)
    }

    fn read_row(&self, path: &Path, name: &str) -> Result<Row> {
        let mut row: Row = read(path)?;
        name.clone_into(&mut row.name);
        path.clone_into(&mut row.file);
        self.complete(row).with_context(|| path.display().to_string())
    }

    /// A row with the defaults filled in.
    ///
    /// # Errors
    /// Parts that exclude each other.
    pub fn complete(&self, mut row: Row) -> Result<Row> {
        let sources = [row.model.is_some(), !row.ensemble.is_empty()];
        let trains = !row.train.is_empty() || row.from.is_some() || !row.teacher.is_empty();
        ensure!(
            sources.iter().filter(|&&is| is).count() + usize::from(trains) <= 1,
            "`model`, `ensemble`, and training (`train`, `from`, `teacher`) exclude each other"
        );
        if row.is_trained() {
            for (key, value) in &self.defaults.train {
                row.train.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        if row.seeds.is_empty() {
            row.seeds.clone_from(&self.defaults.seeds);
        }
        ensure!(row.min_count > 0, "`min_count` is 0; it is at least 1");
        row.needs(1)?;
        Ok(row)
    }
}

impl Row {
    /// What it reads.
    pub fn reads(&self) -> Reads {
        Reads { encoding: self.encoding.clone(), min_count: self.min_count }
    }

    /// Whether it has a training of its own.
    pub fn is_trained(&self) -> bool {
        self.model.is_none() && self.ensemble.is_empty()
    }

    /// The rows and seeds that its seed `seed` needs.
    ///
    /// # Errors
    /// A reference that is none.
    pub fn needs(&self, seed: u64) -> Result<Vec<(String, u64)>> {
        resolve(self.teacher.iter().chain(&self.ensemble).chain(&self.from).chain(&self.model), seed)
    }
}

/// The rows and seeds that references such as `teacher:1-8` mean for seed `seed`.
///
/// # Errors
/// One that is none; the message names it.
pub fn resolve<'a>(references: impl IntoIterator<Item = &'a String>, seed: u64) -> Result<Vec<(String, u64)>> {
    let seeds_of = |reference: &String| seeds_of(reference, seed).with_context(|| format!("`{reference}`"));
    let all: Vec<Vec<_>> = references.into_iter().map(seeds_of).collect::<Result<_>>()?;
    Ok(all.concat())
}

/// `teacher`, `teacher:7`, `teacher:1-8`; `{seed}` is the row's own.
fn seeds_of(reference: &str, seed: u64) -> Result<Vec<(String, u64)>> {
    let written = reference.replace("{seed}", &seed.to_string());
    let Some((name, seeds)) = written.split_once(':') else { return Ok(vec![(written, seed)]) };
    let (first, last) = seeds.split_once('-').unwrap_or((seeds, seeds));
    let number =
        |text: &str| text.parse::<u64>().with_context(|| format!("`{text}` is not a seed; write `{name}:1-8`"));
    let (first, last) = (number(first)?, number(last)?);
    ensure!(first <= last && last - first < 1000, "`{seeds}` is no range of seeds");
    Ok((first..=last).map(|seed| (name.to_owned(), seed)).collect())
}

/// `25-teacher.toml` has the row `teacher`.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    name.strip_prefix('-').filter(|name| !name.is_empty() && name.len() < stem.len() - 1).unwrap_or(&stem).to_owned()
}

fn files_by_name(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(listed).with_context(|| listed.display().to_string())? {
        let path = entry.with_context(|| listed.display().to_string())?.path();
        if path.extension().is_some_and(|e| e == "toml") && path.file_name().is_some_and(|name| name != DEFAULTS) {
            let name = name_of(&path);
            if let Some(other) = files.insert(name.clone(), path.clone()) {
                bail!("{} and {} are both row `{name}`", other.display(), path.display());
            }
        }
    }
    Ok(files)
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    const DEFAULT: (&str, &str) = (DEFAULTS, "dataset = \"D\"\nseeds = [1, 2]\n[train]\nepochs = 3\nl2 = 0.5\n");

    #[test]
    fn rows_take_defaults_and_bring_what_they_need() {
        let folder = folder(&[
            DEFAULT,
            (
                "student.toml",
                "title = 'S'\nteacher = ['teacher:{seed}1-{seed}3']\n[train]\nepochs = 9\n[pack]\nmode = 'int8'\n",
            ),
            ("07-teacher.toml", "title = \"T\"\nseeds = [7]\n"),
            ("other.toml", "title = \"O\"\n"),
        ]);
        let all = Experiments::load(&[folder.path().join("student.toml")]).unwrap();
        assert_eq!(all.rows.keys().collect::<Vec<_>>(), ["student", "teacher"]);
        let student = &all.rows["student"];
        assert_eq!((student.train["epochs"].as_integer(), student.train["l2"].as_float()), (Some(9), Some(0.5)));
        assert_eq!((student.pack.mode, &student.seeds), (Mode::Int8, &vec![1, 2]));
        assert_eq!(student.needs(2).unwrap(), [21, 22, 23].map(|seed| ("teacher".to_owned(), seed)));
        assert_eq!(all.rows["teacher"].seeds, [7]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("title = \"S\"\nfoo = 1\n", "foo"),
            ("title = \"S\"\nmodel = \"a\"\nensemble = [\"b\"]\n", "exclude each other"),
            ("title = \"S\"\nmodel = \"a\"\n[train]\nepochs = 1\n", "exclude each other"),
            ("title = \"S\"\nteacher = [\"a:x\"]\n", "`x` is not a seed"),
            ("title = \"S\"\nteacher = [\"a:3-1\"]\n", "no range"),
            ("title = \"S\"\nmodel = \"nowhere\"\n", "no file of a row `nowhere`"),
            ("title = \"S\"\n[pack]\nmode = \"int3\"\n", "int3"),
            ("title = \"S\"\nmin_count = 0\n", "at least 1"),
            ("title = \"S\"\nfrom = \"t5\"\n", "it reads `min_count` 1, row `t5` `min_count` 5"),
            ("title = \"S\"\nteacher = [\"t5\", \"t1\"]\n", "teacher `t5` reads `min_count` 5, `t1` `min_count` 1"),
        ] {
            let others = [("t5.toml", "title = \"T\"\nmin_count = 5\n"), ("t1.toml", "title = \"T\"\n")];
            let folder = folder(&[DEFAULT, ("s.toml", text), others[0], others[1]]);
            let message = format!("{:#}", Experiments::load(&[folder.path().join("s.toml")]).unwrap_err());
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}

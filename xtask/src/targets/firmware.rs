//! The bare-metal examples: run in QEMU, and compared with what they are known to print and to take.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::PossibleValuesParser;
use fs_err as fs;
use xsfm_interchange::output;

use super::machines::{Board, MACHINES, Machine};
use super::rows;
use crate::record::{Figures, Record};
use crate::{cargo, command, workspace};

/// Flags of `cargo xtask firmware`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only these machines, all by default.
    #[arg(value_parser = PossibleValuesParser::new(MACHINES.map(|machine| machine.name)))]
    machines: Vec<String>,
    /// Make known what the programs print and take now: rewrites the .out files and figures.toml, and the rows
    /// where they do not fit the model any more.
    #[arg(long, conflicts_with = "model")]
    bless: bool,
    /// Score this packed model instead, and print each row's bits.
    #[arg(long, value_name = "M.xsfm")]
    model: Option<PathBuf>,
    /// Rows for that model: one row of indices per line, a tab between fields, `|` inside a bag.
    #[arg(long, value_name = "FILE.tsv", requires = "model")]
    rows: Option<PathBuf>,
    /// Rows of raw values for that model, in its order of fields: a line each, a tab between fields, no header.
    #[arg(long, value_name = "FILE.tsv", requires = "model", conflicts_with_all = ["rows", "bench"])]
    raw: Option<PathBuf>,
    /// Count the instructions that model takes for those rows instead, and print them.
    #[arg(long, requires = "rows")]
    bench: bool,
    /// Names of the fields that those rows share as candidates; the first half of the fields by default.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "bench")]
    context: Vec<String>,
}

impl Args {
    /// A machine for each way of laying out layers.
    pub(crate) fn of_each_kind() -> Self {
        let mut kinds = BTreeSet::new();
        let machines = MACHINES.iter().filter(|machine| kinds.insert(machine.layout));
        Args { machines: machines.map(|machine| machine.name.to_owned()).collect(), ..Args::default() }
    }
}

/// The programs whose logs are the same on every machine.
const SNAPSHOTS: [&str; 3] = ["score", "refuse", "rank"];
/// Where they lie.
const PROGRAMS: &str = "firmware-examples/programs";
/// How the committed rows are made: how many, and from which seed.
const ROWS: (usize, u64) = (240, 1);
const CANDIDATES: (usize, u64) = (500, 2);
/// What the student's candidates share.
const STUDENT_CONTEXT: [&str; 4] = ["user", "age", "gender", "occupation"];
const STUDENT: &str = "movielens-student";
/// The models of `benches/parts.rs` that are counted beside the student.
const WIDTHS: [&str; 2] = ["64-64-64", "400-400-400"];
/// Rows of a count.
const COUNTED: usize = 16;

pub(crate) fn run(args: &Args) -> Result<()> {
    let chosen = |machine: &Machine| args.machines.is_empty() || args.machines.iter().any(|name| name == machine.name);
    let machines: Vec<Machine> = MACHINES.into_iter().filter(chosen).collect();
    if let Some(model) = &args.model {
        let rows =
            args.rows.as_ref().or(args.raw.as_ref()).context("--model is given, and neither --rows nor --raw")?;
        return machines.into_iter().try_for_each(|machine| print(machine, model, rows, args));
    }
    if args.bless {
        let student = workspace::pretrained().join("model.xsfm");
        for ((count, seed), file) in [(ROWS, "rows.tsv"), (CANDIDATES, "candidates.tsv")] {
            rows::write(&student, count, seed, &committed(file))?;
        }
    }
    let mut laid: BTreeMap<&str, Vec<Subject>> = BTreeMap::new();
    let mut figures = Figures::new();
    for (number, machine) in machines.into_iter().enumerate() {
        command::heading(machine.name);
        let board = machine.set_up()?;
        // The first machine says what all have to print.
        SNAPSHOTS.into_iter().try_for_each(|program| snapshot(&board, program, args.bless && number == 0))?;
        too_large(&board)?;
        figures.insert(format!("{} RAM", machine.name), stack(&board)?);
        figures.insert(format!("{} raw values", machine.name), encoder(&board)?);
        let subjects = match laid.entry(machine.layout) {
            Entry::Vacant(entry) => entry.insert(subjects(machine.layout)?),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        for subject in subjects {
            figures.insert(format!("{} {}", machine.name, subject.name), subject.count(&board)?);
        }
    }
    shortened_by_the_context(&figures)?;
    tokens_are_short(&figures)?;
    let record = Record {
        path: workspace::root().join(workspace::EXAMPLES).join("figures.toml"),
        header: HEADER,
        tolerance: 0.05,
        bless: "cargo xtask firmware --bless",
    };
    record.judge(&figures, args.bless)
}

/// A Cortex-M4F ranks the student's candidates in 55 % of the instructions that their whole rows take: four of seven
/// fields are the context's, but not the bag.
fn shortened_by_the_context(figures: &Figures) -> Result<()> {
    let Some(student) = figures.get(&format!("cortex-m4f {STUDENT}")) else { return Ok(()) };
    let (candidate, whole) = (student["candidate"], student["score"]);
    ensure!(
        100 * candidate <= 55 * whole,
        "cortex-m4f: a candidate takes {candidate} instructions, a whole row {whole}"
    );
    Ok(())
}

/// A Cortex-M4F makes an index of a token of eight bytes, such as Criteo's, in at most 500 instructions.
fn tokens_are_short(figures: &Figures) -> Result<()> {
    let Some(raw) = figures.get("cortex-m4f raw values") else { return Ok(()) };
    let token = raw["token of 8 bytes"];
    ensure!(token <= 500, "cortex-m4f: a token of 8 bytes takes {token} instructions, at most 500 are wanted");
    Ok(())
}

const HEADER: &str = "\
# What the bare-metal examples take in QEMU: `cargo xtask firmware`; `--bless` rewrites this file.
# RAM: bytes of stack, and of scratch, for loading, scoring and ranking the student.
# Raw values: instructions of one value becoming an index, and of a row of tests/fixtures/raw-values.
# Others: layers packed for the CPU; instructions per row; of each part, by leaving the later ones out; \
per row of a batch; of a context, and per candidate in it; of a context for a catalogue, and per item.
";

/// Compares a program's log with the committed one.
fn snapshot(board: &Board, program: &str, bless: bool) -> Result<()> {
    let path = committed(&format!("out/{program}.out"));
    let log = board.run(program, &[])?;
    if bless {
        return Ok(fs::write(&path, log)?);
    }
    let known = fs::read_to_string(&path)?;
    if let Some((line, known, found)) = first_difference(&known, &log) {
        bail!(
            "{}, line {line}:\n  known  {known}\n  found  {found}\n\
             `cargo xtask firmware --bless` makes what is found known",
            path.display()
        );
    }
    output::say(format_args!("{program}: {} lines as known", log.lines().count()));
    Ok(())
}

fn committed(name: &str) -> PathBuf {
    workspace::root().join(PROGRAMS).join(name)
}

/// A file for which a machine has no room is refused with its name and the bytes that there are.
fn too_large(board: &Board) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let model = folder.path().join("large.xsfm");
    fs::write(&model, vec![0; 4 << 20])?;
    match board.run("files", &[&model, &committed("rows.tsv")]) {
        Ok(log) => bail!("files: took a model of 4 MiB:\n{log}"),
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains("large.xsfm: TooLarge { room: 2621440 }"), "files: another reason: {text}");
            output::say("files: a model that is too large is refused");
            Ok(())
        }
    }
}

/// Bytes of stack and scratch.
fn stack(board: &Board) -> Result<BTreeMap<String, u64>> {
    let log = board.run("stack", &[])?;
    let figures: BTreeMap<_, _> = figures(&log).map(|(kind, what, bytes)| (format!("{what} {kind}"), bytes)).collect();
    ensure!(figures.len() == 5, "stack: {} figures in its log, 5 expected", figures.len());
    // The program itself sees that it is little: it ends badly where it is not.
    let small = log.lines().find_map(|line| line.split_once("the smallest scorer: "));
    let (_, small) = small.context("stack: nothing about the smallest scorer in its log")?;
    output::say(format_args!("the smallest scorer: {small}"));
    Ok(figures)
}

/// Instructions of raw values becoming indices.
fn encoder(board: &Board) -> Result<BTreeMap<String, u64>> {
    let log = board.run("bench", &[])?;
    let figures: BTreeMap<_, _> = figures(&log).map(|(_, what, count)| (what.to_owned(), count)).collect();
    ensure!(figures.len() == 6, "bench: {} figures of raw values in its log, 6 expected", figures.len());
    Ok(figures)
}

/// The figures in a log: `INFO figure SUBJECT WHAT NUMBER`.
fn figures(log: &str) -> impl Iterator<Item = (&str, &str, u64)> {
    log.lines().filter_map(|line| {
        let (subject, rest) = line.strip_prefix("INFO")?.trim_start().strip_prefix("figure ")?.split_once(' ')?;
        let (what, number) = rest.trim_end().rsplit_once(' ')?;
        Some((subject, what, number.parse().ok()?))
    })
}

/// A model whose instructions are counted.
#[derive(Debug)]
struct Subject {
    name: String,
    /// Candidates as the device reads them.
    ranking: PathBuf,
    /// Models with ever more parts, and the name of the part that each has more; the last is whole.
    models: Vec<(String, PathBuf)>,
}

/// The student, and the models of the benches, with their layers as `layout` has them.
fn subjects(layout: &str) -> Result<Vec<Subject>> {
    let folder = workspace::target().join("parts").join(layout);
    let student = workspace::pretrained().join("model.xsfm");
    let mut parts = cargo::command(&["run", "--release", "--package", "xsfm-benches", "--bin", "parts", "--"]);
    let lines = command::output(parts.arg(&folder).arg(layout).arg(&student).args(WIDTHS))?;
    let student = student.display().to_string();
    let subject = |(named, name): (&str, &str)| {
        let of = |line: &str| {
            let mut words = line.split('\t');
            let part = (words.next()? == named).then(|| words.next())??;
            Some((part.to_owned(), PathBuf::from(words.next()?)))
        };
        let models: Vec<_> = lines.lines().filter_map(of).collect();
        let whole = &models.last().with_context(|| format!("no parts of {name}"))?.1;
        let tsv = folder.join(name).with_extension("tsv");
        rows::write(whole, COUNTED, 1, &tsv)?;
        let ranking = folder.join(name).with_extension("ranking");
        let context = if name == STUDENT { &STUDENT_CONTEXT[..] } else { &[] };
        rows::write_ranking(whole, &tsv, context, &ranking)?;
        Ok(Subject { name: name.to_owned(), ranking, models })
    };
    [(student.as_str(), STUDENT)].into_iter().chain(WIDTHS.map(|widths| (widths, widths))).map(subject).collect()
}

impl Subject {
    /// Instructions per row, of its parts, of a context and per candidate.
    fn count(&self, board: &Board) -> Result<BTreeMap<String, u64>> {
        let ((_, whole), parts) = self.models.split_last().context("no model")?;
        let words: Vec<&Path> = [&self.ranking, whole]
            .into_iter()
            .chain(parts.iter().map(|(_, path)| path))
            .map(PathBuf::as_path)
            .collect();
        let log = board.run("bench", &words)?;
        let of = |path: &Path, what: &str| {
            let found = figures(&log).find(|&(subject, of, _)| (subject, of) == (&*path.to_string_lossy(), what));
            found.map(|(.., count)| count).with_context(|| format!("bench: no {what} of {}", path.display()))
        };
        let mut counts = BTreeMap::new();
        for what in ["score", "batch", "context", "candidate", "context of items", "item"] {
            counts.insert(what.to_owned(), of(whole, what)?);
        }
        let mut before = 0;
        for (number, (part, path)) in self.models.iter().enumerate() {
            let upto = of(path, "score")?;
            counts.insert(format!("part {number}: {part}"), upto.saturating_sub(before));
            before = upto;
        }
        Ok(counts)
    }
}

/// What a machine says of a model that is not the project's.
fn print(machine: Machine, model: &Path, tsv: &Path, args: &Args) -> Result<()> {
    let board = machine.set_up()?;
    let folder = tempfile::tempdir()?;
    let words = folder.path().join("words");
    let model = model.canonicalize().with_context(|| model.display().to_string())?;
    let log = if args.bench {
        rows::write_ranking(&model, tsv, &args.context, &words)?;
        board.run("bench", &[&words, &model])?
    } else if args.raw.is_some() {
        let lines = tsv.canonicalize().with_context(|| tsv.display().to_string())?;
        board.run("files", &[&model, &lines, Path::new("raw")])?
    } else {
        rows::write_table(&model, tsv, &words)?;
        board.run("files", &[&model, &words])?
    };
    output::line(format_args!("{}:\n{log}", machine.name))?;
    Ok(())
}

/// The first line in which two texts differ, counted from 1, and its two forms.
fn first_difference<'a>(known: &'a str, found: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let lines = known.lines().count().max(found.lines().count());
    let (mut known, mut found) = (known.lines(), found.lines());
    let mut pairs =
        (1..=lines).map(|line| (line, known.next().unwrap_or("nothing"), found.next().unwrap_or("nothing")));
    pairs.find(|(_, known, found)| known != found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_at_the_ends_too() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "b", "c")));
        assert_eq!(first_difference("a\n", "a\nc\n"), Some((2, "nothing", "c")));
        assert_eq!(first_difference("a\nb\n", ""), Some((1, "a", "nothing")));
    }

    #[test]
    fn figures_are_found_among_other_lines() {
        let log = "INFO  figure stack load 4852\nINFO  row 1\nERROR figure x y 1\nINFO  figure /m.xsfm two words 12\n";
        assert_eq!(figures(log).collect::<Vec<_>>(), [("stack", "load", 4852), ("/m.xsfm", "two words", 12)]);
    }
}

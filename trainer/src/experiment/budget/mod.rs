//! `xsfm-train fit`: the best student that packs under a number of bytes, its vocabulary included.
//!
//! | module | what |
//! |---|---|
//! | [`space`] | what may be chosen |
//! | [`cost`] | bytes, instructions and time of an untrained model |
//! | [`search`](mod@search) | which models are trained, and which is best |

pub mod cost;
pub mod search;
pub mod space;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use xsfm_interchange::atomic;
use xsfm_interchange::dataset::Part;
use xsfm_interchange::fingerprint::Fingerprint;
use xsfm_interchange::metrics::auc::AucDifference;
use xsfm_interchange::output;
use xsfm_interchange::size::bytes;

use self::cost::{Cost, Estimator};
use self::search::{Effort, Trainer, search};
use self::space::{Choice, Space};
use super::outcome::{Divergence, Outcome, Packed, Sizes};
use super::plan::{Plan, Unit};
use super::report::compare::difference;
use super::report::figures::{BYTES, Point, frontier, scatter};
use super::report::{deviation, mean};
use super::row::{Defaults, Experiments};
use super::run::make_all;
use super::tools::{CHECKPOINT, Encodings, Means, PACKED, Tools, deployed};
use super::tune;
use crate::checkpoint::{self, write_json};
use crate::data::classes;

/// Finds the best student that packs under a number of bytes.
#[derive(Debug, clap::Args)]
#[command(after_long_help = space::HELP)]
pub struct Args {
    #[command(flatten)]
    means: Means,
    #[command(flatten)]
    encodings: Encodings,
    /// Most bytes of the packed file, vocabulary included: `32KiB`; several, `8KiB,32KiB`, share what they train
    #[arg(long, required = true, value_name = "BYTES", value_delimiter = ',', value_parser = bytes)]
    budget: Vec<usize>,
    /// Count bytes without the vocabulary, for devices that are given indices; the files are packed without it
    #[arg(long)]
    without_vocabulary: bool,
    /// Most microseconds of a call of one row on this CPU; every model that is small enough is measured first, seconds
    /// each
    #[arg(long, value_name = "US")]
    max_us: Option<f64>,
    /// Most instructions of a score on a Cortex-M4F, as `xsfm analyze` predicts them
    #[arg(long, value_name = "N")]
    max_instructions: Option<u64>,
    /// Checkpoint of a teacher; given several times, their logits are averaged
    #[arg(long, value_name = "DIR")]
    teacher: Vec<PathBuf>,
    /// Where no teacher is given: minutes in which teachers are tuned (OUT/teachers, as by `xsfm-train tune`); 0 for
    /// students without one
    #[arg(long, default_value_t = 10.0, value_name = "MIN")]
    teacher_minutes: f64,
    /// What is tried; see below
    #[arg(long, value_name = "FILE")]
    space: Option<PathBuf>,
    /// Models to train per budget; with --minutes half as many begin the search
    #[arg(long, default_value_t = 24, value_name = "N")]
    trials: usize,
    /// Minutes of the whole search, in place of a number of models: it goes on until they are used. Those of teachers
    /// come before them
    #[arg(long, value_name = "MIN")]
    minutes: Option<f64>,
    /// Best of them that are trained with all seeds
    #[arg(long, default_value_t = 3, value_name = "N")]
    finalists: usize,
    /// Seeds of training; the first alone chooses the finalists
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", value_name = "S,…")]
    seeds: Vec<u64>,
    /// Decides which models are tried where there are more than --trials
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The results as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// The best model of a budget, or one of those that were tried. Figures are means over its seeds.
#[derive(Clone, Debug, Serialize)]
struct Found {
    budget: Option<usize>,
    settings: String,
    #[serde(flatten)]
    sizes: Sizes,
    instructions: Option<u64>,
    us: Option<f64>,
    seeds: usize,
    valid_auc: f64,
    valid_auc_deviation: Option<f64>,
    /// Absent of models that were only tried: test rows choose nothing.
    test_auc: Option<f64>,
    test_auc_deviation: Option<f64>,
    /// How far the test rows, which are a sample, may be off: mean of the seeds' standard errors.
    test_auc_standard_error: Option<f64>,
    /// Of a finalist: its test AUC less that of the best, on the same rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    less_best: Option<AucDifference>,
    /// Of the first seed.
    packed: PathBuf,
    checkpoint: PathBuf,
}

/// `fit.json`.
#[derive(Debug, Serialize)]
struct Report {
    best: Vec<Found>,
    /// What else was trained with all seeds for a budget.
    finalists: Vec<Found>,
    /// Of all that were tried, those that nothing smaller beats on the validation rows.
    frontier: Vec<Found>,
    /// On which data.
    data: Fingerprint,
    /// Those whose training diverged: tried, and worse than all others.
    diverged: Vec<Diverged>,
}

/// A model whose training diverged.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Diverged {
    settings: String,
    seed: u64,
    what: String,
}

/// What every model of a folder has in common: another search there would mix figures of different things.
#[derive(Debug, Serialize, Deserialize)]
struct Common {
    data: PathBuf,
    /// Absent in searches of older programs, which go by the folder's name.
    fingerprint: Option<Fingerprint>,
    #[serde(default)]
    encodings: BTreeMap<String, Fingerprint>,
    teachers: Vec<PathBuf>,
    train: toml::Table,
}

/// Runs the command.
///
/// # Errors
/// A space or data that cannot be read; nothing fits a budget; training fails.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.trials > 0 && args.finalists > 0, "--trials and --finalists are at least 1");
    ensure!(args.max_us.is_none_or(|us| us > 0.0), "--max-us is more than 0");
    ensure!(args.minutes.is_none_or(|minutes| minutes > 0.0 && minutes < 1e6), "--minutes is more than 0");
    args.means.check_device()?;
    let mut tools = Tools::find(&args.means)?;
    tools.encodings = args.encodings.open(&tools.data)?;
    let space = Space::load(args.space.as_deref())?.with_encodings(tools.encodings.keys())?;
    if args.without_vocabulary {
        space.has_no_vocabulary()?;
    }
    classes::check(&tools.data)?;
    // As absolute paths: a search that goes on from another folder has the same teachers.
    tools.teachers = common(args, &teachers(args)?, &space, &tools)?.teachers;
    let mut estimator = Estimator::open(&space, &tools)?;
    let choices = space.choices();
    let costs = estimator.bytes(&choices)?;
    let known: Vec<(Choice, Cost)> = choices.into_iter().zip(costs).filter_map(|(c, cost)| Some((c, cost?))).collect();
    if let (true, Some(refused)) = (known.is_empty(), &estimator.refused) {
        bail!("no combination is a model: {refused}");
    }
    let mut budgets = args.budget.clone();
    budgets.sort_unstable();
    budgets.dedup();
    let share = args.minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes / budgets.len() as f64));
    let (tried, diverged) = (Vec::new(), Vec::new());
    let mut students = Students { args, space: &space, tools: &tools, budget: 0, time: None, tried, diverged };
    let (mut best, mut finalists, mut others, mut files) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for budget in budgets {
        let fits = fitting(args, budget, &known, &mut estimator)?;
        students.budget = budget;
        // What one budget leaves is the next one's.
        students.time =
            share.map(|share| Time::until(students.time.map_or_else(Instant::now, |time| time.end) + share));
        output::say(format_args!("{budget} bytes: {} of {} combinations fit", fits.len(), known.len()));
        let effort = Effort { trials: args.trials, finalists: args.finalists, seed: args.seed };
        let found = search(&space, &fits, &finalists, effort, &mut students)?;
        let Some((choice, _)) = found.first() else { return Err(students.nothing(budget)) };
        best.push(students.found(choice, &args.seeds, Some(budget), &estimator)?);
        for (other, _) in &found[1..] {
            let less_best = difference(&students.folders(other)?, &students.folders(choice)?)?;
            others.push(Found { less_best, ..students.found(other, &args.seeds, Some(budget), &estimator)? });
        }
        files.push((best_name(budget), space.row(choice)));
        finalists.extend(found.into_iter().map(|(choice, _)| choice));
    }
    let data = tools.data.fingerprint().clone();
    let (frontier, diverged) = (students.frontier(&estimator)?, students.diverged.clone());
    let report = Report { best, finalists: others, frontier, data, diverged };
    write_json(&args.means.out.join("fit.json"), &report)?;
    for (found, (name, row)) in report.best.iter().zip(&files) {
        let (from, to) = (&found.packed, args.means.out.join(name));
        if args.without_vocabulary {
            let rows = Part::Valid.path(&tools.data(&row.reads())?);
            let mut pack = tools.pack_command(row, &found.checkpoint, &to, &rows);
            tools.json(pack.arg("--without-vocabulary"), &args.means.out)?;
            continue;
        }
        let packed = std::fs::read(from).with_context(|| from.display().to_string())?;
        atomic::write(&to, |output| output.write_all(&packed)).with_context(|| to.display().to_string())?;
    }
    let tried = students.all(&estimator)?;
    let mut points = students.points(&tried);
    for point in points.iter_mut().filter(|point| report.best.iter().all(|best| best.settings != point.title)) {
        point.title = "";
    }
    let counted = if args.without_vocabulary { "packed bytes without vocabulary" } else { "deployed bytes" };
    if let Some(svg) = scatter(&format!("Validation AUC against {counted}"), BYTES, &points)? {
        let path = args.means.out.join("frontier.svg");
        atomic::write(&path, |output| output.write_all(svg.as_bytes())).with_context(|| path.display().to_string())?;
    }
    if args.json {
        output::json(&report)?;
    } else {
        output::print(table("best", &report.best))?;
        if !report.finalists.is_empty() {
            output::print(table(
                "other finalists; in brackets the test AUC less the best's, paired",
                &report.finalists,
            ))?;
        }
        output::print(table("frontier of all that were tried", &report.frontier))?;
        for Diverged { settings, seed, what } in &report.diverged {
            output::line(format_args!("\ndiverged, and counts as the worst: {settings}, seed {seed}: {what}"))?;
        }
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let (out, names) = (args.means.out.display(), names.join(", "));
        output::line(format_args!("\nWritten to {out}: {names}, fit.json, frontier.svg"))?;
    }
    Ok(())
}

/// The file of a budget's best model: `32KiB.xsfm`.
fn best_name(budget: usize) -> String {
    if budget.is_multiple_of(1024) { format!("{}KiB.xsfm", budget / 1024) } else { format!("{budget}.xsfm") }
}

/// Those that are given, or that are tuned.
fn teachers(args: &Args) -> Result<Vec<PathBuf>> {
    ensure!(
        args.teacher_minutes >= 0.0 && args.teacher_minutes.is_finite(),
        "--teacher-minutes is {}; it is 0 or more",
        args.teacher_minutes
    );
    if !args.teacher.is_empty() || args.teacher_minutes == 0.0 {
        return Ok(args.teacher.clone());
    }
    let means = Means { out: args.means.out.join("teachers"), ..args.means.clone() };
    output::say(format_args!("no --teacher: tuning some in {}, {} minutes", means.out.display(), args.teacher_minutes));
    tune::teachers(means, args.teacher_minutes, &args.seeds)
}

/// What the models of this search have in common, which is what those of the folder have.
fn common(args: &Args, teachers: &[PathBuf], space: &Space, tools: &Tools) -> Result<Common> {
    let data = &tools.data;
    teachers.iter().try_for_each(|teacher| checkpoint::check_data(teacher, data, false))?;
    let absolute = |path: &PathBuf| std::fs::canonicalize(path).with_context(|| path.display().to_string());
    let now = Common {
        data: absolute(&args.means.data)?,
        fingerprint: Some(data.fingerprint().clone()),
        encodings: tools.encodings.iter().map(|(name, data)| (name.clone(), data.fingerprint().clone())).collect(),
        teachers: teachers.iter().map(absolute).collect::<Result<_>>()?,
        train: space.train.clone(),
    };
    let path = args.means.out.join("common.json");
    let at = || path.display().to_string();
    std::fs::create_dir_all(&args.means.out).with_context(|| args.means.out.display().to_string())?;
    if path.try_exists().with_context(at)? {
        let before: Common = serde_json::from_slice(&std::fs::read(&path).with_context(at)?).with_context(at)?;
        let problem = match &before.fingerprint {
            Some(recorded) => data.problem(recorded, &path),
            None if before.data != now.data => Some(format!("data were {}", before.data.display())),
            None => None,
        };
        let out = args.means.out.display();
        if let Some(problem) = problem {
            bail!("{problem}: models in {out} are of other data; choose another --out");
        }
        let differ = [
            ("teachers", before.teachers != now.teachers),
            ("encodings", before.encodings != now.encodings),
            ("flags of [train]", before.train != now.train),
        ];
        let differ: Vec<&str> = differ.into_iter().filter(|(_, differ)| *differ).map(|(what, _)| what).collect();
        ensure!(
            differ.is_empty(),
            "{out}: models there have other {}, as {} says; choose another --out",
            differ.join(" and "),
            path.display()
        );
    }
    write_json(&path, &now)?;
    Ok(now)
}

/// Choices within all limits. With `--max-us` each that is small enough is timed, which takes seconds, once for a
/// folder.
fn fitting(args: &Args, budget: usize, known: &[(Choice, Cost)], estimator: &mut Estimator<'_>) -> Result<Vec<Choice>> {
    let counted = |cost: &Cost| cost.sizes.counted(args.without_vocabulary);
    let least = known.iter().map(|(_, cost)| counted(cost)).min().unwrap_or(0);
    let small: Vec<&(Choice, Cost)> = known.iter().filter(|(_, cost)| counted(cost) <= budget as u64).collect();
    if small.is_empty() {
        bail!("nothing fits {budget} bytes: the smallest model of the space takes {least}");
    }
    let few = |cost: &Cost| args.max_instructions.is_none_or(|most| cost.instructions.is_some_and(|n| n <= most));
    let quick: Vec<&(Choice, Cost)> = small.into_iter().filter(|(_, cost)| few(cost)).collect();
    if quick.is_empty() {
        let most = args.max_instructions.unwrap_or(0);
        bail!("nothing that fits {budget} bytes takes at most {most} instructions");
    }
    let mut fits = Vec::new();
    for (choice, _) in quick {
        let in_time = match args.max_us {
            None => true,
            Some(most) => estimator.us(choice)? <= most,
        };
        if in_time {
            fits.push(choice.clone());
        }
    }
    ensure!(
        !fits.is_empty(),
        "nothing that fits {budget} bytes scores a row in {} us here",
        args.max_us.unwrap_or(0.0)
    );
    Ok(fits)
}

/// The time of a search.
#[derive(Clone, Copy, Debug)]
struct Time {
    start: Instant,
    end: Instant,
}

impl Time {
    fn until(end: Instant) -> Self {
        Time { start: Instant::now(), end }
    }

    /// Whether there is some left after `done` trainings, beside what `later` ones will take, each as long as those.
    fn is_left(self, done: usize, later: usize) -> bool {
        let each = self.start.elapsed().div_f64(done.max(1) as f64);
        Instant::now() + each.mul_f64(later as f64) < self.end
    }
}

/// Students of a search, made by the commands that make experiments.
struct Students<'a> {
    args: &'a Args,
    space: &'a Space,
    tools: &'a Tools,
    budget: usize,
    /// Of this budget's search.
    time: Option<Time>,
    tried: Vec<Choice>,
    diverged: Vec<Diverged>,
}

impl Students<'_> {
    /// Every choice as a row.
    fn experiments(&self, choices: &[Choice]) -> Result<Experiments> {
        let defaults = Defaults { dataset: "fit".to_owned(), seeds: self.args.seeds.clone(), ..Defaults::default() };
        let mut experiments = Experiments { defaults, rows: Default::default(), asked: Vec::new() };
        for choice in choices {
            let row = experiments.complete(self.space.row(choice))?;
            experiments.asked.push(row.name.clone());
            experiments.rows.insert(row.name.clone(), row);
        }
        Ok(experiments)
    }

    /// The outcomes of a choice that were made, one per seed.
    fn outcomes(&self, choice: &Choice, seeds: &[u64]) -> Result<Vec<Outcome>> {
        let experiments = self.experiments(std::slice::from_ref(choice))?;
        let row = &experiments.rows[&experiments.asked[0]];
        let outcome =
            |&seed| Outcome::made(&experiments, row, &self.tools.folder(&Unit { row: row.name.clone(), seed }));
        Ok(seeds.iter().map(outcome).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// The folders of a choice, one per seed.
    fn folders(&self, choice: &Choice) -> Result<Vec<PathBuf>> {
        let experiments = self.experiments(std::slice::from_ref(choice))?;
        let unit = |&seed: &u64| Unit { row: experiments.asked[0].clone(), seed };
        Ok(self.args.seeds.iter().map(|seed| self.tools.folder(&unit(seed))).collect())
    }

    fn found(&self, choice: &Choice, seeds: &[u64], budget: Option<usize>, estimator: &Estimator<'_>) -> Result<Found> {
        let outcomes = self.outcomes(choice, seeds)?;
        let first = outcomes.first().context("not trained")?;
        let packed = first.packed.as_ref().context("not packed")?;
        let valid: Vec<f64> = outcomes.iter().map(valid_auc).collect();
        let test = outcomes.iter().map(|outcome| outcome.test?.auc).collect::<Option<Vec<f64>>>();
        let test = test.filter(|_| budget.is_some());
        let errors = outcomes.iter().map(|outcome| outcome.test?.auc_standard_error).collect::<Option<Vec<f64>>>();
        let folder = self.tools.folder(&Unit { row: first.row.clone(), seed: first.seed });
        Ok(Found {
            budget,
            settings: self.space.title(choice),
            sizes: packed.sizes,
            instructions: packed.cortex_m4f_instructions,
            us: estimator.known_us(choice),
            seeds: outcomes.len(),
            valid_auc: mean(&valid),
            valid_auc_deviation: deviation(&valid),
            test_auc_standard_error: errors.filter(|_| test.is_some()).map(|errors| mean(&errors)),
            test_auc: test.as_ref().map(|aucs| mean(aucs)),
            test_auc_deviation: test.and_then(|aucs| deviation(&aucs)),
            less_best: None,
            packed: deployed(&self.space.row(choice), &folder.join(PACKED)),
            checkpoint: folder.join(CHECKPOINT),
        })
    }

    /// All that were tried and did not diverge, in the order of their bytes.
    fn all(&self, estimator: &Estimator<'_>) -> Result<Vec<Found>> {
        let learned = self.tried.iter().filter(|choice| !self.has_diverged(choice));
        let found = learned.map(|choice| self.found(choice, &self.args.seeds, None, estimator));
        let mut all: Vec<Found> = found.collect::<Result<_>>()?;
        all.sort_by_key(|found| found.sizes.counted(self.args.without_vocabulary));
        Ok(all)
    }

    /// Whether a training of a choice diverged, with any seed.
    fn has_diverged(&self, choice: &Choice) -> bool {
        let settings = self.space.title(choice);
        self.diverged.iter().any(|diverged| diverged.settings == settings)
    }

    fn note(&mut self, divergence: &Divergence, choices: &[Choice]) {
        let Some(choice) = choices.iter().find(|choice| self.space.row(choice).name == divergence.row) else { return };
        let (settings, seed, what) = (self.space.title(choice), divergence.seed, divergence.what.clone());
        let diverged = Diverged { settings, seed, what };
        if !self.diverged.contains(&diverged) {
            self.diverged.push(diverged);
            // In one order, whoever was done first.
            self.diverged.sort_by(|a, b| (&a.settings, a.seed).cmp(&(&b.settings, b.seed)));
        }
    }

    /// Why a search found nothing.
    fn nothing(&self, budget: usize) -> anyhow::Error {
        match self.diverged.first() {
            Some(first) if self.tried.iter().all(|choice| self.has_diverged(choice)) => anyhow!(
                "all {} models that were tried diverged: lower learning_rate or init_std of the space; the first is \
                 {}, seed {}: {}",
                self.tried.len(),
                first.settings,
                first.seed,
                first.what
            ),
            _ => anyhow!("no model that was trained fits {budget} bytes"),
        }
    }

    fn frontier(&self, estimator: &Estimator<'_>) -> Result<Vec<Found>> {
        let all = self.all(estimator)?;
        let kept: Vec<String> = frontier(&self.points(&all)).iter().map(|point| point.title.to_owned()).collect();
        Ok(all.into_iter().filter(|found| kept.contains(&found.settings)).collect())
    }

    fn points<'f>(&self, models: &'f [Found]) -> Vec<Point<'f>> {
        let mut points = Vec::with_capacity(models.len());
        for found in models {
            points.push(Point {
                table: "tried",
                title: &found.settings,
                cost: found.sizes.counted(self.args.without_vocabulary) as f64,
                auc: found.valid_auc,
                deviation: found.valid_auc_deviation.unwrap_or(0.0),
            });
        }
        points
    }
}

fn valid_auc(outcome: &Outcome) -> f64 {
    outcome.valid.auc.unwrap_or(f64::NAN)
}

impl Trainer for Students<'_> {
    fn aucs(&mut self, choices: &[Choice], all_seeds: bool) -> Result<Vec<Option<f64>>> {
        let seeds = if all_seeds { &self.args.seeds[..] } else { &self.args.seeds[..1] };
        let experiments = self.experiments(choices)?;
        let diverged = make_all(&experiments, &Plan::new(&experiments, seeds)?, self.tools, self.args.means.jobs())?;
        diverged.iter().for_each(|divergence| self.note(divergence, choices));
        for choice in choices {
            if !self.tried.contains(choice) {
                self.tried.push(choice.clone());
            }
        }
        let auc = |choice: &Choice| {
            let outcomes = self.outcomes(choice, seeds)?;
            let counted = |packed: &Packed| packed.sizes.counted(self.args.without_vocabulary);
            let fits = |outcome: &Outcome| outcome.packed.as_ref().is_some_and(|p| counted(p) <= self.budget as u64);
            let aucs: Vec<f64> = outcomes.iter().map(valid_auc).collect();
            // Of several seeds one that diverges is one too many.
            Ok((outcomes.len() == seeds.len() && outcomes.iter().all(fits)).then(|| mean(&aucs)))
        };
        choices.iter().map(auc).collect()
    }

    fn has_time(&self, tried: usize) -> Option<bool> {
        let later = self.args.finalists * self.args.seeds.len().saturating_sub(1);
        self.time.map(|time| time.is_left(tried, later))
    }
}

/// A difference with its standard error.
fn shown(AucDifference { difference, standard_error, .. }: AucDifference) -> String {
    let error = standard_error.map(|error| format!(" ±{error:.4}")).unwrap_or_default();
    format!(" ({difference:+.4}{error})")
}

fn table(title: &str, rows: &[Found]) -> String {
    let mut text = format!(
        "\n{title}\n{:>9} {:>9} {:>9} {:>12} {:>8} {:>16} {:>16} {:>8}  settings\n",
        "budget", "deployed", "no vocab.", "M4F", "us", "valid AUC", "test AUC", "of rows"
    );
    let optional = |value: Option<String>| value.unwrap_or_default();
    let spread = |auc: Option<f64>, deviation: Option<f64>| {
        let spread = deviation.map(|d| format!(" ±{d:.4}")).unwrap_or_default();
        auc.map(|auc| format!("{auc:.4}{spread}"))
    };
    for found in rows {
        let _ = writeln!(
            text,
            "{:>9} {:>9} {:>9} {:>12} {:>8} {:>16} {:>16} {:>8}  {}",
            optional(found.budget.map(|budget| budget.to_string())),
            found.sizes.counted(false),
            found.sizes.bytes,
            optional(found.instructions.map(|n| n.to_string())),
            optional(found.us.map(|us| format!("{us:.2}"))),
            optional(spread(Some(found.valid_auc), found.valid_auc_deviation)),
            optional(spread(found.test_auc, found.test_auc_deviation)),
            optional(found.test_auc_standard_error.map(|error| format!("±{error:.4}"))),
            found.settings.clone() + &optional(found.less_best.map(shown))
        );
    }
    text
}

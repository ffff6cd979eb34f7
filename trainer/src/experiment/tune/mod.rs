//! `xsfm-train tune`: the few settings of a training that matter, found by training.
//!
//! | module | what |
//! |---|---|
//! | [`search`](mod@search) | which settings are tried, and which are best |
//! | [`trials`] | trainings, paused and gone on with, until time is over |
//! | [`choice`] | which finalist is taken |
//! | [`nested`] | what choosing among many does to a figure |

pub mod choice;
pub mod nested;
pub mod search;
pub mod trials;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use xsfm_interchange::atomic;
use xsfm_interchange::dataset::{Dataset, Part};
use xsfm_interchange::fingerprint::Fingerprint;
use xsfm_interchange::metrics::auc::AucShares;
use xsfm_interchange::output;

use self::choice::{Finalist, choose};
use self::nested::Nested;
use self::search::{Axis, Settings, search};
use self::trials::{Runner, title, with};
use super::report::figures::{ByValue, by_value};
use super::report::{deviation, mean};
use super::tools::Means;
use crate::checkpoint::write_json;
use crate::data::batches::Batches;
use crate::data::{classes, dataset};
use crate::device;
use crate::evaluation::mean_logits;
use crate::settings::by_rows::table_l2;

/// Share of the time for the first seed; the best of it are trained with the others in what is left.
const SEARCHING: f64 = 0.75;
/// How many are: those that the search began with, and the best others.
const FINALISTS: usize = 3;

const HELP: &str = "\
Values of one flag after another are tried with the best of all others so far: the L2 of the tables first, which
matters most, then dropout, layers, embed_dim and the learning rate, and in a second round values between. Values are
compared by successive halving: after 6, 12 and 24 epochs the worse half is given up. The settings that the search
began with, which are the defaults, and the best two others are trained with the other seeds too. The best mean of
their figures decides; but the defaults stay where it is better by less than one standard error of the difference on
the validation rows, because the best of many is better by chance too.

Flags that the file of --base names stay as they are. What is written: OUT/best.toml, for `xsfm-train train --config
OUT/best.toml`; OUT/tune.json; OUT/tune.svg, the figures of each flag's values; OUT/trials. The same command again
goes on where it was, with as many more minutes.

The best of many figures on the same rows is too good, because chance had a part in which is the best. So the figure
is also measured where it was not chosen: the validation rows are halved, the settings that are best on one half are
measured on the other, and the other way round.";

/// Finds the settings of a training that matter.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {
    #[command(flatten)]
    means: Means,
    /// Minutes until the settings are there
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// TOML file of flags of `train` that every training has, and that are not searched
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Seeds of training; the first alone is searched with
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", value_name = "S,…")]
    seeds: Vec<u64>,
    /// The results as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// What every training of a folder has in common: others there would mix figures of different things.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Common {
    base: toml::Table,
    data: Fingerprint,
}

/// `tune.json`.
#[derive(Debug, Serialize)]
struct Report {
    best: Best,
    /// The finalists with every seed that there was time for: together they make a teacher.
    ensemble: Vec<PathBuf>,
    /// Whether all was searched that there is to search; otherwise time ended it.
    complete: bool,
    trials: Vec<Trial>,
    data: Fingerprint,
}

/// The settings that are best.
#[derive(Debug, Serialize)]
struct Best {
    settings: toml::Table,
    seeds: Vec<u64>,
    /// Mean of the seeds, on the rows that chose: too good.
    valid_auc: f64,
    valid_auc_deviation: Option<f64>,
    /// By settings that were chosen on other rows.
    nested: Option<Nested>,
    /// Mean of the seeds; test rows choose nothing.
    test_auc: Option<f64>,
    test_log_loss: Option<f64>,
    checkpoints: Vec<PathBuf>,
}

/// A training with the first seed.
#[derive(Debug, Serialize)]
struct Trial {
    settings: Settings,
    epochs: u64,
    /// Whether it came to its end; others were given up.
    finished: bool,
    seconds: f64,
    /// The best of its epochs.
    valid_auc: Option<f64>,
    diverged: Option<String>,
}

/// The report's file.
const REPORT: &str = "tune.json";

/// Runs the command.
///
/// # Errors
/// Data that cannot be read; no training came to its end in time; a training fails.
pub fn run(args: &Args) -> Result<()> {
    let report = tune(args)?;
    if args.json {
        return Ok(output::json(&report)?);
    }
    output::print(table(&report))?;
    output::line(format_args!("\nWritten: {0}/best.toml, {0}/tune.json, {0}/tune.svg", args.means.out.display()))?;
    Ok(())
}

/// Checkpoints that together make a teacher, tuned in so many minutes in `means.out`, or before.
///
/// # Errors
/// Those of [`run`].
pub fn teachers(means: Means, minutes: f64, seeds: &[u64]) -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Before {
        ensemble: Vec<PathBuf>,
    }
    let path = means.out.join(REPORT);
    let at = || path.display().to_string();
    if path.try_exists().with_context(at)? {
        let before: Before = serde_json::from_slice(&std::fs::read(&path).with_context(at)?).with_context(at)?;
        return Ok(before.ensemble);
    }
    Ok(tune(&Args { means, minutes, base: None, seeds: seeds.to_vec(), json: false })?.ensemble)
}

/// Tunes, and writes what is found.
fn tune(args: &Args) -> Result<Report> {
    ensure!(args.minutes > 0.0 && args.minutes.is_finite(), "--minutes is {}; it is more than 0", args.minutes);
    let (Some(&seed), means) = (args.seeds.first(), &args.means) else { bail!("--seeds is empty") };
    means.check_device()?;
    let data = dataset::open(&means.data)?;
    classes::check(&data)?;
    let base = trials::base(args.base.as_deref())?;
    check_common(args, &base, &data)?;

    let begun = Instant::now();
    let minutes = |share: f64| begun + Duration::from_secs_f64(args.minutes * 60.0 * share);
    let bar = bar(args.minutes);
    let l2 = table_l2(Batches::open(&data.path(Part::Train), data.bounds(), 1)?.num_rows());
    let axes: Vec<Axis> = search::axes(l2).into_iter().filter(|axis| !base.contains_key(axis.flag)).collect();
    let start = Settings::from_iter(axes.iter().map(|axis| (axis.flag.to_owned(), axis.start.clone())));
    let mut runner = Runner { means, base: &base, deadline: minutes(SEARCHING), seed, tried: Vec::new(), bar: &bar };
    let (found, complete) = search(&start, &axes, &mut runner)?;
    let finished = finished(&runner)?;
    let Some((first, _)) = finished.first() else {
        bail!(
            "no training came to its end in {} minutes; give more --minutes, or fewer --epochs in --base",
            args.minutes * SEARCHING
        );
    };
    let others = finished.iter().map(|(settings, _)| settings).filter(|settings| **settings != start);
    let begun_with = finished.iter().map(|(settings, _)| settings).filter(|settings| **settings == start);
    let finalists: Vec<Settings> = begun_with.chain(others).take(FINALISTS).cloned().collect();
    runner.deadline = minutes(1.0);
    let of_seeds = all_seeds(&mut runner, &finalists, &args.seeds)?;
    bar.finish_and_clear();
    let by_search = finished.iter().find(|(settings, _)| *settings == found).unwrap_or(&finished[0]);
    let (settings, aucs) = chosen(&runner, &data, &start, &of_seeds, &args.seeds)?
        .unwrap_or_else(|| (by_search.0.clone(), vec![by_search.1]));
    let ensemble = of_seeds.iter().flat_map(|(settings, aucs)| {
        args.seeds.iter().take(aucs.len()).map(|&seed| runner.folder_of(settings, seed)).collect::<Vec<_>>()
    });
    let ensemble: Vec<PathBuf> = ensemble.collect();
    runner.seed = seed;
    let report = Report {
        ensemble: if ensemble.is_empty() { vec![runner.folder(first)] } else { ensemble },
        best: summary(&runner, &data, settings, &args.seeds[..aucs.len()], &aucs, &finished)?,
        complete,
        trials: runner.tried.iter().map(|settings| trial(&runner, settings)).collect::<Result<_>>()?,
        data: data.fingerprint().clone(),
    };
    write(args, &report)?;
    Ok(report)
}

/// Settings that were trained to their end, the best first.
fn finished(runner: &Runner<'_>) -> Result<Vec<(Settings, f64)>> {
    let mut finished = Vec::new();
    for settings in &runner.tried {
        if runner.state(settings)?.is_some_and(|state| state.finished) {
            finished.extend(runner.figure(settings, None)?.map(|auc| (settings.clone(), auc)));
        }
    }
    finished.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(finished)
}

/// The figures of some settings with every seed that time is left for.
fn all_seeds(runner: &mut Runner<'_>, finalists: &[Settings], seeds: &[u64]) -> Result<Vec<(Settings, Vec<f64>)>> {
    use self::search::Trials;
    let mut all: Vec<(Settings, Vec<f64>)> = finalists.iter().map(|settings| (settings.clone(), Vec::new())).collect();
    for &seed in seeds {
        runner.seed = seed;
        let Some(figures) = runner.figures(finalists, None)? else { break };
        for ((_, aucs), figure) in all.iter_mut().zip(figures) {
            aucs.extend(figure);
        }
    }
    Ok(all)
}

/// Settings with the figures of every seed that time was left for; nothing where it was for none.
fn chosen(
    runner: &Runner<'_>,
    data: &Dataset,
    start: &Settings,
    of_seeds: &[(Settings, Vec<f64>)],
    seeds: &[u64],
) -> Result<Option<(Settings, Vec<f64>)>> {
    let (device, rows) = (device::parse(&runner.means.device)?, data.path(Part::Valid));
    let finalist = |(settings, aucs): &(Settings, Vec<f64>)| -> Result<Finalist> {
        let of_seed = |&seed: &u64| -> Result<Option<AucShares>> {
            let scored = mean_logits(&[runner.folder_of(settings, seed)], &rows, device)?;
            Ok(AucShares::new(scored.observed(), &scored.logits)?)
        };
        let shares: Option<Vec<AucShares>> = seeds[..aucs.len()].iter().map(of_seed).collect::<Result<_>>()?;
        Ok(Finalist { aucs: aucs.clone(), shares: shares.and_then(|shares| AucShares::mean(&shares)) })
    };
    let finalists = of_seeds.iter().map(finalist).collect::<Result<Vec<_>>>()?;
    let place = choose(&finalists, of_seeds.iter().position(|(settings, _)| settings == start));
    Ok(place.map(|place| of_seeds[place].clone()))
}

fn summary(
    runner: &Runner<'_>,
    data: &Dataset,
    settings: Settings,
    seeds: &[u64],
    aucs: &[f64],
    finished: &[(Settings, f64)],
) -> Result<Best> {
    let device = device::parse(&runner.means.device)?;
    let rows = data.path(Part::Valid);
    let scored = finished.iter().map(|(settings, _)| mean_logits(&[runner.folder(settings)], &rows, device));
    let scored = scored.collect::<Result<Vec<_>>>()?;
    let checkpoints: Vec<PathBuf> = seeds.iter().map(|&seed| runner.folder_of(&settings, seed)).collect();
    let reports: Vec<crate::report::Report> =
        checkpoints.iter().map(|folder| crate::checkpoint::report(folder)).collect::<Result<_>>()?;
    let test: Option<Vec<_>> = reports.iter().map(|report| report.test).collect();
    let of_test = |figure: fn(&xsfm_interchange::metrics::Metrics) -> Option<f64>| {
        let figures: Option<Vec<f64>> = test.as_ref()?.iter().map(figure).collect();
        figures.map(|figures| mean(&figures))
    };
    Ok(Best {
        settings: with(runner.base, &settings),
        seeds: seeds.to_vec(),
        valid_auc: mean(aucs),
        valid_auc_deviation: deviation(aucs),
        nested: Nested::new(&scored)?,
        test_auc: of_test(|test| test.auc),
        test_log_loss: of_test(|test| Some(test.log_loss)),
        checkpoints,
    })
}

fn trial(runner: &Runner<'_>, settings: &Settings) -> Result<Trial> {
    let state = runner.state(settings)?;
    let epochs = state.as_ref().map(|state| state.epochs.clone()).unwrap_or_default();
    let last_of_epoch: BTreeMap<u64, f64> = epochs.iter().map(|e| (e.epoch, e.seconds)).collect();
    Ok(Trial {
        settings: settings.clone(),
        epochs: epochs.last().map_or(0, |last| last.epoch),
        finished: state.is_some_and(|state| state.finished),
        seconds: last_of_epoch.values().sum(),
        valid_auc: epochs.iter().map(|e| e.valid_auc).reduce(f64::max),
        diverged: runner.divergence(settings),
    })
}

/// Trainings of a folder are of one kind.
fn check_common(args: &Args, base: &toml::Table, data: &Dataset) -> Result<()> {
    let out = &args.means.out;
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let path = out.join("common.json");
    let at = || path.display().to_string();
    if path.try_exists().with_context(at)? {
        let before: Common = serde_json::from_slice(&std::fs::read(&path).with_context(at)?).with_context(at)?;
        if let Some(problem) = data.problem(&before.data, &path) {
            bail!("{problem}: trainings in {} are of other data; choose another --out", out.display());
        }
        ensure!(
            before.base == *base,
            "{}: trainings there have other flags of --base ({}, now {base}); choose another --out",
            out.display(),
            before.base
        );
    }
    write_json(&path, &Common { base: base.clone(), data: data.fingerprint().clone() })
}

fn write(args: &Args, report: &Report) -> Result<()> {
    let out = &args.means.out;
    write_json(&out.join(REPORT), report)?;
    let text = |name: &str, text: &str| {
        let path = out.join(name);
        atomic::write(&path, |output| output.write_all(text.as_bytes())).with_context(|| path.display().to_string())
    };
    text("best.toml", &toml::to_string(&report.best.settings)?)?;
    if let Some(svg) = by_value("Validation AUC by value of each flag", &curves(report))? {
        text("tune.svg", &svg)?;
    }
    Ok(())
}

/// For each flag the best figure that each of its values came to.
fn curves(report: &Report) -> Vec<ByValue> {
    let mut curves = Vec::new();
    for (flag, order) in search::ORDERS {
        let mut best: Vec<(String, f64)> = Vec::new();
        for (value, auc) in report.trials.iter().filter_map(|t| Some((t.settings.get(flag)?, t.valid_auc?))) {
            match best.iter_mut().find(|(known, _)| known == value) {
                Some((_, known)) => *known = known.max(auc),
                None => best.push((value.clone(), auc)),
            }
        }
        // Numbers in their order, words in that of the search.
        let place = |value: &str| order.iter().position(|known| *known == value).unwrap_or(usize::MAX);
        best.sort_by(|(a, _), (b, _)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => a.total_cmp(&b),
            _ => place(a).cmp(&place(b)),
        });
        if best.len() > 1 {
            curves.push(ByValue { name: flag.to_owned(), values: best });
        }
    }
    curves
}

fn table(report: &Report) -> String {
    let Report { best, complete, trials, .. } = report;
    let mut text = String::from("valid AUC  epochs  seconds  settings\n");
    let mut sorted: Vec<&Trial> = trials.iter().collect();
    sorted.sort_by(|a, b| b.valid_auc.unwrap_or(0.0).total_cmp(&a.valid_auc.unwrap_or(0.0)));
    for trial in sorted {
        let auc = match (trial.valid_auc, &trial.diverged) {
            (Some(auc), None) => format!("{auc:.5}"),
            (None, None) => "-".to_owned(),
            (_, Some(_)) => "diverged".to_owned(),
        };
        let mark = if trial.finished { " " } else { "+" };
        text += &format!("{auc:>9}  {:>5}{mark}  {:>7.0}  {}\n", trial.epochs, trial.seconds, title(&trial.settings));
    }
    text += "\n+ given up, or ended by time\n\n";
    text += &format!("best, {} seeds: valid AUC {:.5}", best.seeds.len(), best.valid_auc);
    text += &best.valid_auc_deviation.map(|deviation| format!(" ±{deviation:.5}")).unwrap_or_default();
    text += &best.nested.map(|nested| format!(", {nested}")).unwrap_or_default();
    text += &best.test_auc.map(|auc| format!(", test AUC {auc:.5}")).unwrap_or_default();
    text += &best.test_log_loss.map(|loss| format!(" LogLoss {loss:.5}")).unwrap_or_default();
    if !complete {
        text += "\ntime ended the search; the same command goes on";
    }
    text
}

/// A bar of the time.
fn bar(minutes: f64) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template(&format!("{{elapsed}} of {minutes} min  {{msg}}")) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

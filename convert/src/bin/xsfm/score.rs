//! `score`, `rank`, `evaluate` and `validate`: the commands that score rows.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::Serialize;
use xsfm_convert::raw::{self, Encoded};
use xsfm_convert::score::{Labelled, Ranked};
use xsfm_convert::{Error, input, score, validate};
use xsfm_interchange::metrics::calibration::Reliability;
use xsfm_interchange::metrics::grouped::Grouped;
use xsfm_interchange::metrics::{Metrics, MetricsError};
use xsfm_interchange::output::{print as print_text, say, stream};
use xsfm_interchange::{atomic, figure};
use xsfm_runtime::Model;

use crate::cli::{EvaluateArguments, RankArguments, RowsArguments};
use crate::output::{print, print_json, progress_bar};

/// Where rows of indices are: given, or made of raw rows in a file that goes with this.
enum Indices<'a> {
    Given(&'a Path),
    Encoded(Encoded),
}

impl<'a> Indices<'a> {
    fn of(
        path: &Path,
        model: &Model<'_>,
        (indices, raw): (Option<&'a Path>, Option<&Path>),
        labels: bool,
    ) -> anyhow::Result<Self> {
        Ok(match (indices, raw) {
            (_, Some(raw)) => {
                let encoded = raw::encode(path, model, raw, labels)?;
                if !encoded.unseen.is_empty() {
                    let fields: Vec<String> =
                        encoded.unseen.iter().map(|(name, count)| format!("{name} {count}")).collect();
                    say(format_args!("NOTE: values that training has not seen: {}", fields.join(", ")));
                }
                Indices::Encoded(encoded)
            }
            (indices, None) => Indices::Given(indices.unwrap_or(Path::new("-"))),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Indices::Given(path) => path,
            Indices::Encoded(encoded) => encoded.path(),
        }
    }
}

pub(crate) fn score(path: &Path, rows: &RowsArguments, output: Option<&Path>) -> anyhow::Result<()> {
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let indices = Indices::of(path, &model, (rows.indices.as_deref(), rows.raw.as_deref()), false)?;
    match output {
        None => stream(|stdout| write_scores(&model, indices.path(), stdout)),
        Some(path) => {
            let mut pending = atomic::Pending::create(path).map_err(Error::io(path))?;
            write_scores(&model, indices.path(), &mut pending)?;
            Ok(pending.commit().map_err(Error::io(path))?)
        }
    }
}

pub(crate) fn rank(arguments: &RankArguments) -> anyhow::Result<()> {
    let RankArguments { model: path, rows, names, context, top, json } = arguments;
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let names = names.as_deref().map(read_lines).transpose()?;
    let indices = Indices::of(path, &model, (rows.indices.as_deref(), rows.raw.as_deref()), false)?;
    let ranked = score::rank(&model, indices.path(), names.as_deref(), context, *top)?;
    if *json { print_json(&ranked) } else { print_ranking(&ranked) }
}

/// What `evaluate` prints.
#[derive(Debug, Serialize)]
struct Evaluation {
    #[serde(flatten)]
    metrics: Metrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_group: Option<Grouped>,
}

pub(crate) fn evaluate(arguments: &EvaluateArguments) -> anyhow::Result<()> {
    let EvaluateArguments { model: path, rows, group_by, at, negative_rate, reliability, logits, json } = arguments;
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let indices = Indices::of(path, &model, (rows.rows.as_deref(), rows.raw.as_deref()), true)?;
    let rows = rows.raw.as_deref().unwrap_or(indices.path());
    let field = group_by.as_ref().map(|name| input::bounds(&model).group_field(path, name)).transpose();
    let labelled = score::score_labelled(&model, indices.path(), field.map_err(Error::from)?)?;
    let (observed, Labelled { labels, logits: scores, groups, .. }) = (labelled.observed(), &labelled);
    let problem = |error: MetricsError| Error::Input(format!("{}: {error}", rows.display()));
    let by_group = group_by.as_ref().map(|name| Grouped::new(name, groups, labels, scores, at)).transpose();
    let corrected = negative_rate.applied(scores);
    let evaluation = Evaluation {
        metrics: Metrics::from_logits(observed, &corrected).map_err(problem)?,
        by_group: by_group.map_err(problem)?,
    };
    if let Some(path) = logits {
        atomic::write(path, |output| scores.iter().try_for_each(|&logit| writeln!(output, "{}", logit as f32)))
            .map_err(Error::io(path))?;
    }
    if let Some(to) = reliability {
        let of_model = Reliability::from_logits(observed, &corrected).map_err(problem)?;
        let title = format!("Reliability on {}", rows.display());
        let svg = figure::reliability(&title, &[(&path.display().to_string(), &of_model)])?;
        atomic::write(to, |output| output.write_all(svg.as_bytes())).map_err(Error::io(to))?;
    }
    if *json { print_json(&evaluation) } else { print_evaluation(&evaluation) }
}

pub(crate) fn validate(path: &Path, checkpoint: &Path, rows: &Path, json: bool) -> anyhow::Result<()> {
    let packed = input::packed(path)?;
    let bar = progress_bar("rows compared", None);
    let original = input::float_model(checkpoint)?;
    let report = validate::validate(&input::load(path, &packed)?, &original, rows, &mut |done| {
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    print(&report, json)
}

fn write_scores(model: &Model<'_>, indices: &Path, output: &mut dyn Write) -> anyhow::Result<()> {
    score::score_rows(model, indices, |_, scores| {
        scores.iter().try_for_each(|&score| score::write_score(output, score)).map_err(anyhow::Error::from)
    })
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let read = || BufReader::new(std::fs::File::open(path)?).lines().collect::<io::Result<_>>();
    Ok(read().map_err(Error::io(path))?)
}

fn print_evaluation(Evaluation { metrics, by_group }: &Evaluation) -> anyhow::Result<()> {
    let mut text = String::new();
    writeln!(text, "rows         {}", metrics.rows)?;
    writeln!(text, "LogLoss      {:.6}", metrics.log_loss)?;
    let figure = |figure: Option<f64>| figure.map(|figure| format!("{figure:.6}"));
    let figures = [
        ("AUC", metrics.shown_auc(6)),
        ("PRAUC", figure(metrics.prauc)),
        ("RCE %", figure(metrics.rce)),
        ("ECE", figure(metrics.ece)),
        ("calibration", figure(metrics.calibration)),
    ];
    for (name, figure) in figures {
        match figure {
            Some(figure) => writeln!(text, "{name:<11}  {figure}")?,
            None => writeln!(text, "{name:<11}  not defined: the labels are all the same")?,
        }
    }
    by_group.iter().try_for_each(|groups| write!(text, "{groups}"))?;
    Ok(print_text(text)?)
}

fn print_ranking(ranked: &[Ranked]) -> anyhow::Result<()> {
    let mut text = String::new();
    writeln!(text, "{:>4}  {:>8}  {:>11}  {:>10}  name", "rank", "row", "probability", "logit")?;
    for entry in ranked {
        let (rank, row, name) = (entry.rank, entry.row, entry.name.as_deref().unwrap_or_default());
        writeln!(text, "{rank:>4}  {row:>8}  {:>11.6}  {:>10.6}  {name}", entry.probability, entry.logit)?;
    }
    Ok(print_text(text)?)
}

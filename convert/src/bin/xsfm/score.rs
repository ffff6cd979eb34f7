//! `score`, `rank`, `evaluate` and `validate`: the commands that score rows.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::Serialize;
use xsfm_convert::raw::{self, Encoded};
use xsfm_convert::score::{Labelled, Ranked};
use xsfm_convert::{Error, input, score, validate};
use xsfm_interchange::checkpoint::file::SCHEMA;
use xsfm_interchange::metrics::calibration::Reliability;
use xsfm_interchange::metrics::grouped::Grouped;
use xsfm_interchange::metrics::{Metrics, MetricsError};
use xsfm_interchange::output::{print as print_text, say, stream};
use xsfm_interchange::schema::Schema;
use xsfm_interchange::{atomic, figure};
use xsfm_runtime::Model;

use crate::cli::{EvaluateArguments, LabelledArguments, RankArguments, RowsArguments};
use crate::output::{print, print_json, progress_bar};

/// Where rows of indices are: given, or made of raw rows in a file that goes with this.
pub(crate) enum Indices<'a> {
    Given(&'a Path),
    Encoded(Encoded),
}

impl<'a> Indices<'a> {
    pub(crate) fn of(
        path: &Path,
        model: &Model<'_>,
        (indices, raw): (Option<&'a Path>, Option<&Path>),
        labels: bool,
    ) -> anyhow::Result<Self> {
        let fields: Vec<usize> = (0..model.num_fields()).collect();
        Self::of_fields(path, model, (indices, raw), labels, &fields)
    }

    /// The same where rows have some of the fields alone, by their numbers.
    pub(crate) fn of_fields(
        path: &Path,
        model: &Model<'_>,
        (indices, raw): (Option<&'a Path>, Option<&Path>),
        labels: bool,
        fields: &[usize],
    ) -> anyhow::Result<Self> {
        Ok(match (indices, raw) {
            (_, Some(raw)) => {
                let encoded = raw::encode_some(path, model, raw, labels, fields)?;
                if !encoded.unknown.is_empty() {
                    let (raw, names) = (raw.display(), encoded.unknown.join(", "));
                    say(format_args!("NOTE: {raw}: columns that the training data did not have: {names}"));
                }
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

    pub(crate) fn path(&self) -> &Path {
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
    let RankArguments { model: path, rows, catalogue, names, context, top, json } = arguments;
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    if let Some(of) = catalogue {
        return crate::catalogue::rank(&model, arguments, of);
    }
    let names = names.as_deref().map(read_lines).transpose()?;
    let indices = Indices::of(path, &model, (rows.indices.as_deref(), rows.raw.as_deref()), false)?;
    let mut ranked = score::rank(&model, indices.path(), names.as_deref(), context, *top)?;
    if let Indices::Encoded(encoded) = &indices {
        encoded.describe(&model, context, &mut ranked)?;
    }
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

pub(crate) fn validate(
    path: &Path,
    (checkpoint, fields): (&Path, Option<&[String]>),
    rows: &LabelledArguments,
    json: bool,
) -> anyhow::Result<()> {
    let packed = input::packed(path)?;
    let model = input::load(path, &packed)?;
    let original = input::float_model(checkpoint, fields)?;
    let indices = Indices::of(path, &model, (rows.rows.as_deref(), rows.raw.as_deref()), true)?;
    let schema = Some(checkpoint.join(SCHEMA)).filter(|schema| schema.exists());
    let schema = schema.as_deref().map(Schema::load).transpose()?;
    let bar = progress_bar("rows compared", None);
    let report = validate::validate(&model, &original, schema.as_ref(), indices.path(), &mut |done| {
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

pub(crate) fn read_lines(path: &Path) -> anyhow::Result<Vec<String>> {
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

pub(crate) fn print_ranking(ranked: &[Ranked]) -> anyhow::Result<()> {
    let names = ranked.first().map_or(&[][..], |entry| &entry.candidate.0);
    let has_names = names.is_empty() || ranked.iter().any(|entry| entry.name.is_some());
    let name = |name: &str| has_names.then(|| name.to_owned());
    let mut columns: Vec<Vec<String>> =
        vec![name("name").into_iter().chain(names.iter().map(|(name, _)| name.clone())).collect()];
    for entry in ranked {
        // A line of the table stays one.
        let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        let of_row = entry.candidate.0.iter().map(|(_, text)| text.to_string().chars().map(plain).collect());
        columns.push(name(entry.name.as_deref().unwrap_or_default()).into_iter().chain(of_row).collect());
    }
    let width = |place: usize| columns.iter().map(|row| row[place].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns[0].len()).map(width).collect();
    let mut text = String::new();
    let end = |text: &mut String, row: &[String]| {
        for (cell, width) in row.iter().zip(&widths) {
            write!(text, "  {cell:<width$}")?;
        }
        text.truncate(text.trim_end().len());
        writeln!(text)
    };
    write!(text, "{:>4}  {:>8}  {:>11}  {:>10}", "rank", "row", "probability", "logit")?;
    end(&mut text, &columns[0])?;
    for (Ranked { rank, row, probability, logit, .. }, columns) in ranked.iter().zip(&columns[1..]) {
        write!(text, "{rank:>4}  {row:>8}  {probability:>11.6}  {logit:>10.6}")?;
        end(&mut text, columns)?;
    }
    Ok(print_text(text)?)
}

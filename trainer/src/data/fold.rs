//! `xsfm-train fold`: the same rows with smaller vocabularies.
//!
//! A token that few training rows have becomes its field's out-of-vocabulary row, or one of its buckets, as `prepare`
//! with that minimum count would have made it: the files are the same, byte for byte. Raw rows are not needed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use xsfm_interchange::atomic;
use xsfm_interchange::dataset::{Dataset, Part, SCHEMA};
use xsfm_interchange::encoding::Encoding;
use xsfm_interchange::fingerprint::{self, Fingerprint, Vocabulary};
use xsfm_interchange::output;
use xsfm_interchange::rows::{Bounds, RowBlock, RowsReader, RowsWriter};
use xsfm_interchange::schema::{Field, Schema};
use xsfm_runtime::Weight;

use super::dataset;
use crate::lock::lock;

/// What was folded, in the output folder.
const FILE: &str = "fold.json";

/// Encodes rows again with smaller vocabularies: what fewer training rows have shares the out-of-vocabulary row.
///
/// The rows stay in their order, so that teachers can read the old ones (`distill --teacher-data`). The files are those
/// that `prepare` makes with this minimum count for all fields.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of encoded rows
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A value that is in fewer training rows shares its field's out-of-vocabulary row
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    min_count: u64,
    /// Folder to write to; what is there already and still right stays
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What was folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which rows were read.
    source: Fingerprint,
    /// The minimum count.
    pub min_count: u64,
    /// The fields.
    pub fields: Vec<FieldReport>,
    /// What tells the rows that were written from others.
    pub fingerprint: Fingerprint,
}

/// What became of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldReport {
    /// Its name.
    pub name: String,
    /// Number of features before, the out-of-vocabulary row included.
    pub before: u32,
    /// Number of features.
    pub features: u32,
}

/// Runs the command.
///
/// # Errors
/// Those of [`fold`].
pub fn run(args: &Args) -> Result<()> {
    let report = fold(&args.data, args.min_count, &args.out)?;
    if args.json {
        output::json(&report)?;
        return Ok(());
    }
    let width = report.fields.iter().map(|f| f.name.chars().count()).max().unwrap_or(0).max(5);
    output::line(format_args!("{:<width$} {:>10} {:>10}", "field", "before", "features"))?;
    for FieldReport { name, before, features } in &report.fields {
        output::line(format_args!("{name:<width$} {before:>10} {features:>10}"))?;
    }
    Ok(())
}

/// Writes the rows of the folder `data` to the folder `out`; nothing where they are there already. Processes that fold
/// to one folder take turns.
///
/// # Errors
/// Rows that cannot be read or written; `out` is `data`.
pub fn fold(data: &Path, min_count: u64, out: &Path) -> Result<Report> {
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let folder = fs::canonicalize(data).with_context(|| data.display().to_string())?;
    let is_same = fs::canonicalize(out).is_ok_and(|out| out == folder);
    ensure!(!is_same, "{}: these rows would be replaced by their own; choose another --out", out.display());
    // Another process may be folding to the same folder.
    let _lock = lock(out, "fold")?;
    let data = dataset::open(data)?;
    if let Some(report) = there(out, data.fingerprint(), min_count) {
        return Ok(report);
    }
    let schema = data.schema();
    let counts = count(&data)?;
    // Buckets of a hash are there for any tokens, seen or not, and so are the bounds of numbers that are weights.
    let is_kept = |f: usize, index: usize| {
        let Field { encoding, vocabulary, .. } = &schema.fields[f];
        let is_counted = encoding.has_unseen() || matches!(encoding, Encoding::OovBuckets(_));
        counts[f][index] >= min_count || !is_counted || index > vocabulary.len()
    };
    let fold_field = |(f, field): (usize, &Field)| {
        let tokens = field.vocabulary.iter().enumerate().filter(|&(t, _)| is_kept(f, t + 1));
        Field { vocabulary: tokens.map(|(_, token)| token.clone()).collect(), ..field.clone() }
    };
    let folded = Schema {
        input: schema.input.clone().map(|input| input.with_min_count(min_count)),
        fields: schema.fields.iter().enumerate().map(fold_field).collect(),
        ..schema.clone()
    };

    // By field: the new index of each old one.
    let new_indices: Vec<Vec<u32>> = (0..counts.len())
        .map(|f| {
            let mut new = vec![0; counts[f].len()];
            let kept = (1..new.len()).filter(|&index| is_kept(f, index));
            (1..).zip(kept).for_each(|(new_index, index)| new[index] = new_index);
            if let Encoding::OovBuckets(_) = schema.fields[f].encoding {
                let encoder = folded.fields[f].encoder();
                let tokens = new[1..].iter_mut().zip(&schema.fields[f].vocabulary);
                tokens.for_each(|(new, token)| *new = encoder.index_of(token));
            }
            new
        })
        .collect();

    // The schema is what makes a folder whole.
    let schema_path = out.join(SCHEMA);
    if schema_path.try_exists().with_context(|| schema_path.display().to_string())? {
        fs::remove_file(&schema_path).with_context(|| schema_path.display().to_string())?;
    }
    let mut rows = [None; 3];
    for part in Part::ALL.into_iter().filter(|&part| part != Part::Test || data.has(part)) {
        rows[part as usize] = Some(encode(&data, part, &folded, &new_indices, &out.join(part.file()))?);
    }
    let [train, valid, test] = rows;
    let fields = schema.fields.iter().zip(&folded.fields);
    let report = Report {
        source: data.fingerprint().clone(),
        fingerprint: Fingerprint { vocabulary: Vocabulary::of(&folded), train, valid, test },
        min_count,
        fields: fields
            .map(|(old, new)| FieldReport { name: old.name.clone(), before: old.features(), features: new.features() })
            .collect(),
    };
    let path = out.join(FILE);
    atomic::write(&path, |output| Ok(serde_json::to_writer_pretty(output, &report)?))
        .with_context(|| path.display().to_string())?;
    folded.save(&schema_path)?;
    Ok(report)
}

/// What a folder says that it has, where it is whole and has it still.
fn there(out: &Path, source: &Fingerprint, min_count: u64) -> Option<Report> {
    let report: Report = serde_json::from_slice(&fs::read(out.join(FILE)).ok()?).ok()?;
    let is_known = source.train.is_some() && source.valid.is_some();
    let is_same = report.source == *source && report.min_count == min_count;
    (is_known && is_same && *Dataset::open(out).ok()?.fingerprint() == report.fingerprint).then_some(report)
}

/// By field: how often each index is in the training rows.
///
/// # Errors
/// Rows that cannot be read.
pub fn count(data: &Dataset) -> Result<Vec<Vec<u64>>> {
    let mut counts: Vec<Vec<u64>> = data.schema().fields.iter().map(|f| vec![0; f.features() as usize]).collect();
    let mut rows = data.rows(Part::Train)?;
    let bar = progress(&rows, "counting");
    for block in rows.blocks() {
        let block = block?;
        for i in 0..block.len() {
            let row = block.row(i);
            for (f, counts) in counts.iter_mut().enumerate() {
                let indices = row.field(f).unwrap_or_default().iter().filter(|word| Weight::of_word(**word).is_none());
                indices.for_each(|&index| counts[index as usize] += 1);
            }
        }
        bar.inc(block.len() as u64);
    }
    bar.finish_and_clear();
    Ok(counts)
}

fn encode(
    data: &Dataset,
    part: Part,
    folded: &Schema,
    new_indices: &[Vec<u32>],
    to: &Path,
) -> Result<fingerprint::Rows> {
    let bounds = Bounds::from(folded);
    let has_bag = bounds.columns.iter().any(|column| column.bag);
    let mut rows = data.rows(part)?;
    let mut writer = RowsWriter::create_with(to, &bounds, rows.beside())?;
    let bar = progress(&rows, "encoding");
    let mut indices = Vec::new();
    for block in rows.blocks() {
        let block = block?;
        let mut folded = RowBlock::new(new_indices.len(), has_bag);
        folded.labels.clone_from(&block.labels);
        folded.weights.clone_from(&block.weights);
        for i in 0..block.len() {
            let row = block.row(i);
            for (f, new) in new_indices.iter().enumerate() {
                indices.clear();
                let folded_word = |&word: &u32| if Weight::of_word(word).is_some() { word } else { new[word as usize] };
                indices.extend(row.field(f).unwrap_or_default().iter().map(folded_word));
                folded.push_field(&indices);
            }
        }
        writer.push_block(&folded)?;
        bar.inc(block.len() as u64);
    }
    bar.finish_and_clear();
    Ok(writer.commit()?)
}

fn progress(rows: &RowsReader, doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(rows.num_rows()).with_prefix(doing);
    if let Ok(style) = ProgressStyle::with_template("{prefix:>10} {bar:30} {pos}/{len} rows, {eta} left") {
        bar.set_style(style);
    }
    bar
}

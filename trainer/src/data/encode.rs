//! `xsfm-train encode`: new raw rows by an old schema.
//!
//! Numbering the tokens of new rows anew, as `prepare` would, gives them the indices of other tokens, and nothing tells
//! it from a score. Here every rule is the schema's: columns, cuts, separators, vocabularies.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use xsfm_interchange::fingerprint;
use xsfm_interchange::input::{Input, Table};
use xsfm_interchange::output;
use xsfm_interchange::rows::{Beside, Bounds, RowBlock, RowsWriter};
use xsfm_interchange::schema::{Field, FieldKind, Schema};

use super::criteo::Criteo;
use super::csv::CsvSource;
use super::encoder::{RowEncoder, Told};
use super::files::Files;
use super::magic::PARQUET;
use super::movielens::MovieLens;
use super::open::head;
use super::parquet::ParquetSource;
use super::pass::{Rows, pass};
use super::reading::ReadingArgs;
use super::recsys::{Engagement, RecSys};
use super::report::FieldReport;
use super::source::Source;
use super::split::Assigner;

/// Encodes new raw rows with the vocabularies of data that were prepared before.
///
/// The schema says how columns are read and which index each token has; a token that it does not have is index 0, and
/// is counted by its field. The file can be scored by `xsfm score`, and measured where rows have labels.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// schema.json of the prepared data, or of a checkpoint
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
    /// The rows, of the kind that was prepared: a file; or its parts: several files, a folder, or a pattern; of
    /// MovieLens the folder
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    input: Vec<PathBuf>,
    /// Arrow file to write
    #[arg(long, value_name = "FILE.arrow")]
    out: PathBuf,
    /// The rows have no label, and its column is not looked for
    #[arg(long)]
    unlabelled: bool,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What was encoded.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Report {
    rows: u64,
    /// Rows with label 1; absent where there are no labels.
    positives: Option<u64>,
    malformed_rows: u64,
    malformed_examples: Vec<String>,
    fields: Vec<FieldReport>,
    fingerprint: fingerprint::Rows,
}

/// Runs the command.
///
/// # Errors
/// A schema that does not say how rows are read; rows that cannot be read, or more malformed ones than are allowed; an
/// output that cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let schema = Schema::load(&args.schema)?;
    let source = open(args, &schema)?;
    check_fields(&args.schema, &schema, &*source)?;
    let report = encode(args, &schema, &*source)?;
    match args.json {
        true => output::json(&report)?,
        false => output::stream(|stdout| report.print(stdout))?,
    }
    for example in &report.malformed_examples {
        output::say(format_args!("malformed: {example}"));
    }
    Ok(())
}

fn open(args: &Args, schema: &Schema) -> Result<Box<dyn Source>> {
    let path = &args.schema;
    let Some(input) = &schema.input else {
        bail!("{}: it does not say how raw rows are read; prepare the data again, with this program", path.display());
    };
    let labels = !args.unlabelled;
    let needs_labels = |source: &str| {
        ensure!(labels, "--unlabelled: rows of {source} have labels");
        Ok(())
    };
    Ok(match input {
        Input::Criteo => {
            let source = Criteo::new(Files::find(&args.input)?, 1);
            Box::new(if labels { source } else { source.unlabelled() })
        }
        Input::Recsys2020 { label } => {
            needs_labels("the RecSys Challenge")?;
            let engagement = Engagement::ALL.into_iter().find(|engagement| engagement.name() == label);
            let engagement = engagement.with_context(|| format!("{}: label {label:?}", path.display()))?;
            Box::new(RecSys::new(Files::find(&args.input)?, engagement, 1))
        }
        Input::Movielens => {
            needs_labels("MovieLens")?;
            let [folder] = &args.input[..] else { bail!("--input: one folder of MovieLens expected") };
            Box::new(MovieLens::open(folder)?)
        }
        Input::Table(table) => {
            let files = Files::find(&args.input)?;
            // Nothing is split by time.
            let table = Table { time: None, ..(**table).clone() };
            match is_parquet(&files)? {
                true => Box::new(ParquetSource::of_table(files, path, table, labels)?),
                false => Box::new(CsvSource::of_table(files, path, table, labels)?),
            }
        }
    })
}

fn is_parquet(files: &Files) -> Result<bool> {
    let Some(first) = files.parts().first() else { return Ok(false) };
    let mut file = File::open(first).with_context(|| first.display().to_string())?;
    Ok(head(&mut file).with_context(|| first.display().to_string())?.starts_with(PARQUET))
}

/// A schema that was changed by hand may say one thing of its fields and another of its columns.
fn check_fields(path: &Path, schema: &Schema, source: &dyn Source) -> Result<()> {
    let shown = |name: &str, kind: FieldKind| format!("{name:?}, {}", kind.name());
    let found: Vec<String> = source.fields().iter().map(|field| shown(&field.name, field.kind)).collect();
    let wanted: Vec<String> = schema.fields.iter().map(|field| shown(&field.name, field.kind)).collect();
    if let Some(f) = (0..found.len().max(wanted.len())).find(|&f| found.get(f) != wanted.get(f)) {
        let [found, wanted] = [&found, &wanted].map(|fields| fields.get(f).map_or("none", String::as_str));
        bail!("{}: field {f} is {wanted}, but the rows are read as {found}", path.display());
    }
    Ok(())
}

fn encode(args: &Args, schema: &Schema, source: &dyn Source) -> Result<Report> {
    let beside = Beside { labels: source.has_labels(), weights: source.has_weights() };
    let encoder = RowEncoder::new(schema, beside.labels);
    let mut writer = RowsWriter::create_with(&args.out, &Bounds::from(schema), beside)?;
    let fields = schema.fields.len();
    let work = |rows: &mut Rows<'_>| {
        let (mut block, mut told, mut indices) = (encoder.block(), Told::new(fields), Vec::new());
        rows.each(|_, row| encoder.push(row, &mut block, &mut told, &mut indices));
        (block, told)
    };
    let (mut told, mut positives) = (Told::new(fields), 0);
    let all = Assigner::Keys([u128::MAX; 2]);
    let walk = pass(source, args.reading.reading(), "encoding", all, work, |(block, of_block): (RowBlock, Told)| {
        positives += block.labels.iter().filter(|&&label| label == 1).count() as u64;
        told.add(&of_block);
        Ok(writer.push_block(&block)?)
    })?;
    let rows = writer.num_rows();
    let fingerprint = writer.commit()?;
    let field = |(f, field): (usize, &Field)| FieldReport {
        name: field.name.clone(),
        kind: field.kind,
        features: field.features(),
        unseen: told.unseen[f],
        cut_bags: told.cut_bags[f],
    };
    Ok(Report {
        rows,
        positives: beside.labels.then_some(positives),
        malformed_rows: walk.malformed,
        malformed_examples: walk.examples,
        fields: schema.fields.iter().enumerate().map(field).collect(),
        fingerprint,
    })
}

impl Report {
    fn print(&self, output: &mut dyn Write) -> io::Result<()> {
        writeln!(output, "{:<10} {:>12}", "rows", self.rows)?;
        if let Some(positives) = self.positives {
            writeln!(output, "{:<10} {positives:>12}", "positives")?;
        }
        writeln!(output, "{:<10} {:>12}\n", "malformed", self.malformed_rows)?;
        FieldReport::print_all(&self.fields, output)
    }
}

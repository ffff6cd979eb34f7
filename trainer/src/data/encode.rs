//! `xsfm-train encode`: new raw rows by an old schema.
//!
//! Numbering the tokens of new rows anew, as `prepare` would, gives them the indices of other tokens, and nothing tells
//! it from a score. Here every rule is the schema's: columns, cuts, separators, vocabularies.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use xsfm_interchange::fingerprint;
use xsfm_interchange::output;
use xsfm_interchange::rows::{Beside, Bounds, RowsWriter};
use xsfm_interchange::schema::Schema;
use xsfm_readers::by_schema;
use xsfm_readers::encoder::{RowEncoder, Told};
use xsfm_readers::error::DataError;
use xsfm_readers::pass::{All, Rows, pass};
use xsfm_readers::reading::ReadingArgs;
use xsfm_readers::report::FieldReport;
use xsfm_readers::source::Source;

/// Encodes new raw rows with the vocabularies of data that were prepared before.
///
/// The schema says how columns are read and which index each token has; a token that it does not have is index 0, and
/// is counted by its field. The file can be scored by `xsfm score`, and measured where rows have labels.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// schema.json of the prepared data, or of a checkpoint
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
    /// The rows, of the kind that was prepared, or JSON lines of the fields: a file; or its parts: several files, a
    /// folder, or a pattern; of MovieLens the folder
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
    let report = encode(args, &schema, &*source)?;
    match args.json {
        true => output::json(&report)?,
        false => output::stream(|stdout| report.print(stdout))?,
    }
    for example in &report.malformed_examples {
        output::say(format_args!("malformed: {example}"));
    }
    let unknown = schema.input.as_ref().map(|input| by_schema::unknown_columns(input, &*source)).unwrap_or_default();
    if !unknown.is_empty() {
        output::say(format_args!("note: columns that the training data did not have: {}", unknown.join(", ")));
    }
    Ok(())
}

fn open(args: &Args, schema: &Schema) -> Result<Box<dyn Source>> {
    let source = by_schema::open(&args.schema, schema, &args.input, !args.unlabelled);
    source.map_err(|error| match error {
        DataError::Labelled { .. } => anyhow::Error::new(error).context("--unlabelled"),
        _ => error.into(),
    })
}

fn encode(args: &Args, schema: &Schema, source: &dyn Source) -> Result<Report> {
    let beside = Beside { labels: source.has_labels(), weights: source.has_weights() };
    let encoder = RowEncoder::new(schema, beside.labels);
    let mut writer = RowsWriter::create_with(&args.out, &Bounds::from(schema), beside)?;
    let (mut told, mut positives) = (Told::new(schema.fields.len()), 0);
    let work = |rows: &mut Rows<'_>| encoder.rows(rows);
    let walk = pass(source, args.reading.reading(), "encoding", All, work, |(block, of_block)| -> Result<()> {
        positives += block.labels.iter().filter(|&&label| label == 1).count() as u64;
        told.add(&of_block);
        Ok(writer.push_block(&block)?)
    })?;
    let rows = writer.num_rows();
    let fingerprint = writer.commit()?;
    Ok(Report {
        rows,
        positives: beside.labels.then_some(positives),
        malformed_rows: walk.malformed,
        malformed_examples: walk.examples,
        fields: FieldReport::all(schema, &told),
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

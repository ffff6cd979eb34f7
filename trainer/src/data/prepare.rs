//! `xsfm-train prepare`: a raw data set becomes `schema.json` and three files of encoded rows.
//!
//! Two passes over the rows, whatever their number: one counts the tokens of the training rows, which become the
//! vocabularies; one encodes. The same input, split and seed give the same bytes.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;
use xsfm_interchange::rows::{Bounds, RowBlock, RowsWriter};
use xsfm_interchange::schema::{Encoder, Field, FieldKind, Schema};

use super::csv::CsvSource;
use super::movielens::MovieLens;
use super::source::{DataError, RawField, Source, Walk, progress};
use super::split::{Part, Plan, Split, SplitArgs};

/// Names of the files in an output folder.
pub mod file {
    /// The fields and their vocabularies.
    pub const SCHEMA: &str = "schema.json";
    /// Training rows.
    pub const TRAIN: &str = "train.arrow";
    /// Validation rows.
    pub const VALID: &str = "valid.arrow";
    /// Test rows.
    pub const TEST: &str = "test.arrow";
}

/// Encodes a raw data set: writes schema.json, train.arrow, valid.arrow and test.arrow.
///
/// Vocabularies come from the training rows alone; what training did not see is encoded as index 0.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    source: SourceArgs,
}

#[derive(Debug, Subcommand)]
enum SourceArgs {
    /// MovieLens-100K; a rating of 4 or more counts as a click
    ///
    /// Reads RecBole's files (ml-100k.inter, .user, .item) or GroupLens' (u.data, u.user, u.item).
    /// Fields: user, item, age, gender, occupation, release_year, genres (a bag).
    Movielens {
        /// Folder of the raw files
        #[arg(long, value_name = "DIR")]
        source: PathBuf,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Any CSV or TSV, described by a small TOML file
    #[command(after_long_help = super::csv::SCHEMA_HELP)]
    Csv {
        /// The rows
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// What the columns are; `--help` shows one
        #[arg(long, value_name = "SCHEMA.toml")]
        schema: PathBuf,
        /// Leave malformed rows out, count them and show the first; otherwise the first one ends the program
        #[arg(long)]
        skip_bad: bool,
        #[command(flatten)]
        common: CommonArgs,
    },
}

#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    split: SplitArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The source cannot be read, or the outputs cannot be written; the outputs are then as before.
pub fn run(args: &Args) -> Result<()> {
    let (source, common): (Box<dyn Source>, _) = match &args.source {
        SourceArgs::Movielens { source, common } => (Box::new(MovieLens::open(source)?), common),
        SourceArgs::Csv { input, schema, skip_bad, common } => {
            (Box::new(CsvSource::open(input, schema, *skip_bad)?), common)
        }
    };
    let report = prepare(source.as_ref(), &common.split.split()?, &common.out)?;
    let mut stdout = io::stdout().lock();
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        report.print(&mut stdout)?;
    }
    for example in &report.skipped_examples {
        eprintln!("skipped: {example}");
    }
    Ok(())
}

/// What was prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Training rows.
    pub train: PartReport,
    /// Validation rows.
    pub valid: PartReport,
    /// Test rows.
    pub test: PartReport,
    /// The fields.
    pub fields: Vec<FieldReport>,
    /// Malformed rows that were left out.
    pub skipped_rows: u64,
    /// The first few of them.
    pub skipped_examples: Vec<String>,
}

/// Size of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// Number of rows.
    pub rows: u64,
    /// Rows with label 1.
    pub positives: u64,
}

/// One field of a prepared data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldReport {
    /// Its name.
    pub name: String,
    /// How values become tokens.
    pub kind: FieldKind,
    /// Number of features, the out-of-vocabulary row included.
    pub features: u32,
    /// Indices that are 0 in validation and test rows: values that training did not see often enough.
    pub unseen: u64,
    /// Bags that were cut to the largest allowed length.
    pub cut_bags: u64,
}

/// Prepares a data set.
///
/// # Errors
/// The source cannot be read, no row is for training, or the outputs cannot be written.
pub fn prepare(source: &dyn Source, split: &Split, out: &Path) -> Result<Report, DataError> {
    let plan = Plan::new(split, source)?;
    let vocabularies = count(source, &plan)?;
    let fields = source.fields().iter().zip(vocabularies);
    let schema = Schema {
        version: Schema::VERSION,
        label: source.label().to_owned(),
        fields: fields.map(|(f, vocabulary)| Field { name: f.name.clone(), kind: f.kind, vocabulary }).collect(),
    };
    encode(source, &plan, &schema, out)
}

/// First pass: the vocabulary of each field, frequent tokens first, equally frequent ones in alphabetical order.
fn count(source: &dyn Source, plan: &Plan) -> Result<Vec<Vec<String>>, DataError> {
    let fields = source.fields();
    let mut counts: Vec<HashMap<String, u64>> = vec![HashMap::new(); fields.len()];
    let mut train_rows = 0_u64;
    let mut assigner = plan.assigner()?;
    let bar = progress(source.path(), "counting")?;
    let walk = source.pass(&bar, &mut |row| {
        if assigner.part(row)? != Part::Train {
            return Ok(());
        }
        train_rows += 1;
        for (f, (field, counts)) in fields.iter().zip(&mut counts).enumerate() {
            for token in row.field(f).take(field.max_bag) {
                if let Some(count) = counts.get_mut(token) {
                    *count += 1;
                } else {
                    counts.insert(token.to_owned(), 1);
                }
            }
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    assigner.finish(walk.rows)?;
    if train_rows == 0 {
        let what = format!("{} rows, none of them for training", walk.rows - walk.skipped);
        return Err(DataError::file(source.path(), what));
    }
    let vocabulary = |(field, counts): (&RawField, HashMap<String, u64>)| {
        let mut kept: Vec<_> = counts.into_iter().filter(|&(_, count)| count >= field.min_count).collect();
        kept.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        kept.into_iter().map(|(token, _)| token).collect()
    };
    Ok(fields.iter().zip(counts).map(vocabulary).collect())
}

/// Second pass: writes the rows, and the schema last, so that a folder with a schema is whole.
fn encode(source: &dyn Source, plan: &Plan, schema: &Schema, out: &Path) -> Result<Report, DataError> {
    let bounds = Bounds::from(schema);
    let encoders: Vec<Encoder<'_>> = schema.fields.iter().map(Field::encoder).collect();
    let create = |name| RowsWriter::create(&out.join(name), &bounds.columns);
    let mut writers = [create(file::TRAIN)?, create(file::VALID)?, create(file::TEST)?];
    let mut parts = [PartReport::default(); 3];
    let mut fields: Vec<FieldReport> = schema
        .fields
        .iter()
        .map(|f| FieldReport { name: f.name.clone(), kind: f.kind, features: f.features(), unseen: 0, cut_bags: 0 })
        .collect();

    let mut assigner = plan.assigner()?;
    let mut encoded = RowBlock::new(schema.fields.len(), bounds.columns.iter().any(|c| c.bag));
    let mut indices = Vec::new();
    let bar = progress(source.path(), "encoding")?;
    let walk = source.pass(&bar, &mut |row| {
        let part = assigner.part(row)?;
        encoded.clear();
        for (f, (raw, report)) in source.fields().iter().zip(&mut fields).enumerate() {
            indices.clear();
            let mut tokens = row.field(f);
            indices.extend(tokens.by_ref().take(raw.max_bag).map(|token| encoders[f].index_of(token)));
            report.cut_bags += u64::from(tokens.next().is_some());
            if indices.is_empty() {
                indices.push(0);
            } else if part != Part::Train {
                report.unseen += indices.iter().filter(|&&i| i == 0).count() as u64;
            }
            encoded.push_field(&indices);
        }
        let part = part as usize;
        parts[part].rows += 1;
        parts[part].positives += u64::from(row.label);
        Ok(writers[part].push(row.label, &encoded.row(0))?)
    })?;
    bar.finish_and_clear();
    assigner.finish(walk.rows)?;

    let schema_path = out.join(file::SCHEMA);
    if schema_path.exists() {
        fs::remove_file(&schema_path).map_err(DataError::io(&schema_path))?;
    }
    for writer in writers {
        writer.commit()?;
    }
    schema.save(&schema_path)?;
    let [train, valid, test] = parts;
    let Walk { skipped, skipped_examples, .. } = walk;
    Ok(Report { train, valid, test, fields, skipped_rows: skipped, skipped_examples })
}

impl Report {
    fn print(&self, output: &mut dyn Write) -> io::Result<()> {
        writeln!(output, "{:<10} {:>12} {:>12}", "part", "rows", "positives")?;
        for (name, part) in [("training", self.train), ("validation", self.valid), ("test", self.test)] {
            writeln!(output, "{name:<10} {:>12} {:>12}", part.rows, part.positives)?;
        }
        if self.skipped_rows > 0 {
            writeln!(output, "{:<10} {:>12}", "skipped", self.skipped_rows)?;
        }
        let width = self.fields.iter().map(|f| f.name.chars().count()).max().unwrap_or(0).max(5);
        writeln!(
            output,
            "\n{:<width$} {:<11} {:>10} {:>10} {:>10}",
            "field", "kind", "features", "unseen", "cut bags"
        )?;
        for f in &self.fields {
            let kind = format!("{:?}", f.kind).to_lowercase();
            writeln!(output, "{:<width$} {kind:<11} {:>10} {:>10} {:>10}", f.name, f.features, f.unseen, f.cut_bags)?;
        }
        Ok(())
    }
}

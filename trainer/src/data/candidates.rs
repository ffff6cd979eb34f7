//! `xsfm-train candidates`: the films that a user might be shown, as rows to rank: of indices, or of raw values.
//!
//! A film that training knows has an index of its own, by which it is found among the user's training rows. All that
//! training does not know share index 0, and one that the user has rated says nothing of the others: which of them it
//! was is found out from the raw ratings. Two such films of one year with the same genres and the same rating are one
//! row, of which it does not matter which is left out.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use indicatif::ProgressBar;
use serde_json::Value;
use xsfm_interchange::atomic::Pending;
use xsfm_interchange::dataset::{Dataset, Part, SCHEMA};
use xsfm_interchange::rows::{RowBlock, write_tsv_row};
use xsfm_interchange::schema::{Encoder, Field, FieldKind};
use xsfm_readers::movielens::{Film, ITEM, MovieLens, USER};
use xsfm_readers::raw::{RawField, RawRow};
use xsfm_readers::source::Source;

use super::dataset;

/// Writes what a user has not seen in training as rows, with a title for each.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    source: SourceArgs,
}

#[derive(Debug, Subcommand)]
enum SourceArgs {
    /// All films that a user of MovieLens has not rated in the training rows
    Movielens(MovieLensArgs),
}

#[derive(Debug, clap::Args)]
struct MovieLensArgs {
    /// Folder of the raw files
    #[arg(long, value_name = "DIR")]
    source: PathBuf,
    /// Folder that `prepare` wrote
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The user's number in the raw files
    #[arg(long, value_name = "ID")]
    user: String,
    /// One film per line: a TSV of indices; or of any name that ends with .jsonl, raw values, as JSON
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Titles, one film per line, in the same order
    #[arg(long, value_name = "FILE.txt")]
    titles: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// The files cannot be read, training has not seen the user, or the outputs cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let SourceArgs::Movielens(args) = &args.source;
    let source = MovieLens::open(&args.source)?;
    let data = dataset::open(&args.data)?;
    let schema = data.schema();
    let fields = source.fields().iter().map(|f| (&f.name, f.kind));
    if !fields.eq(schema.fields.iter().map(|f| (&f.name, f.kind))) {
        bail!("{}: not the fields of MovieLens", args.data.join(SCHEMA).display());
    }
    let encoders: Vec<Encoder> = schema.fields.iter().map(Field::encoder).collect();
    let user = encoders[USER].index_of(&args.user);
    if user == 0 {
        bail!("user {:?} has no row in {}", args.user, data.path(Part::Train).display());
    }

    let seen = Seen::read(&data, user)?;
    let rated = seen.films(&source, &args.user, &encoders)?;

    let raw_values = args.output.extension().is_some_and(|extension| extension == "jsonl");
    let context = |path: &PathBuf| format!("cannot write {}", path.display());
    let mut rows = Pending::create(&args.output).with_context(|| context(&args.output))?;
    let mut titles = Pending::create(&args.titles).with_context(|| context(&args.titles))?;
    let (mut raw, mut encoded) = (RawRow::default(), RowBlock::new(schema.fields.len(), true));
    for film in source.films() {
        if rated.contains(&film.id) {
            continue;
        }
        if !source.fill(&mut raw, &args.user, film) {
            bail!("user {:?} is not in {}", args.user, args.source.display());
        }
        if raw_values {
            let line = serde_json::to_string(&json(&raw, source.fields()))?;
            writeln!(rows, "{line}").with_context(|| context(&args.output))?;
        } else {
            encoded.clear();
            encode(&raw, &encoders).iter().for_each(|indices| encoded.push_field(indices));
            write_tsv_row(&mut rows, &encoded.row(0)).with_context(|| context(&args.output))?;
        }
        writeln!(titles, "{}", film.title).with_context(|| context(&args.titles))?;
    }
    rows.commit().with_context(|| context(&args.output))?;
    titles.commit().with_context(|| context(&args.titles))
}

/// A row's tokens by the names of its fields; of a bag a list.
fn json(row: &RawRow, fields: &[RawField]) -> Value {
    let value = |(f, field): (usize, &RawField)| {
        let mut tokens: Vec<Value> = row.field(f).map(Value::from).collect();
        let value = if field.kind == FieldKind::Bag { Value::from(tokens) } else { tokens.pop().unwrap_or_default() };
        (field.name.clone(), value)
    };
    Value::Object(fields.iter().enumerate().map(value).collect())
}

/// A row's indices, by field.
type Indices = Vec<Vec<u32>>;

fn encode(row: &RawRow, encoders: &[Encoder]) -> Indices {
    let field = |(f, encoder): (usize, &Encoder)| {
        let mut indices: Vec<u32> = row.field(f).map(|token| encoder.index_of(token)).collect();
        if indices.is_empty() {
            indices.push(0);
        }
        indices
    };
    encoders.iter().enumerate().map(field).collect()
}

/// What a user has rated in the training rows.
#[derive(Debug, Default)]
struct Seen {
    /// Films that training knows.
    known: HashSet<u32>,
    /// How often each row of another film is there.
    unknown: HashMap<(u8, Indices), u64>,
}

impl Seen {
    fn read(data: &Dataset, user: u32) -> Result<Self> {
        let mut seen = Seen::default();
        let mut reader = data.rows(Part::Train)?;
        let num_fields = reader.columns().len();
        for block in reader.blocks() {
            let block = block?;
            for i in 0..block.len() {
                let row = block.row(i);
                if row.field(USER) != Some(&[user]) {
                    continue;
                }
                let indices = |f: usize| row.field(f).unwrap_or_default().to_vec();
                match indices(ITEM)[..] {
                    [0] | [] => {
                        let key = (block.label(i).unwrap_or_default(), (0..num_fields).map(indices).collect());
                        *seen.unknown.entry(key).or_default() += 1;
                    }
                    _ => seen.known.extend(indices(ITEM)),
                }
            }
        }
        Ok(seen)
    }

    /// Numbers of the films, as the raw files have them.
    fn films(mut self, source: &MovieLens, user: &str, encoders: &[Encoder]) -> Result<HashSet<String>> {
        let is_known = |film: &&Film| self.known.contains(&encoders[ITEM].index_of(&film.id));
        let mut films: HashSet<String> = source.films().iter().filter(is_known).map(|film| film.id.clone()).collect();
        if self.unknown.is_empty() {
            return Ok(films);
        }
        let mut row = RawRow::default();
        for block in source.blocks(&ProgressBar::hidden()) {
            let block = block?;
            for i in 0..block.rows() {
                row.clear();
                // What is malformed was left out of the training rows too.
                if block.fill(i, &mut row).is_err() || row.field(USER).next() != Some(user) {
                    continue;
                }
                if let Some(left) = self.unknown.get_mut(&(row.label, encode(&row, encoders))).filter(|n| **n > 0) {
                    *left -= 1;
                    films.extend(row.field(ITEM).map(str::to_owned));
                }
            }
        }
        Ok(films)
    }
}

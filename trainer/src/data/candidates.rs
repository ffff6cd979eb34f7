//! `xsfm-train candidates`: the films that a user might be shown, as rows to rank.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use xsfm_interchange::atomic::Pending;
use xsfm_interchange::dataset::{Part, SCHEMA};
use xsfm_interchange::rows::{RowBlock, write_tsv_row};
use xsfm_interchange::schema::{Encoder, Field};

use super::dataset;
use super::movielens::{ITEM, MovieLens, USER};
use super::source::{RawRow, Source};

/// Writes what a user has not seen in training as rows of indices, with a title for each.
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
    /// Rows of indices, one film per line
    #[arg(short, long, value_name = "FILE.tsv")]
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

    let mut reader = data.rows(Part::Train)?;
    let mut rated = HashSet::<u32>::new();
    for block in reader.blocks() {
        let block = block?;
        for i in 0..block.len() {
            let row = block.row(i);
            if row.field(USER) == Some(&[user]) {
                rated.extend(row.field(ITEM).unwrap_or_default());
            }
        }
    }

    let context = |path: &PathBuf| format!("cannot write {}", path.display());
    let mut rows = Pending::create(&args.output).with_context(|| context(&args.output))?;
    let mut titles = Pending::create(&args.titles).with_context(|| context(&args.titles))?;
    let (mut raw, mut encoded) = (RawRow::default(), RowBlock::new(schema.fields.len(), true));
    for film in source.films() {
        if rated.contains(&encoders[ITEM].index_of(&film.id)) {
            continue;
        }
        if !source.fill(&mut raw, &args.user, film) {
            bail!("user {:?} is not in {}", args.user, args.source.display());
        }
        encoded.clear();
        for (f, encoder) in encoders.iter().enumerate() {
            let mut indices: Vec<u32> = raw.field(f).map(|token| encoder.index_of(token)).collect();
            if indices.is_empty() {
                indices.push(0);
            }
            encoded.push_field(&indices);
        }
        write_tsv_row(&mut rows, &encoded.row(0)).with_context(|| context(&args.output))?;
        writeln!(titles, "{}", film.title).with_context(|| context(&args.titles))?;
    }
    rows.commit().with_context(|| context(&args.output))?;
    titles.commit().with_context(|| context(&args.titles))
}

//! `xsfm-train prepare`: the command line.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;
use xsfm_interchange::dataset::SCHEMA;
use xsfm_interchange::output;
use xsfm_interchange::schema::Schema;
use xsfm_readers::criteo::Criteo;
use xsfm_readers::csv::CsvSource;
use xsfm_readers::description::SCHEMA_HELP;
use xsfm_readers::files::Files;
use xsfm_readers::hashed::Hashed;
use xsfm_readers::json::JsonSource;
use xsfm_readers::libffm::Libffm;
use xsfm_readers::movielens::MovieLens;
use xsfm_readers::parquet::ParquetSource;
use xsfm_readers::pass::Reading;
use xsfm_readers::reading::ReadingArgs;
use xsfm_readers::recsys::{Engagement, RecSys};
use xsfm_readers::source::Source;

use super::prepare::prepare_after;
use super::report::Report;
use super::split::{Shares, Split, SplitArgs, SplitKind};

/// Encodes a raw data set: writes schema.json, train.arrow, valid.arrow, test.arrow, and prepare.json with what was
/// counted.
///
/// Vocabularies come from the training rows alone; what training did not see often enough is encoded as index 0. An
/// empty value is a token of its own. Rows are streamed in two passes on all cores; the outputs do not depend on the
/// number of cores. A run that was interrupted while encoding begins there when it is repeated. Files of text may be
/// gzip. Where rows come in several files, those of a folder or pattern are read in the order of their names, in which
/// numbers count as numbers (day_2 before day_10); names that begin with a dot or `_` are passed over.
///
/// Malformed rows are left out, counted and shown; where they are more than --max-bad of all rows, or with --strict at
/// the first, the program ends and writes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    source: SourceArgs,
}

#[derive(Debug, Subcommand)]
enum SourceArgs {
    /// Criteo Display Advertising Challenge: train.txt of Kaggle, also gzip
    ///
    /// Label, 13 integers, 26 categories as hexadecimal digits, separated by tabs, without a header. An integer v <= 2
    /// is its own token, a larger one that of floor(ln(v)^2). Split by default like this: the first 85 % of the rows
    /// for training, 7.5 % for validation, the last 7.5 % for test.
    Criteo {
        /// train.txt or train.txt.gz; or its parts: several files, a folder, or a pattern ('day_*.gz')
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        source: Vec<PathBuf>,
        /// A value that is in fewer training rows shares its field's out-of-vocabulary row
        #[arg(long, default_value_t = 10)]
        min_count: u64,
        #[command(flatten)]
        hash: HashArgs,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// RecSys Challenge 2020: tweets of Twitter, also gzip
    ///
    /// 24 columns separated by the byte 1, lists inside by tabs, without a header. Fields: hashtags, media, links,
    /// domains (bags), tweet_type, language, hour and weekday (UTC), and for author and reader id, followers,
    /// following, verified and days since the account was made (counts like Criteo's), author_follows_reader.
    /// Chronological by default.
    #[command(name = "recsys2020")]
    Recsys {
        /// training.tsv or training.tsv.gz; or its parts: several files, a folder, or a pattern ('day_*.gz')
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        source: Vec<PathBuf>,
        /// What counts as a click; `all` makes four folders in --out, one for each
        #[arg(long, value_enum)]
        label: Label,
        /// A value that is in fewer training rows shares its field's out-of-vocabulary row
        #[arg(long, default_value_t = 10)]
        min_count: u64,
        #[command(flatten)]
        hash: HashArgs,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Avazu Click-Through Rate Prediction: train.csv of Kaggle, also gzip
    ///
    /// All columns but `id` are fields; `hour` becomes the hour of the day, and orders a chronological split.
    Avazu {
        /// train.csv or train.csv.gz; or its parts: several files, a folder, or a pattern ('day_*.gz')
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        source: Vec<PathBuf>,
        /// A value that is in fewer training rows shares its field's out-of-vocabulary row
        #[arg(long, default_value_t = 5)]
        min_count: u64,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// MovieLens-100K or 1M; a rating of 4 or more counts as a click
    ///
    /// Reads RecBole's files (ml-100k.inter, .user, .item) or GroupLens' (u.data, u.user, u.item; ratings.dat,
    /// users.dat, movies.dat). Fields: user, item, age, gender, occupation, release_year, genres (a bag).
    Movielens {
        /// Folder of the raw files
        #[arg(long, value_name = "DIR")]
        source: PathBuf,
        #[command(flatten)]
        hash: HashArgs,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Lines of libffm: label field:feature:value …, also gzip
    ///
    /// The label is 1, or 0 or -1. A field is a bag of features, each with its value as a weight, from -7.9998 to
    /// 7.9998 in steps of 2^-12; what a line does not have adds nothing. The files are read once more, for their
    /// fields.
    Libffm {
        /// The rows: a file; or its parts: several files, a folder, or a pattern ('day_*.gz')
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        source: Vec<PathBuf>,
        /// A feature that is in fewer training rows shares its field's out-of-vocabulary row
        #[arg(long, default_value_t = 1)]
        min_count: u64,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Any CSV or TSV, described by a small TOML file; also gzip
    #[command(after_long_help = SCHEMA_HELP)]
    Csv {
        /// The rows: a file; or its parts: several files, a folder, or a pattern ('day_*.gz')
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        input: Vec<PathBuf>,
        /// What the columns are; `--help` shows one
        #[arg(long, value_name = "SCHEMA.toml")]
        schema: PathBuf,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Any Parquet file, described by a small TOML file: columns by name, lists as bags
    #[command(after_long_help = SCHEMA_HELP)]
    Parquet {
        /// The rows: a file; or its parts: several files, a folder, or a pattern ('day_*.gz')
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        input: Vec<PathBuf>,
        /// What the columns are; `--help` shows one
        #[arg(long, value_name = "SCHEMA.toml")]
        schema: PathBuf,
        #[command(flatten)]
        common: CommonArgs,
    },
    /// Any JSON lines (an object a line), described by a small TOML file: columns by name, lists as bags; also gzip
    #[command(after_long_help = SCHEMA_HELP)]
    Json {
        /// The rows: a file; or its parts: several files, a folder, or a pattern ('day_*.gz')
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        input: Vec<PathBuf>,
        /// What the columns are; `--help` shows one
        #[arg(long, value_name = "SCHEMA.toml")]
        schema: PathBuf,
        #[command(flatten)]
        common: CommonArgs,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Label {
    Reply,
    Retweet,
    RetweetWithComment,
    Like,
    All,
}

#[derive(Debug, clap::Args)]
struct HashArgs {
    /// Hash the tokens of a field to so many buckets, in place of a vocabulary; may be given several times. In a
    /// description it is `buckets`
    #[arg(long, value_name = "FIELD=BUCKETS", value_parser = buckets)]
    hash: Vec<(String, u32)>,
    /// Let the tokens of a field that have no index of their own share so many buckets by their hash, in place of the
    /// out-of-vocabulary row; may be given several times. In a description it is `buckets` beside `min_count`
    #[arg(long, value_name = "FIELD=BUCKETS", value_parser = buckets)]
    oov_buckets: Vec<(String, u32)>,
}

impl HashArgs {
    fn over<S: Source>(&self, source: S) -> Result<Hashed<S>> {
        Ok(Hashed::new(source, &self.hash, &self.oov_buckets)?)
    }
}

fn buckets(text: &str) -> Result<(String, u32), String> {
    let (field, buckets) = text.split_once('=').ok_or("FIELD=BUCKETS expected")?;
    let buckets = buckets.parse().map_err(|_| format!("{buckets:?} is no number of buckets"))?;
    Ok((field.to_owned(), buckets))
}

#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of a data set that was prepared before, of the same fields: its tokens keep their indices, whether
    /// these rows have them or not, new ones come behind, and numbers keep their bounds. A model of it goes on with
    /// `train --from CHECKPOINT --map-tokens`
    #[arg(long, value_name = "DIR")]
    extend: Option<PathBuf>,
    #[command(flatten)]
    split: SplitArgs,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// A data set and how it is prepared.
pub(super) struct Task {
    pub(super) source: Box<dyn Source>,
    pub(super) split: Split,
    pub(super) reading: Reading,
    /// Whose vocabularies go on.
    pub(super) before: Option<Schema>,
    pub(super) out: PathBuf,
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The source cannot be read, or the outputs cannot be written; the outputs are then as before.
pub fn run(args: &Args) -> Result<()> {
    args.tasks(None)?.iter().try_for_each(Task::run)
}

impl Args {
    /// What is to be prepared, one after another. `fields`: those of libffm, where they are known.
    ///
    /// # Errors
    /// The source cannot be read, or flags do not go together.
    pub(super) fn tasks(&self, fields: Option<&[String]>) -> Result<Vec<Task>> {
        let eight_one_one = (SplitKind::Random, Shares::default());
        let task = match &self.source {
            SourceArgs::Criteo { source, min_count, hash, common } => {
                let usual = (SplitKind::Chronological, Shares { valid: 75, test: 75 });
                let criteo = Criteo::new(Files::find(source)?, *min_count);
                common.task(hash.over(criteo)?, usual, &common.out)
            }
            SourceArgs::Recsys { source, label, min_count, hash, common } => {
                let files = Files::find(source)?;
                let task = |engagement, out: &Path| {
                    let usual = (SplitKind::Chronological, Shares::default());
                    let rows = RecSys::new(files.clone(), engagement, *min_count);
                    common.task(hash.over(rows)?, usual, out)
                };
                let engagement = match label {
                    Label::Reply => Engagement::Reply,
                    Label::Retweet => Engagement::Retweet,
                    Label::RetweetWithComment => Engagement::RetweetWithComment,
                    Label::Like => Engagement::Like,
                    Label::All => {
                        return Engagement::ALL.into_iter().map(|e| task(e, &common.out.join(e.name()))).collect();
                    }
                };
                task(engagement, &common.out)
            }
            SourceArgs::Avazu { source, min_count, common } => {
                common.task(CsvSource::avazu(Files::find(source)?, *min_count)?, eight_one_one, &common.out)
            }
            SourceArgs::Movielens { source, hash, common } => {
                common.task(hash.over(MovieLens::open(source)?)?, eight_one_one, &common.out)
            }
            SourceArgs::Libffm { source, min_count, common } => {
                let files = Files::find(source)?;
                let rows = match fields {
                    Some(fields) => Libffm::of_fields(files, fields.to_vec(), *min_count),
                    None => Libffm::open(files, *min_count)?,
                };
                common.task(rows, eight_one_one, &common.out)
            }
            SourceArgs::Csv { input, schema, common } => {
                common.task(CsvSource::open(Files::find(input)?, schema)?, eight_one_one, &common.out)
            }
            SourceArgs::Parquet { input, schema, common } => {
                common.task(ParquetSource::open(Files::find(input)?, schema)?, eight_one_one, &common.out)
            }
            SourceArgs::Json { input, schema, common } => {
                common.task(JsonSource::open(Files::find(input)?, schema)?, eight_one_one, &common.out)
            }
        };
        Ok(vec![task?])
    }
}

impl CommonArgs {
    fn task(&self, source: impl Source + 'static, (kind, shares): (SplitKind, Shares), out: &Path) -> Result<Task> {
        Ok(Task {
            source: Box::new(source),
            split: self.split.split(kind, shares)?,
            reading: self.reading.reading(),
            before: self.extend.as_deref().map(|folder| Schema::load(&folder.join(SCHEMA))).transpose()?,
            out: out.to_owned(),
            json: self.json,
        })
    }
}

impl Task {
    fn run(&self) -> Result<()> {
        let Task { source, split, reading, before, out, .. } = self;
        self.show(&prepare_after(&**source, split, *reading, before.as_ref(), out)?)
    }

    /// Shows what was prepared.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn show(&self, report: &Report) -> Result<()> {
        if self.json {
            output::json(report)?;
        } else {
            output::stream(|stdout| report.print(stdout))?;
        }
        for warning in &report.warnings {
            output::say(format_args!("warning: {warning}"));
        }
        for example in &report.malformed_examples {
            output::say(format_args!("malformed: {example}"));
        }
        Ok(())
    }
}

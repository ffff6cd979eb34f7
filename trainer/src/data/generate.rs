//! `xsfm-train generate`: raw rows whose truth is known, in Criteo's layout or as a click log.

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use serde::Serialize;
use xsfm_interchange::atomic::{self, Pending};
use xsfm_interchange::bucket;
use xsfm_interchange::metrics::Metrics;
use xsfm_interchange::output;
use xsfm_readers::criteo::NUMERIC_FIELDS;
use xsfm_readers::parallel::in_order;
use xsfm_readers::pass::Reading;
use xxhash_rust::xxh3::Xxh3Default;

use super::clicks::{Clicks, HEADER};
use super::planted::{Change, Planted, probability};

/// Features of C1 to C26 in Criteo's rows, those of ten rows and more; with 13 fields of about 60 they add up to
/// 1,086,810.
const CRITEO_SIZES: [u32; 26] = [
    1458, 556, 245_197, 166_166, 306, 20, 12_055, 634, 4, 46_330, 5229, 243_454, 3177, 27, 11_745, 225_322, 11, 4727,
    2058, 5, 238_640, 18, 16, 67_856, 89, 50_942,
];
/// Rows that a thread makes at a time.
const BLOCK_ROWS: u64 = 4096;
/// Tokens of a numeric field below its buckets.
const SMALL_VALUES: [&str; 5] = ["", "0", "1", "2", "-1"];

/// Names of the files in an output folder.
pub mod file {
    /// The rows: label, numbers, categories, separated by tabs.
    pub const ROWS: &str = "rows.tsv";
    /// The rows of a click log, with a header.
    pub const CLICKS: &str = "clicks.csv";
    /// The truth's logit of each row, a line each.
    pub const LOGITS: &str = "logits.txt";
    /// What the columns are, for `prepare csv`.
    pub const SCHEMA: &str = "schema.toml";
    /// What the rows were made from, and how well their truth predicts them.
    pub const TRUTH: &str = "truth.json";
}

/// Writes rows of a planted DeepFwFM: what a model can learn from them at best is known.
///
/// Labels are drawn with the truth's probabilities, features of a field by Zipf's law. Writes rows.tsv in Criteo's
/// layout (label, numbers, categories as hexadecimal digits), logits.txt with the truth's logit of each row, truth.json
/// with its AUC and LogLoss, and schema.toml for `prepare csv`. `prepare criteo` reads rows.tsv where the numbers of
/// fields are Criteo's, as they are by default. The same seed gives the same files.
///
/// With --csv the rows are a click log to learn with, clicks.csv: time, user, item, genres, price, city, device, click.
/// `describe` writes its schema.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Number of rows; about 250 bytes each with Criteo's fields, 80 of a click log
    #[arg(long, value_name = "N")]
    pub rows: u64,
    /// A click log: names, genres, prices, and times of four weeks
    #[arg(long, conflicts_with_all = ["numeric", "numeric_size", "categories"])]
    pub csv: bool,
    /// Seed of truth, rows and labels
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of numeric fields
    #[arg(long, value_name = "N", default_value_t = NUMERIC_FIELDS)]
    pub numeric: usize,
    /// Tokens of a numeric field, at most 1000: the empty one, small numbers, buckets
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub numeric_size: u32,
    /// Number of features of each categorical field, separated by commas [default: those of Criteo's 26]
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    #[arg(default_values_t = CRITEO_SIZES, hide_default_value = true)]
    pub categories: Vec<u32>,
    /// Standard deviation of the truth's logits: the larger, the easier clicks are to predict
    #[arg(long, default_value_t = 1.5)]
    pub strength: f64,
    /// Share of clicks
    #[arg(long, default_value_t = 0.25)]
    pub click_rate: f64,
    /// How far the truth drifts over the rows: 1 less the correlation of a feature's numbers at the end with those at
    /// the beginning, 0 to 2
    #[arg(long, default_value_t = 0.0, conflicts_with = "csv")]
    pub drift: f64,
    /// How often each token of a category gives way to a new one over the rows, at a time of its own
    #[arg(long, default_value_t = 0.0, conflicts_with = "csv")]
    pub turnover: f64,
    /// Number of threads; the rows do not depend on it [default: one for each core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// `truth.json`.
#[derive(Serialize)]
struct Truth<'a> {
    seed: u64,
    /// Of rows in Criteo's layout.
    #[serde(flatten)]
    sizes: Option<Sizes<'a>>,
    strength: f64,
    click_rate: f64,
    /// Of the truth's logits on all rows.
    metrics: Metrics,
    /// XXH3 (64 bits) of the bytes of the rows' file: which rows the logits belong to.
    rows: String,
}

#[derive(Serialize)]
struct Sizes<'a> {
    numeric: usize,
    numeric_size: u32,
    categories: &'a [u32],
    drift: f64,
    turnover: f64,
}

/// What rows are drawn from.
enum Source {
    Criteo(Planted),
    Clicks(Clicks),
}

/// Rows of one block.
#[derive(Default)]
struct Block {
    text: Vec<u8>,
    labels: Vec<u8>,
    logits: Vec<f64>,
}

impl Args {
    fn check(&self) -> Result<()> {
        let numeric = if self.numeric > 0 { self.numeric_size } else { 1 };
        if self.rows == 0 || self.numeric + self.categories.len() == 0 {
            bail!("--rows {}, and {} fields: at least one of each", self.rows, self.numeric + self.categories.len());
        }
        if !(1..=1000).contains(&numeric) {
            bail!("--numeric-size is {numeric}; it is 1 to 1000");
        }
        if self.categories.contains(&0) {
            bail!("--categories has a field without features");
        }
        if !(self.strength >= 0.0 && self.strength <= 100.0) {
            bail!("--strength is {}; it is 0 to 100", self.strength);
        }
        if !(self.drift >= 0.0 && self.drift <= 2.0) {
            bail!("--drift is {}; it is 0 to 2", self.drift);
        }
        if !(self.turnover >= 0.0 && self.turnover <= 1000.0) {
            bail!("--turnover is {}; it is 0 to 1000", self.turnover);
        }
        if !(self.click_rate > 0.0 && self.click_rate < 1.0) {
            bail!("--click-rate is {}; it is between 0 and 1", self.click_rate);
        }
        Ok(())
    }

    fn source(&self) -> Source {
        if self.csv {
            return Source::Clicks(Clicks::new(self.seed, self.strength, self.click_rate));
        }
        let numeric = std::iter::repeat_n(self.numeric_size, self.numeric);
        let sizes = numeric.chain(self.categories.iter().copied()).collect();
        let change = Change { drift: self.drift, turnover: self.turnover, first_field: self.numeric };
        Source::Criteo(Planted::new(self.seed, sizes, self.strength, self.click_rate).changing(change))
    }

    /// The rows `numbers`, whose random numbers are those of block `block`.
    fn block(&self, source: &Source, block: u64, numbers: Range<u64>) -> Block {
        match source {
            Source::Criteo(planted) => self.criteo(planted, block, numbers),
            Source::Clicks(clicks) => self.clicks(clicks, block, numbers),
        }
    }

    fn clicks(&self, clicks: &Clicks, block: u64, numbers: Range<u64>) -> Block {
        let mut random = clicks.random(block);
        let mut made = Block::default();
        for number in numbers {
            let (text, logit) = clicks.draw(&mut random, number, self.rows);
            // As it is written: with the precision of an f32.
            let logit = f64::from(logit as f32);
            let label = u8::from(random.random::<f64>() < probability(logit));
            made.text.extend(text.bytes().chain([b',', b'0' + label, b'\n']));
            made.labels.push(label);
            made.logits.push(logit);
        }
        made
    }

    fn criteo(&self, planted: &Planted, block: u64, numbers: Range<u64>) -> Block {
        let mut random = planted.random(block);
        let mut indices = vec![0; planted.num_fields()];
        let mut made = Block::default();
        for number in numbers {
            let time = number as f64 / self.rows as f64;
            planted.draw(&mut random, &mut indices);
            planted.turn_over(time, &mut indices);
            let logit = f64::from(planted.logit(time, &indices) as f32);
            let label = u8::from(random.random::<f64>() < probability(logit));
            made.text.push(b'0' + label);
            for (f, &index) in indices.iter().enumerate() {
                made.text.push(b'\t');
                if f < self.numeric {
                    push_number(&mut made.text, index as usize, &mut random);
                } else if index > 0 {
                    push_category(&mut made.text, f as u32, index);
                }
            }
            made.text.push(b'\n');
            made.labels.push(label);
            made.logits.push(logit);
        }
        made
    }

    fn schema(&self) -> String {
        let mut text =
            "delimiter = \"\\t\"\nheader = false\nmin_count = 1\n\nlabel = { column = 0 }\n\nfields = [\n".to_owned();
        let numeric = (1..=self.numeric).map(|i| (format!("I{i}"), "numeric"));
        let categorical = (1..=self.categories.len()).map(|i| (format!("C{i}"), "categorical"));
        for (column, (name, kind)) in (1..).zip(numeric.chain(categorical)) {
            text += &format!("  {{ name = \"{name}\", column = {column}, kind = \"{kind}\" }},\n");
        }
        text + "]\n"
    }
}

/// A number whose token is the one of this index.
fn push_number(text: &mut Vec<u8>, index: usize, random: &mut Xoshiro256PlusPlus) {
    match SMALL_VALUES.get(index) {
        Some(value) => text.extend(value.bytes()),
        None => {
            let values = bucket::values(index + 1 - SMALL_VALUES.len()).unwrap_or(3..4);
            text.extend(random.random_range(values).to_string().bytes());
        }
    }
}

/// 32 bits that no other index of the field has, as hexadecimal digits.
fn push_category(text: &mut Vec<u8>, field: u32, index: u32) {
    let bits = index.wrapping_mul(0x9e37_79b1) ^ field.wrapping_mul(0x85eb_ca77);
    text.extend((0..8).rev().map(|digit| b"0123456789abcdef"[(bits >> (4 * digit) & 15) as usize]));
}

/// Runs the command.
///
/// # Errors
/// Settings out of range; files that cannot be written.
pub fn run(args: &Args) -> Result<()> {
    args.check()?;
    let source = args.source();
    let context = |path: &Path| format!("cannot write {}", path.display());
    let rows_name = if args.csv { file::CLICKS } else { file::ROWS };
    let [rows_path, logits_path, schema_path, truth_path] =
        [rows_name, file::LOGITS, file::SCHEMA, file::TRUTH].map(|name| args.out.join(name));
    let mut hash = Xxh3Default::new();
    let mut rows = Pending::create(&rows_path).with_context(|| context(&rows_path))?;
    let mut logits_file = Pending::create(&logits_path).with_context(|| context(&logits_path))?;

    let bar = ProgressBar::new(args.rows);
    if let Ok(style) = ProgressStyle::with_template("generating {bar:30} {human_pos}/{human_len} rows, {eta} left") {
        bar.set_style(style);
    }
    if args.csv {
        let header = format!("{HEADER}\n");
        hash.update(header.as_bytes());
        rows.write_all(header.as_bytes()).with_context(|| context(&rows_path))?;
    }
    let (mut labels, mut logits) = (Vec::new(), Vec::new());
    let blocks = (0..args.rows.div_ceil(BLOCK_ROWS)).map(Ok);
    let make = |block| args.block(&source, block, block * BLOCK_ROWS..args.rows.min((block + 1) * BLOCK_ROWS));
    in_order(args.threads.unwrap_or(Reading::default().threads), blocks, make, |block| {
        hash.update(&block.text);
        rows.write_all(&block.text).with_context(|| context(&rows_path))?;
        for &logit in &block.logits {
            writeln!(logits_file, "{}", logit as f32).with_context(|| context(&logits_path))?;
        }
        bar.inc(block.labels.len() as u64);
        labels.extend(block.labels);
        logits.extend(block.logits);
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();

    let metrics = Metrics::from_logits(&labels, &logits)?;
    let &Args { seed, numeric, numeric_size, ref categories, drift, turnover, strength, click_rate, .. } = args;
    let sizes = (!args.csv).then_some(Sizes { numeric, numeric_size, categories, drift, turnover });
    let truth = Truth { seed, sizes, strength, click_rate, metrics, rows: format!("{:016x}", hash.digest()) };
    let truth = serde_json::to_string_pretty(&truth)? + "\n";
    rows.commit().with_context(|| context(&rows_path))?;
    logits_file.commit().with_context(|| context(&logits_path))?;
    if !args.csv {
        atomic::write(&schema_path, |output| output.write_all(args.schema().as_bytes()))
            .with_context(|| context(&schema_path))?;
    }
    atomic::write(&truth_path, |output| output.write_all(truth.as_bytes())).with_context(|| context(&truth_path))?;
    let auc = metrics.auc.map_or("undefined".to_owned(), |auc| format!("{auc:.5}"));
    output::line(format_args!(
        "{} rows, {} clicks; the truth's AUC {auc}, LogLoss {:.5}",
        metrics.rows, metrics.positives, metrics.log_loss
    ))?;
    Ok(())
}

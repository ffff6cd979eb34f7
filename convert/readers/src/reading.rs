//! How rows are read, on a command line.

use clap::builder::RangedU64ValueParser;

use crate::pass::Reading;

/// Flags of all commands that read raw rows.
#[derive(Debug, clap::Args)]
pub struct ReadingArgs {
    /// End at the first malformed row
    #[arg(long)]
    strict: bool,
    /// End where more than this share of the rows is malformed
    #[arg(long, value_name = "SHARE", default_value_t = Reading::default().max_bad, value_parser = share)]
    max_bad: f64,
    /// Number of threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
}

impl ReadingArgs {
    /// What they say.
    pub fn reading(&self) -> Reading {
        let usual = Reading::default();
        Reading { strict: self.strict, max_bad: self.max_bad, threads: self.threads.unwrap_or(usual.threads) }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    value.ok_or_else(|| "a number from 0 to 1 expected, for example 0.01".to_owned())
}

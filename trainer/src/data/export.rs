//! `xsfm-train rows`: encoded rows as text.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xsfm_interchange::atomic::Pending;
use xsfm_interchange::rows::{RowsReader, write_tsv_row};

/// Writes the rows of an Arrow file as a TSV of indices, without the labels.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Encoded rows, as `prepare` writes them
    #[arg(long, value_name = "FILE.arrow")]
    data: PathBuf,
    /// Stop after this many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Where to write: a tab between fields, `|` inside a bag
    #[arg(short, long, value_name = "FILE.tsv")]
    output: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// The rows cannot be read, or the output cannot be written; it is then untouched.
pub fn run(args: &Args) -> Result<()> {
    let mut reader = RowsReader::open(&args.data)?;
    let context = || format!("cannot write {}", args.output.display());
    let mut output = Pending::create(&args.output).with_context(context)?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    for block in reader.blocks() {
        let block = block?;
        for i in 0..block.len() {
            if left == 0 {
                break;
            }
            write_tsv_row(&mut output, &block.row(i)).with_context(context)?;
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    output.commit().with_context(context)
}

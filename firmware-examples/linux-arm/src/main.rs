//! Scores rows of indices with a packed model, on ARM Linux or any other: `scorer MODEL.xsfm ROWS.tsv [--bits]`.
//!
//! Prints `logit<TAB>probability` per row, with enough digits to restore the f32 bits, or the bits themselves in hexadecimal.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;
use std::{env, fs, io};

use xsfm_runtime::{Model, Row, Scorer, ScratchBlock};
use zerocopy::IntoBytes;

const USAGE: &str = "usage: scorer MODEL.xsfm ROWS.tsv [--bits]

ROWS.tsv: one row of integer indices per line, tab between fields, | inside a bag.
Prints logit<TAB>probability per row; with --bits, their IEEE-754 bits in hexadecimal.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (model, rows, bits) = match arguments[..] {
        [model, rows] => (model, rows, false),
        [model, rows, "--bits"] | ["--bits", model, rows] => (model, rows, true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(model, rows, bits) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scorer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(model_path: &str, rows_path: &str, bits: bool) -> Result<(), Box<dyn Error>> {
    let bytes = fs::read(model_path).map_err(|error| format!("{model_path}: {error}"))?;
    // A vector's bytes may lie anywhere; a scratch block's are where the runtime wants them.
    let mut blocks = vec![ScratchBlock::ZERO; bytes.len().div_ceil(ScratchBlock::LEN)];
    blocks.as_mut_bytes()[..bytes.len()].copy_from_slice(&bytes);
    let model =
        Model::from_bytes(&blocks.as_bytes()[..bytes.len()]).map_err(|error| format!("{model_path}: {error}"))?;
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch)?;

    let rows = BufReader::new(File::open(rows_path).map_err(|error| format!("{rows_path}: {error}"))?);
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut indices, mut offsets) = (Vec::new(), Vec::new());
    for (number, line) in rows.lines().enumerate() {
        let at = |error: &dyn std::fmt::Display| format!("{rows_path}:{}: {error}", number + 1);
        let line = line.map_err(|error| at(&error))?;
        indices.clear();
        offsets.clear();
        offsets.push(0);
        for field in line.split('\t') {
            for index in field.split('|') {
                indices.push(index.parse::<u32>().map_err(|error| at(&format_args!("{index:?}: {error}")))?);
            }
            offsets.push(indices.len() as u32);
        }
        let score = scorer.score(Row::with_bags(&indices, &offsets)).map_err(|error| at(&error))?;
        let (logit, probability) = (score.logit, score.probability());
        if bits {
            writeln!(out, "{:08x}\t{:08x}", logit.to_bits(), probability.to_bits())?;
        } else {
            writeln!(out, "{logit:?}\t{probability:?}")?;
        }
    }
    Ok(out.flush()?)
}

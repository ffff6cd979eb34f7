//! `scorer MODEL.xsfm ROWS.tsv [--bits]`: the score of each row, as text or as the bits of logit and probability.
//!
//! All that a program on a board needs: the model's bytes at a multiple of 64, and scratch as large as the model says.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use example_input::{ModelBytes, Rows};
use xsfm_runtime::{Model, Scorer, ScratchBlock};

const USAGE: &str = "\
usage: scorer MODEL.xsfm ROWS.tsv [--bits]

Prints `logit<TAB>probability` of every row; with --bits, the bits of both f32 in hexadecimal.
ROWS.tsv has one row of integer indices per line, a tab between fields, `|` inside a bag.";

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scorer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (model_path, rows_path, bits) = match arguments {
        [model, rows] => (model, rows, false),
        [model, rows, bits] if bits == "--bits" => (model, rows, true),
        _ => return Err(USAGE.into()),
    };
    let at = |path: &str, error: &dyn Error| format!("{path}: {error}");
    let bytes = ModelBytes::read(Path::new(model_path)).map_err(|e| at(model_path, &e))?;
    let text = fs::read_to_string(rows_path).map_err(|e| at(rows_path, &e))?;

    let model = Model::from_bytes(&bytes).map_err(|e| at(model_path, &e))?;
    let rows = Rows::parse(&text, model.num_fields()).map_err(|e| at(rows_path, &e))?;
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch)?;

    let mut out = BufWriter::new(io::stdout().lock());
    for (number, row) in rows.iter().enumerate() {
        let score = scorer.score(row).map_err(|e| format!("{rows_path}: line {}: {e}", number + 1))?;
        let (logit, probability) = (score.logit, score.probability());
        if bits {
            writeln!(out, "{:08x}\t{:08x}", logit.to_bits(), probability.to_bits())?;
        } else {
            writeln!(out, "{logit}\t{probability}")?;
        }
    }
    Ok(out.flush()?)
}

//! `scorer MODEL.xsfm ROWS.tsv`: the score of each row, or how long scores take.
//!
//! All that a program on a board needs: the model's bytes at a multiple of 64, and memory as large as the model says.

mod bench;

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use bench::Times;
use example_input::{ModelBytes, Rows};
use xsfm_runtime::{Backend, LoadOptions, Model, Row, Scorer, ScratchBlock};

const USAGE: &str = "\
usage: scorer MODEL.xsfm ROWS.tsv [--raw] [--bits | --bench] [--backend NAME]

Prints `logit<TAB>probability` of every row; with --bits, the bits of both f32 in hexadecimal; with --bench, percentiles
of the time that scoring one row takes. --backend names the instructions, the fastest that this CPU has by default.
ROWS.tsv has one row of integer indices per line, a tab between fields, `|` inside a bag; with --raw, raw values as the
training data have them, in the model's order of fields: the file must have its vocabulary.";

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Text,
    Bits,
    Bench,
}

/// The command line.
#[derive(Debug)]
struct Options<'a> {
    model: &'a str,
    rows: &'a str,
    /// Whether they are raw values.
    raw: bool,
    output: Output,
    backend: Backend,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match Options::parse(&arguments).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Errors of files are texts by now: what is left is standard output's.
            let of_output = error.downcast_ref::<io::Error>();
            // Whoever read it has had enough: `scorer … | head`.
            if of_output.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                return ExitCode::SUCCESS;
            }
            let what = if of_output.is_some() { "standard output: " } else { "" };
            // Nothing to be done where standard error is closed.
            let _ = writeln!(io::stderr(), "scorer: {what}{error}");
            ExitCode::FAILURE
        }
    }
}

impl<'a> Options<'a> {
    fn parse(arguments: &'a [String]) -> Result<Self, Box<dyn Error>> {
        let [model, rows, flags @ ..] = arguments else { return Err(USAGE.into()) };
        let mut options = Options { model, rows, raw: false, output: Output::Text, backend: Backend::detect() };
        let mut flags = flags.iter().map(String::as_str);
        while let Some(flag) = flags.next() {
            match flag {
                "--bits" if options.output == Output::Text => options.output = Output::Bits,
                "--bench" if options.output == Output::Text => options.output = Output::Bench,
                "--raw" => options.raw = true,
                "--backend" => options.backend = backend(flags.next().ok_or(USAGE)?)?,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }
}

fn backend(name: &str) -> Result<Backend, String> {
    let found = Backend::ALL.into_iter().find(|backend| backend.name() == name && backend.is_available());
    found.ok_or_else(|| {
        let names: Vec<_> =
            Backend::ALL.into_iter().filter(|backend| backend.is_available()).map(Backend::name).collect();
        format!("no back end {name:?} on this CPU, but {}", names.join(", "))
    })
}

fn run(options: &Options<'_>) -> Result<(), Box<dyn Error>> {
    let at = |path: &str, error: &dyn Error| format!("{path}: {error}");
    let bytes = ModelBytes::read(Path::new(options.model)).map_err(|e| at(options.model, &e))?;
    let text = fs::read_to_string(options.rows).map_err(|e| at(options.rows, &e))?;

    let model = Model::from_bytes_with(&bytes, LoadOptions::on(options.backend)).map_err(|e| at(options.model, &e))?;
    // A copy of the layers as vector instructions want them; nothing where the file has them so.
    let mut memory = vec![ScratchBlock::ZERO; model.prepared_blocks()];
    let model = model.prepare(&mut memory)?;
    let rows = if options.raw {
        let encoder = model.encoder().map_err(|e| at(options.model, &e))?;
        let encoder = encoder.ok_or_else(|| format!("{}: packed without its vocabulary", options.model))?;
        Rows::encode(&text, &encoder)
    } else {
        Rows::parse(&text, model.num_fields())
    };
    let rows = rows.map_err(|e| at(options.rows, &e))?;
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch)?;

    let mut out = BufWriter::new(io::stdout().lock());
    if options.output == Output::Bench {
        let times = Times::measure(&mut scorer, &rows.iter().collect::<Vec<Row<'_>>>())?;
        writeln!(out, "back end {}, {} single scores", options.backend.name(), times.count())?;
        for (name, per_mille) in [("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999)] {
            writeln!(out, "{name:<6} {:>9} ns", times.quantile(per_mille))?;
        }
        writeln!(out, "of which reading the clock takes {} ns", times.clock_ns)?;
        return Ok(out.flush()?);
    }
    for (number, row) in rows.iter().enumerate() {
        let score = scorer.score(row).map_err(|e| format!("{}: line {}: {e}", options.rows, number + 1))?;
        let (logit, probability) = (score.logit, score.probability());
        if options.output == Output::Bits {
            writeln!(out, "{:08x}\t{:08x}", logit.to_bits(), probability.to_bits())?;
        } else {
            writeln!(out, "{logit}\t{probability}")?;
        }
    }
    Ok(out.flush()?)
}

//! What `cargo xtask test callgrind` runs under callgrind: a few scores of one
//! model, and nothing else, inside one function.
//!
//! `callgrind FILE single|batch|ranked|items` scores rows of a file that `models` wrote, on AVX2, the best that
//! valgrind can simulate, and prints how many.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;

use xsfm_benches::{FEATURES, samples};
use xsfm_convert::input;
use xsfm_runtime::{
    Backend, Catalogue, CatalogueParts, CatalogueRanker, LoadOptions, Mode, Model, Ranker, Row, Score, Scorer,
    ScratchBlock,
};

type Outcome = Result<(), Box<dyn Error>>;

/// Rows of a call, and calls of single rows.
const COUNTED: usize = 8;
/// Candidates' fields come after these.
const CONTEXT: usize = 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        [file, case] => count(Path::new(file), case),
        _ => Err("usage: callgrind FILE single|batch|ranked|items".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("callgrind: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is counted: everything that callgrind sees while it is inside.
#[inline(never)]
fn counted_part(work: &mut dyn FnMut() -> Outcome) -> Outcome {
    black_box(work())
}

fn count(file: &Path, case: &str) -> Outcome {
    let packed = input::packed(file)?;
    let options = LoadOptions { skip_checksum: true, backend: Some(Backend::Avx2) };
    let model = Model::from_bytes_with(&packed, options)?;
    let mut prepared = vec![ScratchBlock::ZERO; model.prepared_blocks()];
    let model = model.prepare(&mut prepared)?;
    let samples = samples(COUNTED, 3);
    let rows: Vec<Row<'_>> = samples.chunks(FEATURES.len()).map(Row::new).collect();
    let mut scores = [Score::default(); COUNTED];
    match case {
        "single" | "batch" => {
            let mut scratch = vec![ScratchBlock::ZERO; model.batch_scratch_blocks()];
            let mut scorer = Scorer::new(&model, &mut scratch)?;
            scorer.score_batch(&rows, &mut scores)?;
            let expected = scores;
            counted_part(&mut || {
                if case == "batch" {
                    return Ok(scorer.score_batch(black_box(&rows), &mut scores)?);
                }
                for (row, score) in rows.iter().zip(&mut scores) {
                    *score = scorer.score(black_box(*row))?;
                }
                Ok(())
            })?;
            assert_eq!(scores, expected, "{case}: other scores than before");
        }
        "ranked" => {
            let context: Vec<usize> = (0..CONTEXT).collect();
            let candidates: Vec<Row<'_>> =
                samples.chunks(FEATURES.len()).map(|row| Row::new(&row[CONTEXT..])).collect();
            let mut memory = vec![ScratchBlock::ZERO; Ranker::blocks(&model, &context)?];
            let mut ranker = Ranker::new(&model, &context, &mut memory)?;
            ranker.set_context(Row::new(&samples[..CONTEXT]))?;
            counted_part(&mut || Ok(ranker.score_batch(black_box(&candidates), &mut scores)?))?;
            let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
            let whole = Scorer::new(&model, &mut scratch)?.score(rows[0])?;
            assert_eq!(scores[0], whole, "the first candidate has the context of its own row");
        }
        "items" => {
            let (context, parts): (Vec<usize>, _) = ((0..CONTEXT).collect(), CatalogueParts::LayerSums);
            let candidates = samples.chunks(FEATURES.len()).map(|row| Row::new(&row[CONTEXT..]));
            let mut file = vec![ScratchBlock::ZERO; Catalogue::blocks(&model, &context, parts, COUNTED as u32)?];
            let mut scratch = vec![ScratchBlock::ZERO; Catalogue::scratch_blocks(&model)];
            let catalogue = Catalogue::build(&model, &context, parts, candidates, &mut scratch, &mut file)?;
            let mut memory = vec![ScratchBlock::ZERO; CatalogueRanker::blocks(&model, &catalogue)];
            let mut ranker = CatalogueRanker::new(&model, &catalogue, &mut memory)?;
            ranker.set_context(Row::new(&samples[..CONTEXT]))?;
            let items: [u32; COUNTED] = std::array::from_fn(|item| item as u32);
            counted_part(&mut || Ok(ranker.score_items(black_box(&items), &mut scores)?))?;
            let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
            let whole = Scorer::new(&model, &mut scratch)?.score(rows[0])?;
            assert!((scores[0].logit - whole.logit).abs() < 1e-4, "the first item has the context of its own row");
            assert!(scores[0] == whole || model.mode() == Mode::F32, "not the bits of its row");
        }
        _ => return Err(format!("no case {case:?}").into()),
    }
    println!("{COUNTED}");
    Ok(())
}

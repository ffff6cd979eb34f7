//! `count ENGINE MODEL SAMPLES BATCH CALLS`: makes CALLS calls of BATCH samples each.
//!
//! The calls are all that depends on CALLS. So two runs whose number of calls differs differ in nothing else, and the
//! difference of the instructions that they execute is that of the calls: to the last one, without a clock.
//! `cargo xtask count` does that under an emulator. Prints the back end, and a checksum of the logits of the first
//! samples.

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::{env, fs};

use xsfm_runtime::format::CRC;
use xsfm_runtime::{Model, Row, Score, Scorer, ScratchBlock};
use zerocopy::IntoBytes;

/// Samples whose logits go into the checksum; a multiple of every batch.
const CHECKED: usize = 64;

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("count: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [engine, model, samples, batch, calls] = arguments else {
        return Err("usage: count ours|tract MODEL SAMPLES BATCH CALLS".into());
    };
    let (batch, calls) = (batch.parse()?, calls.parse()?);
    let samples: Vec<u32> =
        fs::read(samples)?.as_chunks::<4>().0.iter().map(|&index| u32::from_le_bytes(index)).collect();
    match engine.as_str() {
        "ours" => ours(model, &samples, batch, calls),
        #[cfg(feature = "tract")]
        "tract" => tract::run(model, &samples, batch, calls),
        _ => Err(format!("no engine {engine} in this program").into()),
    }
}

/// The calls, and before them those of the checksum. `call`: the first sample, and where its logits and those after it
/// go.
fn count(
    backend: &str,
    batch: usize,
    samples: usize,
    calls: usize,
    mut call: impl FnMut(usize, &mut [f32]) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    if !CHECKED.is_multiple_of(batch) || samples < CHECKED {
        return Err(format!("batches of {batch} of {samples} samples: {CHECKED} are taken in whole batches").into());
    }
    let mut logits = [0.0; CHECKED];
    for (n, logits) in logits.chunks_mut(batch).enumerate() {
        call(n * batch, logits)?;
    }
    println!("{backend} {:08x}", CRC.checksum(logits.as_bytes()));
    let mut first = 0;
    for _ in 0..calls {
        call(black_box(first), black_box(&mut logits[..batch]))?;
        first = (first + batch) % CHECKED;
    }
    Ok(())
}

fn ours(model: &str, samples: &[u32], batch: usize, calls: usize) -> Result<(), Box<dyn Error>> {
    let bytes = fs::read(model)?;
    let mut room = vec![ScratchBlock::ZERO; bytes.len().div_ceil(ScratchBlock::LEN)];
    let room = room.as_mut_bytes();
    room[..bytes.len()].copy_from_slice(&bytes);
    // Seconds of an emulator for a file that was written just now.
    let model = Model::from_bytes_skipping_checksum(room)?;
    let mut memory = vec![ScratchBlock::ZERO; model.prepared_blocks()];
    let model = model.prepare(&mut memory)?;
    let mut scratch = vec![ScratchBlock::ZERO; model.batch_scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch)?;
    let rows: Vec<Row<'_>> = samples.chunks_exact(model.num_fields()).map(Row::new).collect();
    let mut scores = vec![Score::default(); batch];
    count(model.backend().name(), batch, rows.len(), calls, |first, logits| {
        if let ([row], [logit]) = (&rows[first..first + batch], &mut *logits) {
            *logit = scorer.score(*row)?.logit;
            return Ok(());
        }
        scorer.score_batch(&rows[first..first + batch], &mut scores).map_err(|error| format!("{error:?}"))?;
        logits.iter_mut().zip(&scores).for_each(|(logit, score)| *logit = score.logit);
        Ok(())
    })
}

#[cfg(feature = "tract")]
mod tract {
    use std::error::Error;

    use tract_onnx::prelude::*;
    use tract_onnx::tract_hir::infer::Factoid;

    pub(crate) fn run(model: &str, samples: &[u32], batch: usize, calls: usize) -> Result<(), Box<dyn Error>> {
        let model = tract_onnx::onnx().model_for_path(model)?;
        let shape = model.input_fact(0)?.shape.clone();
        let num_fields =
            shape.dims().nth(1).and_then(|fields| fields.concretize()?.to_i64().ok()).ok_or("no number of fields")?;
        let num_fields = usize::try_from(num_fields)?;
        let model = model.with_input_fact(0, i64::fact([batch, num_fields]).into())?;
        let plan = model.into_optimized()?.into_runnable()?;
        let wide: Vec<i64> = samples.iter().map(|&index| index.into()).collect();
        super::count("tract", batch, samples.len() / num_fields, calls, |first, logits| {
            let mut input = Tensor::zero::<i64>(&[batch, num_fields])?;
            let mut view = input.try_as_plain_ram_mut()?;
            view.as_slice_mut::<i64>()?.copy_from_slice(&wide[first * num_fields..][..batch * num_fields]);
            let outputs = plan.run(tvec!(input.into()))?;
            let output = outputs.first().ok_or("no output")?;
            logits.copy_from_slice(output.try_as_plain_ram()?.as_slice::<f32>()?);
            Ok(())
        })
    }
}

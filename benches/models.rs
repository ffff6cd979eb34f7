//! `models FOLDER HIDDEN…`: writes the model of the benches for each HIDDEN, widths like `400-400-400` or `none` for
//! FwFM.
//!
//! `FOLDER/HIDDEN/` gets `int8.xsfm`, `f32.xsfm`, `model.onnx`; `FOLDER/samples.u32` has samples, `[count, num_fields]`
//! in little endian.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use xsfm_benches::{FEATURES, FULL, model, samples};
use xsfm_convert::calibrate::{Activations, calibrate};
use xsfm_convert::export::{Outputs, onnx};
use xsfm_convert::pack::{pack_f32, pack_int8};
use xsfm_interchange::rows::RowBlock;

/// Samples to calibrate on, and to score.
const COUNT: usize = 512;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((folder, hidden @ [_, ..])) => hidden.iter().try_for_each(|hidden| write(Path::new(folder), hidden)),
        _ => Err("usage: models FOLDER HIDDEN…".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("models: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, hidden: &str) -> Result<(), Box<dyn Error>> {
    let here = folder.join(hidden);
    fs::create_dir_all(&here)?;
    let widths = match hidden {
        "none" => None,
        widths => Some(widths.split('-').map(str::parse).collect::<Result<Vec<usize>, _>>()?),
    };
    let model = model(widths.as_deref(), FULL, 1);
    let mut block = RowBlock::new(FEATURES.len(), false);
    samples(COUNT, 3).iter().for_each(|&index| block.push_field(&[index]));
    fs::write(
        here.join("int8.xsfm"),
        &*pack_int8(&calibrate(&model, Activations::Static, &block, &mut |_, _| ())?.model)?,
    )?;
    fs::write(here.join("f32.xsfm"), &*pack_f32(&model)?)?;
    fs::write(here.join("model.onnx"), onnx(&model, Outputs::Logit)?)?;
    let samples: Vec<u8> = samples(COUNT, 2).into_iter().flat_map(u32::to_le_bytes).collect();
    Ok(fs::write(folder.join("samples.u32"), samples)?)
}

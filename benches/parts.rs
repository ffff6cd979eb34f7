//! `parts FOLDER CPU SUBJECT…`: writes models with ever more of each SUBJECT's parts, for a device to count what a part
//! takes. Layers lie as CPU wants them: `cortex-m`, `cortex-m4f` or `cortex-m55`.
//!
//! A SUBJECT is a packed model, `….xsfm`, or widths like `64-64-64`: the model of the benches in int8, with tables
//! short enough for a microcontroller's flash. Prints `SUBJECT<TAB>part<TAB>file`; the last file of a subject is the
//! whole model.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use xsfm_benches::{FULL, model, samples};
use xsfm_convert::bench::parts;
use xsfm_convert::calibrate::{Activations, calibrate};
use xsfm_convert::input;
use xsfm_convert::model::FloatModel;
use xsfm_convert::pack::{Packed, pack_int8};
use xsfm_convert::target::{Target, retarget};
use xsfm_interchange::rows::RowBlock;

/// Features that a field keeps: as many as make tables of 77 KB.
const FEATURES: u32 = 200;
/// Samples to calibrate on.
const COUNT: usize = 256;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((folder, [cpu, subjects @ ..])) if !subjects.is_empty() => write_all(Path::new(folder), cpu, subjects),
        _ => Err("usage: parts FOLDER CPU SUBJECT…".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(folder: &Path, cpu: &str, subjects: &[String]) -> Result<(), Box<dyn Error>> {
    let target = match cpu {
        "cortex-m" => Target::CortexM,
        "cortex-m4f" => Target::CortexMDsp,
        "cortex-m55" => Target::CortexMMve,
        _ => return Err(format!("no CPU {cpu:?}").into()),
    };
    subjects.iter().try_for_each(|subject| write(folder, target, subject))
}

fn write(folder: &Path, target: Target, subject: &str) -> Result<(), Box<dyn Error>> {
    let rows = if subject.ends_with(".xsfm") {
        retarget(&input::packed(Path::new(subject))?, Target::Neutral)?
    } else {
        small(subject)?
    };
    // A path makes a name without its slashes.
    let name = subject.replace(['/', '.'], "_");
    fs::create_dir_all(folder)?;
    for (number, (part, file)) in parts(&rows)?.into_iter().enumerate() {
        let file = retarget(&file, target)?;
        let path = folder.join(format!("{name}-{number}.xsfm"));
        file.write(&path)?;
        println!("{subject}\t{part}\t{}", path.display());
    }
    Ok(())
}

/// The model of the benches, with the first rows of its tables alone.
fn small(widths: &str) -> Result<Packed, Box<dyn Error>> {
    let widths = widths.split('-').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let mut model = model(Some(&widths), FULL, 1);
    shorten(&mut model);
    let features: Vec<u32> = model.config.fields.iter().map(|field| field.features).collect();
    let mut block = RowBlock::new(features.len(), false);
    let indices = samples(COUNT, 3).into_iter().zip(features.iter().cycle());
    indices.for_each(|(index, features)| block.push_field(&[index % features]));
    Ok(pack_int8(&calibrate(&model, Activations::Static, &block, &mut |_, _| ())?.model)?)
}

fn shorten(model: &mut FloatModel) {
    for (field, config) in model.fields.iter_mut().zip(&mut model.config.fields) {
        config.features = config.features.min(FEATURES);
        for table in &mut field.tables {
            table.rows = table.rows.min(FEATURES as usize);
            table.values.truncate(table.rows * table.columns);
        }
    }
}

//! Places the model and the rows in the firmware's flash.
//!
//! - `XSFM_MODEL`: the packed model. By default the student that the project keeps in `tests/fixtures`.
//! - `XSFM_ROWS`: rows as `xsfm score --indices` reads them. By default rows that walk through the features of every field.
//!
//! The size of the scratch is the model's own figure, so the firmware reserves exactly what it needs.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use xsfm_runtime::{Model, ScratchBlock};
use zerocopy::IntoBytes;

/// Rows that stand in where none are given.
const DEFAULT_ROWS: u32 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-env-changed=XSFM_MODEL");
    println!("cargo:rerun-if-env-changed=XSFM_ROWS");
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rustc-link-search={}", here.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
    println!("cargo:rustc-link-arg-bins=--nmagic");

    let fixture = here.join("../../tests/fixtures/movielens-student/model.xsfm");
    let model_path = env::var_os("XSFM_MODEL").map_or(fixture, PathBuf::from);
    println!("cargo:rerun-if-changed={}", model_path.display());
    let bytes = fs::read(&model_path).map_err(|error| format!("{}: {error}", model_path.display()))?;
    // A vector's bytes may lie anywhere; a scratch block's are where the runtime wants them.
    let mut blocks = vec![ScratchBlock::ZERO; bytes.len().div_ceil(ScratchBlock::LEN)];
    blocks.as_mut_bytes()[..bytes.len()].copy_from_slice(&bytes);
    let model = Model::from_bytes(blocks.as_bytes()).map_err(|error| format!("{}: {error}", model_path.display()))?;
    fs::write(out.join("model.xsfm"), &bytes)?;

    let rows = match env::var_os("XSFM_ROWS") {
        Some(path) => given_rows(Path::new(&path), model.num_fields())?,
        None => default_rows(&model),
    };
    let mut code = String::new();
    writeln!(code, "const SCRATCH_BLOCKS: usize = {};", model.scratch_blocks())?;
    writeln!(code, "const NUM_FIELDS: usize = {};", model.num_fields())?;
    let (mut indices, mut offsets) = (Vec::<u32>::new(), vec![0]);
    for field in rows.iter().flatten() {
        indices.extend(field);
        offsets.push(indices.len());
    }
    writeln!(code, "static INDICES: [u32; {}] = {indices:?};", indices.len())?;
    writeln!(code, "static OFFSETS: [u32; {}] = {offsets:?};", offsets.len())?;
    fs::write(out.join("constants.rs"), code)?;
    Ok(())
}

/// One row: the indices of each field.
type Row = Vec<Vec<u32>>;

/// One row per line, tab between fields, `|` inside a bag.
fn given_rows(path: &Path, num_fields: usize) -> Result<Vec<Row>, Box<dyn Error>> {
    println!("cargo:rerun-if-changed={}", path.display());
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut rows = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let row = content
            .split('\t')
            .map(|field| field.split('|').map(str::parse).collect::<Result<Vec<u32>, _>>())
            .collect::<Result<Row, _>>()
            .map_err(|error| format!("{}:{}: {error}", path.display(), line + 1))?;
        if row.len() != num_fields {
            let found = row.len();
            return Err(format!("{}:{}: {found} fields, the model has {num_fields}", path.display(), line + 1).into());
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Row r has feature `r * prime` of each field, bags two neighbours: every table is read all over.
fn default_rows(model: &Model<'_>) -> Vec<Row> {
    let index = |row: u32, f: usize, features: u32| row.wrapping_mul(7919 + 104 * f as u32) % features;
    let field = |row: u32, f: usize, features: u32, bag: bool| match bag {
        false => vec![index(row, f, features)],
        true => vec![index(row, f, features), index(row + 1, f, features)],
    };
    (0..DEFAULT_ROWS)
        .map(|row| model.fields().enumerate().map(|(f, it)| field(row, f, it.features, it.bag)).collect())
        .collect()
}

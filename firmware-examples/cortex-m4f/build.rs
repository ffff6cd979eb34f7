//! Puts a model and rows into the program: `XSFM_MODEL` and `XSFM_ROWS` name them, else the project's small student is used.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use example_input::{ModelBytes, Rows};
use xsfm_runtime::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let model_path = input("XSFM_MODEL", "../../tests/fixtures/movielens-student/model.xsfm")?;
    let rows_path = input("XSFM_ROWS", "rows.tsv")?;

    let bytes = ModelBytes::read(&model_path).map_err(|e| format!("{}: {e}", model_path.display()))?;
    let model = Model::from_bytes(&bytes).map_err(|e| format!("{}: {e}", model_path.display()))?;
    let text = fs::read_to_string(&rows_path).map_err(|e| format!("{}: {e}", rows_path.display()))?;
    let rows = Rows::parse(&text, model.num_fields()).map_err(|e| format!("{}: {e}", rows_path.display()))?;

    fs::write(out.join("model.xsfm"), &*bytes)?;
    fs::write(out.join("constants.rs"), constants_rs(&rows, bytes.len(), model.scratch_blocks()))?;
    // memory.x; the linker says by how many bytes a model is too large for it.
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rustc-link-search={}", env::var("CARGO_MANIFEST_DIR")?);
    for argument in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

/// The file that `variable` names, which cargo then watches.
fn input(variable: &str, default: &str) -> Result<PathBuf, Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={variable}");
    let path = match env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(default),
    };
    println!("cargo::rerun-if-changed={}", path.display());
    Ok(path)
}

/// What the program knows at build time.
fn constants_rs(rows: &Rows, model_bytes: usize, scratch_blocks: usize) -> String {
    let Rows { indices, offsets, num_fields } = rows;
    let (num_indices, num_offsets) = (indices.len(), offsets.len());
    format!(
        "/// Bytes of the model.
pub const MODEL_BYTES: usize = {model_bytes};
/// Blocks of scratch that the model needs.
pub const SCRATCH_BLOCKS: usize = {scratch_blocks};
/// Fields of a row.
pub const NUM_FIELDS: usize = {num_fields};
/// The indices of all fields of all rows.
pub static INDICES: [u32; {num_indices}] = {indices:?};
/// `[rows * NUM_FIELDS + 1]`: where each field of each row starts in `INDICES`.
pub static OFFSETS: [u32; {num_offsets}] = {offsets:?};
"
    )
}

//! Puts a model and rows into the programs: `XSFM_MODEL`, `XSFM_ROWS`, `XSFM_CANDIDATES` and `XSFM_CONTEXT` name them,
//! else the project's small student is used.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use example_input::{ModelBytes, Rows, ranking};
use xsfm_runtime::{Backend, Model, Ranker};

/// What the student's candidates share.
const CONTEXT: &str = "user,age,gender,occupation";
/// A model with a vocabulary.
const RAW: &str = "../../tests/fixtures/raw-values/model.xsfm";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let model_path = input("XSFM_MODEL", "../../tests/fixtures/movielens-student/model.xsfm")?;
    let rows_path = input("XSFM_ROWS", "rows.tsv")?;
    let candidates_path = input("XSFM_CANDIDATES", "candidates.tsv")?;
    println!("cargo::rerun-if-env-changed=XSFM_CONTEXT");
    let context = env::var("XSFM_CONTEXT").unwrap_or_else(|_| CONTEXT.to_owned());

    let raw_path = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(RAW);
    println!("cargo::rerun-if-changed={}", raw_path.display());
    let raw_bytes = ModelBytes::read(&raw_path).map_err(|e| format!("{}: {e}", raw_path.display()))?;
    let raw = Model::from_bytes(&raw_bytes).map_err(|e| format!("{}: {e}", raw_path.display()))?;
    let raw = raw.with_backend(Backend::Portable).ok_or("the portable back end is always there")?;
    let encoder = raw.encoder().map_err(|e| format!("{}: {e}", raw_path.display()))?;
    let encoder = encoder.ok_or_else(|| format!("{}: packed without its vocabulary", raw_path.display()))?;

    let bytes = ModelBytes::read(&model_path).map_err(|e| format!("{}: {e}", model_path.display()))?;
    let model = Model::from_bytes(&bytes).map_err(|e| format!("{}: {e}", model_path.display()))?;
    // What the board needs, not this machine.
    let model = model.with_backend(Backend::Portable).ok_or("the portable back end is always there")?;
    let rows = |path: &Path| -> Result<Rows, Box<dyn Error>> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Rows::parse(&text, model.num_fields()).map_err(|e| format!("{}: {e}", path.display()))?)
    };
    let field = |name: &str| {
        let number = model.fields().position(|field| field.name == name);
        number.ok_or_else(|| format!("{}: no field {name:?}", model_path.display()))
    };
    let mut fields = context.split(',').map(field).collect::<Result<Vec<_>, _>>()?;
    fields.sort_unstable();

    let constants = [
        size("Bytes of the model.", "MODEL_BYTES", bytes.len()),
        size("Blocks of scratch that scoring needs.", "SCRATCH_BLOCKS", model.scratch_blocks()),
        size("Blocks of memory that ranking needs.", "RANKER_BLOCKS", Ranker::blocks(&model, &fields)?),
        size("Bytes of the model with a vocabulary.", "RAW_BYTES", raw_bytes.len()),
        size("Blocks of scratch that it needs.", "RAW_BLOCKS", raw.scratch_blocks()),
        size("Its fields.", "RAW_FIELDS", encoder.num_fields()),
        size("Room for the indices of any of its rows.", "RAW_INDICES", encoder.max_indices()),
        words("The rows to score, as `Table::decode` reads them.", "ROWS", &rows(&rows_path)?.words()),
        words(
            "The candidates to rank, as `Ranking::decode` reads them.",
            "RANKING",
            &ranking(&rows(&candidates_path)?, &fields),
        ),
    ];
    fs::write(out.join("model.xsfm"), &*bytes)?;
    fs::write(out.join("raw.xsfm"), &*raw_bytes)?;
    fs::write(out.join("constants.rs"), constants.concat())?;
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

fn size(what: &str, name: &str, value: usize) -> String {
    format!("/// {what}\npub const {name}: usize = {value};\n")
}

fn words(what: &str, name: &str, words: &[u32]) -> String {
    format!("/// {what}\npub static {name}: [u32; {}] = {words:?};\n", words.len())
}

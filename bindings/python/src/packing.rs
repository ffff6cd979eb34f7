//! Packs models: of checkpoints, of other libraries, of arrays.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use xsfm_convert::import::{self, Library, Named};
use xsfm_convert::model::{FloatModel, TableBits};
use xsfm_convert::packing::{Names, Request, Rows, pack as pack_in_memory, write};
use xsfm_convert::{Error, checkpoint, vocabulary};
use xsfm_interchange::rows::RowBlock;

use crate::arrays::{Tensor, safetensors_of};
use crate::builder::Parts;
use crate::error::{XsfmError, converted};
use crate::files::{compare_data, schema_in};
use crate::json;
use crate::model::PyModel;
use crate::rows::of_indices;

/// What the config and the state dict of a model in memory are called in errors.
const CONFIG: &str = "config";
const STATE_DICT: &str = "state dict";

/// What a packed file shall be, as Python's keywords say it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Asked<'py> {
    mode: String,
    rows: Option<Calibrating<'py>>,
    table_bits: Option<u8>,
    rank: Option<usize>,
    target: String,
    vocabulary: Option<PathBuf>,
    without_vocabulary: bool,
    fingerprint_bits: Option<u8>,
    renumber: bool,
    keep_tokens: bool,
}

/// Rows to calibrate on.
#[derive(FromPyObject)]
enum Calibrating<'py> {
    File(PathBuf),
    Indices(Bound<'py, PyAny>),
}

impl Asked<'_> {
    /// The file of rows, where they are in one.
    fn file(&self) -> Option<&Path> {
        match &self.rows {
            Some(Calibrating::File(path)) => Some(path),
            Some(Calibrating::Indices(_)) | None => None,
        }
    }

    /// The rows that are no file, of this model.
    fn block(&self, model: &FloatModel) -> PyResult<Option<RowBlock>> {
        let Some(Calibrating::Indices(rows)) = &self.rows else { return Ok(None) };
        let names: Vec<String> = model.config.fields.iter().map(|field| field.name.clone()).collect();
        let kind = rows.get_type().fully_qualified_name()?;
        let expected = || XsfmError::new_err(format!("rows: {kind}; a path, or an array of indices, expected"));
        of_indices(rows, &names).ok_or_else(expected)?.map(Some)
    }

    /// Packs, with the schema beside the model unless another was named. Gives the report of what was written, or
    /// without `output` the model.
    fn pack<'py>(
        &self,
        py: Python<'py>,
        model: FloatModel,
        own_schema: Option<&Path>,
        output: Option<&Path>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let refused = |what: &str| Err(XsfmError::new_err(what.to_owned()));
        let table_bits = match self.table_bits {
            None => None,
            Some(8) => Some(TableBits::Eight),
            Some(4) => Some(TableBits::Four),
            Some(other) => return refused(&format!("table_bits {other}, 8 or 4 expected")),
        };
        if self.without_vocabulary && self.vocabulary.is_some() {
            return refused("vocabulary and without_vocabulary exclude each other");
        }
        let kept = vocabulary::Options {
            fingerprint_bits: self.fingerprint_bits.unwrap_or(vocabulary::FINGERPRINT_BITS),
            renumber: self.renumber,
            keep_tokens: self.keep_tokens,
        };
        let block = self.block(&model)?;
        let request = Request {
            mode: self.mode.parse().map_err(converted)?,
            table_bits,
            rank: self.rank,
            target: self.target.parse().map_err(converted)?,
            rows: self.file().map(Rows::File).or(block.as_ref().map(Rows::Memory)),
            names: Names { rows: "rows", mode: "mode=", table_bits: "table_bits=" },
            schema: self.vocabulary.as_deref().or(own_schema).filter(|_| !self.without_vocabulary),
            kept,
        };
        match output {
            Some(output) => {
                let report = py.detach(|| write(model, &request, output, &mut |_, _| ()));
                json::to_python(py, &report.map_err(converted)?)
            }
            None => {
                let packed = py.detach(|| pack_in_memory(model, &request, &mut |_, _| ())).map_err(converted)?;
                Ok(PyModel::of_packed(packed)?.into_pyobject(py)?.into_any())
            }
        }
    }
}

/// `xsfm.pack`, whose keywords are in `asked`.
#[pyfunction]
fn pack<'py>(
    py: Python<'py>,
    checkpoint: PathBuf,
    output: Option<PathBuf>,
    asked: Asked<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    compare_data(py, asked.file(), &checkpoint)?;
    let model = py.detach(|| checkpoint::load(&checkpoint)).map_err(converted)?;
    asked.pack(py, model, schema_in(&checkpoint).as_deref(), output.as_deref())
}

fn library_of(name: Option<&str>) -> PyResult<Option<Library>> {
    let library = name.map(str::parse).transpose();
    library.map_err(|error: String| XsfmError::new_err(format!("library: {error}")))
}

/// `xsfm.import_model` of a folder, whose keywords are in `asked`.
#[pyfunction]
fn import_folder<'py>(
    py: Python<'py>,
    folder: PathBuf,
    library: Option<&str>,
    output: Option<PathBuf>,
    asked: Asked<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let library = library_of(library)?;
    let model = py.detach(|| import::load_from(&folder, library)).map_err(converted)?;
    asked.pack(py, model, None, output.as_deref())
}

/// `xsfm.import_model` of a state dict and a `config.json` in memory.
#[pyfunction]
fn import_tensors<'py>(
    py: Python<'py>,
    tensors: Vec<Tensor>,
    config: &str,
    library: Option<&str>,
    output: Option<PathBuf>,
    asked: Asked<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let library = library_of(library)?;
    let model = py.detach(|| {
        let weights = safetensors_of(&tensors)?;
        let config = Named { name: Path::new(CONFIG), bytes: config.as_bytes() };
        import::read(config, Named { name: Path::new(STATE_DICT), bytes: &weights }, library).map_err(converted)
    })?;
    drop(tensors);
    asked.pack(py, model, None, output.as_deref())
}

/// `xsfm.Builder`'s model, whose arrays are in `parts`.
#[pyfunction]
fn build<'py>(
    py: Python<'py>,
    parts: Parts<'py>,
    output: Option<PathBuf>,
    asked: Asked<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let model = parts.builder()?.build().map_err(|error| converted(Error::Input(error.to_string())))?;
    asked.pack(py, model, None, output.as_deref())
}

/// Puts the functions in the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pack, module)?)?;
    module.add_function(wrap_pyfunction!(import_folder, module)?)?;
    module.add_function(wrap_pyfunction!(import_tensors, module)?)?;
    module.add_function(wrap_pyfunction!(build, module)?)
}

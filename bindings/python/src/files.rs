//! What is done with packed files, as the program `xsfm` does it, by the same functions.

use std::path::{Path, PathBuf};

use pyo3::exceptions::PyUserWarning;
use pyo3::prelude::*;
use xsfm_convert::generate::{Language, write_files};
use xsfm_convert::target::{Target, retarget as lay_out};
use xsfm_convert::{Error, input, inspect as look, raw, validate as compare};
use xsfm_interchange::checkpoint::file::SCHEMA;
use xsfm_interchange::schema::Schema;

use crate::error::{XsfmError, converted};
use crate::json;
use crate::model::PyModel;

/// The schema.json in a folder, where there is one.
pub(crate) fn schema_in(folder: &Path) -> Option<PathBuf> {
    Some(folder.join(SCHEMA)).filter(|schema| schema.exists())
}

/// Refuses rows of another vocabulary than a checkpoint's, and warns where the rows are others.
pub(crate) fn compare_data(py: Python<'_>, rows: Option<&Path>, checkpoint: &Path) -> PyResult<()> {
    let note = rows.map(|rows| input::compare_data(rows, checkpoint)).transpose().map_err(converted)?.flatten();
    warn(py, note)
}

fn warn(py: Python<'_>, note: Option<String>) -> PyResult<()> {
    let Some(note) = note else { return Ok(()) };
    let note = std::ffi::CString::new(note).map_err(|error| XsfmError::new_err(error.to_string()))?;
    PyErr::warn(py, &py.get_type::<PyUserWarning>(), &note, 2)
}

/// Compare a packed file with the folder that it was packed or imported from.
///
/// rows: an Arrow file of rows with labels, or a TSV of indices. raw: in place of it raw rows with labels, a CSV, TSV,
/// Parquet file or JSON lines. Gives what `xsfm validate --json` prints: logit errors, and AUC, LogLoss, PRAUC, RCE and
/// calibration before and after.
///
/// Raises XsfmError where they do not belong together.
#[pyfunction]
#[pyo3(signature = (model, checkpoint, *, rows=None, raw=None))]
fn validate<'py>(
    py: Python<'py>,
    model: PathBuf,
    checkpoint: PathBuf,
    rows: Option<PathBuf>,
    raw: Option<PathBuf>,
) -> PyResult<Bound<'py, PyAny>> {
    compare_data(py, rows.as_deref(), &checkpoint)?;
    let report = py.detach(|| {
        let packed = input::packed(&model)?;
        let loaded = input::load(&model, &packed)?;
        let original = input::float_model(&checkpoint, None)?;
        let schema = schema_in(&checkpoint).as_deref().map(Schema::load).transpose()?;
        let compared = |rows: &Path| compare::validate(&loaded, &original, schema.as_ref(), rows, &mut |_| ());
        match (&rows, &raw) {
            (Some(rows), None) => compared(rows),
            (None, Some(raw)) => compared(raw::encode(&model, &loaded, raw, true)?.path()),
            (None, None) | (Some(_), Some(_)) => Err(Error::Input("either rows or raw expected".to_owned())),
        }
    });
    json::to_python(py, &report.map_err(converted)?)
}

/// What a packed file holds and costs: what `xsfm inspect --json` prints.
#[pyfunction]
fn inspect<'py>(py: Python<'py>, model: PathBuf) -> PyResult<Bound<'py, PyAny>> {
    let report = py.detach(|| {
        let packed = input::packed(&model)?;
        let of_model = look::inspect(&input::load(&model, &packed)?);
        of_model.map_err(|source| Error::Load { path: model.clone(), source })
    });
    json::to_python(py, &report.map_err(converted)?)
}

/// Lay the layers of a packed file out for another CPU; scores of int8 and dynamic mode keep their bits.
///
/// target: neutral, x86-64, aarch64, cortex-m, cortex-m4f or cortex-m55. Gives the model that was written to output.
#[pyfunction]
fn retarget(py: Python<'_>, model: PathBuf, target: &str, output: PathBuf) -> PyResult<PyModel> {
    let target: Target = target.parse().map_err(converted)?;
    py.detach(|| {
        let packed = lay_out(&input::packed(&model)?, target)?;
        packed.write(&output).map_err(Error::io(&output))
    })
    .map_err(converted)?;
    PyModel::load(py, output)
}

/// Write a packed file as code to compile into a program, `rust` or `c`, to a folder; gives the paths of its files.
///
/// name: what names in the code start with; the file's own by default. context: names of the fields of a ranker's
/// context, where candidates are ranked. catalogue: an .xsfc file of `xsfm catalogue`, whose items are ranked.
#[pyfunction]
#[pyo3(signature = (model, lang, output, *, name=None, context=Vec::new(), catalogue=None))]
fn generate(
    py: Python<'_>,
    model: PathBuf,
    lang: &str,
    output: PathBuf,
    name: Option<String>,
    context: Vec<String>,
    catalogue: Option<PathBuf>,
) -> PyResult<Vec<PathBuf>> {
    let language = match lang {
        "rust" => Language::Rust,
        "c" => Language::C,
        other => return Err(XsfmError::new_err(format!("lang {other:?} is unknown; known are rust, c"))),
    };
    let (name, catalogue) = (name.as_deref(), catalogue.as_deref());
    let written = py.detach(|| write_files(&model, language, name, "name=", &context, catalogue, &output));
    written.map_err(converted)
}

/// Puts the functions in the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(validate, module)?)?;
    module.add_function(wrap_pyfunction!(inspect, module)?)?;
    module.add_function(wrap_pyfunction!(retarget, module)?)?;
    module.add_function(wrap_pyfunction!(generate, module)?)
}

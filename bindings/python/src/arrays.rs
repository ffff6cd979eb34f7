//! Arrays as the bytes of files: safetensors, and Parquet's columns of logits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use numpy::PyReadonlyArray1;
use parquet::data_type::{DataType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use xsfm_interchange::atomic;

use crate::error::{XsfmError, file_system};

/// A tensor's name, type as safetensors calls it, shape, and numbers, row by row and little-endian.
pub(crate) type Tensor = (String, String, Vec<usize>, PyBackedBytes);

/// A safetensors file of these tensors.
pub(crate) fn safetensors_of(tensors: &[Tensor]) -> PyResult<Vec<u8>> {
    let views = tensors.iter().map(view).collect::<PyResult<Vec<_>>>()?;
    safetensors::serialize(views, None::<HashMap<_, _>>).map_err(|error| XsfmError::new_err(error.to_string()))
}

fn view((name, kind, shape, data): &Tensor) -> PyResult<(&str, TensorView<'_>)> {
    let refused = |error: String| XsfmError::new_err(format!("tensor `{name}`: {error}"));
    let kind: Dtype = serde_json::from_value(kind.as_str().into()).map_err(|error| refused(error.to_string()))?;
    let view = TensorView::new(kind, shape.clone(), data).map_err(|error| refused(error.to_string()))?;
    Ok((name, view))
}

/// The bytes of a safetensors file. tensors: name, type (`F32`, …), shape, and numbers, little-endian.
#[pyfunction]
fn safetensors_bytes<'py>(py: Python<'py>, tensors: Vec<Tensor>) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = py.detach(|| safetensors_of(&tensors))?;
    Ok(PyBytes::new(py, &bytes))
}

/// The bytes of a Parquet file with a column `logit`, float, and before it `row`, int64, where rows are numbered.
#[pyfunction]
fn parquet_bytes<'py>(
    py: Python<'py>,
    rows: Option<PyReadonlyArray1<'py, i64>>,
    logits: PyReadonlyArray1<'py, f32>,
) -> PyResult<Bound<'py, PyBytes>> {
    let rows = rows.as_ref().map(|rows| rows.as_slice()).transpose()?;
    let logits = logits.as_slice()?;
    let bytes = py.detach(|| columns(rows, logits)).map_err(|error| XsfmError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &bytes))
}

fn columns(rows: Option<&[i64]>, logits: &[f32]) -> Result<Vec<u8>, ParquetError> {
    let numbered = if rows.is_some() { "required int64 row; " } else { "" };
    let schema = Arc::new(parse_message_type(&format!("message logits {{ {numbered}required float logit; }}"))?);
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::default())?;
    let mut group = file.next_row_group()?;
    if let Some(rows) = rows {
        column::<Int64Type>(&mut group, rows)?;
    }
    column::<FloatType>(&mut group, logits)?;
    group.close()?;
    file.into_inner()
}

/// Writes a group's next column.
fn column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, values: &[T::T]) -> Result<(), ParquetError> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, None, None)?;
        column.close()?;
    }
    Ok(())
}

/// Write a file whole or not at all; its folder is made where it is missing.
#[pyfunction]
fn write_bytes(py: Python<'_>, path: PathBuf, data: PyBackedBytes) -> PyResult<()> {
    let written = py.detach(|| atomic::write(&path, |file| file.write_all(&data)));
    written.map_err(|source| file_system(&path.display().to_string(), source))
}

/// Puts the functions in the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(safetensors_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(parquet_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(write_bytes, module)?)
}

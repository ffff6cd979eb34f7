//! Reports of the converter as dicts and lists.

use pyo3::prelude::*;
use serde::Serialize;

use crate::error::XsfmError;

/// What the programs print with `--json`.
pub(crate) fn to_python<'py>(py: Python<'py>, report: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(report).map_err(|error| XsfmError::new_err(error.to_string()))?;
    py.import("json")?.call_method1("loads", (text,))
}

//! What Python is told: subclasses of `ValueError` with the row and the field; `OSError` for the file system.

use std::fmt;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::{create_exception, intern};
use xsfm_convert::Error;
use xsfm_runtime::{EncodeError, LoadError, ScoreError};

create_exception!(
    xsfm,
    XsfmError,
    PyValueError,
    "What xsfm refuses. `row` and `field` say where, and are None where it is neither."
);
create_exception!(xsfm, ModelError, XsfmError, "Bytes that are no packed model, or a damaged one.");
create_exception!(xsfm, RowError, XsfmError, "A row that does not fit its model: `row` counts from 0.");

/// Puts the exceptions in the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let base = py.get_type::<XsfmError>();
    base.setattr(intern!(py, "row"), py.None())?;
    base.setattr(intern!(py, "field"), py.None())?;
    module.add("XsfmError", base)?;
    module.add("ModelError", py.get_type::<ModelError>())?;
    module.add("RowError", py.get_type::<RowError>())
}

/// What is wrong with rows, and where.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) row: Option<usize>,
    pub(crate) field: Option<String>,
    pub(crate) what: String,
}

impl Problem {
    /// Of all rows: their shape, or their columns.
    pub(crate) fn of_all(what: impl Into<String>) -> Self {
        Problem { row: None, field: None, what: what.into() }
    }

    /// Of a field's value in a row.
    pub(crate) fn of_field(row: usize, field: &str, what: impl Into<String>) -> Self {
        Problem { row: Some(row), field: Some(field.to_owned()), what: what.into() }
    }

    /// What keeps raw values from having indices; `names` are the fields'.
    pub(crate) fn encoding(row: usize, error: EncodeError, names: &[String]) -> Self {
        Self::of_place(row, error.field(), &error, names)
    }

    /// What keeps a row from having a score.
    pub(crate) fn scoring(row: usize, error: ScoreError, names: &[String]) -> Self {
        Self::of_place(row, error.field(), &error, names)
    }

    /// The runtime tells fields by their places, Python by their names.
    fn of_place(row: usize, place: Option<usize>, error: &dyn fmt::Display, names: &[String]) -> Self {
        let message = error.to_string();
        let field = place.and_then(|place| names.get(place)).cloned();
        let what = match place {
            Some(place) => message.strip_prefix(&format!("field {place}: ")).unwrap_or(&message).to_owned(),
            None => message,
        };
        Problem { row: Some(row), field, what }
    }

    /// The same of a row, where it is not yet one of a row.
    pub(crate) fn in_row(self, row: usize) -> Self {
        Problem { row: self.row.or(Some(row)), ..self }
    }

    /// The same of a field, where it is not yet one of a field.
    pub(crate) fn in_field(self, field: &str) -> Self {
        Problem { field: self.field.or_else(|| Some(field.to_owned())), ..self }
    }

    /// The same of rows behind others.
    pub(crate) fn behind(self, rows: usize) -> Self {
        Problem { row: self.row.map(|row| row + rows), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.row, &self.field) {
            (Some(row), Some(field)) => write!(f, "row {row}, field {field:?}: {}", self.what),
            (Some(row), None) => write!(f, "row {row}: {}", self.what),
            (None, Some(field)) => write!(f, "field {field:?}: {}", self.what),
            (None, None) => f.write_str(&self.what),
        }
    }
}

impl From<Problem> for PyErr {
    fn from(problem: Problem) -> PyErr {
        let error = RowError::new_err(problem.to_string());
        Python::attach(|py| {
            let value = error.value(py);
            let told = value
                .setattr(intern!(py, "row"), problem.row)
                .and_then(|()| value.setattr(intern!(py, "field"), problem.field));
            told.map_or_else(|failed| failed, |()| error)
        })
    }
}

/// A file that is no model.
pub(crate) fn not_loaded(name: &str, error: LoadError) -> PyErr {
    ModelError::new_err(format!("{name}: {error}"))
}

/// An error of the converter. The file system's become what `open` would raise.
pub(crate) fn converted(error: Error) -> PyErr {
    match error {
        Error::Io { path, source } => file_system(&path.display().to_string(), source),
        Error::Load { .. } => ModelError::new_err(error.to_string()),
        Error::Row { row, .. } => {
            let problem = RowError::new_err(error.to_string());
            Python::attach(|py| {
                let told = problem.value(py).setattr(intern!(py, "row"), row);
                told.map_or_else(|failed| failed, |()| problem)
            })
        }
        other => XsfmError::new_err(other.to_string()),
    }
}

/// The file system's error, with the path.
pub(crate) fn file_system(path: &str, source: std::io::Error) -> PyErr {
    let Some(number) = source.raw_os_error() else { return source.into() };
    let text = source.to_string();
    let reason = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text).to_owned();
    pyo3::exceptions::PyOSError::new_err((number, reason, path.to_owned()))
}

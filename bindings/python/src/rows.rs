//! Any data as a block of rows, of all of a model's fields or of some.

use std::collections::HashSet;

use numpy::PyReadonlyArrayDyn;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use xsfm_interchange::rows::RowBlock;

use crate::arrow::Frame;
use crate::columns::Reader;
use crate::error::Problem;
use crate::indices::{self, Indices, Integer};
use crate::scoring::Rows;
use crate::values;

/// Raw values as Python has them.
pub(crate) enum Raw<'py> {
    Frame(Frame),
    Dicts(Vec<Bound<'py, PyDict>>),
}

impl<'py> Raw<'py> {
    /// What an object that is no array of integers is.
    pub(crate) fn of(data: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Some(frame) = Frame::of(data)? {
            return Ok(Raw::Frame(frame));
        }
        if let Ok(row) = data.cast::<PyDict>() {
            return Ok(Raw::Dicts(vec![row.clone()]));
        }
        if data.is_instance_of::<PyList>() || data.is_instance_of::<PyTuple>() {
            let rows = data.try_iter()?.map(|row| Ok(row?.cast_into::<PyDict>()?));
            return Ok(Raw::Dicts(rows.collect::<PyResult<_>>()?));
        }
        let kind = data.get_type().fully_qualified_name()?;
        Err(PyTypeError::new_err(format!(
            "{kind}: an array of integers, a dict, a list of dicts, or a frame with __arrow_c_stream__ expected"
        )))
    }

    /// The names of the columns; of dicts those of the first.
    pub(crate) fn columns(&self) -> PyResult<HashSet<String>> {
        match self {
            Raw::Frame(frame) => Ok(frame.columns()),
            Raw::Dicts(rows) => rows.first().map_or_else(|| Ok(HashSet::new()), values::keys),
        }
    }

    /// All rows as indices.
    pub(crate) fn encode(self, py: Python<'py>, reader: &Reader<'_>) -> PyResult<RowBlock> {
        match self {
            Raw::Dicts(rows) => values::encode(py, reader, &rows),
            Raw::Frame(frame) => {
                let mut all = RowBlock::new(reader.fields.len(), reader.has_bags());
                py.detach(|| {
                    frame.each(reader, |rows| {
                        let done = all.len();
                        append(rows, &mut all).map_err(|problem| problem.behind(done))
                    })
                })?;
                Ok(all)
            }
        }
    }
}

/// Adds rows to a block with the same fields.
fn append(rows: &dyn Rows, all: &mut RowBlock) -> Result<(), Problem> {
    let mut block = RowBlock::new(all.num_fields, rows.has_bags());
    rows.fill(0..rows.len(), &mut block)?;
    (0..block.len()).for_each(|row| all.push_row_of(&block, row));
    Ok(())
}

/// An array of integers, `[rows, names]` or `[names]`, as a block; `None` where it is none.
pub(crate) fn of_indices(data: &Bound<'_, PyAny>, names: &[String]) -> Option<PyResult<RowBlock>> {
    struct Collect<'a>(&'a [String]);

    impl indices::Use for Collect<'_> {
        type Output = RowBlock;

        fn run<T: Integer>(self, array: &PyReadonlyArrayDyn<'_, T>) -> PyResult<RowBlock> {
            let mut all = RowBlock::new(self.0.len(), false);
            append(&Indices::new(array, self.0)?, &mut all)?;
            Ok(all)
        }
    }

    indices::with(data, Collect(names)).ok()
}

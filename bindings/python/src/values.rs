//! Python's own values, dicts by the names of columns, as rows of indices.

use std::collections::HashSet;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use xsfm_interchange::rows::RowBlock;
use xsfm_runtime::{Value, Weight};

use crate::columns::Reader;
use crate::error::Problem;

/// A value of a row, taken out of Python.
enum Cell {
    Missing,
    Text(PyBackedStr),
    Integer(i64),
    Real(f64),
    Tokens(Vec<String>),
    Weighted(Vec<(String, Weight)>),
}

/// The names of a dict's columns.
pub(crate) fn keys(row: &Bound<'_, PyDict>) -> PyResult<HashSet<String>> {
    row.keys().iter().map(|key| key.extract::<String>()).collect()
}

/// The rows of `rows`, whose columns are those of the reader's fields.
pub(crate) fn encode<'py>(py: Python<'py>, reader: &Reader<'_>, rows: &[Bound<'py, PyDict>]) -> PyResult<RowBlock> {
    let columns: Vec<_> = reader.fields.iter().map(|&f| (f, PyString::new(py, reader.column(f)))).collect();
    let distinct: HashSet<&str> = reader.fields.iter().map(|&f| reader.column(f)).collect();
    let mut block = RowBlock::new(columns.len(), reader.has_bags());
    let mut room = reader.room();
    for (number, row) in rows.iter().enumerate() {
        let mut is_whole = row.len() == distinct.len();
        for (f, column) in &columns {
            let Some(value) = row.get_item(column)? else {
                is_whole = false;
                break;
            };
            let cell = cell(&value, number, reader.name(*f))?;
            let tokens: Vec<&str>;
            let weighted: Vec<(&str, Weight)>;
            let value = match &cell {
                Cell::Missing => Value::Missing,
                Cell::Text(text) => Value::Text(text),
                Cell::Integer(integer) => Value::Integer(*integer),
                Cell::Real(_) if !reader.encoder.is_number(*f) && !reader.is_clock(*f) => {
                    let what = "a number that is no integer, which has several texts: give the text, or None for a \
                                missing value";
                    return Err(Problem::of_field(number, reader.name(*f), what).into());
                }
                Cell::Real(real) => Value::Real(*real),
                Cell::Tokens(own) => {
                    tokens = own.iter().map(String::as_str).collect();
                    Value::Tokens(&tokens)
                }
                Cell::Weighted(own) => {
                    weighted = own.iter().map(|(token, weight)| (token.as_str(), *weight)).collect();
                    Value::Weighted(&weighted)
                }
            };
            let count = reader.encode(number, *f, &value, &mut room)?;
            block.push_field(room.get(..count).unwrap_or_default());
        }
        if !is_whole {
            reader.check(Some(number), &keys(row)?)?;
        }
    }
    Ok(block)
}

fn cell(value: &Bound<'_, PyAny>, row: usize, field: &str) -> PyResult<Cell> {
    let is_list = |value: &Bound<'_, PyAny>| value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>();
    if let Some(scalar) = scalar(value)? {
        return Ok(scalar);
    }
    let problem = |what: &str| PyErr::from(Problem::of_field(row, field, what));
    if let Ok(weights) = value.cast::<PyDict>() {
        let weighted = weights.iter().map(|(token, weight)| {
            let number: f64 = weight.extract().map_err(|_| problem("a weight that is no number"))?;
            let most = Weight::MAX;
            let weight = Weight::nearest(number)
                .ok_or_else(|| problem(&format!("weight {number}, -{most} to {most} allowed")))?;
            Ok((text(&token, &problem)?, weight))
        });
        return Ok(Cell::Weighted(weighted.collect::<PyResult<_>>()?));
    }
    let converted = if is_list(value) { None } else { plain(value)? };
    let value = converted.as_ref().unwrap_or(value);
    // What pandas has for a time that is missing.
    if value.cast::<PyString>().is_ok_and(|text| text == "NaT") && converted.is_some() {
        return Ok(Cell::Missing);
    }
    if let Some(scalar) = scalar(value)? {
        return Ok(scalar);
    }
    if !is_list(value) {
        let kind = value.get_type().qualname()?;
        let expected = "text, a number, None, a list of these, or a dict of weights expected";
        return Err(problem(&format!("a value of type {kind}: {expected}")));
    }
    let tokens = value.try_iter()?.map(|token| {
        let token = token?;
        if is_list(&token) {
            return Err(problem("a list of lists"));
        }
        text(&token, &problem)
    });
    Ok(Cell::Tokens(tokens.collect::<PyResult<_>>()?))
}

/// The text of a bag's token.
fn text(token: &Bound<'_, PyAny>, problem: &impl Fn(&str) -> PyErr) -> PyResult<String> {
    let found = match scalar(token)? {
        None => plain(token)?.map_or(Ok(None), |token| scalar(&token))?,
        found => found,
    };
    match found {
        Some(Cell::Missing) => Ok(String::new()),
        Some(Cell::Text(text)) => Ok(text.to_string()),
        Some(Cell::Integer(integer)) => Ok(integer.to_string()),
        Some(Cell::Real(_)) => {
            Err(problem("a number with a fraction among tokens, which has several texts: give the text"))
        }
        Some(Cell::Tokens(_) | Cell::Weighted(_)) | None => {
            let kind = token.get_type().qualname()?;
            Err(problem(&format!("a token of type {kind}: text, a number or None expected")))
        }
    }
}

/// A value that is one, of the language's own types.
fn scalar(value: &Bound<'_, PyAny>) -> PyResult<Option<Cell>> {
    if value.is_none() {
        return Ok(Some(Cell::Missing));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Some(Cell::Text(text.extract()?)));
    }
    // As JSON and Parquet have it.
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Some(Cell::Integer(truth.is_true().into())));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Some(match value.extract::<i64>() {
            Ok(integer) => Cell::Integer(integer),
            Err(_) => Cell::Text(value.str()?.extract()?),
        }));
    }
    Ok(value.cast::<PyFloat>().ok().map(|real| Cell::Real(real.value())))
}

/// A time of the standard library or of pandas as text; an array or a scalar of numpy as the language's own values.
fn plain<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    if value.get_type().name()? == "float32" {
        // The digits that tell it from its neighbours, as in a frame.
        let text = value.extract::<f32>()?.to_string();
        return Ok(Some(PyString::new(py, &text).into_any()));
    }
    for method in [intern!(py, "isoformat"), intern!(py, "tolist")] {
        if let Some(method) = value.getattr_opt(method)? {
            return method.call0().map(Some);
        }
    }
    Ok(None)
}

//! Arrays of numpy as rows of indices.

use std::ops::Range;

use numpy::ndarray::{ArrayView2, Axis};
use numpy::{Element, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use xsfm_interchange::rows::RowBlock;

use crate::error::Problem;
use crate::scoring::Rows;

/// A kind of integers.
pub(crate) trait Integer: Element + Copy + Sync + std::fmt::Display {
    /// Whether it is an index of any field.
    fn is_index(self) -> bool;

    /// The index that it is; any other number where it is none.
    fn index(self) -> u32;
}

macro_rules! integers {
    ($($integer:ty),*) => {
        $(impl Integer for $integer {
            fn is_index(self) -> bool {
                u32::try_from(self).is_ok()
            }

            fn index(self) -> u32 {
                self as u32
            }
        })*
    };
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

/// What takes rows of indices, whichever integers they are.
pub(crate) trait Use {
    type Output;

    /// Of `[rows, fields]`.
    fn run<T: Integer>(self, array: &PyReadonlyArrayDyn<'_, T>) -> PyResult<Self::Output>;
}

/// Calls `user` where `data` is an array of integers, and gives it back where it is anything else.
pub(crate) fn with<U: Use>(data: &Bound<'_, PyAny>, user: U) -> Result<PyResult<U::Output>, U> {
    macro_rules! first_of {
        ($($integer:ty),*) => {
            $(if let Ok(array) = data.cast::<PyArrayDyn<$integer>>() {
                return Ok(array.try_readonly().map_err(PyErr::from).and_then(|array| user.run(&array)));
            })*
        };
    }
    first_of!(i64, i32, u32, u64, i16, u16, u8, i8);
    Err(user)
}

/// An array's rows.
#[derive(Debug)]
pub(crate) struct Indices<'a, T> {
    rows: ArrayView2<'a, T>,
    names: &'a [String],
}

impl<'a, T: Integer> Indices<'a, T> {
    /// Of an array `[rows, names]`, or `[names]`, which is one row.
    pub(crate) fn new(array: &'a PyReadonlyArrayDyn<'_, T>, names: &'a [String]) -> Result<Self, Problem> {
        let view = array.as_array();
        let shape = view.shape().to_vec();
        let rows = if view.ndim() == 1 { view.insert_axis(Axis(0)) } else { view };
        match rows.into_dimensionality() {
            Ok(rows) if rows.ncols() == names.len() => Ok(Indices { rows, names }),
            Ok(_) | Err(_) => {
                let fields = names.len();
                let wanted = format!("(rows, {fields}), or ({fields},) for one row");
                Err(Problem::of_all(format!("indices of shape {shape:?}, {wanted}, expected")))
            }
        }
    }
}

impl<T: Integer> Rows for Indices<'_, T> {
    fn len(&self) -> usize {
        self.rows.nrows()
    }

    fn has_bags(&self) -> bool {
        false
    }

    fn fill(&self, range: Range<usize>, block: &mut RowBlock) -> Result<(), Problem> {
        // Loops without a branch, which the compiler makes vectors of; what is no index is told below.
        let mut fit = true;
        let mut extend = |numbers: &[T]| {
            fit &= numbers.iter().fold(true, |fit, number| fit & number.is_index());
            block.indices.extend(numbers.iter().map(|number| number.index()));
        };
        let width = self.rows.ncols();
        match self.rows.as_slice().and_then(|all| all.get(range.start * width..range.end * width)) {
            Some(numbers) => extend(numbers),
            None => range.clone().for_each(|row| extend(&self.rows.row(row).to_vec())),
        }
        if !fit {
            let numbers = range.flat_map(|row| self.rows.row(row).into_iter().enumerate().map(move |n| (row, n)));
            let bad = numbers.map(|(row, (f, number))| (row, f, *number)).find(|(.., number)| !number.is_index());
            let problem = bad.and_then(|(row, f, number)| {
                let name = self.names.get(f)?;
                Some(Problem::of_field(row, name, format!("index {number}, which no field has")))
            });
            return Err(problem.unwrap_or_else(|| Problem::of_all("indices that no field has")));
        }
        Ok(())
    }
}

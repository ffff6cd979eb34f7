//! Reading named f32 tensors whose shapes are known beforehand.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::error::Error;
use crate::model::Table;

/// A safetensors file in memory. Sizes that its header declares are checked against the bytes before anything is
/// allocated.
///
/// It knows which tensors were asked for: weights that nobody reads would be left out of the model silently.
pub(crate) struct Tensors<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
    known: RefCell<BTreeSet<String>>,
}

impl<'a> Tensors<'a> {
    /// `bytes`: the content of `path`.
    pub(crate) fn parse(path: &Path, bytes: &'a [u8]) -> Result<Self, Error> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|source| Error::Safetensors {
            path: path.to_owned(),
            bytes: bytes.len(),
            source,
        })?;
        Ok(Tensors { path: path.to_owned(), tensors, known: RefCell::default() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.tensors.names()
    }

    /// Says of a tensor that it has no influence on a score, whether it is there or not.
    pub(crate) fn leave_out(&self, name: &str) {
        self.known.borrow_mut().insert(name.to_owned());
    }

    /// Whether each tensor was read or left out on purpose; `model`: what has no place for others.
    pub(crate) fn all_are_read(&self, model: &str) -> Result<(), Error> {
        let known = self.known.borrow();
        let Some(name) = self.tensors.names().into_iter().filter(|&name| !known.contains(name)).min() else {
            return Ok(());
        };
        let shape = self.tensors.tensor(name).map(|view| view.shape().to_vec()).unwrap_or_default();
        Err(Error::UnexpectedTensor {
            path: self.path.clone(),
            tensor: name.to_owned(),
            shape,
            model: model.to_owned(),
        })
    }

    /// The tensor `name` of exactly this shape, row by row, every number finite.
    pub(crate) fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.known.borrow_mut().insert(name.to_owned());
        let Ok(view) = self.tensors.tensor(name) else {
            return Err(Error::MissingTensor {
                path: self.path.clone(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
            });
        };
        if view.dtype() != Dtype::F32 {
            return Err(Error::ElementType {
                path: self.path.clone(),
                tensor: name.to_owned(),
                expected: "F32",
                found: format!("{:?}", view.dtype()),
            });
        }
        if view.shape() != shape {
            return Err(Error::Shape {
                path: self.path.clone(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
                found: view.shape().to_vec(),
            });
        }
        let (words, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(at) => Err(Error::NotFinite {
                path: self.path.clone(),
                tensor: name.to_owned(),
                position: position(at, shape),
                value: values[at],
            }),
        }
    }

    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Table<f32>, Error> {
        Ok(Table { rows, columns, values: self.f32(name, &[rows, columns])? })
    }

    /// A tensor of one number.
    pub(crate) fn scalar(&self, name: &str) -> Result<f32, Error> {
        Ok(self.f32(name, &[1])?[0])
    }
}

/// The indices of element `at` in a tensor of this shape.
fn position(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut indices: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let index = at % size;
            at /= size;
            index
        })
        .collect();
    indices.reverse();
    indices
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn position_counts_rows_first() {
        assert_eq!(position(7, &[3, 4]), [1, 3]);
        assert_eq!(position(7, &[9]), [7]);
        assert_eq!(position(0, &[]), [0; 0]);
    }
}

//! Reading named tensors whose shapes are known beforehand.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
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

    /// The shape of a tensor that is there, whether or not it is read then.
    pub(crate) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.tensor(name).ok().map(|view| view.shape().to_vec())
    }

    /// The tensor `name` of exactly this shape, row by row, every number finite.
    pub(crate) fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.numbers(name, shape, &[Dtype::F32], "F32")
    }

    /// The same of whatever floating-point type, rounded to f32: other libraries train and store in several.
    pub(crate) fn real(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.numbers(name, shape, &[Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16], "F32, F64, F16 or BF16")
    }

    /// A mask of exactly this shape.
    pub(crate) fn bools(&self, name: &str, shape: &[usize]) -> Result<Vec<bool>, Error> {
        Ok(self.view(name, shape, &[Dtype::BOOL], "BOOL")?.data().iter().map(|&byte| byte != 0).collect())
    }

    fn numbers(&self, name: &str, shape: &[usize], types: &[Dtype], expected: &'static str) -> Result<Vec<f32>, Error> {
        let view = self.view(name, shape, types, expected)?;
        let values = decode(view.data(), view.dtype());
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

    fn view(
        &self,
        name: &str,
        shape: &[usize],
        types: &[Dtype],
        expected: &'static str,
    ) -> Result<TensorView<'_>, Error> {
        self.known.borrow_mut().insert(name.to_owned());
        let Ok(view) = self.tensors.tensor(name) else {
            return Err(Error::MissingTensor {
                path: self.path.clone(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
            });
        };
        if !types.contains(&view.dtype()) {
            return Err(Error::ElementType {
                path: self.path.clone(),
                tensor: name.to_owned(),
                expected,
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
        Ok(view)
    }

    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Table<f32>, Error> {
        Ok(Table { rows, columns, values: self.f32(name, &[rows, columns])? })
    }

    /// A tensor of one number.
    pub(crate) fn scalar(&self, name: &str) -> Result<f32, Error> {
        Ok(self.f32(name, &[1])?[0])
    }
}

/// The numbers of a tensor of one of the types of [`Tensors::real`].
fn decode(bytes: &[u8], dtype: Dtype) -> Vec<f32> {
    match dtype {
        Dtype::F64 => bytes.as_chunks().0.iter().map(|&word| f64::from_le_bytes(word) as f32).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|&word| half(u16::from_le_bytes(word))).collect(),
        // The upper half of an f32.
        Dtype::BF16 => {
            let words = bytes.as_chunks().0.iter();
            words.map(|&word| f32::from_bits(u32::from(u16::from_le_bytes(word)) << 16)).collect()
        }
        _ => bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect(),
    }
}

/// An f16 of IEEE 754: sign, five bits of exponent, ten of fraction. Every one is an f32.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    let magnitude = match exponent {
        0 => fraction * 2_f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction) * 2_f32.powi(exponent - 15),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
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
    use super::{half, position};

    #[test]
    fn halves_are_exact() {
        let cases =
            [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0)];
        for (bits, number) in cases {
            assert_eq!(half(bits), number, "{bits:x}");
        }
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }

    #[test]
    fn position_counts_rows_first() {
        assert_eq!(position(7, &[3, 4]), [1, 3]);
        assert_eq!(position(7, &[9]), [7]);
        assert_eq!(position(0, &[]), [0; 0]);
    }
}

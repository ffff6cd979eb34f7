//! The values between a graph's nodes, for a few rows at once.

use std::collections::HashMap;
use std::rc::Rc;

use ndarray::{Array1, ArrayD, IxDyn};

use super::polynomial::{Atom, Polynomial};

/// What a node gives, or why it cannot be a part of a packed model.
pub(super) type Outcome<T> = Result<T, String>;

/// Elements of a value, so that a small file does not ask for all memory.
const MOST_ELEMENTS: usize = 1 << 26;

/// What is known of a value before any row is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Shapes, and what the graph is given: indices.
    Integers(ArrayD<Integer>),
    /// Weights.
    Reals(Rc<ArrayD<f64>>),
    /// What depends on the rows.
    Rows(ArrayD<Polynomial>),
    /// Sigmoids of that.
    Probabilities(ArrayD<Polynomial>),
}

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Integer {
    Known(i64),
    /// `way(index) + offset` of a column of a row.
    Index {
        row: u32,
        column: u32,
        way: Way,
        offset: i64,
    },
}

/// Which row of a table an index means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    Whole,
    Quotient(i64),
    Remainder(i64),
}

/// Where a number that depends on the row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// Number `dim` of the row of a table that an index means.
    Entry { row: u32, column: u32, table: u32, offset: i64, way: Way, dim: u32 },
    /// Of a quotient's and a remainder's entry the sum or the product.
    Composed { quotient: Atom, remainder: Atom, product: bool },
    /// What a unit of a hidden layer gives.
    Hidden { row: u32, layer: u32, unit: u32 },
}

/// Numbers that depend on rows, and the tables that they come from.
#[derive(Debug, Default)]
pub(super) struct Atoms {
    sources: Vec<Source>,
    numbers: HashMap<Source, Atom>,
    /// Tables and their names.
    pub(super) tables: Vec<(String, Rc<ArrayD<f64>>)>,
}

impl Atoms {
    pub(super) fn source(&self, atom: Atom) -> Source {
        self.sources[atom as usize]
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub(super) fn atom(&mut self, source: Source) -> Atom {
        *self.numbers.entry(source).or_insert_with(|| {
            self.sources.push(source);
            self.sources.len() as Atom - 1
        })
    }

    /// The number of a table, whichever of its names it is looked up by.
    pub(super) fn table(&mut self, name: &str, values: &Rc<ArrayD<f64>>) -> u32 {
        let known = self.tables.iter().position(|(_, table)| Rc::ptr_eq(table, values));
        let number = known.unwrap_or_else(|| {
            self.tables.push((name.to_owned(), Rc::clone(values)));
            self.tables.len() - 1
        });
        number as u32
    }

    /// The sum or the product of two polynomials where that is how a quotient-remainder field makes its vectors.
    pub(super) fn composed(&mut self, a: &Polynomial, b: &Polynomial, product: bool) -> Option<Polynomial> {
        let (a, b) = (a.atom()?, b.atom()?);
        let way = |atom| match self.source(atom) {
            Source::Entry { row, column, way, .. } => Some((row, column, way)),
            _ => None,
        };
        let ((row, column, one), (other_row, other_column, other)) = (way(a)?, way(b)?);
        if (row, column) != (other_row, other_column) {
            return None;
        }
        let (quotient, remainder) = match (one, other) {
            (Way::Quotient(_), Way::Remainder(_)) => (a, b),
            (Way::Remainder(_), Way::Quotient(_)) => (b, a),
            _ => return None,
        };
        Some(self.atom(Source::Composed { quotient, remainder, product }).into())
    }
}

impl Value {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Value::Integers(array) => array.shape(),
            Value::Reals(array) => array.shape(),
            Value::Rows(array) | Value::Probabilities(array) => array.shape(),
        }
    }

    pub(super) fn reals(array: ArrayD<f64>) -> Value {
        Value::Reals(Rc::new(array))
    }

    /// A list of integers that are known.
    pub(super) fn integers(numbers: impl IntoIterator<Item = i64>) -> Value {
        Value::Integers(numbers.into_iter().map(Integer::Known).collect::<Array1<_>>().into_dyn())
    }

    /// The integers, where all are known, in a list.
    pub(super) fn known(&self) -> Outcome<Vec<i64>> {
        let known = |integer: &Integer| match *integer {
            Integer::Known(number) => Ok(number),
            Integer::Index { column, .. } => Err(format!("takes index {column} of a row for a shape or a place")),
        };
        match self {
            Value::Integers(array) => array.iter().map(known).collect(),
            _ => Err("takes real numbers where whole ones are expected".to_owned()),
        }
    }

    /// Weights, or integers that are known.
    pub(super) fn constants(&self) -> Outcome<Rc<ArrayD<f64>>> {
        match self {
            Value::Reals(array) => Ok(Rc::clone(array)),
            Value::Integers(array) => {
                let numbers = self.known()?.into_iter().map(|number| number as f64).collect();
                shaped(array.shape(), numbers).map(Rc::new)
            }
            Value::Rows(_) | Value::Probabilities(_) => {
                Err("takes what depends on the row where weights are expected".to_owned())
            }
        }
    }

    /// Weights as polynomials, and what is that already.
    pub(super) fn polynomials(&self) -> Outcome<ArrayD<Polynomial>> {
        match self {
            Value::Rows(array) => Ok(array.clone()),
            Value::Reals(array) => Ok(array.mapv(Polynomial::from)),
            Value::Integers(array) => {
                let number = |integer: &Integer| match *integer {
                    Integer::Known(number) => Ok(Polynomial::from(number as f64)),
                    Integer::Index { column, .. } => Err(format!(
                        "computes with the number in column {column} of the input: indices alone are read, which \
                         look up rows of tables"
                    )),
                };
                shaped(array.shape(), array.iter().map(number).collect::<Outcome<_>>()?)
            }
            Value::Probabilities(_) => Err("takes what a sigmoid gives".to_owned()),
        }
    }

    /// The same change of shape, whatever the elements are.
    pub(super) fn reshaped(&self, change: impl Reshape) -> Outcome<Value> {
        Ok(match self {
            Value::Integers(array) => Value::Integers(change.of(array)?),
            Value::Reals(array) => Value::reals(change.of(array)?),
            Value::Rows(array) => Value::Rows(change.of(array)?),
            Value::Probabilities(array) => Value::Probabilities(change.of(array)?),
        })
    }
}

/// A change of shape, or a choice of elements.
pub(super) trait Reshape {
    fn of<T: Clone>(&self, array: &ArrayD<T>) -> Outcome<ArrayD<T>>;
}

/// An array of numbers in their order.
pub(super) fn shaped<T>(shape: &[usize], numbers: Vec<T>) -> Outcome<ArrayD<T>> {
    ArrayD::from_shape_vec(IxDyn(shape), numbers)
        .map_err(|_| format!("gives another number of elements than {shape:?}"))
}

/// Whether a value of this shape is small enough to be looked at.
pub(super) fn check_size(shape: &[usize]) -> Outcome<()> {
    let elements = shape.iter().try_fold(1_usize, |all, &dim| all.checked_mul(dim));
    match elements.is_some_and(|elements| elements <= MOST_ELEMENTS) {
        true => Ok(()),
        false => Err(format!("gives a value of shape {shape:?}, too large to be looked at")),
    }
}

/// Two arrays, each repeated to the shape that both have then.
pub(super) fn broadcast<A: Clone, B: Clone>(a: &ArrayD<A>, b: &ArrayD<B>) -> Outcome<(ArrayD<A>, ArrayD<B>)> {
    let rank = a.ndim().max(b.ndim());
    let dim = |shape: &[usize], at: usize| (at + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let shape: Vec<usize> = (0..rank)
        .map(|at| match (dim(a.shape(), at), dim(b.shape(), at)) {
            (1, other) => other,
            (one, _) => one,
        })
        .collect();
    check_size(&shape)?;
    let message = || format!("takes shapes {:?} and {:?}, which do not fit together", a.shape(), b.shape());
    let a = a.broadcast(IxDyn(&shape)).ok_or_else(message)?;
    let b = b.broadcast(IxDyn(&shape)).ok_or_else(message)?;
    Ok((a.to_owned(), b.to_owned()))
}

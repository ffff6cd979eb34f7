//! Nodes that compute: sums, products and positive parts of polynomials.

use ndarray::{ArrayD, ArrayViewD, Axis, Ix2, IxDyn};

use super::graph::{Call, Graph, Hidden};
use super::polynomial::Polynomial;
use super::shape::{self, axis};
use super::value::{Integer, Outcome, Source, Value, Way, broadcast, check_size, shaped};
use crate::export::signed;

/// Products of two numbers that one node may ask for: a larger layer is in no model that is read.
const MOST_PRODUCTS: usize = 1 << 32;
/// Terms of one polynomial.
const MOST_TERMS: usize = 1 << 22;

impl Graph {
    /// `a + factor b`.
    pub(super) fn add(&mut self, a: &Value, b: &Value, factor: f64) -> Outcome<Value> {
        match (a, b) {
            (Value::Integers(a), Value::Integers(b)) => {
                let sign = if factor < 0.0 { -1 } else { 1 };
                pairwise(a, b, |a, b| add_integers(*a, *b, sign)).map(Value::Integers)
            }
            (Value::Reals(a), Value::Reals(b)) => pairwise(a, b, |a, b| Ok(a + factor * b)).map(Value::reals),
            _ => pairwise(&a.polynomials()?, &b.polynomials()?, |a, b| {
                let composed = if factor == 1.0 { self.atoms.composed(a, b, false) } else { None };
                Ok(composed.unwrap_or_else(|| Polynomial::sum([(1.0, a), (factor, b)])))
            })
            .map(Value::Rows),
        }
    }

    pub(super) fn multiply(&mut self, a: &Value, b: &Value) -> Outcome<Value> {
        match (a, b) {
            (Value::Integers(a), Value::Integers(b)) => pairwise(a, b, |a, b| match (*a, *b) {
                (Integer::Known(a), Integer::Known(b)) => {
                    a.checked_mul(b).map(Integer::Known).ok_or_else(|| format!("multiplies {a} by {b}"))
                }
                _ => Err("multiplies an index".to_owned()),
            })
            .map(Value::Integers),
            (Value::Reals(a), Value::Reals(b)) => pairwise(a, b, |a, b| Ok(a * b)).map(Value::reals),
            _ => pairwise(&a.polynomials()?, &b.polynomials()?, |a, b| match self.atoms.composed(a, b, true) {
                Some(composed) => Ok(composed),
                None => self.product(a, b),
            })
            .map(Value::Rows),
        }
    }

    /// A product that a packed model may have: by a weight, or of two fields' vectors.
    fn product(&self, a: &Polynomial, b: &Polynomial) -> Outcome<Polynomial> {
        if a.is_constant() || b.is_constant() {
            return a.product(b).ok_or_else(|| "multiplies too much".to_owned());
        }
        let hidden =
            |p: &Polynomial| p.linear.iter().any(|&(atom, _)| matches!(self.atoms.source(atom), Source::Hidden { .. }));
        if hidden(a) || hidden(b) {
            return Err("multiplies what hidden layers give".to_owned());
        }
        if a.linear.len().saturating_mul(b.linear.len()) > MOST_TERMS {
            return Err(format!("multiplies sums of {} and {} numbers", a.linear.len(), b.linear.len()));
        }
        a.product(b).ok_or_else(|| "multiplies more than two numbers that depend on the row".to_owned())
    }

    pub(super) fn divide(&mut self, a: &Value, b: &Value) -> Outcome<Value> {
        if let (Value::Integers(_), Value::Integers(_)) = (a, b) {
            return way(a, b, Way::Quotient);
        }
        let inverse = Value::reals(b.constants()?.mapv(f64::recip));
        self.multiply(a, &inverse)
    }

    pub(super) fn power(&mut self, a: &Value, exponent: &Value) -> Outcome<Value> {
        let exponent = exponent.constants()?;
        match a {
            Value::Reals(a) => pairwise(a, &exponent, |a, exponent| Ok(a.powf(*exponent))).map(Value::reals),
            _ if exponent.iter().all(|&exponent| exponent == 2.0) => {
                let a = a.polynomials()?;
                let squares = a.iter().map(|p| self.product(p, p)).collect::<Outcome<_>>()?;
                shaped(a.shape(), squares).map(Value::Rows)
            }
            _ => Err(format!("raises what depends on the row to the power of {}", exponent.first().unwrap_or(&0.0))),
        }
    }

    pub(super) fn matmul(&mut self, a: &Value, b: &Value) -> Outcome<Value> {
        if let (Value::Reals(a), Value::Reals(b)) = (a, b) {
            return batched(a.view(), b.view(), |row, column| Ok(row.iter().zip(column).map(|(a, b)| *a * *b).sum()))
                .map(Value::reals);
        }
        let product = match (a, b) {
            (_, Value::Reals(weights)) => {
                let a = a.polynomials()?;
                batched(a.view(), weights.view(), |row, column| sum(row.iter().copied(), column.iter().map(|c| **c)))
            }
            (Value::Reals(weights), _) => {
                let b = b.polynomials()?;
                batched(weights.view(), b.view(), |row, column| sum(column.iter().copied(), row.iter().map(|c| **c)))
            }
            _ => {
                let (a, b) = (a.polynomials()?, b.polynomials()?);
                batched(a.view(), b.view(), |row, column| {
                    let products =
                        row.iter().zip(column).map(|(a, b)| self.product(a, b)).collect::<Outcome<Vec<_>>>()?;
                    sum(products.iter(), std::iter::repeat(1.0))
                })
            }
        };
        product.map(Value::Rows)
    }

    pub(super) fn gemm(&mut self, call: &Call<'_>) -> Outcome<Value> {
        let turned = |at: usize, name: &str| {
            let value = call.input(at)?;
            if value.shape().len() != 2 {
                return Err(format!("takes a matrix of shape {:?}", value.shape()));
            }
            if call.integer(name, 0) == 0 { Ok(value.clone()) } else { shape::transpose(value, None) }
        };
        let product = self.matmul(&turned(0, "transA")?, &turned(1, "transB")?)?;
        let product = scaled(&product, call.real("alpha", 1.0))?;
        match call.optional(2) {
            None => Ok(product),
            Some(bias) => self.add(&product, &scaled(bias, call.real("beta", 1.0))?, 1.0),
        }
    }

    /// A hidden layer.
    pub(super) fn relu(&mut self, call: &Call<'_>) -> Outcome<Value> {
        let value = call.input(0)?;
        if let Value::Reals(array) = value {
            return Ok(Value::reals(array.mapv(|number| number.max(0.0))));
        }
        let array = value.polynomials()?;
        let shape = array.shape();
        if shape.first() != Some(&self.rows) {
            return Err(format!("takes shape {shape:?}, where {} rows come first", self.rows));
        }
        let layer = self.layers.len() as u32;
        let units = array.len() / self.rows.max(1);
        let rows = array.outer_iter().map(|row| row.iter().cloned().collect()).collect();
        self.layers.push(Hidden { name: call.node.name.clone(), rows });
        let hidden = (0..self.rows as u32).flat_map(|row| (0..units as u32).map(move |unit| (row, unit)));
        let atoms = hidden.map(|(row, unit)| self.atoms.atom(Source::Hidden { row, layer, unit }).into()).collect();
        shaped(shape, atoms).map(Value::Rows)
    }
}

fn add_integers(a: Integer, b: Integer, sign: i64) -> Outcome<Integer> {
    let sum = |a: i64, b: i64| b.checked_mul(sign).and_then(|b| a.checked_add(b)).ok_or("adds beyond 64 bits");
    Ok(match (a, b) {
        (Integer::Known(a), Integer::Known(b)) => Integer::Known(sum(a, b)?),
        (Integer::Index { row, column, way, offset }, Integer::Known(b)) => {
            Integer::Index { row, column, way, offset: sum(offset, b)? }
        }
        (Integer::Known(a), Integer::Index { row, column, way, offset }) if sign == 1 => {
            Integer::Index { row, column, way, offset: sum(a, offset)? }
        }
        _ => return Err("adds two indices".to_owned()),
    })
}

/// Remainders of indices, or of known numbers.
pub(super) fn remainder(a: &Value, b: &Value) -> Outcome<Value> {
    way(a, b, Way::Remainder)
}

/// Quotients and remainders of indices, or of known numbers.
fn way(a: &Value, b: &Value, way: impl Fn(i64) -> Way) -> Outcome<Value> {
    let (Value::Integers(a), Value::Integers(b)) = (a, b) else {
        return Err("divides real numbers with a rest".to_owned());
    };
    pairwise(a, b, |a, b| match (*a, *b) {
        (_, Integer::Known(..=0)) | (_, Integer::Index { .. }) => {
            Err("divides by what is no positive number".to_owned())
        }
        (Integer::Known(a), Integer::Known(b)) => Ok(Integer::Known(match way(b) {
            Way::Remainder(b) => a.rem_euclid(b),
            _ => a / b,
        })),
        (Integer::Index { row, column, way: Way::Whole, offset: 0 }, Integer::Known(b)) => {
            Ok(Integer::Index { row, column, way: way(b), offset: 0 })
        }
        _ => Err("divides what is no index any more".to_owned()),
    })
    .map(Value::Integers)
}

pub(super) fn scaled(value: &Value, factor: f64) -> Outcome<Value> {
    Ok(match value {
        _ if factor == 1.0 => value.clone(),
        Value::Rows(array) => Value::Rows(array.mapv(|p| p.scaled(factor))),
        other => Value::reals(other.constants()?.mapv(|number| number * factor)),
    })
}
/// Sums along axes, all of them where none are named, or means.
pub(super) fn reduce(call: &Call<'_>, mean: bool) -> Outcome<Value> {
    let value = call.input(0)?;
    let rank = value.shape().len();
    let axes = match call.list(1, "axes")?.filter(|axes| !axes.is_empty()) {
        Some(axes) => axes.into_iter().map(|one| axis(one, rank)).collect::<Outcome<Vec<_>>>()?,
        None if call.integer("noop_with_empty_axes", 0) != 0 => return Ok(value.clone()),
        None => (0..rank).collect(),
    };
    let number: usize = axes.iter().map(|&axis| value.shape()[axis]).product();
    let factor = if mean { 1.0 / number.max(1) as f64 } else { 1.0 };
    // The axes that stay first, so that what is summed lies together.
    let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    let order: Vec<i64> = kept.iter().chain(&axes).map(|&axis| signed(axis)).collect();
    let keeps = call.integer("keepdims", 1) != 0;
    let shape: Vec<usize> = match keeps {
        true => (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { value.shape()[axis] }).collect(),
        false => kept.iter().map(|&axis| value.shape()[axis]).collect(),
    };
    let turned = shape::transpose(value, Some(&order))?;
    if let Value::Reals(array) = &turned {
        let all: Vec<f64> = array.iter().copied().collect();
        let sums = if number == 0 { vec![0.0; shape.iter().product()] } else { Vec::new() };
        let sums = all.chunks(number.max(1)).map(|part| factor * part.iter().sum::<f64>()).chain(sums).collect();
        return shaped(&shape, sums).map(Value::reals);
    }
    let all: Vec<Polynomial> = turned.polynomials()?.into_iter().collect();
    let sums = all.chunks(number.max(1)).map(|part| sum(part.iter(), std::iter::repeat(factor)));
    shaped(&shape, sums.collect::<Outcome<_>>()?).map(Value::Rows)
}

/// `gamma (x - mean) / sqrt(var + epsilon) + beta` of each place of axis 1.
pub(super) fn batch_norm(call: &Call<'_>) -> Outcome<Value> {
    if call.integer("training_mode", 0) != 0 {
        return Err("normalises by the batch (training mode)".to_owned());
    }
    let x = call.input(0)?.polynomials()?;
    let channels = x.shape().get(1).copied().ok_or("has no axis 1")?;
    let parts = (1..5).map(|at| call.input(at)?.constants()).collect::<Outcome<Vec<_>>>()?;
    if let Some(part) = parts.iter().find(|part| part.shape() != [channels]) {
        return Err(format!("has weights of shape {:?} for {channels} channels", part.shape()));
    }
    let epsilon = call.real("epsilon", 1e-5);
    let mut normed = x;
    for (channel, mut lane) in normed.axis_iter_mut(Axis(1)).enumerate() {
        let at = |part: usize| parts[part][channel];
        let scale = at(0) / (at(3) + epsilon).sqrt();
        if !scale.is_finite() {
            return Err(format!("has variance {} in channel {channel}", at(3)));
        }
        let shift = Polynomial::from(at(1) - at(2) * scale);
        lane.mapv_inplace(|p| Polynomial::sum([(scale, &p), (1.0, &shift)]));
    }
    Ok(Value::Rows(normed))
}

/// A sum of polynomials by weights.
fn sum<'p>(terms: impl IntoIterator<Item = &'p Polynomial>, weights: impl Iterator<Item = f64>) -> Outcome<Polynomial> {
    let sum = Polynomial::sum(weights.zip(terms));
    match sum.linear.len() + sum.quadratic.len() {
        terms if terms > MOST_TERMS => Err(format!("sums {terms} terms")),
        _ => Ok(sum),
    }
}

/// Element by element, both repeated to one shape.
fn pairwise<A: Clone, B: Clone, C>(
    a: &ArrayD<A>,
    b: &ArrayD<B>,
    mut of: impl FnMut(&A, &B) -> Outcome<C>,
) -> Outcome<ArrayD<C>> {
    let (a, b) = broadcast(a, b)?;
    let all = a.iter().zip(&b).map(|(a, b)| of(a, b)).collect::<Outcome<_>>()?;
    shaped(a.shape(), all)
}

/// Products of matrices, one for each of what the leading axes count; `dot` of a row and a column.
fn batched<A: Clone, B: Clone, C>(
    a: ArrayViewD<'_, A>,
    b: ArrayViewD<'_, B>,
    dot: impl Fn(&[&A], &[&B]) -> Outcome<C>,
) -> Outcome<ArrayD<C>> {
    let wrong = || format!("multiplies shapes {:?} and {:?}", a.shape(), b.shape());
    let (Some(a_lead), Some(b_lead)) = (a.ndim().checked_sub(2), b.ndim().checked_sub(2)) else {
        return Err(wrong());
    };
    let (rows, inner) = (a.shape()[a_lead], a.shape()[a_lead + 1]);
    let (b_inner, columns) = (b.shape()[b_lead], b.shape()[b_lead + 1]);
    // One matrix for all, or one for each.
    let lead: Vec<usize> = if a_lead >= b_lead { a.shape()[..a_lead].to_vec() } else { b.shape()[..b_lead].to_vec() };
    let repeated = |matrix: &[usize]| [&lead[..], matrix].concat();
    let a = a.broadcast(IxDyn(&repeated(&[rows, inner]))).ok_or_else(wrong)?;
    let b = b.broadcast(IxDyn(&repeated(&[b_inner, columns]))).ok_or_else(wrong)?;
    let shape = repeated(&[rows, columns]);
    check_size(&shape)?;
    let products = shape.iter().try_fold(inner, |all, &dim| all.checked_mul(dim));
    if inner != b_inner || products.is_none_or(|products| products > MOST_PRODUCTS) {
        return Err(wrong());
    }
    let matrices = lead.iter().product::<usize>();
    let a = a.to_shape((matrices, rows, inner)).map_err(|_| wrong())?;
    let b = b.to_shape((matrices, b_inner, columns)).map_err(|_| wrong())?;
    let mut all = Vec::with_capacity(shape.iter().product());
    for (a, b) in a.outer_iter().zip(b.outer_iter()) {
        let (a, b) = (a.into_dimensionality::<Ix2>(), b.into_dimensionality::<Ix2>());
        let (a, b) = (a.map_err(|_| wrong())?, b.map_err(|_| wrong())?);
        let by_columns: Vec<Vec<&B>> = (0..columns).map(|at| b.column(at).into_iter().collect()).collect();
        for row in 0..rows {
            let row: Vec<&A> = a.row(row).into_iter().collect();
            for column in &by_columns {
                all.push(dot(&row, column)?);
            }
        }
    }
    shaped(&shape, all)
}

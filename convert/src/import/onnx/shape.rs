//! Nodes that change shapes and choose elements; what the elements are is nothing to them.

use ndarray::{ArrayD, Axis, Dimension, IxDyn, concatenate};

use super::value::{Outcome, Reshape, Value, check_size, shaped};
use crate::export::signed;

/// An axis that may be counted from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Outcome<usize> {
    let from_start = if axis < 0 { axis.checked_add(signed(rank)) } else { Some(axis) };
    from_start
        .and_then(|axis| usize::try_from(axis).ok())
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("has axis {axis}, but its input has {rank}"))
}

fn axes(list: &[i64], rank: usize) -> Outcome<Vec<usize>> {
    list.iter().map(|&one| axis(one, rank)).collect()
}

/// Elements in their order, in another shape.
struct To<'s>(&'s [usize]);

impl Reshape for To<'_> {
    fn of<T: Clone>(&self, array: &ArrayD<T>) -> Outcome<ArrayD<T>> {
        shaped(self.0, array.iter().cloned().collect())
    }
}

/// `Reshape`: 0 is the input's own dimension, -1 what is left over.
pub(super) fn reshape(value: &Value, wanted: &[i64], zero_is_zero: bool) -> Outcome<Value> {
    let before = value.shape();
    let elements: usize = before.iter().product();
    let wrong = || format!("cannot bring shape {before:?} into {wanted:?}");
    let mut shape = Vec::new();
    let mut open = None;
    for (at, &dim) in wanted.iter().enumerate() {
        shape.push(match dim {
            -1 if open.replace(at).is_none() => 1,
            0 if !zero_is_zero => *before.get(at).ok_or_else(wrong)?,
            dim => usize::try_from(dim).map_err(|_| wrong())?,
        });
    }
    if let Some(at) = open {
        let known = shape.iter().try_fold(1_usize, |all, &dim| all.checked_mul(dim)).ok_or_else(wrong)?;
        shape[at] = elements.checked_div(known).ok_or_else(wrong)?;
    }
    value.reshaped(To(&shape))
}

/// `Flatten`: two dimensions.
pub(super) fn flatten(value: &Value, at: i64) -> Outcome<Value> {
    let shape = value.shape();
    let at = if at == signed(shape.len()) { shape.len() } else { axis(at, shape.len())? };
    let (first, second) = shape.split_at(at);
    value.reshaped(To(&[first.iter().product(), second.iter().product()]))
}

/// `Squeeze`: without dimensions of 1; of all of them where none are named.
pub(super) fn squeeze(value: &Value, list: Option<&[i64]>) -> Outcome<Value> {
    let shape = value.shape();
    let gone = match list {
        Some(list) => axes(list, shape.len())?,
        None => (0..shape.len()).filter(|&at| shape[at] == 1).collect(),
    };
    if let Some(&at) = gone.iter().find(|&&at| shape[at] != 1) {
        return Err(format!("squeezes axis {at} of shape {shape:?}"));
    }
    let kept: Vec<usize> = (0..shape.len()).filter(|at| !gone.contains(at)).map(|at| shape[at]).collect();
    value.reshaped(To(&kept))
}

/// `Unsqueeze`: with dimensions of 1 at these places of the result.
pub(super) fn unsqueeze(value: &Value, list: &[i64]) -> Outcome<Value> {
    let new = axes(list, value.shape().len() + list.len())?;
    let mut rest = value.shape().iter();
    let shape: Vec<usize> = (0..value.shape().len() + list.len())
        .map(|at| if new.contains(&at) { Some(1) } else { rest.next().copied() })
        .collect::<Option<_>>()
        .ok_or("names an axis twice")?;
    value.reshaped(To(&shape))
}

struct Transposed(Vec<usize>);

impl Reshape for Transposed {
    fn of<T: Clone>(&self, array: &ArrayD<T>) -> Outcome<ArrayD<T>> {
        Ok(array.view().permuted_axes(IxDyn(&self.0)).as_standard_layout().into_owned())
    }
}

/// `Transpose`: axis `order[i]` at place `i`; turned round where no order is given.
pub(super) fn transpose(value: &Value, order: Option<&[i64]>) -> Outcome<Value> {
    let rank = value.shape().len();
    let order = order.map_or_else(|| Ok((0..rank).rev().collect()), |order| axes(order, rank))?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..rank) {
        return Err(format!("brings {rank} axes into the order {order:?}"));
    }
    value.reshaped(Transposed(order))
}

struct Selected(usize, Vec<usize>);

impl Reshape for Selected {
    fn of<T: Clone>(&self, array: &ArrayD<T>) -> Outcome<ArrayD<T>> {
        Ok(array.select(Axis(self.0), &self.1))
    }
}

/// These places of an axis, which are there.
fn select(value: &Value, axis: usize, places: Vec<usize>) -> Outcome<Value> {
    let mut shape = value.shape().to_vec();
    shape[axis] = places.len();
    check_size(&shape)?;
    value.reshaped(Selected(axis, places))
}

/// `Gather` by places that are known: the places' shape in place of the axis.
pub(super) fn gather(value: &Value, at: i64, places: &[i64], places_shape: &[usize]) -> Outcome<Value> {
    let at = axis(at, value.shape().len())?;
    let dim = value.shape()[at];
    let place = |&place: &i64| {
        let from_start = if place < 0 { place.checked_add(signed(dim)) } else { Some(place) };
        from_start
            .and_then(|place| usize::try_from(place).ok())
            .filter(|&place| place < dim)
            .ok_or_else(|| format!("takes place {place} of {dim}"))
    };
    let selected = select(value, at, places.iter().map(place).collect::<Outcome<_>>()?)?;
    let shape = [&selected.shape()[..at], places_shape, &selected.shape()[at + 1..]].concat();
    selected.reshaped(To(&shape))
}

/// `GatherND` by places that are known: the last axis of `places` has the first axes' places of an element.
pub(super) fn gather_nd(value: &Value, places: &Value) -> Outcome<Value> {
    let (shape, places_shape) = (value.shape(), places.shape());
    let (&depth, lead) = places_shape.split_last().ok_or("has no places")?;
    if depth == 0 || depth > shape.len() {
        return Err(format!("takes places of {depth} axes in a value of {}", shape.len()));
    }
    let (first, rest) = shape.split_at(depth);
    let flat = reshape(value, &[&[-1][..], &rest.iter().map(|&dim| signed(dim)).collect::<Vec<_>>()].concat(), true)?;
    let place = |place: &[i64]| {
        let each = place.iter().zip(first).try_fold(0_i64, |at, (&place, &dim)| {
            let dim = signed(dim);
            let from_start = if place < 0 { place.checked_add(dim)? } else { place };
            (0..dim).contains(&from_start).then_some(at * dim + from_start)
        });
        each.ok_or_else(|| format!("takes place {place:?} of shape {first:?}"))
    };
    let places = places.known()?.chunks_exact(depth).map(place).collect::<Outcome<Vec<_>>>()?;
    gather(&flat, 0, &places, lead)
}

/// `NonZero`: the places of what is not zero, `[axes, places]`.
pub(super) fn non_zero(array: &ArrayD<f64>) -> Outcome<Value> {
    let found: Vec<Vec<usize>> = array
        .indexed_iter()
        .filter(|&(_, &number)| number != 0.0)
        .map(|(place, _)| place.as_array_view().to_vec())
        .collect();
    let places = (0..array.ndim()).flat_map(|axis| found.iter().map(move |place| signed(place[axis])));
    reshape(&Value::integers(places), &[signed(array.ndim()), signed(found.len())], true)
}

/// A range of an axis, as `Slice` counts it.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) axis: i64,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) step: i64,
}

/// `Slice`, each range of its own axis.
pub(super) fn slice(value: &Value, ranges: &[Range]) -> Outcome<Value> {
    let mut value = value.clone();
    for range in ranges {
        let at = axis(range.axis, value.shape().len())?;
        let dim = signed(value.shape()[at]);
        if range.step < 1 {
            return Err(format!("slices with step {}", range.step));
        }
        let within = |place: i64| (if place < 0 { place.saturating_add(dim) } else { place }).clamp(0, dim);
        let step = usize::try_from(range.step).map_err(|_| format!("slices with step {}", range.step))?;
        let places = (within(range.start)..within(range.end)).step_by(step).map(|place| place as usize).collect();
        value = select(&value, at, places)?;
    }
    Ok(value)
}

/// `Split`: pieces of an axis that have these lengths, or are `pieces` alike.
pub(super) fn split(value: &Value, at: i64, lengths: Option<&[i64]>, pieces: usize) -> Outcome<Vec<Value>> {
    let at = axis(at, value.shape().len())?;
    let dim = value.shape()[at];
    let lengths: Vec<usize> = match lengths {
        Some(lengths) => {
            let length = |&length: &i64| usize::try_from(length).map_err(|_| format!("has a piece of {length}"));
            lengths.iter().map(length).collect::<Outcome<_>>()?
        }
        None => {
            let each = dim.div_ceil(pieces.max(1));
            (0..pieces).map(|piece| each.min(dim.saturating_sub(piece * each))).collect()
        }
    };
    if lengths.iter().try_fold(0_usize, |all, &length| all.checked_add(length)) != Some(dim) {
        return Err(format!("splits {dim} into {lengths:?}"));
    }
    let mut start = 0;
    let piece = |&length: &usize| {
        start += length;
        select(value, at, (start - length..start).collect())
    };
    lengths.iter().map(piece).collect()
}

/// `Concat`.
pub(super) fn concat(values: &[&Value], at: i64) -> Outcome<Value> {
    let first = values.first().ok_or("has no input")?;
    let at = axis(at, first.shape().len())?;
    fn joined<T: Clone>(arrays: &[ArrayD<T>], at: usize) -> Outcome<ArrayD<T>> {
        let views: Vec<_> = arrays.iter().map(|array| array.view()).collect();
        let shapes = || arrays.iter().map(|array| format!("{:?}", array.shape())).collect::<Vec<_>>().join(", ");
        concatenate(Axis(at), &views)
            .map(|array| array.as_standard_layout().into_owned())
            .map_err(|_| format!("joins shapes {} along axis {at}", shapes()))
    }
    if values.iter().all(|value| matches!(value, Value::Integers(_))) {
        let arrays: Vec<_> = values
            .iter()
            .filter_map(|value| if let Value::Integers(array) = value { Some(array.clone()) } else { None })
            .collect();
        return joined(&arrays, at).map(Value::Integers);
    }
    if values.iter().all(|value| matches!(value, Value::Reals(_))) {
        let arrays = values.iter().map(|value| Ok(value.constants()?.as_ref().clone())).collect::<Outcome<Vec<_>>>()?;
        return joined(&arrays, at).map(Value::reals);
    }
    let arrays = values.iter().map(|value| value.polynomials()).collect::<Outcome<Vec<_>>>()?;
    joined(&arrays, at).map(Value::Rows)
}

struct Expanded<'s>(&'s [usize]);

impl Reshape for Expanded<'_> {
    fn of<T: Clone>(&self, array: &ArrayD<T>) -> Outcome<ArrayD<T>> {
        let broadcast = array.broadcast(IxDyn(self.0));
        broadcast
            .map(|array| array.to_owned())
            .ok_or_else(|| format!("repeats shape {:?} to {:?}", array.shape(), self.0))
    }
}

/// `Expand`: both shapes are repeated to one.
pub(super) fn expand(value: &Value, wanted: &[i64]) -> Outcome<Value> {
    let wanted = lengths(wanted)?;
    let before = value.shape();
    let rank = wanted.len().max(before.len());
    let dim = |shape: &[usize], at: usize| (at + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let shape: Vec<usize> = (0..rank)
        .map(|at| match (dim(before, at), dim(&wanted, at)) {
            (one, 1) => one,
            (_, other) => other,
        })
        .collect();
    check_size(&shape)?;
    value.reshaped(Expanded(&shape))
}

/// A shape that a graph computes.
pub(super) fn lengths(dims: &[i64]) -> Outcome<Vec<usize>> {
    let shape = dims
        .iter()
        .map(|&dim| usize::try_from(dim).map_err(|_| format!("gives a value of shape {dims:?}")))
        .collect::<Outcome<Vec<_>>>()?;
    check_size(&shape)?;
    Ok(shape)
}

//! What a node gives, from what its inputs are.

use ndarray::{ArrayD, Axis, IxDyn};

use super::arithmetic::{batch_norm, reduce, remainder, scaled};
use super::graph::{Call, Graph};
use super::polynomial::Polynomial;
use super::shape::{self, Range, axis};
use super::value::{Integer, Outcome, Source, Value, check_size, shaped};
use super::weights;
use crate::export::signed;

impl Graph {
    /// What a node gives, in the order of its outputs.
    pub(super) fn run(&mut self, call: &Call<'_>) -> Outcome<Vec<Value>> {
        let input = || call.input(0);
        let known = attributes(&call.node.op_type).ok_or("is no operator that a packed model has a place for")?;
        if let Some(other) = call.node.attribute.iter().find(|attribute| !known.contains(&attribute.name.as_str())) {
            return Err(format!("has the attribute `{}`, which is not read", other.name));
        }
        let one = match call.node.op_type.as_str() {
            "Identity" | "Dropout" => input()?.clone(),
            "Cast" => cast(input()?, call.integer("to", 1))?,
            "Shape" => {
                let shape = Value::integers(input()?.shape().iter().map(|&dim| signed(dim)));
                let (start, end) = (call.integer("start", 0), call.integer("end", i64::MAX));
                shape::slice(&shape, &[Range { axis: 0, start, end, step: 1 }])?
            }
            "ConstantOfShape" => constant_of_shape(call)?,
            "Reshape" => shape::reshape(input()?, &call.input(1)?.known()?, call.integer("allowzero", 0) != 0)?,
            "Flatten" => shape::flatten(input()?, call.integer("axis", 1))?,
            "Squeeze" => shape::squeeze(input()?, call.list(1, "axes")?.as_deref())?,
            "Unsqueeze" => shape::unsqueeze(input()?, &call.list(1, "axes")?.ok_or("names no axes")?)?,
            "Transpose" => {
                shape::transpose(input()?, call.attribute("perm").map(|attribute| attribute.ints.as_slice()))?
            }
            "Concat" => {
                let inputs: Vec<&Value> = call.inputs.iter().copied().flatten().collect();
                shape::concat(&inputs, call.integer("axis", 0))?
            }
            "Slice" => shape::slice(input()?, &ranges(call)?)?,
            "Split" => {
                let pieces = call.node.output.len();
                let lengths = call.list(1, "split")?;
                return shape::split(input()?, call.integer("axis", 0), lengths.as_deref(), pieces);
            }
            "Expand" => shape::expand(input()?, &call.input(1)?.known()?)?,
            "Gather" => self.gather(call)?,
            "GatherND" => shape::gather_nd(input()?, call.input(1)?)?,
            "NonZero" => shape::non_zero(&*input()?.constants()?)?,
            "Add" => self.add(input()?, call.input(1)?, 1.0)?,
            "Sub" => self.add(input()?, call.input(1)?, -1.0)?,
            "Sum" => {
                let mut sum = input()?.clone();
                for term in call.inputs.iter().skip(1).copied().flatten() {
                    sum = self.add(&sum, term, 1.0)?;
                }
                sum
            }
            "Neg" => scaled(input()?, -1.0)?,
            "Mul" => self.multiply(input()?, call.input(1)?)?,
            "Div" => self.divide(input()?, call.input(1)?)?,
            "Mod" => remainder(input()?, call.input(1)?)?,
            "Pow" => self.power(input()?, call.input(1)?)?,
            "Sqrt" => Value::reals(input()?.constants()?.mapv(f64::sqrt)),
            "ReduceSum" => reduce(call, false)?,
            "ReduceMean" => reduce(call, true)?,
            "MatMul" => self.matmul(input()?, call.input(1)?)?,
            "Gemm" => self.gemm(call)?,
            "BatchNormalization" => batch_norm(call)?,
            "Relu" => self.relu(call)?,
            "Sigmoid" => Value::Probabilities(input()?.polynomials()?),
            other => return Err(format!("is the operator {other}")),
        };
        Ok(vec![one])
    }

    /// Rows of a table by indices, or elements by known places.
    fn gather(&mut self, call: &Call<'_>) -> Outcome<Value> {
        let (values, places, at) = (call.input(0)?, call.input(1)?, call.integer("axis", 0));
        let Value::Integers(places) = places else {
            return Err("looks up by what is no index".to_owned());
        };
        if places.iter().all(|place| matches!(place, Integer::Known(_))) {
            return shape::gather(values, at, &Value::Integers(places.clone()).known()?, places.shape());
        }
        let Value::Reals(table) = values else {
            return Err("looks up by an index what is no table of weights".to_owned());
        };
        if axis(at, table.ndim())? != 0 || !(1..=2).contains(&table.ndim()) {
            return Err(format!("looks up along axis {at} of a table of shape {:?}", table.shape()));
        }
        let name = call.node.input.first().map_or("", String::as_str);
        let table_number = self.atoms.table(name, table);
        let columns = table.shape().get(1).copied().unwrap_or(1);
        let shape: Vec<usize> = [places.shape(), &table.shape()[1..]].concat();
        check_size(&shape)?;
        let mut entries = Vec::with_capacity(places.len() * columns);
        for place in places {
            match *place {
                Integer::Index { row, column, way, offset } => entries.extend((0..columns as u32).map(|dim| {
                    let source = Source::Entry { row, column, table: table_number, offset, way, dim };
                    Polynomial::from(self.atoms.atom(source))
                })),
                Integer::Known(row) => {
                    let within = usize::try_from(row).ok().filter(|&row| row < table.shape()[0]);
                    let row = within.ok_or_else(|| format!("looks up row {row} of {}", table.shape()[0]))?;
                    entries.extend(table.index_axis(Axis(0), row).iter().map(|&number| Polynomial::from(number)));
                }
            }
        }
        shaped(&shape, entries).map(Value::Rows)
    }
}

/// Attributes of the operators that are read: none is passed over.
fn attributes(operator: &str) -> Option<&'static [&'static str]> {
    Some(match operator {
        "Add" | "Sub" | "Mul" | "Div" | "Neg" | "Pow" | "Sqrt" | "Sum" | "MatMul" | "Relu" | "Sigmoid" | "Identity"
        | "Expand" | "GatherND" | "NonZero" => &[],
        "BatchNormalization" => &["epsilon", "momentum", "training_mode"],
        "Cast" => &["to", "saturate"],
        "Concat" | "Flatten" | "Gather" => &["axis"],
        "ConstantOfShape" => &["value"],
        "Dropout" => &["seed", "ratio"],
        "Gemm" => &["alpha", "beta", "transA", "transB"],
        // Indices are not negative, where `fmod` tells of a difference.
        "Mod" => &["fmod"],
        "ReduceMean" | "ReduceSum" => &["axes", "keepdims", "noop_with_empty_axes"],
        "Reshape" => &["allowzero"],
        "Shape" => &["start", "end"],
        "Slice" => &["starts", "ends", "axes", "steps"],
        "Split" => &["axis", "split", "num_outputs"],
        "Squeeze" | "Unsqueeze" => &["axes"],
        "Transpose" => &["perm"],
        _ => return None,
    })
}
/// To whole numbers, or to real ones; indices stay what they are, whichever type a library keeps them in.
fn cast(value: &Value, to: i64) -> Outcome<Value> {
    // FLOAT, FLOAT16, DOUBLE and BFLOAT16 of the format's enumeration of types.
    let real = [1, 10, 11, 16].contains(&to);
    Ok(match value {
        Value::Reals(array) if !real => Value::Integers(array.mapv(|number| Integer::Known(number.trunc() as i64))),
        Value::Integers(array) if real && array.iter().all(|number| matches!(number, Integer::Known(_))) => {
            Value::Reals(value.constants()?)
        }
        Value::Rows(_) | Value::Probabilities(_) if !real => return Err("rounds what depends on the row".to_owned()),
        other => other.clone(),
    })
}

fn constant_of_shape(call: &Call<'_>) -> Outcome<Value> {
    let shape = shape::lengths(&call.input(0)?.known()?)?;
    let value = call.attribute("value").and_then(|attribute| attribute.t.as_ref());
    match value.map(weights::read_within).transpose()? {
        None => Ok(Value::reals(ArrayD::zeros(IxDyn(&shape)))),
        Some(value) => shape::expand(&shape::reshape(&value, &[1], false)?, &call.input(0)?.known()?),
    }
}

fn ranges(call: &Call<'_>) -> Outcome<Vec<Range>> {
    let starts = call.list(1, "starts")?.ok_or("has no starts")?;
    let ends = call.list(2, "ends")?.ok_or("has no ends")?;
    let axes = call.list(3, "axes")?.unwrap_or_else(|| (0..signed(starts.len())).collect());
    let steps = call.list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("has lists of several lengths".to_owned());
    }
    let each = starts.into_iter().zip(ends).zip(axes).zip(steps);
    Ok(each.map(|(((start, end), axis), step)| Range { axis, start, end, step }).collect())
}

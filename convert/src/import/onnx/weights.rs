//! Weights, whichever type they have and wherever they lie.

use ndarray::{ArrayD, IxDyn};
use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::prelude::{Datum, DatumType, Tensor, TractError};
use tract_onnx::tract_hir::internal::f16;

use super::value::{Integer, Outcome, Value, shaped};

/// What a node `Constant` has.
pub(super) fn read_node(node: &NodeProto, folder: Option<&str>) -> Outcome<Value> {
    let [attribute] = node.attribute.as_slice() else {
        return Err(format!("has {} attributes, not one", node.attribute.len()));
    };
    let reals = |numbers: &[f32]| numbers.iter().map(|&number| f64::from(number)).collect::<Vec<_>>();
    match attribute.name.as_str() {
        "value" => read(attribute.t.as_ref().ok_or("has no tensor")?, folder),
        "value_float" => shaped(&[], reals(&[attribute.f])).map(Value::reals),
        "value_floats" => shaped(&[attribute.floats.len()], reals(&attribute.floats)).map(Value::reals),
        "value_int" => shaped(&[], vec![Integer::Known(attribute.i)]).map(Value::Integers),
        "value_ints" => Ok(Value::integers(attribute.ints.iter().copied())),
        other => Err(format!("has a `{other}`")),
    }
}

/// Weights that lie in the graph itself.
pub(super) fn read_within(tensor: &TensorProto) -> Outcome<Value> {
    read(tensor, None)
}

/// Weights, which may lie in a file of their own in the graph's folder.
pub(super) fn read(tensor: &TensorProto, folder: Option<&str>) -> Outcome<Value> {
    let shape: Vec<i64> = tensor.dims.clone();
    let elements = elements(&shape)?;
    let bytes = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float | DataType::Int32) => 4,
        Ok(DataType::Double | DataType::Int64) => 8,
        Ok(DataType::Float16) => 2,
        Ok(DataType::Bool) => 1,
        _ => return Err(format!("are of type {}, which is not read", tensor.data_type)),
    };
    let outside = tensor.data_location == Some(DataLocation::External as i32);
    if !outside && !tensor.raw_data.is_empty() && Some(tensor.raw_data.len()) != elements.checked_mul(bytes) {
        return Err(format!("{} bytes for shape {shape:?}", tensor.raw_data.len()));
    }
    let tensor =
        tract_onnx::tensor::load_tensor(&MmapDataResolver, tensor, folder).map_err(|why| format!("{why:#}"))?;
    let read = |why: TractError| format!("{why:#}");
    let shape = IxDyn(tensor.shape());
    let reals = |numbers: Vec<f64>| match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(format!("number {at} is {}", numbers[at])),
        None => ArrayD::from_shape_vec(shape.clone(), numbers).map(Value::reals).map_err(|why| why.to_string()),
    };
    let integers = |numbers: Vec<Integer>| {
        ArrayD::from_shape_vec(shape.clone(), numbers).map(Value::Integers).map_err(|why| why.to_string())
    };
    fn numbers<T: Datum + Copy, U>(tensor: &Tensor, to: impl Fn(T) -> U) -> Result<Vec<U>, TractError> {
        Ok(tensor.to_plain_array_view::<T>()?.iter().copied().map(to).collect())
    }
    match tensor.datum_type() {
        DatumType::F32 => reals(numbers(&tensor, |x: f32| f64::from(x)).map_err(read)?),
        DatumType::F64 => reals(numbers(&tensor, |x: f64| x).map_err(read)?),
        DatumType::F16 => reals(numbers(&tensor, |x: f16| f64::from(x)).map_err(read)?),
        DatumType::I64 => integers(numbers(&tensor, Integer::Known).map_err(read)?),
        DatumType::I32 => integers(numbers(&tensor, |x: i32| Integer::Known(x.into())).map_err(read)?),
        DatumType::Bool => integers(numbers(&tensor, |x: bool| Integer::Known(x.into())).map_err(read)?),
        other => Err(format!("are of type {other:?}, which is not read")),
    }
}

/// Elements of weights of this shape, which lie in the file.
fn elements(dims: &[i64]) -> Outcome<usize> {
    dims.iter()
        .try_fold(1_usize, |all, &dim| all.checked_mul(usize::try_from(dim).ok()?))
        .ok_or_else(|| format!("are of shape {dims:?}"))
}

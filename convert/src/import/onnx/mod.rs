//! ONNX files, whoever wrote them: the graph is gone through with indices that are not known yet.
//!
//! | module | has |
//! |---|---|
//! | `polynomial` | what an element of a value is: a polynomial in the numbers that a row looks up |
//! | `value` | values between nodes; where their numbers come from |
//! | `weights` | what is known of them from the file |
//! | `graph`, `node`, `shape`, `arithmetic` | what a node gives |
//! | `form` | a row's polynomials, whichever row it is; layers |
//! | `model` | what the logit's means: scalars, vectors, pairs, layers |
//!
//! So a score may be written in any way: FM as a square of sums or as products of pairs, BatchNorm as a node or folded,
//! tables one by one or on top of each other. What counts is the polynomial in the end. It is taken in f64, and what no
//! packed file holds is refused by the node that makes it.

mod arithmetic;
mod form;
mod graph;
mod model;
mod node;
mod polynomial;
mod shape;
mod value;
mod weights;

use std::collections::HashMap;
use std::path::Path;

use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto, type_proto};
use tract_onnx::prelude::Framework;

use self::form::Columns;
use self::graph::{Call, Graph};
use self::value::{Integer, Outcome, Value, Way, check_size, shaped};
use crate::error::Error;
use crate::export::LOGIT;
use crate::model::FloatModel;

/// Rows that go through a graph whose batch may have any number: with one row alone a sum over rows would not be seen.
const ROWS: usize = 2;
/// Rows of a graph whose batch has a fixed number.
const MOST_ROWS: usize = 64;

/// Reads a model from an ONNX file: its graph takes indices, `[batch, fields]` or an input for each field, of whatever
/// type, and gives logits or their sigmoids, `[batch]` or `[batch, 1]`.
///
/// `names`: the fields', in the order of the graph's columns; without them those of inputs of one column, and
/// `INPUT_COLUMN` of others.
///
/// # Errors
/// A file that cannot be read or is no ONNX file, an operator or a use of one that no packed file has a place for, by
/// the node's name, names that are not as many as there are fields, or sizes beyond what a packed file holds.
pub fn load(path: &Path, names: Option<&[String]>) -> Result<FloatModel, Error> {
    let wrong = |message: String| Error::onnx(path, message);
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut file = std::io::BufReader::new(file);
    let proto = tract_onnx::onnx().proto_model_for_read(&mut file).map_err(|error| wrong(format!("{error:#}")))?;
    let folder = path.parent().and_then(Path::to_str);
    let builder = read(&proto, folder, names).map_err(wrong)?;
    builder.build().map_err(|error| wrong(error.to_string()))
}

fn read(proto: &ModelProto, folder: Option<&str>, names: Option<&[String]>) -> Outcome<super::builder::Builder> {
    let graph = proto.graph.as_ref().ok_or("no ONNX file: it has no graph")?;
    let (mut values, columns, rows) = inputs(graph, names)?;
    for tensor in &graph.initializer {
        let value = weights::read(tensor, folder).map_err(|why| format!("weights `{}`: {why}", tensor.name))?;
        values.insert(tensor.name.clone(), value);
    }
    let mut state = Graph { rows, ..Graph::default() };
    for node in &graph.node {
        let given = run(&mut state, node, &values, folder)
            .map_err(|why| format!("node `{}` ({}) {why}", named(node), node.op_type))?;
        values.extend(node.output.iter().cloned().zip(given));
    }
    let output = output(graph)?;
    let logits = match values.get(&output.name) {
        Some(Value::Rows(array) | Value::Probabilities(array)) => array.clone(),
        Some(_) => return Err(format!("output `{}` does not depend on the row", output.name)),
        None => return Err(format!("output `{}` is what no node gives", output.name)),
    };
    if logits.len() != rows {
        return Err(format!(
            "output `{}` has shape {:?} for {rows} rows; one logit is read",
            output.name,
            logits.shape()
        ));
    }
    model::builder(&state, &columns, &logits.into_iter().collect::<Vec<_>>())
}

/// A node's name; that of what it gives where it has none.
fn named(node: &NodeProto) -> &str {
    match node.name.as_str() {
        "" => node.output.first().map_or("", String::as_str),
        name => name,
    }
}

fn run(
    state: &mut Graph,
    node: &NodeProto,
    values: &HashMap<String, Value>,
    folder: Option<&str>,
) -> Outcome<Vec<Value>> {
    if !["", "ai.onnx"].contains(&node.domain.as_str()) {
        return Err(format!("is of the domain `{}`", node.domain));
    }
    if node.op_type == "Constant" {
        return weights::read_node(node, folder).map(|value| vec![value]);
    }
    let input = |name: &String| match name.as_str() {
        "" => Ok(None),
        name => values.get(name).map(Some).ok_or_else(|| format!("takes `{name}`, which nothing before gives")),
    };
    let inputs = node.input.iter().map(input).collect::<Outcome<_>>()?;
    state.run(&Call { node, inputs })
}

/// The graph's inputs, the columns that they have together, and how many rows are gone through.
fn inputs(graph: &GraphProto, names: Option<&[String]>) -> Outcome<(HashMap<String, Value>, Columns, usize)> {
    let is_weight = |input: &&ValueInfoProto| graph.initializer.iter().any(|tensor| tensor.name == input.name);
    let shapes = graph
        .input
        .iter()
        .filter(|input| !is_weight(input))
        .map(|input| Ok((input.name.as_str(), input_shape(input)?)))
        .collect::<Outcome<Vec<_>>>()?;
    let fixed = shapes.iter().find_map(|(_, (batch, _))| *batch);
    let rows = fixed.unwrap_or(ROWS);
    if let Some((name, (other, _))) = shapes.iter().find(|(_, (batch, _))| batch.is_some_and(|batch| batch != rows)) {
        return Err(format!("input `{name}` has {} rows, another {rows}", other.unwrap_or(0)));
    }
    if !(1..=MOST_ROWS).contains(&rows) {
        return Err(format!("a batch of {rows} rows; 1 to {MOST_ROWS} are read, and any number"));
    }
    let mut values = HashMap::new();
    let mut columns = Vec::new();
    for (name, (_, rest)) in shapes {
        check_size(&[&[rows], &rest[..]].concat())?;
        let width: usize = rest.iter().product();
        let first = columns.len();
        columns.extend((0..width).map(|at| if width == 1 { name.to_owned() } else { format!("{name}_{at}") }));
        let index = |row: usize, at: usize| Integer::Index {
            row: row as u32,
            column: (first + at) as u32,
            way: Way::Whole,
            offset: 0,
        };
        let indices = (0..rows).flat_map(|row| (0..width).map(move |at| index(row, at))).collect();
        values.insert(name.to_owned(), Value::Integers(shaped(&[&[rows], &rest[..]].concat(), indices)?));
    }
    if let Some(names) = names {
        if names.len() != columns.len() {
            return Err(format!(
                "{} names of fields, but its inputs have {} columns: {}",
                names.len(),
                columns.len(),
                columns.join(", ")
            ));
        }
        columns = names.to_vec();
    }
    Ok((values, Columns(columns), rows))
}

/// How many rows an input has, where that is fixed, and its other dimensions.
fn input_shape(input: &ValueInfoProto) -> Outcome<(Option<usize>, Vec<usize>)> {
    let wrong = |why: &str| format!("input `{}` {why}", input.name);
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Err(wrong("is no tensor"));
    };
    let dims = &tensor.shape.as_ref().ok_or_else(|| wrong("has no shape"))?.dim;
    let known = |dim: &Option<Dimension>| match dim {
        Some(Dimension::DimValue(value)) => usize::try_from(*value).ok().filter(|&value| value > 0),
        _ => None,
    };
    let (batch, rest) = dims.split_first().ok_or_else(|| wrong("has no dimension for rows"))?;
    let rest = rest.iter().map(|dim| known(&dim.value)).collect::<Option<_>>();
    Ok((known(&batch.value), rest.ok_or_else(|| wrong("has a second dimension of any length: bags are not read"))?))
}

/// The output that is the score: the only one, or the one that is called as an export calls it.
fn output(graph: &GraphProto) -> Outcome<&ValueInfoProto> {
    match graph.output.as_slice() {
        [only] => Ok(only),
        several => several.iter().find(|output| output.name == LOGIT).ok_or_else(|| {
            let names: Vec<&str> = several.iter().map(|output| output.name.as_str()).collect();
            format!("{} outputs ({}), none of them `{LOGIT}`", several.len(), names.join(", "))
        }),
    }
}

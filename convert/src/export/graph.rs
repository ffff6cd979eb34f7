//! A graph under construction: nodes in order, each value named by whoever makes it.

use prost::Message;

use super::proto::{Attribute, Dimension, Graph, Model, Node, OperatorSet, Shape, Tensor, TensorType, Type, ValueInfo};

/// Name of the graph's input, i64 `[batch, num_fields]`.
pub const INDICES: &str = "indices";
/// The oldest IR that has operator set 17; newer engines read it as well.
const IR_VERSION: i64 = 8;
/// Every operator in use has its present form since then.
const OPSET: i64 = 17;

/// Name of a value: a graph's input, a constant, or what a node gives.
pub(super) type Value = String;

/// Nodes and constants so far.
#[derive(Debug, Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
}

impl Builder {
    /// Adds a node with one output, which takes the node's name.
    pub(super) fn node(&mut self, name: &str, op: &str, inputs: &[&str], attributes: &[(&str, i64)]) -> Value {
        let attributes = attributes.iter().map(|&(name, i)| Attribute {
            name: name.to_owned(),
            i: Some(i),
            ints: Vec::new(),
            kind: Attribute::INT,
        });
        self.push(name, op, inputs, attributes.collect())
    }

    /// Adds a node that puts axis `axes[i]` at place `i`.
    pub(super) fn transpose(&mut self, name: &str, input: &str, axes: &[i64]) -> Value {
        let axes = Attribute { name: "perm".to_owned(), i: None, ints: axes.to_vec(), kind: Attribute::INTS };
        self.push(name, "Transpose", &[input], vec![axes])
    }

    fn push(&mut self, name: &str, op: &str, inputs: &[&str], attribute: Vec<Attribute>) -> Value {
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: op.to_owned(),
            attribute,
        });
        name.to_owned()
    }

    /// Adds a constant; `values` has as many numbers as `dims` says.
    pub(super) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> Value {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len(), "{name}");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, dims, Tensor::FLOAT, bytes)
    }

    /// Adds a constant list of integers.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len()], Tensor::INT64, bytes)
    }

    fn constant(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> Value {
        let dims = dims.iter().map(|&dim| signed(dim)).collect();
        self.constants.push(Tensor { dims, data_type, name: name.to_owned(), raw_data });
        name.to_owned()
    }

    /// Calls the value of the last node `name`.
    pub(super) fn rename_last(&mut self, name: &str) {
        if let Some(node) = self.nodes.last_mut() {
            node.output = vec![name.to_owned()];
            node.name = name.to_owned();
        }
    }

    /// The file's bytes: a graph from `input`, i64 `[batch, width]`, to `outputs`, f32 `[batch]`.
    pub(super) fn finish(self, input: (&str, usize), outputs: &[&str]) -> Vec<u8> {
        let batch = || Dimension { dim_value: None, dim_param: Some("batch".to_owned()) };
        let width = Dimension { dim_value: Some(signed(input.1)), dim_param: None };
        let value = |name: &str, elem_type, dim| {
            let tensor_type = Some(TensorType { elem_type, shape: Some(Shape { dim }) });
            ValueInfo { name: name.to_owned(), kind: Some(Type { tensor_type }) }
        };
        let graph = Graph {
            node: self.nodes,
            name: "xsfm".to_owned(),
            initializer: self.constants,
            input: vec![value(input.0, Tensor::INT64, vec![batch(), width])],
            output: outputs.iter().map(|name| value(name, Tensor::FLOAT, vec![batch()])).collect(),
        };
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(graph),
            opset_import: vec![OperatorSet { domain: Some(String::new()), version: OPSET }],
        };
        model.encode_to_vec()
    }
}

/// ONNX counts with i64; whatever is counted lies in memory, so it fits.
pub(crate) fn signed(count: usize) -> i64 {
    count.cast_signed() as i64
}

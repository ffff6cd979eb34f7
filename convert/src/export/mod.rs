//! From a model to an ONNX file, which other engines read.
//!
//! The graph is the one that measured fastest in them: one table and one Gather for all fields that can share it, the
//! second-order term as one product with the symmetric matrix of the pairs,
//! `sum_{i<j} r_ij <v_i, v_j> = sum_i <v_i, sum_j r_ij/2 v_j>`, and Gemm + Relu for a layer.

mod embedding;
mod graph;
mod proto;

use crate::error::Error;
use crate::model::FloatModel;
use embedding::Vectors;
use graph::{Builder, Value};

pub use graph::INDICES;
pub(crate) use graph::signed;

/// Name of the output that every export has, f32 `[batch]`.
pub const LOGIT: &str = "logit";
/// Name of the other output, f32 `[batch]`.
pub const PROBABILITY: &str = "probability";

/// What an exported graph gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// [`LOGIT`] alone.
    Logit,
    /// [`LOGIT`] and [`PROBABILITY`].
    LogitAndProbability,
}

/// The bytes of an ONNX file (operator set 17) that computes what the model does, in f32.
///
/// # Errors
/// A field is a bag, or the model has no part that reads its input.
pub fn onnx(model: &FloatModel, outputs: Outputs) -> Result<Vec<u8>, Error> {
    if let Some(bag) = model.config.fields.iter().find(|field| field.bag) {
        let name = &bag.name;
        return Err(Error::Input(format!(
            "field `{name}` is a bag: an exported graph reads one index per field, so models with bags cannot be \
             exported"
        )));
    }
    let mut graph = Builder::default();
    let mut terms = Vec::new();
    terms.extend(first_order(&mut graph, model));
    let mut bias = Some(model.bias);
    if model.field_vectors.is_some() || model.all_pairs().is_some() || !model.layers.is_empty() {
        let vectors = embedding::vectors(&mut graph, model);
        terms.extend(vector_terms(&mut graph, model, &vectors));
        if !model.layers.is_empty() {
            terms.push(layers(&mut graph, model, &vectors));
            // It went into the output layer's own.
            bias = None;
        }
    }
    let mut terms = terms.into_iter().enumerate();
    let Some((_, mut logit)) = terms.next() else {
        return Err(Error::Input("the model has neither a first- nor a second-order term nor an MLP".to_owned()));
    };
    for (n, term) in terms {
        logit = graph.node(&format!("terms_{}", n + 1), "Add", &[&logit, &term], &[]);
    }
    if let Some(bias) = bias {
        let bias = graph.floats("bias", &[1], &[bias]);
        graph.node("biased", "Add", &[&logit, &bias], &[]);
    }
    graph.rename_last(LOGIT);
    let mut names = vec![LOGIT];
    if outputs == Outputs::LogitAndProbability {
        names.push(PROBABILITY);
        graph.node(PROBABILITY, "Sigmoid", &[LOGIT], &[]);
    }
    Ok(graph.finish((INDICES, model.fields.len()), &names))
}

/// `sum_f lw_f[i_f]`, `[batch]`.
fn first_order(graph: &mut Builder, model: &FloatModel) -> Option<Value> {
    let weights: Vec<&[f32]> =
        model.fields.iter().map(|field| field.feature_weights.as_deref()).collect::<Option<_>>()?;
    if weights.is_empty() {
        return None;
    }
    let all = weights.concat();
    let table = graph.floats("feature_weights", &[all.len()], &all);
    let lengths: Vec<usize> = weights.iter().map(|weights| weights.len()).collect();
    let rows = embedding::stacked_rows(graph, "feature_weight", &lengths, INDICES);
    let weights = graph.node("feature_weight_of_field", "Gather", &[&table, &rows], &[]);
    let axes = graph.integers("feature_weight_axes", &[1]);
    Some(graph.node("first_order", "ReduceSum", &[&weights, &axes], &[("keepdims", 0)]))
}

/// `sum_f <v_f, w_f> + sum_{i<j} r_ij <v_i, v_j> = sum_f <v_f, w_f + sum_g r_fg/2 v_g>`, `[batch]`.
///
/// Computed on transposed vectors, `[batch, embed_dim, num_fields]`: then the matrix of the pairs is the right factor,
/// a product which engines take for a layer with constant weights.
fn vector_terms(graph: &mut Builder, model: &FloatModel, vectors: &Vectors) -> Option<Value> {
    if model.all_pairs().is_none() && model.field_vectors.is_none() {
        return None;
    }
    let (num_fields, dim) = (model.fields.len(), model.config.embed_dim);
    let transposed = graph.transpose("transposed", &vectors.value, &[0, 2, 1]);
    let mut factor = None;
    if let Some(pairs) = model.all_pairs() {
        let mut matrix = vec![0.0; num_fields * num_fields];
        let mut place = vec![0; num_fields];
        vectors.order.iter().enumerate().for_each(|(p, &f)| place[f] = p);
        for ((i, j), r) in pairs.list.pairs(num_fields).into_iter().zip(&pairs.weights) {
            let (i, j) = (place[i], place[j]);
            matrix[i * num_fields + j] = 0.5 * r;
            matrix[j * num_fields + i] = 0.5 * r;
        }
        let matrix = graph.floats("pairs", &[num_fields, num_fields], &matrix);
        factor = Some(graph.node("neighbours", "MatMul", &[&transposed, &matrix], &[]));
    }
    if let Some(field_vectors) = &model.field_vectors {
        let permuted: Vec<f32> =
            (0..dim).flat_map(|d| vectors.order.iter().map(move |&f| field_vectors[f * dim + d])).collect();
        let field_vectors = graph.floats("field_vectors", &[dim, num_fields], &permuted);
        factor = Some(match factor {
            Some(neighbours) => graph.node("factors", "Add", &[&neighbours, &field_vectors], &[]),
            None => field_vectors,
        });
    }
    let products = graph.node("products", "Mul", &[&transposed, &factor?], &[]);
    let axes = graph.integers("product_axes", &[1, 2]);
    Some(graph.node("vector_terms", "ReduceSum", &[&products, &axes], &[("keepdims", 0)]))
}

/// The MLP and the model's bias, `[batch]`.
fn layers(graph: &mut Builder, model: &FloatModel, vectors: &Vectors) -> Value {
    let (num_fields, dim) = (model.fields.len(), model.config.embed_dim);
    let shape = graph.integers("input_shape", &[-1, signed(num_fields * dim)]);
    let mut x = graph.node("input", "Reshape", &[&vectors.value, &shape], &[]);
    for (n, layer) in model.layers.iter().enumerate() {
        let to_f32 = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
        let mut weights = to_f32(&layer.weights);
        if n == 0 {
            // [outputs, num_fields, embed_dim], its fields in the order of the vectors
            let channels = weights.chunks_exact(layer.inputs);
            let permuted = channels
                .flat_map(|channel| vectors.order.iter().flat_map(move |&f| &channel[f * dim..(f + 1) * dim]))
                .copied();
            weights = permuted.collect();
        }
        let is_last = n + 1 == model.layers.len();
        let mut biases = to_f32(&layer.biases);
        if is_last {
            biases = layer.biases.iter().map(|bias| (bias + f64::from(model.bias)) as f32).collect();
        }
        let weights = graph.floats(&format!("weights_{n}"), &[layer.outputs, layer.inputs], &weights);
        let biases = graph.floats(&format!("biases_{n}"), &[layer.outputs], &biases);
        x = graph.node(&format!("layer_{n}"), "Gemm", &[&x, &weights, &biases], &[("transB", 1)]);
        if !is_last {
            x = graph.node(&format!("activation_{n}"), "Relu", &[&x], &[]);
        }
    }
    let shape = graph.integers("output_shape", &[-1]);
    graph.node("mlp", "Reshape", &[&x, &shape], &[])
}

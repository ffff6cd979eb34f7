//! DeepCTR-Torch (shenweichen/DeepCTR-Torch): DeepFM, WDL, and PNN without products.
//!
//! | name | shape | in |
//! |---|---|---|
//! | `embedding_dict.NAME.weight` | `[rows, embed_dim]` | all |
//! | `linear_model.embedding_dict.NAME.weight` | `[rows, 1]` | DeepFM, WDL |
//! | `dnn.linears.N.*`, `dnn.bn.N.*` | hidden layers | all |
//! | `dnn_linear.weight` | `[1, last width]` | all |
//! | `out.bias` | `[1]` | all |
//!
//! The first layer reads categorical fields, then bags, whichever order they were given in.

use super::builder::{Builder, Embedding, Field, Layers, Linear, PairWeights};
use super::described::{Described, First};
use super::keys::Keys;
use super::lacks;
use super::layers::LayerReader;
use super::library::{Classes, Library};
use super::tables::{own, without_padding};
use crate::error::Error;
use crate::tensors::Tensors;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    DeepFm,
    Wdl,
    Pnn,
}

const CLASSES: Classes<Class> = Classes {
    library: Library::DeepCtrTorch,
    read: &[("DeepFM", Class::DeepFm), ("WDL", Class::Wdl), ("PNN", Class::Pnn)],
    refused: &[
        ("AFM", lacks::ATTENTION),
        ("AFN", lacks::HIGH_ORDER),
        ("AutoInt", lacks::ATTENTION),
        ("CCPM", lacks::CONVOLUTION),
        ("DCN", lacks::CROSS),
        ("DCNMix", lacks::CROSS),
        ("DIEN", lacks::SEQUENCE),
        ("DIFM", lacks::GATES),
        ("DIN", lacks::ATTENTION),
        ("ESMM", lacks::TASKS),
        ("FiBiNET", lacks::GATES),
        ("IFM", lacks::GATES),
        ("MLR", lacks::GATES),
        ("MMOE", lacks::TASKS),
        ("NFM", lacks::PRODUCTS),
        ("ONN", lacks::FIELD_AWARE),
        ("PLE", lacks::TASKS),
        ("SharedBottom", lacks::TASKS),
        ("xDeepFM", lacks::CIN),
    ],
};

/// The model that `config.json` describes, with its numbers.
pub(super) fn read(keys: &Keys<'_>, tensors: &Tensors<'_>) -> Result<Builder, Error> {
    let class = CLASSES.of(keys)?;
    // `use_fm` and the products are the constructor's choice.
    let has_pairs = class == Class::DeepFm && keys.switch("use_fm")?.unwrap_or(true);
    if class == Class::Pnn {
        for (product, by_default) in [("use_inner", true), ("use_outter", false)] {
            if keys.switch(product)?.unwrap_or(by_default) {
                let message = format!("`PNN` with `{product}` has {}, which no packed file holds", lacks::PRODUCTS);
                return Err(keys.error("class", message));
            }
        }
    }
    keys.word_agrees("interaction", if has_pairs { &["unit"] } else { &["none"] })?;
    let first = match class {
        // A model may be given no columns for its linear part.
        Class::DeepFm | Class::Wdl => keys.first_order(&[First::FeatureWeight, First::None])?,
        Class::Pnn => keys.first_order(&[First::None])?,
    };
    let fields = keys.fields()?;
    keys.required::<Vec<String>>("field_names", "a library whose tensors have the names of fields")?;
    let dims = keys.embed_dims(fields.len())?;
    let hidden = keys.hidden(true, "this class")?;
    // Without pairs and layers the vectors are there all the same.
    let has_vectors = has_pairs || !hidden.is_empty();
    let tensor = |field: &Described| format!("embedding_dict.{}.weight", field.name);
    let unused: Vec<String> = fields.iter().filter(|_| !has_vectors).map(tensor).collect();
    keys.names_agree("unused_tensors", &unused, "this class")?;
    keys.bags_are_sums(&fields, has_vectors, first == First::FeatureWeight)?;

    let mut builder = Builder::default();
    for (Described { name, features, bag }, &dim) in fields.iter().zip(&dims) {
        let table = |prefix: &str, columns: usize| {
            let table = own(tensors, &format!("{prefix}.{name}.weight"), *features, columns)?;
            // `SequencePoolingLayer` masks index 0.
            Ok::<_, Error>(if *bag { without_padding(table) } else { table })
        };
        let vectors = table("embedding_dict", dim)?;
        let weights = (first == First::FeatureWeight).then(|| table("linear_model.embedding_dict", 1)).transpose()?;
        builder.fields.push(Field {
            name: name.clone(),
            features: *features,
            bag: *bag,
            embedding: has_vectors.then_some(Embedding::Full(vectors)),
            weights: weights.map(|table| table.values),
        });
    }
    let dense = "linear_model.weight";
    if let Some(shape) = tensors.shape(dense) {
        let message = format!("tensor `{dense}` of shape {shape:?} is of dense features, which no packed file holds");
        return Err(Error::config(tensors.path(), message));
    }
    for name in keys.biases(&["out.bias"])? {
        builder.bias += f64::from(tensors.real(name, &[1])?[0]);
    }
    if has_pairs {
        builder.pairs = PairWeights::Unit;
    }
    if !hidden.is_empty() {
        let reader = LayerReader { tensors, epsilon: keys.epsilon()? };
        let batch_norm = keys.optional("batch_norm")?.unwrap_or(false);
        let mut own_order: Vec<usize> = (0..fields.len()).collect();
        own_order.sort_by_key(|&f| fields[f].bag);
        builder.layers = Some(Layers {
            order: Some(keys.input_order(&fields, own_order)?),
            norm: None,
            linears: layers(reader, dims.iter().sum(), &hidden, batch_norm)?,
        });
    }
    Ok(builder)
}

/// `DNN`, then `dnn_linear`, which has no bias.
fn layers(reader: LayerReader<'_>, inputs: usize, hidden: &[usize], batch_norm: bool) -> Result<Vec<Linear>, Error> {
    let mut inputs = inputs;
    let mut layers = Vec::with_capacity(hidden.len() + 1);
    for (n, &outputs) in hidden.iter().enumerate() {
        let linear = reader.linear(&format!("dnn.linears.{n}"), inputs, outputs, true)?;
        let norm = batch_norm.then(|| reader.norm(&format!("dnn.bn.{n}"), outputs)).transpose()?;
        layers.push(Linear { norm, ..linear });
        inputs = outputs;
    }
    layers.push(reader.linear("dnn_linear", inputs, 1, false)?);
    Ok(layers)
}

//! pytorch-fm (rixwew/pytorch-fm, package `torchfm`): its LR, FM, DeepFM, Wide & Deep and FNN.
//!
//! | name | shape | in |
//! |---|---|---|
//! | `linear.fc.weight`, `linear.bias` | `[all features, 1]`, `[1]` | all but FNN |
//! | `embedding.embedding.weight` | `[all features, embed_dim]` | all but LR |
//! | `mlp.mlp.N.*` | a `MultiLayerPerceptron` | DeepFM, Wide & Deep, FNN |

use super::builder::{Builder, Layers, PairWeights};
use super::described::First;
use super::keys::Keys;
use super::lacks;
use super::layers::LayerReader;
use super::library::{Classes, Library};
use super::sequential::Stack;
use super::tables::{fields as with_tables, shared};
use crate::error::Error;
use crate::tensors::Tensors;

/// What the classes that are read have beside their tables.
#[derive(Clone, Copy)]
struct Class {
    architecture: &'static [&'static str],
    linear: bool,
    pairs: bool,
    layers: bool,
}

const LR: Class = Class { architecture: &["lr"], linear: true, pairs: false, layers: false };
const FM: Class = Class { architecture: &["fm"], linear: true, pairs: true, layers: false };
const DEEP_FM: Class = Class { architecture: &["deepfm", "dfm"], linear: true, pairs: true, layers: true };
const WIDE_DEEP: Class = Class { architecture: &["widedeep", "wd"], linear: true, pairs: false, layers: true };
const FNN: Class = Class { architecture: &["fnn", "mlp", "dnn"], linear: false, pairs: false, layers: true };

const CLASSES: Classes<Class> = Classes {
    library: Library::PyTorchFm,
    read: &[
        ("LogisticRegressionModel", LR),
        ("FactorizationMachineModel", FM),
        ("DeepFactorizationMachineModel", DEEP_FM),
        ("WideAndDeepModel", WIDE_DEEP),
        ("FactorizationSupportedNeuralNetworkModel", FNN),
    ],
    refused: &[
        ("AdaptiveFactorizationNetwork", lacks::HIGH_ORDER),
        ("AttentionalFactorizationMachineModel", lacks::ATTENTION),
        ("AutomaticFeatureInteractionModel", lacks::ATTENTION),
        ("DeepCrossNetworkModel", lacks::CROSS),
        ("ExtremeDeepFactorizationMachineModel", lacks::CIN),
        ("FieldAwareFactorizationMachineModel", lacks::FIELD_AWARE),
        ("FieldAwareNeuralFactorizationMachineModel", lacks::FIELD_AWARE),
        ("HighOrderFactorizationMachineModel", lacks::HIGH_ORDER),
        ("NeuralCollaborativeFiltering", lacks::PRODUCTS),
        ("NeuralFactorizationMachineModel", lacks::PRODUCTS),
        ("ProductNeuralNetworkModel", lacks::PRODUCTS),
    ],
};

/// The model that `config.json` describes, with its numbers.
pub(super) fn read(keys: &Keys<'_>, tensors: &Tensors<'_>) -> Result<Builder, Error> {
    let class = CLASSES.of(keys)?;
    keys.word_agrees("architecture", class.architecture)?;
    keys.word_agrees("interaction", if class.pairs { &["unit"] } else { &["none"] })?;
    keys.first_order(if class.linear { &[First::FeatureWeight] } else { &[First::None] })?;
    keys.names_agree("unused_tensors", &[], "this class")?;
    let fields = keys.fields()?;
    keys.no_bags(&fields, Library::PyTorchFm.name())?;
    keys.offsets_agree("offsets", &fields)?;
    let hidden = keys.hidden(class.layers, "this class")?;
    let has_vectors = class.pairs || class.layers;
    let dim = if has_vectors { keys.embed_dim()? } else { 0 };

    let vectors = match has_vectors {
        true => shared(tensors, "embedding.embedding.weight", &fields, dim)?,
        false => vec![None; fields.len()],
    };
    let weights = match class.linear {
        true => shared(tensors, "linear.fc.weight", &fields, 1)?,
        false => vec![None; fields.len()],
    };
    let mut builder = Builder { fields: with_tables(&fields, vectors, weights), ..Builder::default() };
    for name in keys.biases(if class.linear { &["linear.bias"] } else { &[] })? {
        builder.bias += f64::from(tensors.real(name, &[1])?[0]);
    }
    if class.pairs {
        builder.pairs = PairWeights::Unit;
    }
    if class.layers {
        let stack = Stack {
            prefix: "mlp.mlp.",
            inputs: fields.len() * dim,
            hidden: &hidden,
            // `MultiLayerPerceptron` has always one.
            batch_norm: keys.optional("batch_norm")?.unwrap_or(true),
            norm_of_inputs: false,
            output: true,
        };
        let (norm, linears) = stack.load(LayerReader { tensors, epsilon: keys.epsilon()? })?;
        builder.layers = Some(Layers { order: None, norm, linears });
    }
    Ok(builder)
}

//! RecBole (RUCAIBox/RecBole): LR, FM, WideDeep and DeepFM of its context-aware models.
//!
//! | name | shape | in |
//! |---|---|---|
//! | `token_embedding_table.embedding.weight` | `[all features, embed_dim]` | all; LR adds nothing of it |
//! | `token_seq_embedding_table.N.weight` | `[rows, embed_dim]`, of the N-th bag | the same |
//! | `first_order_linear.` and the above; `first_order_linear.bias` | `[…, 1]`; `[1]` | all |
//! | `mlp_layers.mlp_layers.N.*`, `deep_predict_layer.*` | hidden layers; the output layer | WideDeep, DeepFM |
//!
//! The first layer reads bags, then the other fields.

use super::builder::{Builder, Layers, PairWeights};
use super::described::{Described, First};
use super::keys::Keys;
use super::lacks;
use super::layers::LayerReader;
use super::library::{Classes, Library};
use super::sequential::Stack;
use super::tables::{fields as with_tables, own, shared, without_padding};
use crate::error::Error;
use crate::model::Table;
use crate::tensors::Tensors;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Lr,
    Fm,
    WideDeep,
    DeepFm,
}

const CLASSES: Classes<Class> = Classes {
    library: Library::RecBole,
    read: &[("LR", Class::Lr), ("FM", Class::Fm), ("WideDeep", Class::WideDeep), ("DeepFM", Class::DeepFm)],
    refused: &[
        ("AFM", lacks::ATTENTION),
        ("AutoInt", lacks::ATTENTION),
        ("DCN", lacks::CROSS),
        ("DCNV2", lacks::CROSS),
        ("DIEN", lacks::SEQUENCE),
        ("DIN", lacks::ATTENTION),
        ("DSSM", lacks::TOWERS),
        ("EulerNet", lacks::HIGH_ORDER),
        ("FFM", lacks::FIELD_AWARE),
        ("FNN", lacks::TANH),
        ("FiGNN", lacks::GRAPH),
        // `weight` is a plain tensor of the module: it is not trained with the others, and not saved with them.
        ("FwFM", "weights of pairs that are no parameters, so that the state dict lacks them,"),
        ("KD_DAGFM", lacks::HIGH_ORDER),
        ("NFM", lacks::PRODUCTS),
        ("PNN", lacks::PRODUCTS),
        ("xDeepFM", lacks::CIN),
    ],
};

const BIAS: &str = "first_order_linear.bias";

impl Class {
    fn architecture(self) -> &'static [&'static str] {
        match self {
            Class::Lr => &["lr"],
            Class::Fm => &["fm"],
            Class::WideDeep => &["widedeep", "wdl"],
            Class::DeepFm => &["deepfm"],
        }
    }

    fn has_pairs(self) -> bool {
        matches!(self, Class::Fm | Class::DeepFm)
    }

    fn has_layers(self) -> bool {
        matches!(self, Class::WideDeep | Class::DeepFm)
    }
}

/// The model that `config.json` describes, with its numbers.
pub(super) fn read(keys: &Keys<'_>, tensors: &Tensors<'_>) -> Result<Builder, Error> {
    let class = CLASSES.of(keys)?;
    keys.word_agrees("architecture", class.architecture())?;
    keys.word_agrees("interaction", if class.has_pairs() { &["unit"] } else { &["none"] })?;
    keys.first_order(&[First::FeatureWeight])?;
    let fields = keys.fields()?;
    keys.offsets_agree("offsets", &fields)?;
    let has_vectors = class != Class::Lr;
    keys.bags_are_sums(&fields, has_vectors, true)?;
    let dim = if has_vectors { keys.embed_dim()? } else { 0 };
    let hidden = keys.hidden(class.has_layers(), "this class")?;
    let unused = if has_vectors { Vec::new() } else { table_names("", &fields) };
    keys.names_agree("unused_tensors", &unused, "this class")?;
    unused.iter().for_each(|name| tensors.leave_out(name));

    let vectors = match has_vectors {
        true => tables("", &fields, dim, tensors)?,
        false => vec![None; fields.len()],
    };
    let weights = tables("first_order_linear.", &fields, 1, tensors)?;
    let mut builder = Builder { fields: with_tables(&fields, vectors, weights), ..Builder::default() };
    for name in keys.biases(&[BIAS])? {
        builder.bias += f64::from(tensors.real(name, &[1])?[0]);
    }
    if class.has_pairs() {
        builder.pairs = PairWeights::Unit;
    }
    if class.has_layers() {
        let reader = LayerReader { tensors, epsilon: keys.epsilon()? };
        let stack = Stack {
            prefix: "mlp_layers.mlp_layers.",
            inputs: fields.len() * dim,
            hidden: &hidden,
            batch_norm: keys.optional("batch_norm")?.unwrap_or(false),
            norm_of_inputs: false,
            output: false,
        };
        let (norm, mut linears) = stack.load(reader)?;
        let last = hidden.last().copied().unwrap_or(stack.inputs);
        linears.push(reader.linear("deep_predict_layer", last, 1, true)?);
        let mut own_order: Vec<usize> = (0..fields.len()).collect();
        own_order.sort_by_key(|&f| !fields[f].bag);
        builder.layers = Some(Layers { order: Some(keys.input_order(&fields, own_order)?), norm, linears });
    }
    Ok(builder)
}

/// The tensors of the tables, those of all fields but bags first.
fn table_names(prefix: &str, fields: &[Described]) -> Vec<String> {
    let of_tokens =
        fields.iter().any(|field| !field.bag).then(|| format!("{prefix}token_embedding_table.embedding.weight"));
    let bags = fields.iter().filter(|field| field.bag).count();
    of_tokens.into_iter().chain((0..bags).map(|n| format!("{prefix}token_seq_embedding_table.{n}.weight"))).collect()
}

/// One table for each field.
fn tables(
    prefix: &str,
    fields: &[Described],
    columns: usize,
    tensors: &Tensors<'_>,
) -> Result<Vec<Option<Table<f32>>>, Error> {
    let mut names = table_names(prefix, fields).into_iter();
    let mut found = match fields.iter().any(|field| !field.bag) {
        true => shared(tensors, &names.next().unwrap_or_default(), fields, columns)?,
        false => vec![None; fields.len()],
    };
    for ((field, place), name) in fields.iter().zip(&mut found).filter(|(field, _)| field.bag).zip(names) {
        // `embed_token_seq_fields` masks index 0.
        *place = Some(without_padding(own(tensors, &name, field.features, columns)?));
    }
    Ok(found)
}

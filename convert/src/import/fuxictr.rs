//! FuxiCTR (reczoo/FuxiCTR): LR, FM, FwFM, DNN, WideDeep and DeepFM of its PyTorch models.
//!
//! | name | shape | in |
//! |---|---|---|
//! | `embedding_layer.embedding_layer.embedding_layers.NAME.weight` | `[rows, embed_dim]` | all but LR |
//! | `lr_layer.`, `fm.lr_layer.` and the above; `…bias` | `[rows, 1]`; `[1]` | LR, WideDeep (no bias); FM, DeepFM |
//! | `interaction_weight.weight`, `.bias` | `[1, pairs]`, `[1]` | FwFM |
//! | `linear_weight_layer.…` | by `linear_type` | FwFM |
//! | `mlp.mlp.N.*`, `dnn.mlp.N.*` | an `MLP_Block` | DNN, DeepFM; WideDeep |
//!
//! Row 0 is padding, whose `padding_idx` keeps it at zero, and is looked up like any other.

use super::builder::{Builder, Embedding, Field, Layers, PairWeights};
use super::described::{Described, First};
use super::keys::Keys;
use super::lacks;
use super::layers::LayerReader;
use super::library::{Classes, Library};
use super::sequential::Stack;
use super::tables::own;
use crate::error::Error;
use crate::model::{PairList, Table};
use crate::tensors::Tensors;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Lr,
    Fm,
    FwFm,
    Dnn,
    WideDeep,
    DeepFm,
}

const CLASSES: Classes<Class> = Classes {
    library: Library::FuxiCtr,
    read: &[
        ("LR", Class::Lr),
        ("FM", Class::Fm),
        ("FwFM", Class::FwFm),
        ("DNN", Class::Dnn),
        ("WideDeep", Class::WideDeep),
        ("DeepFM", Class::DeepFm),
    ],
    refused: &[
        ("AFM", lacks::ATTENTION),
        ("AFN", lacks::HIGH_ORDER),
        ("AOANet", lacks::HIGH_ORDER),
        ("APG_DCNv2", lacks::GATES),
        ("APG_DeepFM", lacks::GATES),
        ("AutoInt", lacks::ATTENTION),
        ("BST", lacks::ATTENTION),
        ("CCPM", lacks::CONVOLUTION),
        ("DCN", lacks::CROSS),
        ("DCNv2", lacks::CROSS),
        ("DCNv3", lacks::CROSS),
        ("DESTINE", lacks::ATTENTION),
        ("DIEN", lacks::SEQUENCE),
        ("DIN", lacks::ATTENTION),
        ("DLRM", lacks::PRODUCTS),
        ("DMIN", lacks::ATTENTION),
        ("DMR", lacks::ATTENTION),
        ("DSSM", lacks::TOWERS),
        ("DeepCrossing", "residual connections"),
        ("DeepIM", lacks::HIGH_ORDER),
        ("DualMLP", lacks::TOWERS),
        ("EDCN", lacks::CROSS),
        ("EulerNet", lacks::HIGH_ORDER),
        ("FFM", lacks::FIELD_AWARE),
        ("FFMv2", lacks::FIELD_AWARE),
        ("FGCNN", lacks::CONVOLUTION),
        ("FLEN", lacks::PRODUCTS),
        ("FiBiNET", lacks::GATES),
        ("FiGNN", lacks::GRAPH),
        ("FinalMLP", lacks::TOWERS),
        ("FinalNet", lacks::GATES),
        ("FmFM", "a matrix for each pair of fields"),
        ("GDCN", lacks::CROSS),
        ("HFM", lacks::PRODUCTS),
        ("HOFM", lacks::HIGH_ORDER),
        ("InterHAt", lacks::ATTENTION),
        ("LorentzFM", "products that are no dot products"),
        ("MMoE", lacks::TASKS),
        ("MaskNet", lacks::GATES),
        ("NFM", lacks::PRODUCTS),
        ("ONN", lacks::FIELD_AWARE),
        ("ONNv2", lacks::FIELD_AWARE),
        ("PEPNet", lacks::GATES),
        ("PLE", lacks::TASKS),
        ("PNN", lacks::PRODUCTS),
        ("PPNet", lacks::GATES),
        ("QNN", lacks::HIGH_ORDER),
        ("QNN_alpha", lacks::HIGH_ORDER),
        ("SAM", lacks::ATTENTION),
        ("ShareBottom", lacks::TASKS),
        ("TransAct", lacks::ATTENTION),
        ("WuKong", lacks::HIGH_ORDER),
        ("xDeepFM", lacks::CIN),
    ],
};

const TABLES: &str = "embedding_layer.embedding_layer.embedding_layers";
const PAIRS: &str = "interaction_weight.weight";
const PAIRS_BIAS: &str = "interaction_weight.bias";
const PAIRS_MASK: &str = "inner_product_layer.triu_mask";
const LINEAR: &str = "linear_weight_layer";

impl Class {
    fn architecture(self) -> &'static [&'static str] {
        match self {
            Class::Lr => &["lr"],
            Class::Fm => &["fm"],
            Class::FwFm => &["fwfm"],
            Class::Dnn => &["mlp", "dnn"],
            Class::WideDeep => &["widedeep", "wdl"],
            Class::DeepFm => &["deepfm"],
        }
    }

    fn interaction(self) -> &'static [&'static str] {
        match self {
            Class::Fm | Class::DeepFm => &["unit"],
            Class::FwFm => &["pair"],
            Class::Lr | Class::Dnn | Class::WideDeep => &["none"],
        }
    }

    fn first_order(self) -> &'static [First] {
        match self {
            Class::Lr | Class::Fm | Class::WideDeep | Class::DeepFm => &[First::FeatureWeight],
            // The constructor's default comes first.
            Class::FwFm => &[First::FieldVector, First::FeatureWeight, First::FeatureVector],
            Class::Dnn => &[First::None],
        }
    }

    /// Where its scalars are.
    fn scalars(self) -> &'static str {
        match self {
            Class::Lr | Class::WideDeep => "lr_layer.embedding_layer.embedding_layer.embedding_layers",
            Class::Fm | Class::DeepFm => "fm.lr_layer.embedding_layer.embedding_layer.embedding_layers",
            Class::FwFm | Class::Dnn => "linear_weight_layer.embedding_layer.embedding_layers",
        }
    }

    fn biases(self) -> &'static [&'static str] {
        match self {
            Class::Lr => &["lr_layer.bias"],
            Class::Fm | Class::DeepFm => &["fm.lr_layer.bias"],
            Class::FwFm => &[PAIRS_BIAS],
            Class::Dnn | Class::WideDeep => &[],
        }
    }

    fn layers(self) -> Option<&'static str> {
        match self {
            Class::Dnn | Class::DeepFm => Some("mlp.mlp."),
            Class::WideDeep => Some("dnn.mlp."),
            Class::Lr | Class::Fm | Class::FwFm => None,
        }
    }
}

/// The model that `config.json` describes, with its numbers.
pub(super) fn read(keys: &Keys<'_>, tensors: &Tensors<'_>) -> Result<Builder, Error> {
    let class = CLASSES.of(keys)?;
    keys.word_agrees("architecture", class.architecture())?;
    keys.word_agrees("interaction", class.interaction())?;
    keys.names_agree("unused_tensors", &[], "this class")?;
    let first = first_order(class, keys)?;
    let fields = keys.fields()?;
    keys.required::<Vec<String>>("field_names", "a library whose tensors have the names of fields")?;
    // `FeatureEmbedding` of one number sums a sequence; others have the encoder that a field names.
    let (has_vectors, has_scalars) = (class != Class::Lr, first == First::FeatureWeight);
    keys.bags_are_sums(&fields, has_vectors, has_scalars)?;
    if let Some(bag) = fields.iter().find(|field| field.bag && first == First::FeatureVector) {
        let message = format!("`{}` is a bag, whose dot product with FeLV's vectors is not a sum over it", bag.name);
        return Err(keys.error("linear", message));
    }
    let dims = if has_vectors { keys.embed_dims(fields.len())? } else { vec![0; fields.len()] };
    let hidden = keys.hidden(class.layers().is_some(), "this class")?;

    let mut builder = Builder::default();
    for (field, &dim) in fields.iter().zip(&dims) {
        let Described { name, features, bag } = field;
        let table = |prefix: &str, columns: usize| -> Result<Table<f32>, Error> {
            let tensor = format!("{prefix}.{name}.weight");
            let table = own(tensors, &tensor, *features, columns)?;
            // A sequence is filled up with index 0, and `MaskedSumPooling` sums what is there.
            if *bag && table.row(0).iter().any(|&number| number != 0.0) {
                let message = format!("tensor `{tensor}`: row 0, the padding of a bag, is not zero");
                return Err(Error::config(tensors.path(), message));
            }
            Ok(table)
        };
        let vectors = has_vectors.then(|| table(TABLES, dim)).transpose()?;
        let weights = match (first, &vectors) {
            (First::FeatureWeight, _) => Some(table(class.scalars(), 1)?.values),
            // `<v_i, w_i>` is one number for each feature.
            (First::FeatureVector, Some(vectors)) => Some(dots(vectors, &table(class.scalars(), dim)?)),
            _ => None,
        };
        let embedding = vectors.map(Embedding::Full);
        builder.fields.push(Field { name: name.clone(), features: *features, bag: *bag, embedding, weights });
    }
    if first == First::FieldVector {
        builder.field_vectors = Some(tensors.real(&format!("{LINEAR}.weight"), &[1, dims.iter().sum()])?);
    }
    for name in keys.biases(class.biases())? {
        builder.bias += f64::from(tensors.real(name, &[1])?[0]);
    }
    builder.pairs = match class {
        Class::Fm | Class::DeepFm => PairWeights::Unit,
        Class::FwFm => PairWeights::Upper(pairs(fields.len(), tensors)?),
        Class::Lr | Class::Dnn | Class::WideDeep => PairWeights::None,
    };
    if let Some(prefix) = class.layers() {
        let stack = Stack {
            prefix,
            inputs: dims.iter().sum(),
            hidden: &hidden,
            batch_norm: keys.optional("batch_norm")?.unwrap_or(false),
            // `bn_only_once`.
            norm_of_inputs: true,
            output: true,
        };
        let (norm, linears) = stack.load(LayerReader { tensors, epsilon: keys.epsilon()? })?;
        let order = keys.input_order(&fields, (0..fields.len()).collect())?;
        builder.layers = Some(Layers { order: Some(order), norm, linears });
    }
    Ok(builder)
}

/// The first-order term, by `linear` and by FwFM's own word, which must agree.
fn first_order(class: Class, keys: &Keys<'_>) -> Result<First, Error> {
    let possible = class.first_order();
    let Some(text) = keys.option::<String>("linear_type")?.filter(|_| class == Class::FwFm) else {
        return keys.first_order(possible);
    };
    let first = match text.as_str() {
        "LW" => First::FeatureWeight,
        "FeLV" => First::FeatureVector,
        "FiLV" => First::FieldVector,
        _ => return Err(keys.error("options", format!("linear_type is `{text}`; known are LW, FeLV, FiLV"))),
    };
    // Where nothing else is said, the first of one is itself.
    keys.first_order(&[first])
}

/// r, the upper triangle row by row. The mask that chooses it from all products is kept in the state dict.
fn pairs(num_fields: usize, tensors: &Tensors<'_>) -> Result<Vec<f32>, Error> {
    if tensors.shape(PAIRS_MASK).is_some() {
        let mask = tensors.bools(PAIRS_MASK, &[num_fields, num_fields])?;
        let expected = (0..num_fields * num_fields).map(|at| at % num_fields > at / num_fields);
        if !mask.into_iter().eq(expected) {
            let message = format!("tensor `{PAIRS_MASK}` is not the part above the diagonal");
            return Err(Error::config(tensors.path(), message));
        }
    }
    tensors.real(PAIRS, &[1, PairList::Dense.pairs(num_fields).len()])
}

/// Row by row.
fn dots(a: &Table<f32>, b: &Table<f32>) -> Vec<f32> {
    let dot = |i: usize| a.row(i).iter().zip(b.row(i)).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32;
    (0..a.rows).map(dot).collect()
}

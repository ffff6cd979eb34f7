//! The original Python implementation, xsDeepFwFM: LR, FM, FwFM, MLP, DeepFM and DeepFwFM.
//!
//! | name | shape | in |
//! |---|---|---|
//! | `bias` | `[1]` | FwFM, DeepFwFM |
//! | `embedding.embeddings.F.weight`, or `.weight_q` and `.weight_r` | `[rows, columns]` | FM, DeepFM |
//! | `embeddings.embeddings.F.weight`, or `.weight_q` and `.weight_r` | `[rows, columns]` | FwFM, MLP, DeepFwFM |
//! | `linear.fc.weight`, `linear.bias` | `[all features, 1]`, `[1]` | all but MLP |
//! | `fwfm_linear.weight` | `[num_fields, embed_dim]` | FwFM, DeepFwFM |
//! | `fwfm.field_cov.weight` | `[num_fields, num_fields]` | FwFM, DeepFwFM |
//! | `mlp.mlp.N.*` | the modules of a `Sequential` | MLP, DeepFM, DeepFwFM |
//!
//! Not all that a state dict has is added: see [`Parts::biases`] and [`Parts::unused`].

use std::collections::BTreeMap;

use serde::Deserialize;
use xsfm_interchange::checkpoint::BATCH_NORM_EPSILON;
use xsfm_interchange::config::Operation;

use super::builder::{Builder, Embedding, Field, Layers, PairWeights};
use super::described::{Described, First};
use super::keys::Keys;
use super::layers::LayerReader;
use super::sequential::Stack;
use super::tables::{own, shared};
use crate::checkpoint::in_range;
use crate::error::Error;
use crate::tensors::Tensors;

const BIAS: &str = "bias";
const LINEAR: &str = "linear.fc.weight";
const LINEAR_BIAS: &str = "linear.bias";
const FIELD_VECTORS: &str = "fwfm_linear.weight";
const FIELD_MATRIX: &str = "fwfm.field_cov.weight";
const LAYERS: &str = "mlp.mlp.";

/// The classes of the original that can be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Architecture {
    Lr,
    Fm,
    FwFm,
    Mlp,
    DeepFm,
    DeepFwFm,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct QuotientRemainder {
    collisions: u32,
    /// Fields of at most so many features keep a full table.
    threshold: u32,
    operation: Operation,
}

impl Architecture {
    /// By the words of `config.json`.
    fn of(keys: &Keys<'_>) -> Result<Self, Error> {
        let name: String = keys.required("architecture", "every model")?;
        Ok(match name.to_ascii_lowercase().as_str() {
            "lr" => Architecture::Lr,
            "fm" => Architecture::Fm,
            "fwfm" => Architecture::FwFm,
            "mlp" => Architecture::Mlp,
            "dfm" | "deepfm" => Architecture::DeepFm,
            "dfwfm" | "deepfwfm" => Architecture::DeepFwFm,
            _ => {
                let message = format!(
                    "architecture `{name}` is unknown; known are lr, fm, fwfm, mlp, deepfm (dfm), deepfwfm (dfwfm)"
                );
                return Err(keys.error("architecture", message));
            }
        })
    }

    fn has_matrix(self) -> bool {
        matches!(self, Architecture::FwFm | Architecture::DeepFwFm)
    }

    fn has_layers(self) -> bool {
        matches!(self, Architecture::Mlp | Architecture::DeepFm | Architecture::DeepFwFm)
    }

    /// The first-order terms that the class can have.
    fn linear(self) -> &'static [First] {
        match self {
            Architecture::Lr | Architecture::DeepFm => &[First::FeatureWeight],
            Architecture::Mlp => &[First::None],
            Architecture::Fm => &[First::None, First::FeatureWeight],
            Architecture::FwFm | Architecture::DeepFwFm => &[First::None, First::FeatureWeight, First::FieldVector],
        }
    }

    /// Where its tables are.
    fn tables(self) -> Option<&'static str> {
        match self {
            Architecture::Lr => None,
            Architecture::Fm | Architecture::DeepFm => Some("embedding.embeddings"),
            Architecture::FwFm | Architecture::Mlp | Architecture::DeepFwFm => Some("embeddings.embeddings"),
        }
    }
}

/// The class, and the kind of its first-order term.
#[derive(Clone, Copy)]
struct Parts {
    architecture: Architecture,
    linear: First,
}

impl Parts {
    /// By `linear` and by the constructor's `options`, where use_fwlw wins; they must agree.
    fn of(keys: &Keys<'_>) -> Result<Self, Error> {
        let architecture = Architecture::of(keys)?;
        let possible = architecture.linear();
        if possible.len() > 1 && keys.optional::<String>("linear")?.is_none() {
            let words: Vec<&str> = possible.iter().map(|kind| kind.word()).collect();
            let message = format!("is missing; this architecture has one of {}", words.join(", "));
            return Err(keys.error("linear", message));
        }
        let linear = keys.first_order(possible)?;
        if keys.optional::<BTreeMap<String, serde_json::Value>>("options")?.is_some() && possible.len() > 1 {
            let on = |name: &str| Ok::<_, Error>(keys.switch(name)?.unwrap_or(false));
            let constructed = match (on("use_fwlw")?, on("use_lw")?) {
                (true, _) => First::FieldVector,
                (false, true) => First::FeatureWeight,
                (false, false) => First::None,
            };
            if constructed != linear {
                let message =
                    format!("is {}, but use_lw and use_fwlw in `options` make {}", linear.word(), constructed.word());
                return Err(keys.error("linear", message));
            }
        }
        Ok(Parts { architecture, linear })
    }

    /// The numbers that `forward` adds beside the layers' own. DeepFwFM leaves its `bias` out where it adds `linear`;
    /// FwFM does not.
    fn biases(self) -> Vec<String> {
        let of_features = self.linear == First::FeatureWeight;
        let own = match self.architecture {
            Architecture::FwFm => true,
            Architecture::DeepFwFm => !of_features,
            _ => false,
        };
        named([(LINEAR_BIAS, of_features), (BIAS, own)])
    }

    /// What lies in the state dict of the class without influence on a score: of FM, FwFM and DeepFwFM, whatever
    /// first-order term is off.
    fn unused(self) -> Vec<String> {
        let has_linear = self.architecture != Architecture::Mlp && self.linear != First::FeatureWeight;
        let weighted = self.architecture.has_matrix();
        named([
            (LINEAR, has_linear),
            (LINEAR_BIAS, has_linear),
            (FIELD_VECTORS, weighted && self.linear != First::FieldVector),
            (BIAS, weighted && !self.biases().iter().any(|name| name == BIAS)),
        ])
    }
}

fn named<const N: usize>(all: [(&str, bool); N]) -> Vec<String> {
    all.into_iter().filter(|(_, is_one)| *is_one).map(|(name, _)| name.to_owned()).collect()
}

/// The model that `config.json` describes, with its numbers.
pub(super) fn read(keys: &Keys<'_>, tensors: &Tensors<'_>) -> Result<Builder, Error> {
    let parts = Parts::of(keys)?;
    let Parts { architecture, linear } = parts;
    let described = keys.fields()?;
    keys.no_bags(&described, "the original")?;
    keys.offsets_agree("linear_offsets", &described)?;
    let hidden = keys.hidden(architecture.has_layers(), "this architecture")?;
    let epsilon = keys.epsilon()?;
    if epsilon != BATCH_NORM_EPSILON {
        let message = format!("is {epsilon}, but BatchNorm of the original has {BATCH_NORM_EPSILON}");
        return Err(keys.error("bn_eps", message));
    }
    let what = format!("{architecture:?} with a first-order term of kind {}", linear.word());
    let (biases, unused) = (parts.biases(), parts.unused());
    keys.names_agree("bias_tensors", &biases, &what)?;
    keys.names_agree("unused_tensors", &unused, &what)?;
    unused.iter().for_each(|name| tensors.leave_out(name));
    let dim = if architecture.tables().is_some() { keys.embed_dim()? } else { 0 };
    let qr = quotient_remainder(keys, &described, dim)?;

    let num_fields = described.len();
    let mut weights = match linear == First::FeatureWeight {
        true => shared(tensors, LINEAR, &described, 1)?,
        false => vec![None; num_fields],
    };
    let mut fields = Vec::with_capacity(num_fields);
    for (f, field) in described.iter().enumerate() {
        let name = |prefix: &str| format!("{prefix}.{f}");
        fields.push(Field {
            name: field.name.clone(),
            features: field.features,
            bag: false,
            embedding: architecture
                .tables()
                .map(|prefix| embedding(&name(prefix), field.features, dim, qr, tensors))
                .transpose()?,
            weights: weights[f].take().map(|table| table.values),
        });
    }
    let mut bias = 0.0;
    for name in biases {
        bias += f64::from(tensors.real(&name, &[1])?[0]);
    }
    let field_vectors =
        (linear == First::FieldVector).then(|| tensors.real(FIELD_VECTORS, &[num_fields, dim])).transpose()?;
    let pairs = match architecture {
        Architecture::Lr | Architecture::Mlp => PairWeights::None,
        Architecture::Fm | Architecture::DeepFm => PairWeights::Unit,
        Architecture::FwFm | Architecture::DeepFwFm => {
            PairWeights::Matrix(tensors.real(FIELD_MATRIX, &[num_fields, num_fields])?)
        }
    };
    let layers = match architecture.has_layers() {
        false => None,
        true => {
            let stack = Stack {
                prefix: LAYERS,
                inputs: num_fields * dim,
                hidden: &hidden,
                batch_norm: keys.optional("batch_norm")?.unwrap_or(false),
                norm_of_inputs: false,
                output: true,
            };
            let (norm, linears) = stack.load(LayerReader { tensors, epsilon })?;
            Some(Layers { order: None, norm, linears })
        }
    };
    Ok(Builder { fields, field_vectors, pairs, layers, bias })
}

/// What `qr` says, where some field is large enough for it.
fn quotient_remainder(keys: &Keys<'_>, fields: &[Described], dim: usize) -> Result<Option<QuotientRemainder>, Error> {
    let Some(qr) = keys.optional::<QuotientRemainder>("qr")? else { return Ok(None) };
    let Some(field) = fields.iter().find(|field| field.features > qr.threshold) else { return Ok(None) };
    in_range(&format!("field `{}`: collisions", field.name), qr.collisions as usize, u32::MAX as usize)
        .map_err(|message| keys.error("qr", message))?;
    if qr.operation == Operation::Concat && !dim.is_multiple_of(2) {
        return Err(keys.error("qr", format!("`concat` halves embed_dim, which is odd: {dim}")));
    }
    Ok(Some(qr))
}

fn embedding(
    prefix: &str,
    features: u32,
    dim: usize,
    qr: Option<QuotientRemainder>,
    tensors: &Tensors<'_>,
) -> Result<Embedding, Error> {
    let Some(QuotientRemainder { collisions, operation, .. }) = qr.filter(|qr| features > qr.threshold) else {
        return Ok(Embedding::Full(own(tensors, &format!("{prefix}.weight"), features, dim)?));
    };
    let columns = if operation == Operation::Concat { dim / 2 } else { dim };
    let mut remainder = own(tensors, &format!("{prefix}.weight_r"), collisions, columns)?;
    // A field with fewer features than collisions never reads the rows beyond them.
    remainder.rows = collisions.min(features) as usize;
    remainder.values.truncate(remainder.rows * columns);
    let quotient = own(tensors, &format!("{prefix}.weight_q"), features.div_ceil(collisions), columns)?;
    Ok(Embedding::QuotientRemainder { collisions, operation, quotient, remainder })
}

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
//! Not all that a state dict has is added: see [`Described::biases`] and [`Described::unused`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, MlpConfig, ModelConfig, Operation};

use super::keys::Keys;
use super::sequential;
use crate::checkpoint::check_config;
use crate::error::Error;
use crate::fold::{pairs_of_matrix, unit_pairs};
use crate::model::{FloatField, FloatModel, Table, TableBits};
use crate::tensors::Tensors;

/// What `library` starts with.
pub(super) const LIBRARY: &str = "xsDeepFwFM";

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

/// The first-order term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linear {
    None,
    /// A scalar for each feature: `use_lw`.
    FeatureWeight,
    /// A vector for each field: `use_fwlw`, which wins where both are on.
    FieldVector,
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

    fn interaction(self) -> Interaction {
        match self {
            Architecture::Lr | Architecture::Mlp => Interaction::None,
            Architecture::Fm | Architecture::DeepFm => Interaction::Unit,
            Architecture::FwFm | Architecture::DeepFwFm => Interaction::FieldWeighted,
        }
    }

    fn has_layers(self) -> bool {
        matches!(self, Architecture::Mlp | Architecture::DeepFm | Architecture::DeepFwFm)
    }

    /// The first-order terms that the class can have.
    fn linear(self) -> &'static [Linear] {
        match self {
            Architecture::Lr | Architecture::DeepFm => &[Linear::FeatureWeight],
            Architecture::Mlp => &[Linear::None],
            Architecture::Fm => &[Linear::None, Linear::FeatureWeight],
            Architecture::FwFm | Architecture::DeepFwFm => &[Linear::None, Linear::FeatureWeight, Linear::FieldVector],
        }
    }
}

impl Linear {
    /// The word of `config.json`, which a remark in brackets may follow: "field_vector (fwfm_linear)".
    fn parse(text: &str) -> Option<Self> {
        Some(match text.split_whitespace().next().unwrap_or_default() {
            "none" => Linear::None,
            "field_vector" | "fwfm_linear" | "fwlw" => Linear::FieldVector,
            "feature_weight" | "feature_weights" | "linear" | "lw" => Linear::FeatureWeight,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Linear::None => "none",
            Linear::FeatureWeight => "feature_weight",
            Linear::FieldVector => "field_vector",
        }
    }

    /// The kind of the model, by `linear` and by the constructor's `options`; they must agree.
    fn of(architecture: Architecture, keys: &Keys<'_>) -> Result<Self, Error> {
        let possible = architecture.linear();
        let words = || possible.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ");
        let kind = match keys.optional::<String>("linear")? {
            Some(text) => Linear::parse(&text).filter(|kind| possible.contains(kind)).ok_or_else(|| {
                let message = format!("first-order term `{text}` is not one of this architecture's: {}", words());
                keys.error("linear", message)
            })?,
            // Where there is no choice, nobody has to say it.
            None if possible.len() == 1 => possible[0],
            None => return Err(keys.error("linear", format!("is missing; this architecture has one of {}", words()))),
        };
        if let Some(options) = keys.optional::<BTreeMap<String, serde_json::Value>>("options")?
            && possible.len() > 1
        {
            let on = |name: &str| options.get(name).and_then(serde_json::Value::as_bool) == Some(true);
            let constructed = match (on("use_fwlw"), on("use_lw")) {
                (true, _) => Linear::FieldVector,
                (false, true) => Linear::FeatureWeight,
                (false, false) => Linear::None,
            };
            if constructed != kind {
                let message =
                    format!("is {}, but use_lw and use_fwlw in `options` make {}", kind.word(), constructed.word());
                return Err(keys.error("linear", message));
            }
        }
        Ok(kind)
    }
}

/// What `config.json` says.
pub(super) struct Described {
    architecture: Architecture,
    linear: Linear,
    config: ModelConfig,
}

impl Described {
    /// The model that `config.json` describes, its keys compared with each other.
    pub(super) fn read(keys: &Keys<'_>) -> Result<Self, Error> {
        let architecture = Architecture::of(keys)?;
        let linear = Linear::of(architecture, keys)?;
        // A model without vectors may leave their length out.
        let embed_dim = match architecture {
            Architecture::Lr => keys.optional("embed_dim")?.unwrap_or(1),
            _ => keys.required("embed_dim", "every model but lr")?,
        };
        let config = ModelConfig {
            version: ModelConfig::VERSION,
            vocabulary: None,
            fields: fields(keys)?,
            embed_dim,
            feature_weight: linear == Linear::FeatureWeight,
            field_vector: linear == Linear::FieldVector,
            interaction: architecture.interaction(),
            mlp: layers(architecture, keys)?,
            compressed: Vec::new(),
            network: None,
            quantization: None,
        };
        check_config(&config, keys.path())?;
        let described = Described { architecture, linear, config };
        described.compare("bias_tensors", &described.biases(), keys)?;
        described.compare("unused_tensors", &described.unused(), keys)?;
        Ok(described)
    }

    /// The numbers that `forward` adds beside the layers' own. DeepFwFM leaves its `bias` out where it adds `linear`;
    /// FwFM does not.
    fn biases(&self) -> Vec<&'static str> {
        let of_features = self.linear == Linear::FeatureWeight;
        let own = match self.architecture {
            Architecture::FwFm => true,
            Architecture::DeepFwFm => !of_features,
            _ => false,
        };
        let all = [(LINEAR_BIAS, of_features), (BIAS, own)];
        all.into_iter().filter_map(|(name, added)| added.then_some(name)).collect()
    }

    /// What lies in the state dict of the class without influence on a score: of FM, FwFM and DeepFwFM, whatever
    /// first-order term is off.
    fn unused(&self) -> Vec<&'static str> {
        let (of_features, of_fields) = (self.linear == Linear::FeatureWeight, self.linear == Linear::FieldVector);
        let weighted = self.config.interaction == Interaction::FieldWeighted;
        let all = [
            (LINEAR, self.architecture != Architecture::Mlp && !of_features),
            (LINEAR_BIAS, self.architecture != Architecture::Mlp && !of_features),
            (FIELD_VECTORS, weighted && !of_fields),
            (BIAS, weighted && !self.biases().contains(&BIAS)),
        ];
        all.into_iter().filter_map(|(name, unused)| unused.then_some(name)).collect()
    }

    /// What the exporter says of the tensors, where it says it, must be what is done with them.
    fn compare(&self, key: &str, ours: &[&str], keys: &Keys<'_>) -> Result<(), Error> {
        let Some(said) = keys.optional::<BTreeSet<String>>(key)? else { return Ok(()) };
        if said.iter().map(String::as_str).eq(ours.iter().copied().collect::<BTreeSet<_>>()) {
            return Ok(());
        }
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        Err(keys.error(
            key,
            format!(
                "names [{}], but {:?} with a first-order term of kind {} has [{}]",
                said.join(", "),
                self.architecture,
                self.linear.word(),
                ours.join(", ")
            ),
        ))
    }

    /// The model with its numbers.
    pub(super) fn load(self, keys: &Keys<'_>, tensors: &Tensors<'_>) -> Result<FloatModel, Error> {
        let config = &self.config;
        let num_fields = config.fields.len();
        let mut bias = 0.0;
        for name in self.biases() {
            bias += tensors.scalar(name)?;
        }
        self.unused().into_iter().for_each(|name| tensors.leave_out(name));
        let fields = self.load_fields(tensors)?;
        let field_vectors =
            config.field_vector.then(|| tensors.f32(FIELD_VECTORS, &[num_fields, config.embed_dim])).transpose()?;
        let pairs = match config.interaction {
            Interaction::None | Interaction::LowRank { .. } => None,
            Interaction::Unit => unit_pairs(num_fields),
            Interaction::FieldWeighted => {
                pairs_of_matrix(num_fields, &tensors.f32(FIELD_MATRIX, &[num_fields, num_fields])?)
            }
        };
        let layers = match &config.mlp {
            None => Vec::new(),
            Some(mlp) => sequential::load(LAYERS, num_fields * config.embed_dim, mlp, tensors)?,
        };
        tensors.all_are_read(&format!(
            "a model of architecture {:?} in {}",
            self.architecture,
            keys.path().display()
        ))?;
        Ok(FloatModel {
            config: self.config,
            label: String::new(),
            bias,
            fields,
            field_vectors,
            pairs,
            low_rank: None,
            table_bits: TableBits::Eight,
            layers,
        })
    }

    fn load_fields(&self, tensors: &Tensors<'_>) -> Result<Vec<FloatField>, Error> {
        let config = &self.config;
        let all_features: usize = config.fields.iter().map(|f| f.features as usize).sum();
        let feature_weights = config.feature_weight.then(|| tensors.f32(LINEAR, &[all_features, 1])).transpose()?;
        let mut first_feature = 0;
        let mut fields = Vec::with_capacity(config.fields.len());
        for (f, field) in config.fields.iter().enumerate() {
            let features = first_feature..first_feature + field.features as usize;
            first_feature = features.end;
            fields.push(FloatField {
                tables: self.load_tables(f, field, tensors)?,
                feature_weights: feature_weights.as_ref().map(|w| w[features].to_vec()),
            });
        }
        Ok(fields)
    }

    fn load_tables(&self, f: usize, field: &FieldConfig, tensors: &Tensors<'_>) -> Result<Vec<Table<f32>>, Error> {
        let shapes = field.embedding.table_shapes(field.features, self.config.embed_dim);
        let prefix = match self.architecture {
            Architecture::Lr => {
                let zeros = |(rows, columns)| Table { rows, columns, values: vec![0.0; rows * columns] };
                return Ok(shapes.into_iter().map(zeros).collect());
            }
            Architecture::Fm | Architecture::DeepFm => format!("embedding.embeddings.{f}"),
            Architecture::FwFm | Architecture::Mlp | Architecture::DeepFwFm => format!("embeddings.embeddings.{f}"),
        };
        Ok(match (field.embedding, shapes.as_slice()) {
            (EmbeddingConfig::QuotientRemainder { collisions, .. }, &[quotient, remainder]) => {
                let mut remainders = tensors.table(&format!("{prefix}.weight_r"), collisions as usize, remainder.1)?;
                // A field with fewer features than collisions never reads the rows beyond them.
                remainders.values.truncate(remainder.0 * remainder.1);
                remainders.rows = remainder.0;
                vec![tensors.table(&format!("{prefix}.weight_q"), quotient.0, quotient.1)?, remainders]
            }
            _ => vec![tensors.table(&format!("{prefix}.weight"), field.features as usize, self.config.embed_dim)?],
        })
    }
}

/// The fields, by position where they have no names.
fn fields(keys: &Keys<'_>) -> Result<Vec<FieldConfig>, Error> {
    let dims: Vec<u32> = keys.required("field_dims", "every model")?;
    let counted = |key: &str, found: usize| {
        let expected = dims.len();
        if found == expected {
            return Ok(());
        }
        Err(keys.error(key, format!("has {found} entries, but `field_dims` has {expected}")))
    };
    let names: Option<Vec<String>> = keys.optional("field_names")?;
    if let Some(names) = &names {
        counted("field_names", names.len())?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|&name| !seen.insert(name)) {
            return Err(keys.error("field_names", format!("`{twice}` is there twice")));
        }
    }
    if let Some(types) = keys.optional::<Vec<String>>("field_types")? {
        counted("field_types", types.len())?;
        if let Some((f, other)) = types.iter().enumerate().find(|(_, kind)| *kind != "categorical") {
            let message = format!("field {f} is `{other}`, but all fields of the original are `categorical`");
            return Err(keys.error("field_types", message));
        }
    }
    if let Some(offsets) = keys.optional::<Vec<u64>>("linear_offsets")? {
        counted("linear_offsets", offsets.len())?;
        let mut first = 0;
        for (f, (&offset, &features)) in offsets.iter().zip(&dims).enumerate() {
            if offset != first {
                let message = format!("field {f} begins at {offset}, but `field_dims` before it add up to {first}");
                return Err(keys.error("linear_offsets", message));
            }
            first += u64::from(features);
        }
    }
    if let Some(index) = keys.optional::<u64>("padding_index")? {
        return Err(keys.error("padding_index", format!("is {index}, but the original has no padding")));
    }
    let qr: Option<QuotientRemainder> = keys.optional("qr")?;
    let field = |(f, &features): (usize, &u32)| FieldConfig {
        name: names.as_ref().map_or_else(|| format!("field_{f}"), |names| names[f].clone()),
        features,
        bag: false,
        embedding: match qr {
            Some(qr) if features > qr.threshold => {
                EmbeddingConfig::QuotientRemainder { collisions: qr.collisions, operation: qr.operation }
            }
            _ => EmbeddingConfig::Full,
        },
    };
    Ok(dims.iter().enumerate().map(field).collect())
}

/// The hidden layers, where the architecture has them.
fn layers(architecture: Architecture, keys: &Keys<'_>) -> Result<Option<MlpConfig>, Error> {
    let dims: Option<Vec<usize>> = keys.optional("mlp_dims")?;
    let hidden: Option<Vec<usize>> = keys.optional("hidden")?;
    if let (Some(dims), Some(hidden)) = (&dims, &hidden)
        && dims != hidden
    {
        return Err(keys.error("hidden", format!("is {hidden:?}, but `mlp_dims` is {dims:?}")));
    }
    let widths = dims.or(hidden);
    if !architecture.has_layers() {
        return match widths {
            Some(widths) if !widths.is_empty() => {
                Err(keys.error("mlp_dims", format!("is {widths:?}, but this architecture has no hidden layers")))
            }
            _ => Ok(None),
        };
    }
    let Some(hidden) = widths else {
        return Err(keys.error("mlp_dims", "is missing; an architecture with hidden layers needs it"));
    };
    if let Some(activation) = keys.optional::<String>("activation")?
        && !activation.eq_ignore_ascii_case("relu")
    {
        return Err(keys.error("activation", format!("is `{activation}`, but layers of the original have `relu`")));
    }
    if let Some(epsilon) = keys.optional::<f64>("bn_eps")?
        && epsilon != xsfm_interchange::checkpoint::BATCH_NORM_EPSILON
    {
        let ours = xsfm_interchange::checkpoint::BATCH_NORM_EPSILON;
        return Err(keys.error("bn_eps", format!("is {epsilon}, but BatchNorm of the original has {ours}")));
    }
    let batch_norm = keys.optional("batch_norm")?.unwrap_or(false);
    Ok(Some(MlpConfig { hidden, batch_norm }))
}

//! Models of the original Python implementation: its state dict as `weights.safetensors`, beside a `config.json`.
//!
//! | name | shape |
//! |---|---|
//! | `bias` | `[1]`, may be missing |
//! | `embeddings.embeddings.F.weight`, or `.weight_q` and `.weight_r` | `[rows, columns]` |
//! | `fwfm_linear.weight` | `[num_fields, embed_dim]` |
//! | `linear.fc.weight`, `linear.bias` | `[all features, 1]`, `[1]` |
//! | `fwfm.field_cov.weight` | `[num_fields, num_fields]` |
//! | `mlp.mlp.N.*` | the modules of a `Sequential`: Linear, BatchNorm1d, and others without parameters |
//!
//! Everything that the configuration says is compared with the shapes in the file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use xsfm_interchange::checkpoint::file;
use xsfm_interchange::config::{EmbeddingConfig, FieldConfig, Interaction, MlpConfig, ModelConfig, Operation};

use crate::checkpoint::{check_config, fold, read_json};
use crate::error::Error;
use crate::fold::{BatchNorm, Linear, pairs_of_matrix, unit_pairs};
use crate::model::{FloatField, FloatLayer, FloatModel, Table, TableBits};
use crate::tensors::Tensors;

/// `config.json` as exported beside a state dict. Other keys are ignored: they say nothing that scoring needs.
#[derive(Debug, Deserialize)]
struct PythonConfig {
    architecture: String,
    field_dims: Vec<u32>,
    #[serde(default = "one")]
    embed_dim: usize,
    #[serde(default)]
    mlp_dims: Vec<usize>,
    #[serde(default)]
    batch_norm: bool,
    linear: Option<String>,
    qr: Option<PythonQr>,
}

/// Only linear models can leave `embed_dim` out.
fn one() -> usize {
    1
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct PythonQr {
    collisions: u32,
    /// Fields of at most so many features keep a full table.
    #[serde(default)]
    threshold: u32,
    operation: Operation,
}

/// Reads `config.json` and `weights.safetensors` of the original Python implementation; folds BatchNorm.
///
/// # Errors
/// A missing or malformed file, an unknown architecture or kind of linear term, a tensor of another shape than the
/// configuration says, a weight that is not finite, or sizes beyond what a packed file holds.
pub fn load(folder: &Path) -> Result<FloatModel, Error> {
    let config_path = folder.join(file::CONFIG);
    let python: PythonConfig = read_json(&config_path)?;
    let config = model_config(&python, &config_path)?;
    check_config(&config, &config_path)?;

    let weights_path = folder.join(file::WEIGHTS);
    let bytes = std::fs::read(&weights_path).map_err(Error::io(&weights_path))?;
    let tensors = Tensors::parse(&weights_path, &bytes)?;

    let mut bias = if tensors.contains("bias") { tensors.scalar("bias")? } else { 0.0 };
    if config.feature_weight && tensors.contains("linear.bias") {
        bias += tensors.scalar("linear.bias")?;
    }
    let fields = load_fields(&config, &tensors)?;
    let num_fields = config.fields.len();
    let field_vectors =
        config.field_vector.then(|| tensors.f32("fwfm_linear.weight", &[num_fields, config.embed_dim])).transpose()?;
    let pairs = match config.interaction {
        Interaction::None | Interaction::LowRank { .. } => None,
        Interaction::Unit => unit_pairs(num_fields),
        Interaction::FieldWeighted => {
            pairs_of_matrix(num_fields, &tensors.f32("fwfm.field_cov.weight", &[num_fields, num_fields])?)
        }
    };
    let layers = match &config.mlp {
        None => Vec::new(),
        Some(mlp) => load_layers(num_fields * config.embed_dim, mlp, &tensors)?,
    };
    Ok(FloatModel {
        config,
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

fn model_config(python: &PythonConfig, path: &Path) -> Result<ModelConfig, Error> {
    let (interaction, has_mlp) = match python.architecture.to_ascii_lowercase().as_str() {
        "lr" => (Interaction::None, false),
        "fm" => (Interaction::Unit, false),
        "fwfm" => (Interaction::FieldWeighted, false),
        "mlp" => (Interaction::None, true),
        "dfm" | "deepfm" => (Interaction::Unit, true),
        "dfwfm" | "deepfwfm" => (Interaction::FieldWeighted, true),
        other => {
            let message = format!(
                "architecture `{other}` is unknown; known are lr, fm, fwfm, mlp, deepfm (dfm), deepfwfm (dfwfm)"
            );
            return Err(Error::config(path, message));
        }
    };
    // The exporter writes the kind with a remark in brackets: "field_vector (fwfm_linear)".
    let linear =
        python.linear.as_deref().unwrap_or(if python.architecture == "lr" { "feature_weight" } else { "none" });
    let (feature_weight, field_vector) = match linear.split_whitespace().next().unwrap_or_default() {
        "none" => (false, false),
        "field_vector" | "fwfm_linear" | "fwlw" => (false, true),
        "feature_weight" | "feature_weights" | "linear" | "lw" => (true, false),
        other => {
            let message =
                format!("kind of linear term `{other}` is unknown; known are none, field_vector, feature_weight");
            return Err(Error::config(path, message));
        }
    };
    let fields = python.field_dims.iter().enumerate().map(|(f, &features)| FieldConfig {
        name: format!("field_{f}"),
        features,
        bag: false,
        embedding: match python.qr {
            Some(qr) if features > qr.threshold => {
                EmbeddingConfig::QuotientRemainder { collisions: qr.collisions, operation: qr.operation }
            }
            _ => EmbeddingConfig::Full,
        },
    });
    Ok(ModelConfig {
        version: ModelConfig::VERSION,
        vocabulary: None,
        fields: fields.collect(),
        embed_dim: python.embed_dim,
        feature_weight,
        field_vector,
        interaction,
        mlp: has_mlp.then(|| MlpConfig { hidden: python.mlp_dims.clone(), batch_norm: python.batch_norm }),
        compressed: Vec::new(),
        quantization: None,
    })
}

fn load_fields(config: &ModelConfig, tensors: &Tensors<'_>) -> Result<Vec<FloatField>, Error> {
    let all_features: usize = config.fields.iter().map(|f| f.features as usize).sum();
    let feature_weights =
        config.feature_weight.then(|| tensors.f32("linear.fc.weight", &[all_features, 1])).transpose()?;
    let vectors_are_read = config.field_vector || config.interaction != Interaction::None || config.mlp.is_some();
    let mut first_feature = 0;
    let mut fields = Vec::with_capacity(config.fields.len());
    for (f, field) in config.fields.iter().enumerate() {
        let shapes = field.embedding.table_shapes(field.features, config.embed_dim);
        let prefix = format!("embeddings.embeddings.{f}");
        let tables = match (field.embedding, shapes.as_slice()) {
            _ if !vectors_are_read => shapes
                .iter()
                .map(|&(rows, columns)| Table { rows, columns, values: vec![0.0; rows * columns] })
                .collect(),
            (EmbeddingConfig::QuotientRemainder { collisions, .. }, &[quotient, remainder]) => {
                let mut remainders = tensors.table(&format!("{prefix}.weight_r"), collisions as usize, remainder.1)?;
                // A field with fewer features than collisions never reads the rows beyond them.
                remainders.values.truncate(remainder.0 * remainder.1);
                remainders.rows = remainder.0;
                vec![tensors.table(&format!("{prefix}.weight_q"), quotient.0, quotient.1)?, remainders]
            }
            _ => vec![tensors.table(&format!("{prefix}.weight"), field.features as usize, config.embed_dim)?],
        };
        let features = first_feature..first_feature + field.features as usize;
        first_feature = features.end;
        fields.push(FloatField { tables, feature_weights: feature_weights.as_ref().map(|w| w[features].to_vec()) });
    }
    Ok(fields)
}

/// The Linear and BatchNorm modules among `mlp.mlp.N.*`, told apart by their tensors: a matrix is a Linear's weight, a running
/// mean belongs to a BatchNorm. Their numbers depend on modules without parameters (ReLU, Dropout), so only their order counts.
fn load_layers(first_inputs: usize, mlp: &MlpConfig, tensors: &Tensors<'_>) -> Result<Vec<FloatLayer>, Error> {
    const PREFIX: &str = "mlp.mlp.";
    let mut modules: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for name in tensors.names() {
        let module = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.'));
        if let Some((Ok(n), tensor)) = module.map(|(n, tensor)| (n.parse(), tensor)) {
            modules.entry(n).or_default().push(tensor);
        }
    }
    let disagreement = |message: String| Error::config(tensors.path(), message);
    let mut linears: Vec<(usize, Option<usize>)> = Vec::new();
    for (&n, names) in &modules {
        if names.contains(&"running_mean") {
            match linears.last_mut() {
                Some((_, norm @ None)) => *norm = Some(n),
                _ => {
                    return Err(disagreement(format!("BatchNorm `{PREFIX}{n}` does not follow a Linear layer")));
                }
            }
        } else {
            linears.push((n, None));
        }
    }
    let expected = mlp.hidden.len() + 1;
    if linears.len() != expected {
        let found = linears.len();
        return Err(disagreement(format!(
            "{found} Linear layers under `{PREFIX}`, but mlp_dims in {} asks for {expected}, the output layer included",
            file::CONFIG
        )));
    }
    let mut inputs = first_inputs;
    let mut layers = Vec::with_capacity(expected);
    for (layer, (&(n, norm), &outputs)) in linears.iter().zip(mlp.hidden.iter().chain([&1])).enumerate() {
        let expects_norm = mlp.batch_norm && layer < mlp.hidden.len();
        if norm.is_some() != expects_norm {
            let (found, says) = if norm.is_some() { ("has", "none") } else { ("lacks", "one") };
            return Err(disagreement(format!(
                "Linear `{PREFIX}{n}` {found} a BatchNorm, but batch_norm in {} asks for {says}",
                file::CONFIG
            )));
        }
        let vector = |n: usize, name: &str| tensors.f32(&format!("{PREFIX}{n}.{name}"), &[outputs]);
        let weight = tensors.f32(&format!("{PREFIX}{n}.weight"), &[outputs, inputs])?;
        let norm_module = norm;
        let norm = match norm {
            None => None,
            Some(m) => Some(BatchNorm {
                gamma: vector(m, "weight")?,
                beta: vector(m, "bias")?,
                mean: vector(m, "running_mean")?,
                var: vector(m, "running_var")?,
            }),
        };
        let linear = Linear { inputs, outputs, weight, bias: vector(n, "bias")?, norm };
        let variance = format!("{PREFIX}{}.running_var", norm_module.unwrap_or(n));
        layers.push(fold(&linear, tensors, &variance)?);
        inputs = outputs;
    }
    Ok(layers)
}

//! A checkpoint folder of the trainer, as names, shapes and numbers that agree with each other.

use std::path::Path;

use serde::de::DeserializeOwned;
use xsfm_interchange::checkpoint::{BATCH_NORM_EPSILON, file};
use xsfm_interchange::config::{EmbeddingConfig, Interaction, ModelConfig, Operation, Scales};
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::schema::Schema;
use xsfm_runtime::format::limit;

use crate::error::Error;
use crate::fold::{BatchNorm, Linear, pairs_of_matrix, unit_pairs};
use crate::model::{FloatField, FloatLayer, FloatModel, LowRank, Table, TableBits};
use crate::tensors::Tensors;

/// Most features that share a hashed row: as many rows of zeros are packed.
const HASH_COLLISIONS: usize = 1 << 16;

/// Reads `config.json`, `weights.safetensors` and, where there is one, `schema.json`; folds BatchNorm.
///
/// # Errors
/// A missing or malformed file, a tensor of another shape than the configuration says, a weight that is not finite, a
/// schema with other fields than the configuration, or sizes beyond what a packed file holds.
pub fn load(folder: &Path) -> Result<FloatModel, Error> {
    let config_path = folder.join(file::CONFIG);
    let mut config: ModelConfig = read_json(&config_path)?;
    check_config(&config, &config_path)?;
    let schema_path = folder.join(file::SCHEMA);
    let label = if schema_path.exists() {
        let schema = Schema::load(&schema_path)?;
        check_schema(&config, &schema, &schema_path)?;
        config.vocabulary = Some(Vocabulary::of(&schema));
        schema.label
    } else {
        String::new()
    };
    let weights_path = folder.join(file::WEIGHTS);
    let bytes = std::fs::read(&weights_path).map_err(Error::io(&weights_path))?;
    let tensors = Tensors::parse(&weights_path, &bytes)?;

    let mut fields = Vec::with_capacity(config.fields.len());
    for (f, field) in config.fields.iter().enumerate() {
        let names: &[&str] = match field.embedding {
            EmbeddingConfig::Full => &["full"],
            EmbeddingConfig::QuotientRemainder { .. } => &["quotient", "remainder"],
            EmbeddingConfig::Hashed { .. } => &["hashed"],
        };
        let shapes = field.embedding.table_shapes(field.features, config.embed_dim);
        let mut tables: Vec<Table<f32>> = names
            .iter()
            .zip(shapes)
            .map(|(name, (rows, columns))| tensors.table(&format!("embedding.{f}.{name}"), rows, columns))
            .collect::<Result<_, _>>()?;
        if let EmbeddingConfig::Hashed { rows } = field.embedding {
            let rows = field.features.div_ceil(rows) as usize;
            tables.insert(0, Table { rows, columns: config.embed_dim, values: vec![0.0; rows * config.embed_dim] });
        }
        let feature_weights = config
            .feature_weight
            .then(|| tensors.f32(&format!("feature_weight.{f}"), &[field.features as usize]))
            .transpose()?;
        fields.push(FloatField { tables, feature_weights });
    }
    hashed_as_sums(&mut config);
    let num_fields = config.fields.len();
    let field_vectors =
        config.field_vector.then(|| tensors.f32("field_vector", &[num_fields, config.embed_dim])).transpose()?;
    let pairs = match config.interaction {
        Interaction::None => None,
        Interaction::Unit => unit_pairs(num_fields),
        Interaction::FieldWeighted => {
            pairs_of_matrix(num_fields, &tensors.f32("field_matrix", &[num_fields, num_fields])?)
        }
        Interaction::LowRank { .. } => None,
    };
    let low_rank = match config.interaction {
        Interaction::LowRank { rank } => {
            let factors = tensors.f32("field_factors", &[rank, num_fields])?;
            Some(LowRank::from_factors(&factors, &tensors.f32("field_factor_weights", &[rank])?))
        }
        _ => None,
    };
    let layers = load_layers(&config, &tensors)?;
    let bias = tensors.scalar("bias")?;
    tensors.all_are_read(&format!("the model that {} describes", config_path.display()))?;
    Ok(FloatModel {
        bias,
        label,
        fields,
        field_vectors,
        pairs,
        low_rank,
        table_bits: config.quantization.as_ref().map_or(TableBits::Eight, |scales| scales.table_bits),
        config,
        layers,
    })
}

/// Names hashed tables what they are stored as; their scales are those of a sum, which copies a row beside zeros.
fn hashed_as_sums(config: &mut ModelConfig) {
    for (f, field) in config.fields.iter_mut().enumerate() {
        let (EmbeddingConfig::Hashed { .. }, Some((collisions, operation))) =
            (field.embedding, field.embedding.quotient_remainder())
        else {
            continue;
        };
        field.embedding = EmbeddingConfig::QuotientRemainder { collisions, operation };
        if let Some(scales) = &mut config.quantization {
            scales.tables[f].extend_from_within(..);
        }
    }
}

fn load_layers(config: &ModelConfig, tensors: &Tensors<'_>) -> Result<Vec<FloatLayer>, Error> {
    let Some(mlp) = &config.mlp else { return Ok(Vec::new()) };
    let mut inputs = config.fields.len() * config.embed_dim;
    let mut layers = Vec::with_capacity(mlp.hidden.len() + 1);
    for (n, &outputs) in mlp.hidden.iter().chain([&1]).enumerate() {
        let has_norm = mlp.batch_norm && n < mlp.hidden.len();
        let vector = |name: &str| tensors.f32(&format!("mlp.{n}.{name}"), &[outputs]);
        let norm = if has_norm {
            Some(BatchNorm {
                gamma: vector("norm.weight")?,
                beta: vector("norm.bias")?,
                mean: vector("norm.running_mean")?,
                var: vector("norm.running_var")?,
                epsilon: BATCH_NORM_EPSILON,
            })
        } else {
            None
        };
        let weight = tensors.f32(&format!("mlp.{n}.weight"), &[outputs, inputs])?;
        let linear = Linear { inputs, outputs, weight, bias: vector("bias")?, norm };
        layers.push(fold(&linear, tensors, &format!("mlp.{n}.norm.running_var"))?);
        inputs = outputs;
    }
    Ok(layers)
}

/// Folds `linear`, or names the variance that is negative.
fn fold(linear: &Linear, tensors: &Tensors<'_>, variance: &str) -> Result<FloatLayer, Error> {
    linear.fold().map_err(|channel| {
        Error::config(tensors.path(), format!("tensor `{variance}` is negative at [{channel}]; a variance cannot be"))
    })
}

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    parse_json(path, &std::fs::read(path).map_err(Error::io(path))?)
}

/// What `text` holds, whose name in errors is `path`.
pub(crate) fn parse_json<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|source| Error::Json { path: path.to_owned(), source })
}

fn check_schema(config: &ModelConfig, schema: &Schema, path: &Path) -> Result<(), Error> {
    if schema.fields.len() != config.fields.len() {
        let (found, expected) = (schema.fields.len(), config.fields.len());
        return Err(Error::config(path, format!("{found} fields, but {} has {expected}", file::CONFIG)));
    }
    for (f, (in_schema, in_config)) in schema.fields.iter().zip(&config.fields).enumerate() {
        if in_schema.name != in_config.name {
            let message = format!("field {f} is `{}`, but `{}` in {}", in_schema.name, in_config.name, file::CONFIG);
            return Err(Error::config(path, message));
        }
        if in_schema.is_weighted() != in_config.weighted {
            let has = |has| if has { "has weights" } else { "has none" };
            let (name, found, expected) = (&in_schema.name, has(!in_config.weighted), has(in_config.weighted));
            return Err(Error::config(path, format!("field `{name}` {found}, but {expected} in {}", file::CONFIG)));
        }
        if in_schema.has_several() != in_config.bag {
            let kind = |bag| if bag { "a bag" } else { "not a bag" };
            let (name, found, expected) = (&in_schema.name, kind(!in_config.bag), kind(in_config.bag));
            return Err(Error::config(path, format!("field `{name}` is {found}, but {expected} in {}", file::CONFIG)));
        }
        if in_schema.features() != in_config.features {
            let (name, found, expected) = (&in_schema.name, in_schema.features(), in_config.features);
            let message = format!("field `{name}` has {found} features, but {expected} in {}", file::CONFIG);
            return Err(Error::config(path, message));
        }
    }
    if let Some(trained) = config.vocabulary.as_ref().filter(|trained| **trained != Vocabulary::of(schema)) {
        let field = trained.first_difference(&Vocabulary::of(schema)).and_then(|f| config.fields.get(f));
        let field = field.map_or("the vocabulary".to_owned(), |field| format!("field `{}`", field.name));
        let message = format!("{field} has other tokens than the model was trained with, as {} says", file::CONFIG);
        return Err(Error::config(path, message));
    }
    Ok(())
}

/// Whether the numbers of a configuration make a model that a packed file can hold.
fn check_config(config: &ModelConfig, path: &Path) -> Result<(), Error> {
    check_sizes(config).map_err(|message| Error::config(path, message))
}

/// Whether `value` is one of 1 to `most`; the message says what is not.
pub(crate) fn in_range(what: &str, value: usize, most: usize) -> Result<(), String> {
    if (1..=most).contains(&value) { Ok(()) } else { Err(format!("{what} is {value}, possible are 1 to {most}")) }
}

/// The same; the message says what is wrong.
pub(crate) fn check_sizes(config: &ModelConfig) -> Result<(), String> {
    let fail = |message: String| Err(message);
    if config.version != ModelConfig::VERSION {
        return fail(format!("version {} found, this program reads {}", config.version, ModelConfig::VERSION));
    }
    in_range("number of fields", config.fields.len(), limit::FIELDS)?;
    in_range("embed_dim", config.embed_dim, limit::EMBED_DIM)?;
    for field in &config.fields {
        let name = &field.name;
        let most = if field.weighted { limit::WEIGHTED_FEATURES } else { u32::MAX };
        in_range(&format!("field `{name}`: features"), field.features as usize, most as usize)?;
        if field.weighted && !field.bag {
            return fail(format!("field `{name}` has weights, but is not a bag"));
        }
        if let EmbeddingConfig::Hashed { rows } = field.embedding {
            in_range(&format!("field `{name}`: rows"), rows as usize, u32::MAX as usize)?;
            let sharing = field.features.div_ceil(rows) as usize;
            in_range(&format!("field `{name}`: features that share a hashed row"), sharing, HASH_COLLISIONS)?;
        }
        if let EmbeddingConfig::QuotientRemainder { collisions, operation } = field.embedding {
            in_range(&format!("field `{name}`: collisions"), collisions as usize, u32::MAX as usize)?;
            if operation == Operation::Concat && !config.embed_dim.is_multiple_of(2) {
                return fail(format!("field `{name}`: concat halves embed_dim, which is odd: {}", config.embed_dim));
            }
        }
    }
    if let Interaction::LowRank { rank } = config.interaction {
        in_range("rank", rank, limit::RANK.min(config.fields.len()))?;
    }
    if !config.compressed.is_empty() {
        return fail(
            "it has a compressed interaction network (xDeepFM), which is for teachers: distil a student".to_owned(),
        );
    }
    if let Some(network) = &config.network {
        return fail(format!("it has a network of its own ({network}), which is for teachers: distil a student"));
    }
    if let Some(mlp) = &config.mlp {
        in_range("inputs of the first layer", config.fields.len() * config.embed_dim, limit::LAYER_INPUTS)?;
        for (n, &width) in mlp.hidden.iter().enumerate() {
            in_range(&format!("width of hidden layer {n}"), width, limit::LAYER_INPUTS)?;
        }
    }
    if !config.feature_weight && !config.field_vector && config.interaction == Interaction::None && config.mlp.is_none()
    {
        return fail("the model has no part: no first-order term, no interaction, no MLP".to_owned());
    }
    match &config.quantization {
        Some(scales) => check_scales(config, scales),
        None => Ok(()),
    }
}

/// Whether `scales` has one positive number for everything in the configuration; the message says what has not.
pub(crate) fn check_scales(config: &ModelConfig, scales: &Scales) -> Result<(), String> {
    let hidden = config.mlp.as_ref().map_or(0, |mlp| mlp.hidden.len());
    check_count("quantization.activations", scales.activations.len(), hidden)?;
    check_field_scales(config, scales)
}

fn check_count(what: &str, found: usize, expected: usize) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} has {found} entries, {expected} are needed")) }
}

/// The same of tables and fields alone, whatever number of activations there is.
pub(crate) fn check_field_scales(config: &ModelConfig, scales: &Scales) -> Result<(), String> {
    check_count("quantization.tables", scales.tables.len(), config.fields.len())?;
    check_count("quantization.fields", scales.fields.len(), config.fields.len())?;
    for (field, tables) in config.fields.iter().zip(&scales.tables) {
        let expected = field.embedding.table_shapes(field.features, config.embed_dim).len();
        if tables.len() != expected {
            return Err(format!(
                "quantization.tables of field `{}` has {} scales, {expected} needed",
                field.name,
                tables.len()
            ));
        }
    }
    let all = scales.tables.iter().flatten().chain(&scales.fields).chain(&scales.activations);
    match all.copied().find(|&s| !(s.is_normal() && s > 0.0)) {
        None => Ok(()),
        Some(scale) => Err(format!("quantization has a scale of {scale}; scales are positive")),
    }
}

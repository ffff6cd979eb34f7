//! `weights.safetensors`: names and shapes of a checkpoint's parameters, all f32.
//!
//! | name | shape |
//! |---|---|
//! | `bias` | `[1]` |
//! | `embedding.F.full`, or `embedding.F.quotient` and `….remainder` | `[rows, columns]`, see [`table_shapes`] |
//! | `embedding.F.hashed` | `[min(rows, features), embed_dim]` of a hashed field |
//! | `feature_weight.F` | `[features]` |
//! | `field_vector` | `[num_fields, embed_dim]` |
//! | `field_matrix` | `[num_fields, num_fields]`; `r_ij = (W_ij + W_ji) / 2`, the diagonal is not used |
//! | `field_factors`, `field_factor_weights` | `[rank, num_fields]`, `[rank]`: `r_ij = sum_k e_k u_ki u_kj` |
//! | `compressed.N.weight`, `.bias` | `[width, width before * num_fields]`, `[width]`; last: `[1, sum of widths]` |
//! | `network.…` | of a teacher's network; the trainer's `model::network` has the names |
//! | `mlp.N.weight`, `mlp.N.bias` | `[out, in]`, `[out]`; N counts from 0, the last is the output, `[1, in]` |
//! | `mlp.N.norm.weight`, `.bias`, `.running_mean`, `.running_var` | `[out]`, hidden layers with BatchNorm |
//!
//! `F` is the number of the field from 0.
//!
//! [`table_shapes`]: crate::config::EmbeddingConfig::table_shapes

use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::fingerprint::Fingerprint;

/// Epsilon of every BatchNorm, as in PyTorch.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// File names inside a checkpoint folder.
pub mod file {
    /// The parameters.
    pub const WEIGHTS: &str = "weights.safetensors";
    /// The architecture: [`ModelConfig`](crate::config::ModelConfig).
    pub const CONFIG: &str = "config.json";
    /// The fields: [`Schema`](crate::schema::Schema).
    pub const SCHEMA: &str = crate::dataset::SCHEMA;
    /// What training measured.
    pub const METRICS: &str = "metrics.json";
}

/// Which data a checkpoint was trained on, as its `metrics.json` says; `None` where an older program wrote it.
///
/// # Errors
/// There is no such file, or it is not JSON.
pub fn trained_on(folder: &Path) -> io::Result<Option<Fingerprint>> {
    #[derive(Deserialize)]
    struct Metrics {
        data: Option<Fingerprint>,
    }
    let metrics: Metrics = serde_json::from_slice(&std::fs::read(folder.join(file::METRICS))?)?;
    Ok(metrics.data)
}

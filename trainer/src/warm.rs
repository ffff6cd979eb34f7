//! A warm start on data of another vocabulary: every token keeps its row, a new one starts from its field's
//! out-of-vocabulary row.

use std::path::Path;

use anyhow::{Result, bail};
use tch::{Device, Tensor};
use xsfm_interchange::checkpoint::file;
use xsfm_interchange::config::EmbeddingConfig;
use xsfm_interchange::dataset::Dataset;
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::output;
use xsfm_interchange::schema::{Field, Schema};

use crate::checkpoint;
use crate::data::same;
use crate::model::Model;

/// Loads a checkpoint with the rows of its tables in the order of the data's vocabulary, and says what became of the
/// tokens.
///
/// # Errors
/// A checkpoint that cannot be loaded; other fields, in number, order, name or kind; other tokens in a field whose
/// tokens share rows.
pub fn load(folder: &Path, data: &Dataset, device: Device) -> Result<Model> {
    let schema = Schema::load(&folder.join(file::SCHEMA))?;
    if let Some(problem) = same::fields_problem(&schema, folder, data) {
        bail!("{problem}: rows go by token only where the fields are the same");
    }
    let (mut config, mut weights) = checkpoint::read(folder)?;
    config.vocabulary = Some(Vocabulary::of(data.schema()));
    for (f, (before, now)) in schema.fields.iter().zip(&data.schema().fields).enumerate() {
        if before.vocabulary == now.vocabulary {
            continue;
        }
        let Some(field) = config.fields.get_mut(f) else { break };
        if field.embedding != EmbeddingConfig::Full {
            bail!(
                "field {:?} has other tokens, which share rows in {}: they cannot be told apart",
                now.name,
                folder.display()
            );
        }
        field.features = now.features();
        let rows = rows_by_token(before, now);
        let kept = rows.iter().filter(|&&row| row > 0).count();
        let (new, gone) = (now.vocabulary.len() - kept, before.vocabulary.len() - kept);
        output::say(format_args!(
            "field {:?}: {kept} tokens keep their rows, {new} are new, {gone} are gone",
            now.name
        ));
        let rows = Tensor::from_slice(&rows);
        for name in [format!("embedding.{f}.full"), format!("feature_weight.{f}")] {
            if let Some(tensor) = weights.get_mut(&name) {
                *tensor = tensor.index_select(0, &rows);
            }
        }
    }
    checkpoint::build(folder, config, weights, device)
}

/// For each index of a field now, the row that its token had before; 0, the out-of-vocabulary row, for a new one.
fn rows_by_token(before: &Field, now: &Field) -> Vec<i64> {
    let encoder = before.encoder();
    std::iter::once(0).chain(now.vocabulary.iter().map(|token| i64::from(encoder.index_of(token)))).collect()
}

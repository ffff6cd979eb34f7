//! A warm start on data of another vocabulary: every token keeps its row, and a new one starts where [`Start`] says.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use tch::{Device, Tensor};
use xsfm_interchange::checkpoint::file;
use xsfm_interchange::config::EmbeddingConfig;
use xsfm_interchange::dataset::Dataset;
use xsfm_interchange::encoding::Encoding;
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::output;
use xsfm_interchange::schema::{Field, Schema};

use crate::checkpoint;
use crate::data::{fold, same};
use crate::model::Model;
use crate::settings::Start;

/// Loads a checkpoint with the rows of its tables in the order of the data's vocabulary, and says what became of the
/// tokens.
///
/// # Errors
/// A checkpoint or training rows that cannot be loaded; other fields, in number, order, name or kind; other tokens in a
/// field whose tokens share rows.
pub fn load(folder: &Path, data: &Dataset, start: Start, device: Device) -> Result<Model> {
    let schema = Schema::load(&folder.join(file::SCHEMA))?;
    if let Some(problem) = same::fields_problem(&schema, folder, data) {
        bail!("{problem}: rows go by token only where the fields are the same");
    }
    let (mut config, mut weights) = checkpoint::read(folder)?;
    config.vocabulary = Some(Vocabulary::of(data.schema()));
    let counts = match start {
        Start::Oov => None,
        Start::Frequency => Some(fold::count(data)?),
    };
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
        let tokens_before = 1..=before.vocabulary.len();
        let is_kept = |row: i64| usize::try_from(row).is_ok_and(|row| tokens_before.contains(&row));
        let kept: Vec<usize> = (1..=now.vocabulary.len()).filter(|&index| is_kept(rows[index])).collect();
        let (new, gone) = (now.vocabulary.len() - kept.len(), before.vocabulary.len() - kept.len());
        output::say(format_args!(
            "field {:?}: {} tokens keep their rows, {new} are new, {gone} are gone",
            now.name,
            kept.len()
        ));
        let classes = match &counts {
            Some(counts) => classes(&kept, now, &counts[f]),
            None => Vec::new(),
        };
        let rows = Tensor::from_slice(&rows);
        for name in [format!("embedding.{f}.full"), format!("feature_weight.{f}")] {
            if let Some(tensor) = weights.get_mut(&name) {
                *tensor = tensor.index_select(0, &rows);
                for (of_class, starting) in &classes {
                    let mean = tensor.index_select(0, of_class).mean_dim(0, true, tensor.kind());
                    *tensor = tensor.index_copy(0, starting, &mean.expand_as(&tensor.index_select(0, starting)));
                }
            }
        }
    }
    checkpoint::build(folder, config, weights, device)
}

/// For each index of a field now, the row of the index that its token had before: of a new token the out-of-vocabulary
/// row, or that of its bucket.
fn rows_by_token(before: &Field, now: &Field) -> Vec<i64> {
    let encoder = before.encoder();
    let tokens = now.vocabulary.iter().map(|token| encoder.index_of(token));
    let buckets = match now.encoding {
        Encoding::OovBuckets(hashing) => before.features().saturating_sub(hashing.buckets)..before.features(),
        _ => 0..0,
    };
    std::iter::once(0).chain(tokens).chain(buckets).map(i64::from).collect()
}

/// By power of two of the training rows that have them: the indices of tokens that have kept their rows, and of those
/// that are new. Classes that lack either are left out. `counts`: of each index.
fn classes(kept: &[usize], now: &Field, counts: &[u64]) -> Vec<(Tensor, Tensor)> {
    let mut is_kept = vec![false; counts.len()];
    kept.iter().for_each(|&index| is_kept[index] = true);
    let mut classes: BTreeMap<u32, [Vec<i64>; 2]> = BTreeMap::new();
    for (number, index) in (1_i64..).zip(1..=now.vocabulary.len()) {
        let class = counts[index].checked_ilog2().map_or(0, |power| power + 1);
        classes.entry(class).or_default()[usize::from(!is_kept[index])].push(number);
    }
    let both = classes.into_values().filter(|[kept, new]| !kept.is_empty() && !new.is_empty());
    both.map(|[kept, new]| (Tensor::from_slice(&kept), Tensor::from_slice(&new))).collect()
}

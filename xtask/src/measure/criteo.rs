//! Encoded rows with the sizes of Criteo's fields, to measure training on: features by Zipf's law,
//! labels by a planted taste of each feature.

use std::path::Path;

use anyhow::Result;
use fs_err as fs;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use xsfm_benches::{FEATURES, samples};
use xsfm_interchange::dataset::{Part, SCHEMA};
use xsfm_interchange::rows::{Bounds, RowsWriter};
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_runtime::Row;

/// Writes the schema, training and validation rows; gives the training rows' indices and labels. Fields have `shrink`
/// times fewer features than Criteo's: 1 for none, more to try out what would take long.
pub(crate) fn write(folder: &Path, train: usize, valid: usize, shrink: u32) -> Result<(Vec<u32>, Vec<u8>)> {
    fs::create_dir_all(folder)?;
    let sizes = FEATURES.map(|features| (features / shrink.max(1)).max(2));
    let field = |(f, &features): (usize, &u32)| {
        let vocabulary = (1..features).map(|i| i.to_string()).collect();
        Field::new(&format!("field_{f}"), FieldKind::Categorical, vocabulary)
    };
    let schema = Schema {
        version: Schema::VERSION,
        input: None,
        label: "click".to_owned(),
        fields: sizes.iter().enumerate().map(field).collect(),
    };
    schema.save(&folder.join(SCHEMA))?;
    let bounds = Bounds::from(&schema);
    let write = |part: Part, count, seed| -> Result<(Vec<u32>, Vec<u8>)> {
        let mut rows = samples(count, seed);
        rows.iter_mut().zip(sizes.iter().cycle()).for_each(|(index, size)| *index %= size);
        let labels = labels(&rows, seed);
        let mut writer = RowsWriter::create(&folder.join(part.file()), &bounds)?;
        for (row, &label) in rows.chunks(FEATURES.len()).zip(&labels) {
            writer.push(label, &Row::new(row))?;
        }
        writer.commit()?;
        Ok((rows, labels))
    };
    write(Part::Valid, valid, 2)?;
    write(Part::Train, train, 1)
}

/// A click of each row: likelier where its features have a taste for it. A model that learns
/// the features' tastes has a smaller loss.
fn labels(rows: &[u32], seed: u64) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(seed);
    let taste = |(f, &index): (usize, &u32)| {
        let mixed = (u64::from(index) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (f as u64) << 7;
        if mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9).count_ones().is_multiple_of(2) { 0.4 } else { -0.4 }
    };
    let label = |row: &[u32]| {
        let logit = row.iter().enumerate().map(taste).sum::<f64>() - 1.0;
        u8::from(rng.random_range(0.0..1.0) < 1.0 / (1.0 + (-logit).exp()))
    };
    rows.chunks(FEATURES.len()).map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_the_features() {
        let rows = samples(4000, 5);
        let labels = labels(&rows, 5);
        let share = labels.iter().map(|&label| f64::from(label)).sum::<f64>() / 4000.0;
        assert!((0.1..0.6).contains(&share), "{share}");
        // The frequent feature of a field and the rest differ in some field.
        let differs = (0..FEATURES.len()).any(|f| {
            let of = |first: bool| {
                let some = rows.chunks(FEATURES.len()).zip(&labels).filter(|(row, _)| (row[f] == 0) == first);
                let (mut clicks, mut count) = (0.0, 0.0_f64);
                some.for_each(|(_, &label)| (clicks, count) = (clicks + f64::from(label), count + 1.0));
                clicks / count.max(1.0)
            };
            (of(true) - of(false)).abs() > 0.08
        });
        assert!(differs);
    }
}

//! Models beside the project, with the logits that their libraries gave.

use std::path::{Path, PathBuf};

use xsfm_convert::calibrate::{Activations, MAX_ROWS, calibrate};
use xsfm_convert::import;
use xsfm_convert::pack::pack_int8;

use crate::common::{Cases, random_rows};
use crate::{assert_imports, logits};

/// The folders of models of public libraries, or a loud word that they are not there.
fn folders() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden2");
    let Ok(entries) = folder.read_dir() else {
        eprintln!("\n*** NOT TESTED: models of public libraries: {} is absent ***\n", folder.display());
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "{}: no model in it", folder.display());
    folders
}

/// Whether the vectors of a bag are a mean, which no packed file has.
fn has_mean_bag(folder: &Path) -> bool {
    folder.to_string_lossy().ends_with("_seq")
}

#[test]
fn models_of_public_libraries_have_their_logits() {
    for folder in folders().into_iter().filter(|folder| !has_mean_bag(folder)) {
        let what = folder.file_name().unwrap().to_string_lossy().into_owned();
        let cases = Cases::load(&folder);
        let rows: Vec<Vec<Vec<u32>>> = cases.rows.iter().map(|row| row.iter().map(|&i| vec![i]).collect()).collect();
        let model = assert_imports(&what, &folder, &rows, &cases.logits);
        let drawn = random_rows(&model.config, MAX_ROWS, 17);
        let found = calibrate(&model, Activations::Static, &drawn, &mut |_, _| ()).unwrap();
        let int8 = logits(&pack_int8(&found.model).unwrap(), &rows);
        let count = int8.len() as f64;
        let error =
            int8.iter().zip(&cases.logits).map(|(found, expected)| (found - expected).abs()).sum::<f64>() / count;
        let mean = cases.logits.iter().sum::<f64>() / count;
        let deviation = (cases.logits.iter().map(|logit| (logit - mean).powi(2)).sum::<f64>() / count).sqrt();
        eprintln!("{what}: int8 mean error {:.3} % of the logits' deviation", 100.0 * error / deviation);
        assert!(error <= 0.01 * deviation, "{what}: int8 is off by {error} on average, deviation {deviation}");
    }
}

#[test]
fn means_of_bags_are_refused_by_name() {
    for folder in folders().into_iter().filter(|folder| has_mean_bag(folder)) {
        let message = import::load(&folder).unwrap_err().to_string();
        let words = ["config.json", "key `bags`", "embedding_pooling", "a mean"];
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

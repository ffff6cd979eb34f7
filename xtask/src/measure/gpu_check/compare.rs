//! Whether two devices computed the same, as far as the order of sums and TF32 let them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use safetensors::SafeTensors;
use serde_json::Value;

/// Losses of a step may differ by this share: products of layers have 10 bits of mantissa on a GPU, sums another order.
pub(crate) const LOSS_TOLERANCE: f64 = 1e-3;
/// A number has moved otherwise where the two are further from each other than this share of
/// the learning rate, and of its magnitude.
pub(crate) const MOVE_TOLERANCE: f64 = 0.05;
pub(crate) const MAGNITUDE_TOLERANCE: f64 = 1e-3;
/// So many may have: Adam moves a number whose gradient is near 0 by a whole learning rate, to either side.
pub(crate) const MOVED_SHARE: f64 = 0.01;
/// Logits in evaluation, where nothing is rounded, as a share of `max(1, |logit|)`.
pub(crate) const LOGIT_TOLERANCE: f64 = 1e-4;

/// How far the weights of two checkpoints are from each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Distance {
    /// Numbers in all.
    pub(crate) numbers: usize,
    /// Those that moved otherwise.
    pub(crate) moved: usize,
    /// The largest difference.
    pub(crate) most: f64,
}

impl Distance {
    /// Whether it is one of rounding.
    pub(crate) fn is_small(self) -> bool {
        self.moved as f64 <= MOVED_SHARE * self.numbers as f64
    }
}

/// Compares all tensors of two checkpoints.
///
/// # Errors
/// They cannot be read, or have other tensors; one has a number that is not finite.
pub(crate) fn weights(one: &Path, other: &Path, learning_rate: f64) -> Result<Distance> {
    let read = |folder: &Path| -> Result<Vec<(String, Vec<f32>)>> {
        let path = folder.join("weights.safetensors");
        let bytes = fs::read(&path)?;
        let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
        let mut tensors: Vec<(String, Vec<f32>)> = Vec::new();
        for (name, view) in file.tensors() {
            let numbers: Vec<f32> =
                view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            ensure!(
                numbers.iter().all(|n| n.is_finite()),
                "{}: `{name}` has a number that is not finite",
                path.display()
            );
            tensors.push((name, numbers));
        }
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(tensors)
    };
    let (one, other) = (read(one)?, read(other)?);
    let shape = |all: &[(String, Vec<f32>)]| all.iter().map(|(n, t)| (n.clone(), t.len())).collect::<Vec<_>>();
    ensure!(shape(&one) == shape(&other), "the two checkpoints have other tensors");
    let mut distance = Distance { numbers: 0, moved: 0, most: 0.0 };
    for ((_, one), (_, other)) in one.iter().zip(&other) {
        for (&a, &b) in one.iter().zip(other) {
            let (a, b) = (f64::from(a), f64::from(b));
            let difference = (a - b).abs();
            distance.numbers += 1;
            distance.moved += usize::from(difference > MOVE_TOLERANCE * learning_rate + MAGNITUDE_TOLERANCE * a.abs());
            distance.most = distance.most.max(difference);
        }
    }
    Ok(distance)
}

/// The largest difference of two files of logits, as a share of `max(1, |logit|)`.
///
/// # Errors
/// They cannot be read, or are not of the same rows.
pub(crate) fn logits(one: &Path, other: &Path) -> Result<f64> {
    let read = |path: &Path| -> Result<Vec<f64>> {
        let text = fs::read_to_string(path)?;
        text.lines().map(|line| line.parse().with_context(|| format!("{}: {line:?}", path.display()))).collect()
    };
    let (one, other) = (read(one)?, read(other)?);
    ensure!(one.len() == other.len() && !one.is_empty(), "{} and {} logits", one.len(), other.len());
    let difference = |(a, b): (&f64, &f64)| (a - b).abs() / a.abs().max(1.0);
    // A number that is none is the largest of all.
    let all = one.iter().zip(&other).map(difference);
    Ok(all.fold(0.0, |most: f64, d| if d.is_nan() { f64::INFINITY } else { most.max(d) }))
}

/// A figure of a checkpoint's `metrics.json`, by the way to it: `/epochs/0/train_loss`.
///
/// # Errors
/// It cannot be read, or has no such figure.
pub(crate) fn figure(checkpoint: &Path, pointer: &str) -> Result<f64> {
    let path = checkpoint.join("metrics.json");
    let text = fs::read(&path)?;
    let metrics: Value = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
    metrics.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("{}: no {pointer}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::path::PathBuf;

    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    fn checkpoint(folder: &Path, name: &str, numbers: &[f32]) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![numbers.len()], &bytes).unwrap();
        let file = safetensors::serialize([("w", view)], None).unwrap();
        fs::write(path.join("weights.safetensors"), file).unwrap();
        path
    }

    #[test]
    fn rounding_is_told_from_another_way() {
        let folder = tempfile::tempdir().unwrap();
        let numbers: Vec<f32> = (0..1000).map(|n| n as f32 / 100.0 - 5.0).collect();
        let one = checkpoint(folder.path(), "one", &numbers);
        let moved = |name: &str, count: usize, by: f32| {
            let numbers: Vec<f32> =
                numbers.iter().enumerate().map(|(n, w)| if n < count { w + by } else { *w }).collect();
            weights(&one, &checkpoint(folder.path(), name, &numbers), 1e-3).unwrap()
        };
        assert_eq!(moved("same", 0, 0.0), Distance { numbers: 1000, moved: 0, most: 0.0 });
        assert!(moved("rounded", 1000, 2e-5).is_small());
        let few = moved("few", 10, 0.02);
        assert!(few.moved == 10 && few.is_small(), "{few:?}");
        assert!(!moved("many", 11, 0.02).is_small());
        let none = checkpoint(folder.path(), "none", &[1.0, f32::NAN]);
        assert!(weights(&none, &none, 1e-3).unwrap_err().to_string().contains("not finite"));
        assert!(weights(&one, &checkpoint(folder.path(), "short", &[1.0]), 1e-3).is_err());
    }

    #[test]
    fn logits_are_compared_by_their_magnitude() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let one = write("one", "0.5\n-20\n");
        for (text, expected) in
            [("0.5\n-20\n", 0.0), ("0.25\n-20\n", 0.25), ("0.5\n-30\n", 0.5), ("0.5\nNaN\n", f64::INFINITY)]
        {
            assert_eq!(logits(&one, &write("other", text)).unwrap(), expected);
        }
        assert!(logits(&one, &write("other", "0.5\n")).is_err());
    }
}

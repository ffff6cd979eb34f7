//! What one of each kind of work takes, from what whole scores take.

use xsfm_convert::analyze::work::KINDS;

use super::bench::Sample;

/// Four digits: the rest is noise, which would change with every measurement.
pub(super) fn rounded(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}

/// What one of each kind takes, so that relative errors are small: coordinate descent, each
/// time to the best value that is not negative.
pub(super) fn least_squares(samples: &[Sample]) -> [f64; KINDS.len()] {
    let mut each = [0.0; KINDS.len()];
    let weighted: Vec<[f64; KINDS.len()]> =
        samples.iter().map(|sample| sample.counts.map(|count| count / sample.instructions)).collect();
    let mut errors = vec![1.0; samples.len()];
    for _ in 0..SWEEPS {
        for kind in 0..KINDS.len() {
            let size: f64 = weighted.iter().map(|row| row[kind] * row[kind]).sum();
            if size == 0.0 {
                continue;
            }
            let wanted: f64 = weighted.iter().zip(&errors).map(|(row, error)| row[kind] * error).sum();
            let new = (each[kind] + wanted / size).max(0.0);
            for (row, error) in weighted.iter().zip(&mut errors) {
                *error -= row[kind] * (new - each[kind]);
            }
            each[kind] = new;
        }
    }
    each
}

/// Until nothing moves: kinds go together in models, which makes it slow.
const SWEEPS: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found() {
        let truth: Vec<f64> = (0..KINDS.len()).map(|kind| if kind == 3 { 0.0 } else { 1.5 + kind as f64 }).collect();
        let samples: Vec<Sample> = (0..30_u64)
            .map(|number| {
                let mut state = number + 1;
                let counts = [(); KINDS.len()].map(|()| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 54) as f64
                });
                let instructions = counts.iter().zip(&truth).map(|(count, each)| count * each).sum();
                Sample { counts, instructions, stack: 0, structs: 0, code: 0 }
            })
            .collect();
        let found = least_squares(&samples);
        assert!(found.iter().zip(&truth).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}");
        assert_eq!(rounded(1234.5678), 1235.0);
    }
}

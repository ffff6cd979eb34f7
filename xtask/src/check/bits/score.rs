//! Scores of one place beside those of this machine.

use std::path::PathBuf;

use anyhow::{Result, bail};
use xsfm_runtime::format::CRC;

/// f32 mode: sums may be taken in another order elsewhere. Relative to
/// `max(1, |logit|)`; the probability's is a quarter of it.
pub(super) const F32_TOLERANCE: f32 = 1e-5;

/// A model to score.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) int8: bool,
    pub(super) model: PathBuf,
    pub(super) rows: PathBuf,
    /// Whether they are raw values and not indices.
    pub(super) raw: bool,
    /// The same rows of indices for programs that read no text; raw ones as they are.
    pub(super) words: PathBuf,
}

/// A row's logit and probability.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    pub(super) logit: f32,
    pub(super) probability: f32,
}

/// CRC-32 of the bits of all logits and probabilities, as the bare-metal programs compute it.
pub(super) fn checksum(scores: &[Score]) -> u32 {
    let mut digest = CRC.digest();
    for score in scores {
        digest.update(&score.logit.to_le_bytes());
        digest.update(&score.probability.to_le_bytes());
    }
    digest.finalize()
}

/// How scores compare with those of this machine.
pub(super) struct Difference {
    /// `None` where all bits are equal.
    pub(super) largest: Option<f32>,
    pub(super) text: String,
    pub(super) allowed: bool,
}

pub(super) fn compare(subject: &Subject, here: &[Score], there: &[Score]) -> Result<Difference> {
    if here.len() != there.len() {
        bail!("{}: {} rows scored, {} on this machine", subject.name, there.len(), here.len());
    }
    let bits = |score: &Score| (score.logit.to_bits(), score.probability.to_bits());
    let differ = here.iter().zip(there).filter(|(a, b)| bits(a) != bits(b)).count();
    if differ == 0 {
        return Ok(Difference { largest: None, text: "the same bits".to_owned(), allowed: true });
    }
    let relative = |(a, b): (&Score, &Score)| {
        let logit = (a.logit - b.logit).abs() / a.logit.abs().max(1.0);
        // The sigmoid's slope is at most a quarter.
        let probability = 4.0 * (a.probability - b.probability).abs() / a.logit.abs().max(1.0);
        if logit.is_nan() || probability.is_nan() { f32::INFINITY } else { logit.max(probability) }
    };
    let largest = here.iter().zip(there).map(relative).fold(0.0, f32::max);
    let text = format!("{differ} rows differ, at most by {largest:.1e} of max(1, |logit|)");
    Ok(Difference { largest: Some(largest), text, allowed: !subject.int8 && largest <= F32_TOLERANCE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(int8: bool, here: &[Score], there: &[Score]) -> Result<Difference> {
        let none = PathBuf::new();
        let [model, rows, words] = [none.clone(), none.clone(), none];
        let subject = Subject { name: "m".to_owned(), int8, model, rows, raw: false, words };
        compare(&subject, here, there)
    }

    #[test]
    fn one_bit_is_too_much_in_int8_and_not_in_f32() {
        let here = [Score { logit: 1.5, probability: 0.75 }];
        let there = [Score { logit: f32::from_bits(1.5_f32.to_bits() + 1), probability: 0.75 }];
        assert!(!compared(true, &here, &there).expect("as many").allowed);
        assert!(compared(false, &here, &there).expect("as many").allowed);
        assert!(compared(true, &here, &here).expect("as many").allowed);
        let far = [Score { logit: 1.501, probability: 0.75 }];
        assert!(!compared(false, &here, &far).expect("as many").allowed);
        assert!(compared(true, &here, &[]).is_err());
    }
}

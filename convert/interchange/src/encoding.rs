//! How a field's texts become indices: by a vocabulary of tokens, by bounds of numbers, by a hash, or by weights.

use std::fmt;

use serde::{Deserialize, Serialize};
use xsfm_runtime::format::vocabulary::hashed;

use crate::bounds::Bounds;
use crate::scale::Scale;

/// Bounds that a message shows.
const SHOWN: usize = 5;

/// The rule of a field of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Tokens have the indices of the vocabulary; the token of a number is that of
    /// [`bucket`](crate::bucket::bucket).
    #[default]
    Tokens,
    /// A number's token is that of its bucket between bounds.
    Bounds(Bounds),
    /// Without a vocabulary.
    Hash(Hashing),
    /// By a vocabulary, behind whose indices lie buckets that the other tokens share, by their hash.
    OovBuckets(Hashing),
    /// A number is the index 1 with its distance from a centre for a weight; a missing one is index 0.
    Value(Scale),
    /// A number is the weighted mean of the two bounds between which it lies, of which number n from 1 on has the index
    /// n; beyond all of them it is the nearest. A missing one is index 0.
    Interpolated(Bounds),
}

/// A fixed number of buckets for any tokens, or for those without an index of their own, by their hash (XXH64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashing {
    /// How many there are; index 0 is none of them, and is what is missing.
    pub buckets: u32,
    /// What the hash begins with: fields of the same tokens need not have the same collisions.
    pub seed: u32,
}

/// What a description asks for: the [`Encoding`], but for bounds that training rows decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// See [`Encoding::Tokens`].
    Tokens,
    /// See [`Encoding::Bounds`].
    Bounds(Bounds),
    /// So many buckets with equally many training rows, by [`Histogram`](crate::quantiles::Histogram).
    Quantiles(u32),
    /// See [`Encoding::Hash`].
    Hash(Hashing),
    /// See [`Encoding::OovBuckets`].
    OovBuckets(Hashing),
    /// See [`Encoding::Value`]; without a scale by that of the training rows.
    Value(Option<Scale>),
    /// See [`Encoding::Interpolated`].
    Interpolated(Bounds),
    /// The same by the least numbers of so many buckets with equally many training rows.
    InterpolatedQuantiles(u32),
}

impl Encoding {
    /// The rule that gives it again, whatever the rows.
    pub fn rule(&self) -> Rule {
        match self {
            Encoding::Tokens => Rule::Tokens,
            Encoding::Bounds(bounds) => Rule::Bounds(bounds.clone()),
            Encoding::Hash(hashing) => Rule::Hash(*hashing),
            Encoding::OovBuckets(hashing) => Rule::OovBuckets(*hashing),
            Encoding::Value(scale) => Rule::Value(Some(*scale)),
            Encoding::Interpolated(bounds) => Rule::Interpolated(bounds.clone()),
        }
    }

    /// Whether it is by tokens: what a schema does not say.
    pub fn is_tokens(&self) -> bool {
        *self == Encoding::Tokens
    }

    /// Whether indices have weights, each value's own.
    pub fn is_weighted(&self) -> bool {
        matches!(self, Encoding::Value(_) | Encoding::Interpolated(_))
    }

    /// Whether there may be values that training has not seen, or too rarely.
    pub fn has_unseen(&self) -> bool {
        matches!(self, Encoding::Tokens | Encoding::Bounds(_))
    }
}

impl Hashing {
    /// Number of features of a field without a vocabulary: a bucket each, and the missing value.
    pub fn features(self) -> u32 {
        self.buckets.saturating_add(1)
    }

    /// The index of a token in a field without a vocabulary: 0 for the empty one, 1 + its bucket for any other.
    pub fn index_of(self, token: &str) -> u32 {
        self.index_behind(0, token)
    }

    /// The same behind the indices of so many tokens.
    pub fn index_behind(self, tokens: u32, token: &str) -> u32 {
        hashed(token.as_bytes(), self.seed, tokens, self.buckets)
    }
}

impl Rule {
    /// Whether `encoding` is what it asks for.
    pub fn is_met_by(&self, encoding: &Encoding) -> bool {
        match (self, encoding) {
            (Rule::Tokens, Encoding::Tokens) | (Rule::Quantiles(_), Encoding::Bounds(_)) => true,
            (Rule::Bounds(asked), Encoding::Bounds(found)) => asked == found,
            (Rule::Hash(asked), Encoding::Hash(found)) | (Rule::OovBuckets(asked), Encoding::OovBuckets(found)) => {
                asked == found
            }
            (Rule::Value(asked), Encoding::Value(found)) => asked.is_none_or(|asked| asked == *found),
            (Rule::Interpolated(asked), Encoding::Interpolated(found)) => asked == found,
            (Rule::InterpolatedQuantiles(_), Encoding::Interpolated(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Encoding::Tokens => f.write_str("by tokens"),
            Encoding::Bounds(bounds) => write!(f, "by the bounds {}", shown(bounds)),
            Encoding::Hash(Hashing { buckets, seed }) => write!(f, "hashed to {buckets} buckets with seed {seed}"),
            Encoding::OovBuckets(Hashing { buckets, seed }) => {
                write!(f, "by tokens, others hashed to {buckets} buckets with seed {seed}")
            }
            Encoding::Value(scale) => {
                let [centre, width] = scale.numbers();
                write!(f, "by value, of centre {centre:?} and width {width:?}")
            }
            Encoding::Interpolated(bounds) => write!(f, "interpolated between the bounds {}", shown(bounds)),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Tokens => Encoding::Tokens.fmt(f),
            Rule::Bounds(bounds) => Encoding::Bounds(bounds.clone()).fmt(f),
            Rule::Quantiles(quantiles) => write!(f, "by {quantiles} quantiles"),
            Rule::Hash(hashing) => Encoding::Hash(*hashing).fmt(f),
            Rule::OovBuckets(hashing) => Encoding::OovBuckets(*hashing).fmt(f),
            Rule::Value(None) => f.write_str("by value"),
            Rule::Value(Some(scale)) => Encoding::Value(*scale).fmt(f),
            Rule::Interpolated(bounds) => Encoding::Interpolated(bounds.clone()).fmt(f),
            Rule::InterpolatedQuantiles(quantiles) => write!(f, "interpolated between {quantiles} quantiles"),
        }
    }
}

/// The first bounds.
fn shown(bounds: &Bounds) -> String {
    let bounds = bounds.as_slice();
    let shown: Vec<String> = bounds.iter().take(SHOWN).map(|bound| format!("{bound:?}")).collect();
    shown.join(", ") + if bounds.len() > SHOWN { ", …" } else { "" }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh64::xxh64;

    use super::Hashing;

    #[test]
    fn buckets_are_those_of_the_published_hash() {
        let tokens = (0..3000).map(|n| format!("{n:x}").repeat(1 + n % 20)).chain(["é".to_owned(), "漢字 ".to_owned()]);
        for token in tokens {
            for hashing in [(1, 0), (7, 0), (1000, 1), (1 << 20, u32::MAX), (u32::MAX - 1, 5)] {
                let hashing = Hashing { buckets: hashing.0, seed: hashing.1 };
                let high = xxh64(token.as_bytes(), hashing.seed.into()) >> 32;
                let expected = 1 + ((high * u64::from(hashing.buckets)) >> 32);
                assert_eq!(u64::from(hashing.index_of(&token)), expected, "{token:?} {hashing:?}");
                assert_eq!(hashing.index_of(""), 0);
            }
        }
    }

    /// Why a quotient and a remainder need no hash of their own: those of one hash are as independent as two hashes.
    #[test]
    fn quotient_and_remainder_of_a_hash_are_independent() {
        // Every index of 64 quotients and 64 remainders, but for the missing value's place.
        let (hashing, remainders) = (Hashing { buckets: 64 * 64 - 1, seed: 0 }, 64);
        let indices: Vec<u32> = (0..4000).map(|n| hashing.index_of(&format!("item {n}"))).collect();
        let pairs = |same: &dyn Fn(u32, u32) -> bool| {
            let later = |(i, &a): (usize, &u32)| indices[i + 1..].iter().filter(|&&b| same(a, b)).count();
            indices.iter().enumerate().map(later).sum::<usize>() as f64
        };
        let all = 4000.0 * 3999.0 / 2.0;
        let quotient = pairs(&|a, b| a / remainders == b / remainders) / all;
        let remainder = pairs(&|a, b| a % remainders == b % remainders) / all;
        let both = pairs(&|a, b| a == b) / all;
        // Six deviations of each count.
        assert!((quotient - 1.0 / 64.0).abs() < 6.0 * (1.0 / 64.0 / all).sqrt(), "{quotient}");
        assert!((remainder - 1.0 / 64.0).abs() < 6.0 * (1.0 / 64.0 / all).sqrt(), "{remainder}");
        assert!((both - 1.0 / 4096.0).abs() < 6.0 * (1.0 / 4096.0 / all).sqrt(), "{both}");
    }
}

//! What training rows have of a field: how often each token, and how its numbers lie.

use xsfm_interchange::bounds::{Bounds, number};
use xsfm_interchange::encoding::{Encoding, Rule};
use xsfm_interchange::quantiles::Histogram;
use xsfm_interchange::tokens::TokenMap;

/// Counts of one field, which do not depend on the order of the rows.
#[derive(Debug)]
pub(super) enum FieldCounts {
    /// How often each token is there, and what becomes of it.
    Tokens(Encoding, TokenMap<u64>),
    /// How often each bucket is, and no number.
    Bounds { bounds: Bounds, buckets: Vec<u64>, missing: u64 },
    /// Numbers whose buckets are not known yet.
    Quantiles { quantiles: u32, numbers: Histogram, missing: u64 },
    /// Numbers whose weights are not known yet, and what they are to be.
    Weighted { rule: Rule, numbers: Histogram },
    /// Nothing: what each value becomes is known.
    Known(Encoding),
}

impl FieldCounts {
    /// Nothing yet.
    pub(super) fn new(rule: &Rule) -> Self {
        match rule {
            Rule::Tokens => FieldCounts::Tokens(Encoding::Tokens, TokenMap::default()),
            Rule::OovBuckets(hashing) => FieldCounts::Tokens(Encoding::OovBuckets(*hashing), TokenMap::default()),
            Rule::Bounds(bounds) => {
                FieldCounts::Bounds { bounds: bounds.clone(), buckets: vec![0; bounds.buckets()], missing: 0 }
            }
            Rule::Quantiles(quantiles) => {
                FieldCounts::Quantiles { quantiles: *quantiles, numbers: Histogram::default(), missing: 0 }
            }
            Rule::Hash(hashing) => FieldCounts::Known(Encoding::Hash(*hashing)),
            Rule::Value(Some(scale)) => FieldCounts::Known(Encoding::Value(*scale)),
            Rule::Interpolated(bounds) => FieldCounts::Known(Encoding::Interpolated(bounds.clone())),
            Rule::Value(None) | Rule::InterpolatedQuantiles(_) => {
                FieldCounts::Weighted { rule: rule.clone(), numbers: Histogram::default() }
            }
        }
    }

    /// Counts a token, or the text of a number where there are bounds.
    pub(super) fn add(&mut self, text: &str) {
        match self {
            FieldCounts::Tokens(_, counts) => counts.update(text, |count| *count += 1),
            // Readers give numbers and empty texts alone.
            FieldCounts::Bounds { bounds, buckets, missing } => match number(text) {
                Some(number) => buckets[bounds.bucket(number)] += 1,
                None => *missing += 1,
            },
            FieldCounts::Quantiles { numbers, missing, .. } => match number(text) {
                Some(number) => numbers.add(number),
                None => *missing += 1,
            },
            FieldCounts::Weighted { numbers, .. } => number(text).into_iter().for_each(|number| numbers.add(number)),
            FieldCounts::Known(_) => {}
        }
    }

    /// How the field's texts become indices, and how often each token is there.
    pub(super) fn finish(self) -> (Encoding, TokenMap<u64>) {
        match self {
            FieldCounts::Tokens(encoding, counts) => (encoding, counts),
            FieldCounts::Bounds { bounds, buckets, missing } => {
                let counts = of_buckets(&bounds, &buckets, missing);
                (Encoding::Bounds(bounds), counts)
            }
            FieldCounts::Quantiles { quantiles, numbers, missing } => {
                let bounds = numbers.bounds(quantiles);
                let counts = of_buckets(&bounds, &numbers.counts(&bounds), missing);
                (Encoding::Bounds(bounds), counts)
            }
            FieldCounts::Weighted { rule: Rule::InterpolatedQuantiles(quantiles), numbers } => {
                (Encoding::Interpolated(numbers.places(quantiles)), TokenMap::default())
            }
            FieldCounts::Weighted { numbers, .. } => (Encoding::Value(numbers.scale()), TokenMap::default()),
            FieldCounts::Known(encoding) => (encoding, TokenMap::default()),
        }
    }
}

fn of_buckets(bounds: &Bounds, buckets: &[u64], missing: u64) -> TokenMap<u64> {
    let mut counts = TokenMap::default();
    let mut add = |token: &str, more: u64| {
        if more > 0 {
            counts.update(token, |count| *count += more);
        }
    };
    add("", missing);
    buckets.iter().enumerate().for_each(|(bucket, &count)| add(&bounds.token(bucket), count));
    counts
}

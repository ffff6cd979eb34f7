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

    /// How many counts there are.
    pub(super) fn len(&self) -> usize {
        match self {
            FieldCounts::Tokens(_, counts) => counts.len(),
            FieldCounts::Bounds { buckets, .. } => buckets.len(),
            FieldCounts::Quantiles { numbers, .. } | FieldCounts::Weighted { numbers, .. } => numbers.cells().count(),
            FieldCounts::Known(_) => 0,
        }
    }

    /// Visits all counts, in any order, each with the key by which [`add_entry`](Self::add_entry) knows it again: a
    /// token; a bucket's number; shift and cell of numbers. Missing numbers have an empty key.
    pub(super) fn entries(&self, mut visit: impl FnMut(&str, u64)) {
        let numbers_of = |numbers: &Histogram, visit: &mut dyn FnMut(&str, u64)| {
            let shift = numbers.shift();
            numbers.cells().for_each(|(cell, count)| visit(&format!("{shift}:{cell}"), count));
        };
        match self {
            FieldCounts::Tokens(_, counts) => counts.each(visit),
            FieldCounts::Bounds { buckets, missing, .. } => {
                visit("", *missing);
                (0..).zip(buckets).for_each(|(bucket, &count): (u64, _)| visit(&bucket.to_string(), count));
            }
            FieldCounts::Quantiles { numbers, missing, .. } => {
                visit("", *missing);
                numbers_of(numbers, &mut visit);
            }
            FieldCounts::Weighted { numbers, .. } => numbers_of(numbers, &mut visit),
            FieldCounts::Known(_) => {}
        }
    }

    /// Adds one of the [`entries`](Self::entries) of a field with the same rule. Entries of one key may be added up
    /// before.
    ///
    /// # Errors
    /// The key is none.
    pub(super) fn add_entry(&mut self, key: &str, count: u64) -> Result<(), String> {
        let wrong = || format!("{key:?} is no key of a count");
        let add_cell = |numbers: &mut Histogram| -> Result<(), String> {
            let parts = key.split_once(':').and_then(|(shift, cell)| Some((shift.parse().ok()?, cell.parse().ok()?)));
            let (shift, cell) = parts.filter(|&(shift, _): &(u32, u64)| shift < u64::BITS).ok_or_else(wrong)?;
            numbers.add_cell(shift, cell, count);
            Ok(())
        };
        match self {
            FieldCounts::Tokens(_, counts) => counts.update(key, |all| *all += count),
            FieldCounts::Bounds { missing, .. } | FieldCounts::Quantiles { missing, .. } if key.is_empty() => {
                *missing += count;
            }
            FieldCounts::Bounds { buckets, .. } => {
                let bucket: usize = key.parse().map_err(|_| wrong())?;
                *buckets.get_mut(bucket).ok_or_else(wrong)? += count;
            }
            FieldCounts::Quantiles { numbers, .. } | FieldCounts::Weighted { numbers, .. } => add_cell(numbers)?,
            FieldCounts::Known(_) => return Err(wrong()),
        }
        Ok(())
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

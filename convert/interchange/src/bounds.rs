//! Numbers in buckets with given bounds: which bucket, and the token of each.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The token of the bucket below the first bound.
const LOWEST: &str = "-inf";

/// Where buckets of numbers begin: finite and ascending. Bucket 0 has the numbers below the first bound, bucket b those
/// from bound b - 1 up to below bound b, the last one all from the last bound on.
///
/// A bucket's token is its least number as text, so that the token, read as a number, is in its own bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Bounds(Vec<f64>);

impl Bounds {
    /// These bounds; -0 is 0.
    ///
    /// # Errors
    /// One that is not finite, or not above the one before.
    pub fn new(mut bounds: Vec<f64>) -> Result<Self, String> {
        bounds.iter_mut().for_each(|bound| *bound += 0.0);
        if let Some(bound) = bounds.iter().find(|bound| !bound.is_finite()) {
            return Err(format!("bound {bound}, a finite number expected"));
        }
        if let Some(two) = bounds.windows(2).find(|two| two[0] >= two[1]) {
            return Err(format!("bound {:?} behind {:?}: they must ascend", two[1], two[0]));
        }
        Ok(Bounds(bounds))
    }

    /// Bounds that are finite and ascend.
    pub(crate) fn ascending(bounds: Vec<f64>) -> Self {
        Bounds(bounds)
    }

    /// The bounds, ascending.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// How many buckets there are: one more than bounds.
    pub fn buckets(&self) -> usize {
        self.0.len() + 1
    }

    /// The bucket of a number that is not NaN.
    pub fn bucket(&self, number: f64) -> usize {
        self.0.partition_point(|&bound| bound <= number)
    }

    /// The token of a bucket.
    pub fn token(&self, bucket: usize) -> String {
        match bucket.checked_sub(1).and_then(|before| self.0.get(before)) {
            Some(bound) => format!("{bound:?}"),
            None => LOWEST.to_owned(),
        }
    }

    /// The finite numbers of a token, from the first up to the second, which is infinite for the last bucket; `None`
    /// for what is the token of no bucket.
    pub fn interval(&self, token: &str) -> Option<Range<f64>> {
        let bucket = match token {
            LOWEST => 0,
            _ => 1 + number(token).and_then(|bound| self.0.iter().position(|&known| known == bound))?,
        };
        (self.token(bucket) == token).then(|| {
            let from = bucket.checked_sub(1).and_then(|before| self.0.get(before));
            from.copied().unwrap_or(f64::MIN)..self.0.get(bucket).copied().unwrap_or(f64::INFINITY)
        })
    }
}

/// None is NaN.
impl Eq for Bounds {}

/// The number that a text means, finite: `7`, `-0.5`, `1e9`, `+7`; the nearest f64, of integers too. `None` for any
/// other text.
pub fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

impl TryFrom<Vec<f64>> for Bounds {
    type Error = String;

    fn try_from(bounds: Vec<f64>) -> Result<Self, String> {
        Bounds::new(bounds)
    }
}

impl From<Bounds> for Vec<f64> {
    fn from(bounds: Bounds) -> Self {
        bounds.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_at_their_bounds() {
        let numbers = [-1e300, -2.5, -f64::from_bits(1), 0.0, f64::from_bits(1), 0.1, 1.0, 9_007_199_254_740_992.0];
        let bounds = Bounds::new(numbers.to_vec()).expect("they ascend");
        assert_eq!((bounds.buckets(), bounds.bucket(f64::MIN), bounds.bucket(f64::MAX)), (9, 0, 8));
        for (place, &bound) in numbers.iter().enumerate() {
            assert_eq!([bounds.bucket(bound.next_down()), bounds.bucket(bound)], [place, place + 1], "{bound:?}");
        }
        assert_eq!(bounds.bucket(-0.0), bounds.bucket(0.0));
        for bucket in 0..bounds.buckets() {
            let token = bounds.token(bucket);
            let interval = bounds.interval(&token).expect("a token of a bucket");
            assert_eq!(bounds.bucket(interval.start), bucket, "{token}");
            assert_eq!(bounds.bucket(interval.end.min(f64::MAX)), (bucket + 1).min(8), "{token}");
            // Read as a number.
            assert_eq!(token.parse().map(|number: f64| bounds.bucket(number)), Ok(bucket), "{token}");
        }
        for token in ["", "inf", "NaN", "0", "1", "0.10", "-inf ", "2.0", "b1"] {
            assert_eq!(bounds.interval(token), None, "{token:?}");
        }
        assert_eq!(Bounds::new(Vec::new()).map(|none| (none.buckets(), none.token(0))), Ok((1, LOWEST.to_owned())));
    }

    #[test]
    fn bounds_that_do_not_ascend_are_refused() {
        for (bounds, words) in [
            (vec![1.0, 1.0], "bound 1.0 behind 1.0"),
            (vec![-0.0, 0.0], "bound 0.0 behind 0.0"),
            (vec![2.0, 1.0], "bound 1.0 behind 2.0"),
            (vec![0.0, f64::INFINITY], "bound inf"),
            (vec![f64::NAN], "bound NaN"),
        ] {
            assert!(Bounds::new(bounds.clone()).is_err_and(|what| what.contains(words)), "{bounds:?}");
        }
    }
}

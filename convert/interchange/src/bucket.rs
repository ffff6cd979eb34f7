//! Criteo log bucketing: the token of a number.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// Integers from here on are bucketed as f64, like numbers with a fraction: below, both agree, because f64 holds them
/// exactly.
const INTEGERS: u64 = 1_000_000_000_000_000;
/// The bucket of integers below this is looked up directly.
const DIRECT: usize = 4096;

/// The buckets of the integers from 3 on, as thresholds: no logarithm is taken per value.
struct Buckets {
    /// Bucket `b + 1` is `starts[b]..starts[b + 1]`.
    starts: Vec<u64>,
    tokens: Vec<String>,
    /// Places in `tokens` of 0..DIRECT.
    direct: Vec<u16>,
}

static BUCKETS: LazyLock<Buckets> = LazyLock::new(|| {
    let number = |v: u64| of_real(v as f64) as usize;
    let mut starts = vec![3];
    while let Some(&last) = starts.last()
        && last < INTEGERS
    {
        let bucket = starts.len() + 1;
        // Bisection: the first integer of this bucket or a later one.
        let (mut below, mut above) = (last, INTEGERS);
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if number(middle) < bucket { below = middle } else { above = middle }
        }
        starts.push(above);
    }
    let tokens = (1..starts.len()).map(|bucket| format!("b{bucket}")).collect();
    let direct = (0..DIRECT as u64).map(|v| place(&starts, v)).collect();
    Buckets { starts, tokens, direct }
});

/// `floor(ln(v)^2)` of `v > 2`.
fn of_real(v: f64) -> f64 {
    v.ln().powi(2).floor()
}

fn place(starts: &[u64], v: u64) -> u16 {
    // There are about 1,200 buckets.
    starts.partition_point(|&start| start <= v).saturating_sub(1) as u16
}

/// The token of a numeric value: `floor(v)` for v <= 2, and `b` with `floor(ln(v)^2)` above.
///
/// The letter keeps the buckets apart from the small values (the bucket of 3 is 1, which is not the value 1).
/// An empty value has the empty token. `None` for what is not a finite number.
pub fn bucket(value: &str) -> Option<Cow<'static, str>> {
    match value.as_bytes() {
        [] | [b'0'] => return Some(Cow::Borrowed(if value.is_empty() { "" } else { "0" })),
        [b'1'] => return Some(Cow::Borrowed("1")),
        [b'2'] => return Some(Cow::Borrowed("2")),
        digits if digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit) => {
            let v = digits.iter().fold(0, |v, digit| v * 10 + u64::from(digit - b'0'));
            if v > 2 {
                let place = match BUCKETS.direct.get(v as usize) {
                    Some(&place) => place,
                    None => place(&BUCKETS.starts, v),
                };
                return Some(Cow::Borrowed(&BUCKETS.tokens[usize::from(place)]));
            }
        }
        _ => {}
    }
    let v: f64 = value.parse().ok().filter(|v: &f64| v.is_finite())?;
    // `+ 0.0` makes "-0" and "0" one token.
    Some(Cow::Owned(if v <= 2.0 { format!("{}", v.floor() + 0.0) } else { format!("b{}", of_real(v)) }))
}

/// The integers of bucket `b`, from 1 on; `None` where they would have more than 15 digits.
pub fn values(b: usize) -> Option<Range<u64>> {
    let starts = &BUCKETS.starts;
    Some(*starts.get(b.checked_sub(1)?)?..*starts.get(b)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule as it is written, digit by digit and with a logarithm.
    fn slow(value: &str) -> String {
        let v: f64 = value.parse().expect("a number");
        if v <= 2.0 { format!("{}", v.floor()) } else { format!("b{}", (v.ln() * v.ln()).floor()) }
    }

    #[test]
    fn thresholds_are_those_of_the_logarithm() {
        let near = (1..).map_while(values).flat_map(|range| [range.start, range.end - 1]);
        let mut checked = 0;
        for v in (0..300_000).chain(near) {
            let text = v.to_string();
            assert_eq!(bucket(&text).as_deref(), Some(slow(&text).as_str()));
            assert_eq!(bucket(&format!("{v}.0")), bucket(&text), "the way of numbers with a fraction");
            checked += 1;
        }
        assert!(checked > 302_000, "{checked}");
        assert_eq!(bucket("0000000000000000000007"), bucket("7"));
        assert_eq!(bucket("002").as_deref(), Some("2"));
        assert_eq!(bucket("1000000000000000").as_deref(), Some("b1192"));
        assert_eq!((values(1), values(2), values(0)), (Some(3..5), Some(5..6), None));
    }
}

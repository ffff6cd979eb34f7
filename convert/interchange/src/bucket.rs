//! Criteo log bucketing: the token of a number.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// Integers from here on are bucketed as f64, like numbers with a fraction: below, both agree, because f64 holds them
/// exactly.
const INTEGERS: u64 = 1_000_000_000_000_000;
/// The bucket of integers below this is looked up directly.
const DIRECT: usize = 4096;

/// The buckets of the numbers from 2 on, as thresholds: no logarithm is taken per value, and what is packed for devices
/// is compared with the same thresholds.
struct Buckets {
    /// Bucket `b` is the numbers in `reals[b]..reals[b + 1]`.
    reals: Vec<f64>,
    /// Bucket `b + 1` is the integers in `starts[b]..starts[b + 1]`.
    starts: Vec<u64>,
    tokens: Vec<String>,
    /// Places in `tokens` of 0..DIRECT.
    direct: Vec<u16>,
}

static BUCKETS: LazyLock<Buckets> = LazyLock::new(|| {
    let mut reals = vec![2_f64.next_up()];
    while reals.last().is_some_and(|&last| last < INTEGERS as f64) {
        reals.push(least_of(reals.len() as f64));
    }
    let starts: Vec<u64> = reals.iter().skip(1).map(|real| real.ceil() as u64).collect();
    let tokens = (1..starts.len()).map(|bucket| format!("b{bucket}")).collect();
    let direct = (0..DIRECT as u64).map(|v| place(&starts, v)).collect();
    Buckets { reals, starts, tokens, direct }
});

/// The least number above 2 of bucket `b` or a later one.
fn least_of(b: f64) -> f64 {
    // Bisection over the bits of positive numbers, whose order is theirs.
    let (mut below, mut above) = (2_f64.to_bits(), f64::MAX.to_bits());
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if of_real(f64::from_bits(middle)) < b { below = middle } else { above = middle }
    }
    f64::from_bits(above)
}

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
    Some(Cow::Owned(match v {
        ..=2.0 => format!("{}", v.floor() + 0.0),
        _ if v < INTEGERS as f64 => format!("b{}", BUCKETS.reals.partition_point(|&least| least <= v) - 1),
        _ => format!("b{}", of_real(v)),
    }))
}

/// The numbers of a token that [`bucket`] gives, from the first up to the second; `None` for other texts, the empty one
/// among them.
pub fn interval(token: &str) -> Option<Range<f64>> {
    match token.strip_prefix('b') {
        Some(bucket) => {
            let bucket: u32 = bucket.parse().ok()?;
            let least = |bucket: u32| {
                let known = BUCKETS.reals.get(bucket as usize).copied();
                known.unwrap_or_else(|| least_of(bucket.into()))
            };
            Some(least(bucket)..least(bucket.checked_add(1)?))
        }
        None => {
            let floor: f64 = token.parse().ok().filter(|floor: &f64| *floor <= 2.0 && floor.trunc() == *floor)?;
            let next = floor + 1.0;
            Some(floor..if floor < 2.0 && next > floor { next } else { floor.next_up() })
        }
    }
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

    #[test]
    fn intervals_are_those_of_buckets() {
        let mut numbers = vec![-1e300, -1e16, -3.5, -1.0, -0.5, -0.0, 0.0, 0.3, 1.0, 1.99, 2.0, 2.5, 1e15, 3e17, 1e300];
        let starts = (0..1300).map(|b| interval(&format!("b{b}")).expect("a bucket").start);
        numbers.extend(starts.flat_map(|start| [start.next_down(), start, start.next_up(), start * 1.01]));
        for v in numbers {
            let token = bucket(&v.to_string()).expect("a number");
            let range = interval(&token).expect("a token of a number");
            assert!(range.contains(&v), "{v}: {token} is {range:?}");
            for outside in [range.start.next_down(), range.end] {
                assert_ne!(bucket(&outside.to_string()), Some(token.clone()), "{outside} is not in {range:?}");
            }
        }
        assert_eq!(
            (interval(""), interval("b"), interval("2.5"), interval("3"), interval("x")),
            (None, None, None, None, None)
        );
    }
}

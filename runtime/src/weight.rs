//! Weights of indices, in fields that have them (`docs/quantization.md`, "Weights").
//!
//! In such a field each index has a word behind it that says what its vector is multiplied by. The highest bit tells
//! the two apart, so that a weight that is missing, or that nobody asked for, is never taken for an index:
//!
//! ```text
//! index, weight, index, weight, …        weight: the highest bit, 15 zeros, w in two's complement of 16 bits; w / 4096
//! ```

use std::fmt;

/// Bits of a weight behind the point.
pub const FRACTION_BITS: u32 = 12;
/// The highest bit of a word, which indices of fields with weights do not have.
const MARK: u32 = 1 << 31;

/// What the vector of an index is multiplied by: fixed point of 12 fraction bits, from -7.9998 to 7.9998.
///
/// ```
/// use xsfm_runtime::{Row, Weight};
///
/// let half = Weight::nearest(0.5).expect("within the range of weights");
/// // A user, and two tags of a field with weights.
/// let words = [7, 3, Weight::ONE.word(), 9, half.word()];
/// let row = Row::with_bags(&words, &[0, 1, 5]);
/// assert_eq!(row.field(1), Some(&words[1..]));
/// assert_eq!(Weight::of_word(half.word()).map(Weight::to_f32), Some(0.5));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Weight(i16);

impl Weight {
    /// The vector as it is: a field all of whose weights are 1 has the bits of one without weights.
    pub const ONE: Weight = Weight(1 << FRACTION_BITS);
    /// The vector adds nothing.
    pub const ZERO: Weight = Weight(0);
    /// The largest weight; its negative is the smallest.
    pub const MAX: Weight = Weight(i16::MAX);

    /// The weight of so many steps of 2^-12; `None` for -32768.
    pub const fn of_steps(steps: i16) -> Option<Weight> {
        if steps == i16::MIN { None } else { Some(Weight(steps)) }
    }

    /// The weight nearest to a number, halves away from zero; `None` where none is within half a step of 2^-12.
    pub const fn nearest(number: f64) -> Option<Weight> {
        let steps = number * (1 << FRACTION_BITS) as f64;
        // Not a number fails too.
        if !(-32_767.5 < steps && steps < 32_767.5) {
            return None;
        }
        Some(Weight::saturating(number))
    }

    /// The weight nearest to a number; where none is, that at the nearer end, and 0 for what is not a number.
    const fn saturating(number: f64) -> Weight {
        let steps = number * (1 << FRACTION_BITS) as f64;
        let steps = (steps + if steps < 0.0 { -0.5 } else { 0.5 }) as i16;
        Weight(if steps == i16::MIN { -i16::MAX } else { steps })
    }

    /// That of a number whose value is its weight: `(number - centre) / width`, cut at the ends of the range.
    pub const fn of_number(number: f64, [centre, width]: [f64; 2]) -> Weight {
        Weight::saturating((number - centre) / width)
    }

    /// Those of two numbers, of which `number` lies between, so that it is their weighted mean: both sum to 1.
    pub const fn between(number: f64, [from, to]: [f64; 2]) -> [Weight; 2] {
        // Of halves, whose difference is finite.
        let share = (number / 2.0 - from / 2.0) / (to / 2.0 - from / 2.0);
        let steps = Weight::saturating(share).0;
        let steps = if steps < 0 { 0 } else { steps };
        let upper = if steps > Weight::ONE.0 { Weight::ONE.0 } else { steps };
        [Weight(Weight::ONE.0 - upper), Weight(upper)]
    }

    /// That of each of `count` indices whose vectors' mean is wanted: the nearest to 1 / count.
    pub const fn of_mean(count: usize) -> Weight {
        // In integers: a small program has no division of real numbers.
        match ((2_usize << FRACTION_BITS) + count).checked_div(2 * count) {
            Some(steps) if steps <= 1 << FRACTION_BITS => Weight((steps as u16).cast_signed()),
            _ => Weight::ONE,
        }
    }

    /// Steps of 2^-12.
    #[inline]
    pub const fn steps(self) -> i16 {
        self.0
    }

    /// The weight as a number, exactly.
    #[inline]
    pub const fn to_f32(self) -> f32 {
        self.0 as f32 * (1.0 / (1 << FRACTION_BITS) as f32)
    }

    /// The word that stands behind the index.
    #[inline]
    pub const fn word(self) -> u32 {
        MARK | self.0.cast_unsigned() as u32
    }

    /// The weight of such a word; `None` where it is none.
    #[inline]
    pub const fn of_word(word: u32) -> Option<Weight> {
        if word & !0xFFFF == MARK { Weight::of_steps((word as u16).cast_signed()) } else { None }
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number, in the shortest digits that are exactly it.
impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_f32(), f)
    }
}

/// An index and its weight, and another where there are two.
pub type OneOrTwo = ((u32, Weight), Option<(u32, Weight)>);

/// The indices of a number between bounds, of which number n from 1 on has the index n: those of its two neighbours, or
/// of one whose share is all. `below`: how many bounds are not above it; `neighbours`: the last of these, and the next.
pub const fn interpolated(number: f64, below: u32, neighbours: [Option<f64>; 2]) -> OneOrTwo {
    let next = below.saturating_add(1);
    match neighbours {
        [None, _] => ((next, Weight::ONE), None),
        [Some(_), None] => ((below, Weight::ONE), None),
        [Some(from), Some(to)] => match Weight::between(number, [from, to]) {
            [Weight::ONE, _] => ((below, Weight::ONE), None),
            [Weight::ZERO, upper] => ((next, upper), None),
            [lower, upper] => ((below, lower), Some((next, upper))),
        },
    }
}

/// The indices of a field, each with its weight, which is 1 in a field without weights: of a row that was checked.
pub fn entries(words: &[u32], weighted: bool) -> impl Iterator<Item = (u32, Weight)> + Clone {
    let (with, without) = if weighted { (words, &[][..]) } else { (&[][..], words) };
    pairs(with).flatten().chain(without.iter().map(|&index| (index, Weight::ONE)))
}

/// The indices of a field with weights, each with its own; `None` in place of a pair that is no index and a weight.
#[inline]
pub fn pairs(words: &[u32]) -> impl Iterator<Item = Option<(u32, Weight)>> + Clone {
    words.chunks(2).map(|pair| match *pair {
        [index, word] if index < MARK => Weight::of_word(word).map(|weight| (index, weight)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_weight_or_none() {
        for steps in i16::MIN..=i16::MAX {
            let weight = Weight::of_steps(steps);
            assert_eq!(weight.is_none(), steps == i16::MIN);
            let Some(weight) = weight else { continue };
            assert_eq!(Weight::of_word(weight.word()), Some(weight));
            assert_eq!(Weight::nearest(weight.to_f32().into()), Some(weight));
        }
        for word in [0, 1, MARK - 1, MARK | 0x8000, MARK | 0x1_0000, MARK | 1 << 30, u32::MAX] {
            assert_eq!(Weight::of_word(word), None, "{word:#x}");
        }
    }

    #[test]
    fn weights_of_a_mean_are_the_nearest() {
        for count in 1..=1024_u16 {
            assert_eq!(Some(Weight::of_mean(count.into())), Weight::nearest(1.0 / f64::from(count)), "{count}");
        }
        assert_eq!(Weight::of_mean(0), Weight::ONE);
    }

    #[test]
    fn numbers_are_weights_of_their_distance() {
        let steps = |number, scale| Weight::of_number(number, scale).steps();
        for (number, scale, expected) in [
            (3.0, [3.0, 2.0], 0),
            (5.0, [3.0, 2.0], 4096),
            (2.0, [3.0, 2.0], -2048),
            (1e300, [3.0, 2.0], i16::MAX),
            (f64::MIN, [f64::MAX, 2.0], -i16::MAX),
            (f64::MAX, [f64::MIN, f64::MAX], i16::MAX),
            (19.0, [3.0, 2.0], i16::MAX),
            // What a damaged file may have.
            (1.0, [1.0, 0.0], 0),
            (1.0, [f64::NAN, 1.0], 0),
        ] {
            assert_eq!(steps(number, scale), expected, "{number} {scale:?}");
        }
    }

    #[test]
    fn interpolation_is_the_weighted_mean_of_two_bounds() {
        let bounds = [-1e308, -3.0, 0.0, 1e-310, 0.25, 1.0, 1e308];
        let of = |number: f64| {
            let below = bounds.partition_point(|&bound| bound <= number);
            let bound = |n: usize| bounds.get(n).copied();
            interpolated(number, below as u32, [below.checked_sub(1).and_then(bound), bound(below)])
        };
        for (n, &bound) in (1..).zip(&bounds) {
            assert_eq!(of(bound), ((n, Weight::ONE), None), "{bound}");
        }
        assert_eq!((of(f64::MIN).0, of(f64::MAX).0), ((1, Weight::ONE), (7, Weight::ONE)));
        let weight = |number: f64| Weight::nearest(number).unwrap_or(Weight::MAX);
        assert_eq!(of(0.4375), ((5, weight(0.75)), Some((6, weight(0.25)))));
        assert_eq!(of(-1.0), ((2, weight(1.0 / 3.0)), Some((3, weight(2.0 / 3.0)))));
        // Halfway of both ends of f64, and nearer to a bound than a step.
        assert_eq!(of(-5e307), ((1, weight(0.5)), Some((2, weight(0.5)))));
        assert_eq!((of(0.250_01), of(0.999_99)), (((5, Weight::ONE), None), ((6, Weight::ONE), None)));
        for steps in 0..=4096_u16 {
            let ((lower, a), upper) = of(0.25 + 0.75 * f64::from(steps) / 4096.0);
            let rest = upper.map_or(0, |(upper, weight)| {
                assert_eq!((lower, upper), (5, 6));
                weight.steps()
            });
            assert_eq!(a.steps() + rest, 4096);
            assert!(a.steps() > 0 && upper.is_none_or(|(_, weight)| weight.steps() == steps.cast_signed()));
        }
        assert_eq!(Weight::between(f64::NAN, [1.0, 1.0]), [Weight::ONE, Weight::ZERO]);
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_step_or_refused() {
        let steps = |number| Weight::nearest(number).map(Weight::steps);
        let step = 1.0 / 4096.0;
        for (number, expected) in [
            (0.0, Some(0)),
            (-0.0, Some(0)),
            (0.49 * step, Some(0)),
            (0.5 * step, Some(1)),
            (-0.5 * step, Some(-1)),
            (1.0 / 3.0, Some(1365)),
            (1.0, Some(4096)),
            (32_767.49 * step, Some(32_767)),
            (-32_767.49 * step, Some(-32_767)),
            (8.0, None),
            (-8.0, None),
            (f64::INFINITY, None),
            (f64::NAN, None),
        ] {
            assert_eq!(steps(number), expected, "{number}");
        }
    }
}

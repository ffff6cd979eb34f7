//! Bounds of buckets with equally many numbers, from counts that any number of threads or machines add up to the same.
//!
//! The bits of finite f64s, in the order of numbers, are cut into cells of 2^shift of them. As long as no more than
//! [`CELLS`] cells have numbers, each different number is a cell of its own; then the shift grows by one, and each two
//! neighbouring cells become one. What was counted at a finer shift is what would have been counted at the coarser one,
//! and a part of the numbers never needs a coarser shift than all of them: so the counts depend on the numbers alone,
//! and neither on their order nor on how they were divided and merged.
//!
//! Numbers of one cell agree in their first 12 + 52 - shift bits: sign, exponent, and the beginning of the mantissa.
//! There are 2^16 cells at a shift of 48, so that it is never larger, and a cell is never wider than a sixteenth of its
//! numbers. Numbers of one sign within a factor of 2^15 have cells that are not wider than 2^-12 of them.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use xsfm_runtime::format::vocabulary::{of_order, order};

use crate::bounds::Bounds;
use crate::scale::Scale;

/// Most cells that are counted: about two megabytes.
pub const CELLS: usize = 1 << 16;
/// Most quantiles: of fewer cells for each they would be coarse.
pub const MAX_QUANTILES: u32 = 4096;

/// Counts of numbers by cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    shift: u32,
    /// By [`order`], less its last `shift` bits.
    cells: HashMap<u64, u64, RandomState>,
}

impl Histogram {
    /// Counts a finite number.
    pub fn add(&mut self, number: f64) {
        *self.cells.entry(order(number) >> self.shift).or_default() += 1;
        self.fit();
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Histogram) {
        other.cells().for_each(|(cell, count)| self.add_cell(other.shift, cell, count));
    }

    /// The shift of all cells.
    pub fn shift(&self) -> u32 {
        self.shift
    }

    /// The cells, in any order, each with how many numbers it has.
    pub fn cells(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.cells.iter().map(|(&cell, &count)| (cell, count))
    }

    /// Adds the numbers that another has counted in one of its cells; `shift`, below 64, is the other's.
    pub fn add_cell(&mut self, shift: u32, cell: u64, count: u64) {
        self.coarsen(shift.saturating_sub(self.shift));
        *self.cells.entry(cell >> (self.shift - shift)).or_default() += count;
        self.fit();
    }

    fn fit(&mut self) {
        while self.cells.len() > CELLS {
            self.coarsen(1);
        }
    }

    fn coarsen(&mut self, by: u32) {
        if by == 0 {
            return;
        }
        self.shift += by;
        for (cell, count) in std::mem::take(&mut self.cells) {
            *self.cells.entry(cell >> by).or_default() += count;
        }
    }

    /// The least number of a cell.
    fn least(&self, cell: u64) -> f64 {
        of_order(cell << self.shift)
    }

    /// Bounds of at most `quantiles` buckets. Each lies between two cells: of all such places it is the one that has
    /// the nearest to i / `quantiles` of the numbers below it, the lower one of two. Where numbers are equal, several
    /// of these are the same place, and there are fewer buckets; none is empty.
    pub fn bounds(&self, quantiles: u32) -> Bounds {
        let mut cells: Vec<(u64, u64)> = self.cells.iter().map(|(&cell, &count)| (cell, count)).collect();
        cells.sort_unstable();
        let all: u128 = cells.iter().map(|&(_, count)| u128::from(count)).sum();
        let mut below = 0;
        // Each cell but the first, with the numbers below it.
        let places: Vec<(u128, u64)> = (cells.windows(2))
            .map(|two| {
                below += u128::from(two[0].1);
                (below, two[1].0)
            })
            .collect();
        let (mut bounds, mut place) = (Vec::new(), 0);
        for i in 1..u128::from(quantiles) {
            let distance = |(below, _): &(u128, u64)| (below * u128::from(quantiles)).abs_diff(i * all);
            while places.get(place + 1).is_some_and(|next| distance(next) < distance(&places[place])) {
                place += 1;
            }
            bounds.extend(places.get(place).map(|&(_, cell)| self.least(cell)));
        }
        bounds.dedup();
        Bounds::ascending(bounds)
    }

    /// The least number of each of at most `quantiles` buckets: of [`bounds`](Self::bounds), with that of the first.
    /// 0 where there is no number.
    pub fn places(&self, quantiles: u32) -> Bounds {
        let least = self.cells.keys().min().map_or(0.0, |&cell| self.least(cell));
        let bounds = self.bounds(quantiles);
        Bounds::ascending([least].iter().chain(bounds.as_slice()).copied().collect())
    }

    /// The median, and half of what lies between the first tenth and the last one; or half of the range where these are
    /// one cell, or 1. A quantile is the least number of its cell.
    pub fn scale(&self) -> Scale {
        let mut cells: Vec<(u64, u64)> = self.cells.iter().map(|(&cell, &count)| (cell, count)).collect();
        cells.sort_unstable();
        let all: u128 = cells.iter().map(|&(_, count)| u128::from(count)).sum();
        // That of the first cell up to which there are more than so many tenths of the numbers.
        let quantile = |tenths: u128| {
            let mut up_to = 0;
            let is_last = |&&(_, count): &&(u64, u64)| {
                up_to += u128::from(count);
                10 * up_to > tenths * all
            };
            cells.iter().find(is_last).or(cells.last()).map_or(0.0, |&(cell, _)| self.least(cell))
        };
        let centre = quantile(5);
        let widths = [[1, 9], [0, 10]].map(|ends| {
            let [from, to] = ends.map(quantile);
            // Half of each: the whole may be infinite.
            to / 2.0 - from / 2.0
        });
        let scale = widths.into_iter().find_map(|width| Scale::new([centre, width]).ok());
        scale.unwrap_or_else(|| Scale::unit(centre))
    }

    /// How many of the numbers each bucket has, given bounds between the cells.
    pub fn counts(&self, bounds: &Bounds) -> Vec<u64> {
        let mut counts = vec![0; bounds.buckets()];
        for (&cell, &count) in &self.cells {
            counts[bounds.bucket(self.least(cell))] += count;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Deterministic, of every size.
    fn numbers(count: u64, seed: u64, kind: u64) -> Vec<f64> {
        let mut state = seed;
        let mut bits = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 29
        };
        let unit = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64;
        let of = |bits: u64| match kind {
            0 => unit(bits),
            1 => (unit(bits) * 40.0 - 20.0).exp() * if bits & 1 == 0 { 1.0 } else { -1.0 },
            2 => f64::from((bits >> 50) as u32),
            3 => f64::from_bits(bits),
            _ => 1e9 + unit(bits) * 1e-3,
        };
        (0..count).map(|_| of(bits())).filter(|number| number.is_finite()).collect()
    }

    fn counted(numbers: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        numbers.iter().for_each(|&number| histogram.add(number));
        histogram
    }

    #[test]
    fn bounds_divide_numbers_as_sorting_does() {
        for kind in 0..5 {
            for count in [1, 2, 10, 1000, 300_000] {
                let mut numbers = numbers(count, 7 + kind, kind);
                let histogram = counted(&numbers);
                numbers.sort_by(f64::total_cmp);
                for quantiles in [2, 10, 100] {
                    let bounds = histogram.bounds(quantiles);
                    assert!(bounds.buckets() <= quantiles as usize);
                    let mut plain = vec![0; bounds.buckets()];
                    numbers.iter().for_each(|&number| plain[bounds.bucket(number)] += 1);
                    assert_eq!(histogram.counts(&bounds), plain, "{kind} {count} {quantiles}");
                    assert!(plain.iter().all(|&count| count > 0), "{plain:?}");
                    // Of different numbers each is its own cell: one row, by which bounds may be off.
                    let are_different = histogram.shift == 0 && histogram.cells.len() == numbers.len();
                    if are_different && numbers.len() >= quantiles as usize {
                        let most = numbers.len().div_ceil(quantiles as usize) as u64 + 1;
                        assert!(plain.iter().all(|&count| count <= most), "{plain:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn scales_are_the_median_and_the_width_of_most() {
        let of = |numbers: &[f64]| counted(numbers).scale().numbers();
        let places = |numbers: &[f64], quantiles| counted(numbers).places(quantiles).as_slice().to_vec();
        let hundred: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!((of(&hundred), places(&hundred, 4)), ([50.0, 40.0], vec![0.0, 25.0, 50.0, 75.0]));
        // Nearly all are equal: the range; all are: 1.
        let mut few = vec![7.0; 99];
        few.push(-3.0);
        assert_eq!((of(&few), places(&few, 9)), ([7.0, 5.0], vec![-3.0, 7.0]));
        assert_eq!((of(&[7.0; 50]), places(&[7.0; 50], 9)), ([7.0, 1.0], vec![7.0]));
        assert_eq!((of(&[]), places(&[], 9)), ([0.0, 1.0], vec![0.0]));
        // Their difference is infinite, half of it is not.
        assert_eq!(of(&[f64::MIN, f64::MAX]), [f64::MAX, f64::MAX]);
        for kind in 0..5 {
            let numbers = numbers(20_000, 3 + kind, kind);
            let [centre, width] = of(&numbers);
            assert!(width > 0.0 && width.is_finite() && centre.is_finite(), "{kind}");
            let below = numbers.iter().filter(|&&number| number < centre).count();
            assert!(below <= numbers.len() / 2, "{kind}: {below}");
        }
    }

    /// What the head of this file says of the width of cells.
    #[test]
    fn cells_are_as_narrow_as_stated() {
        let everywhere = counted(&numbers(1_000_000, 1, 3));
        assert!(everywhere.shift <= 48 && everywhere.cells.len() <= CELLS, "{}", everywhere.shift);
        assert!(everywhere.cells.len() > CELLS / 2, "no coarser than needed");
        let within = counted(&numbers(1_000_000, 2, 0).iter().map(|n| 2_f64.powf(15.0 * n)).collect::<Vec<_>>());
        assert!(within.shift <= 52 - 12, "{}", within.shift);
        // The quantiles of uniform numbers: a cell of them has 2^-12 at most, beside what a million draws differ by.
        let bounds = counted(&numbers(1_000_000, 3, 0)).bounds(10);
        for (bound, expected) in bounds.as_slice().iter().zip(1..10) {
            let error = (bound - f64::from(expected) / 10.0).abs();
            assert!(error < 0.0025 + 1.0 / 4096.0, "{bound} {expected}");
        }
        assert_eq!(counted(&[4.0; 100]).bounds(10).as_slice(), [0.0; 0], "one number is one bucket");
        let zeros = [vec![-1.0; 5], vec![0.0; 90], vec![7.0; 5]].concat();
        assert_eq!(counted(&zeros).bounds(10).as_slice(), [0.0, 7.0], "equal numbers stay together");
        assert_eq!(counted(&[-0.0, 0.0]), counted(&[0.0, 0.0]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

        /// Any order, divided and merged in any way: the same counts, and the same bytes of a schema.
        #[test]
        fn order_and_parts_do_not_matter(seed: u64, kind in 0..5_u64, count in 1..100_000_u64, parts in 1..9_usize) {
            let all = numbers(count, seed, kind);
            let whole = counted(&all);
            let mut shuffled = all.clone();
            let mut state = seed | 1;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            // Parts of unequal sizes, empty ones among them, merged as a tree and one after another.
            let mut histograms = vec![Histogram::default(); parts];
            for (i, &number) in shuffled.iter().enumerate() {
                histograms[(i * i / 3 + (state as usize & 7)) % parts].add(number);
            }
            let mut chain = Histogram::default();
            histograms.iter().rev().for_each(|part| chain.merge(part));
            while histograms.len() > 1 {
                let last = histograms.pop().unwrap_or_default();
                let place = (state as usize >> 5) % histograms.len();
                histograms[place].merge(&last);
            }
            prop_assert_eq!(&chain, &whole);
            prop_assert_eq!(&histograms[0], &whole);
            let bytes = |histogram: &Histogram| serde_json::to_vec(&histogram.bounds(37)).unwrap_or_default();
            prop_assert_eq!(bytes(&chain), bytes(&whole));
            let read: Bounds = serde_json::from_slice(&bytes(&whole)).expect("what was written");
            prop_assert_eq!(read, whole.bounds(37));
        }
    }
}

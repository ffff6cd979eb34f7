//! Whether rows say enough to choose scales by: most of what they have, all rows of a log have.

use std::collections::HashSet;
use std::fmt;

use super::{Bounds, RowBlock};

/// With fewer distinct rows than this, ranges and averages mean little.
pub const MIN_ROWS: usize = 16;

/// Too few rows, or too few that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooAlike {
    /// Number of rows.
    pub rows: usize,
    /// How many of them differ from all before.
    pub distinct: usize,
    /// How many must.
    pub needed: usize,
}

impl std::error::Error for TooAlike {}

impl fmt::Display for TooAlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooAlike { rows, distinct, needed } = self;
        if *rows < MIN_ROWS {
            return write!(f, "calibration needs at least {MIN_ROWS} rows, {rows} given");
        }
        write!(
            f,
            "calibration needs at least {needed} rows that differ; {rows} were given, {distinct} of them distinct: \
             scales that fit \
             those few would fit no others"
        )
    }
}

/// Checks that there are [`MIN_ROWS`], and that as many are distinct: or half of all that there can be, where those are
/// few. Gives the number of distinct rows.
///
/// # Errors
/// The numbers of rows and of distinct ones.
pub fn check(blocks: &[RowBlock], bounds: &Bounds) -> Result<usize, TooAlike> {
    let mut seen = HashSet::new();
    let mut rows = 0;
    for block in blocks {
        rows += block.len();
        seen.extend((0..block.len()).map(|i| key(block, i)));
    }
    let (distinct, needed) = (seen.len(), (possible(bounds) / 2).clamp(1, MIN_ROWS));
    if rows < MIN_ROWS || distinct < needed { Err(TooAlike { rows, distinct, needed }) } else { Ok(distinct) }
}

/// The indices of row `i`, each field's behind their number.
fn key(block: &RowBlock, i: usize) -> Vec<u32> {
    let row = block.row(i);
    let mut key = Vec::new();
    for f in 0..block.num_fields {
        let indices = row.field(f).unwrap_or_default();
        key.extend(u32::try_from(indices.len()));
        key.extend_from_slice(indices);
    }
    key
}

/// How many rows there can be, at most: a bag of at least two features has no end of values.
fn possible(bounds: &Bounds) -> usize {
    let of_field = |(column, &features): (&super::Column, &u32)| match (column.bag, features) {
        (true, 2..) => usize::MAX,
        _ => features as usize,
    };
    bounds.columns.iter().zip(&bounds.features).map(of_field).fold(1, usize::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Column;

    fn bounds(features: &[(u32, bool)]) -> Bounds {
        let column = |&(_, bag): &(u32, bool)| Column { name: String::new(), bag, weighted: false };
        Bounds {
            columns: features.iter().map(column).collect(),
            features: features.iter().map(|f| f.0).collect(),
            vocabulary: None,
        }
    }

    fn block(rows: impl IntoIterator<Item = Vec<u32>>, num_fields: usize) -> RowBlock {
        let mut block = RowBlock::new(num_fields, false);
        rows.into_iter().flatten().for_each(|index| block.push_field(&[index]));
        block
    }

    #[test]
    fn as_many_rows_differ_as_must() {
        let wide = bounds(&[(100, false), (50, false)]);
        let alike = |index: u32, count: usize| block((0..count).map(|_| vec![index, 3]), 2);
        for (index, count) in [(0, 20), (7, 16), (99, 2000)] {
            let error = check(&[alike(index, count)], &wide).map_err(|e| e.to_string());
            assert!(error.is_err_and(|e| e.contains(&format!("{count} were given, 1 of them distinct"))));
        }
        let of = |distinct: u32, count: u32| block((0..count).map(|i| vec![i % distinct, i % distinct]), 2);
        assert_eq!(check(&[of(15, 60)], &wide), Err(TooAlike { rows: 60, distinct: 15, needed: 16 }));
        assert_eq!(check(&[of(16, 60)], &wide), Ok(16));
        assert_eq!(check(&[of(8, 8), block((20..28).map(|i| vec![i, 0]), 2)], &wide), Ok(16), "blocks count together");
        assert_eq!(check(&[of(15, 15)], &wide), Err(TooAlike { rows: 15, distinct: 15, needed: 16 }));
        assert!(check(&[], &wide).is_err());
    }

    #[test]
    fn where_few_rows_are_possible_half_of_them_will_do() {
        let narrow = bounds(&[(3, false), (2, false)]);
        let of = |distinct: u32| block((0..40).map(|i| vec![i % distinct, 0]), 2);
        assert!(check(&[of(2)], &narrow).is_err_and(|e| e.needed == 3));
        assert_eq!(check(&[of(3)], &narrow), Ok(3));
        assert_eq!(check(&[of(1)], &bounds(&[(1, false), (1, false)])), Ok(1), "there is no other row");
        // A bag's tokens may come in any number; what differs is seen across fields.
        let bags = bounds(&[(2, true), (2, true)]);
        let mut rows = RowBlock::new(2, true);
        for i in 0..16_usize {
            rows.push_field(&vec![1; i + 1]);
            rows.push_field(&vec![1; 17 - i]);
        }
        assert_eq!(check(&[rows], &bags), Ok(16));
    }
}

//! Tokens that are integers, close together: a bit for each integer from the least on.

use xsfm_runtime::format::vocabulary::{BLOCK_BYTES, INTEGERS_PER_BLOCK, plain_integer};

/// A vocabulary whose tokens lie in the order of their numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Integers {
    pub(super) least: u32,
    /// From the least to the largest.
    pub(super) count: u32,
    /// Blocks as the file has them.
    pub(super) blocks: Vec<u8>,
    /// What index each token from the least on had before.
    pub(super) order: Vec<u32>,
}

impl Integers {
    /// Of a vocabulary, whose first token has the index 1; `None` where a token is no integer, or where they would take
    /// more than so many bytes.
    pub(super) fn of(vocabulary: &[String], most_bytes: usize) -> Option<Self> {
        let number = |token: &String| plain_integer(token.as_bytes());
        let mut numbers: Vec<(u32, u32)> =
            vocabulary.iter().zip(1..).map(|(token, index)| Some((number(token)?, index))).collect::<Option<_>>()?;
        numbers.sort_unstable();
        let (least, largest) = (numbers.first()?.0, numbers.last()?.0);
        let count = (largest - least).checked_add(1)?;
        if (count / INTEGERS_PER_BLOCK) as usize * BLOCK_BYTES > most_bytes {
            return None;
        }
        let (mut blocks, mut before) = (Vec::new(), 0_u32);
        let mut rest = numbers.iter().map(|(number, _)| number - least).peekable();
        for first in (0..count).step_by(INTEGERS_PER_BLOCK as usize) {
            blocks.extend(before.to_le_bytes());
            let mut words = vec![0_u32; (count - first).min(INTEGERS_PER_BLOCK).div_ceil(u32::BITS) as usize];
            while let Some(place) = rest.next_if(|place| place - first < INTEGERS_PER_BLOCK) {
                words[((place - first) / u32::BITS) as usize] |= 1 << (place % u32::BITS);
                before += 1;
            }
            blocks.extend(words.into_iter().flat_map(u32::to_le_bytes));
        }
        let order = numbers.into_iter().map(|(_, before)| before).collect();
        (blocks.len() <= most_bytes).then_some(Integers { least, count, blocks, order })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
        numbers.into_iter().map(|number| number.to_string()).collect()
    }

    #[test]
    fn blocks_have_what_lies_before_them() {
        let few = Integers::of(&vocabulary([9, 7, 40]), 100);
        let blocks = [0_u32, 0b101, 1 << (40 - 7 - 32)].into_iter().flat_map(u32::to_le_bytes).collect();
        assert_eq!(few, Some(Integers { least: 7, count: 34, blocks, order: vec![2, 1, 3] }));
        let many = Integers::of(&vocabulary((100..1200).rev()), 1000).unwrap_or_else(|| panic!("they are close"));
        assert_eq!((many.least, many.count), (100, 1100));
        assert_eq!(many.blocks.len(), 2 * BLOCK_BYTES + 4 + 4 * 76_usize.div_ceil(32));
        assert_eq!(many.blocks[BLOCK_BYTES..][..4], INTEGERS_PER_BLOCK.to_le_bytes());
        assert_eq!(many.order, (1..=1100).rev().collect::<Vec<u32>>());
    }

    #[test]
    fn others_are_left_to_the_hash() {
        assert_eq!(Integers::of(&vocabulary([0, u32::MAX]), 1 << 20), None);
        assert_eq!(Integers::of(&vocabulary([1, 100_000]), 100), None);
        assert_eq!(Integers::of(&["1".to_owned(), "02".to_owned()], 100), None);
        assert_eq!(Integers::of(&[], 100), None);
    }
}

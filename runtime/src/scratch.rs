//! Memory that the caller gives: cut into arrays, each from the start of a block.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::ScoreError;

/// 64 bytes of memory at an address that suits every number and every vector register.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct ScratchBlock([u8; ScratchBlock::LEN]);

impl ScratchBlock {
    /// Bytes of a block.
    pub const LEN: usize = 64;
    /// A block to fill an array with: `[ScratchBlock::ZERO; N]`.
    pub const ZERO: Self = ScratchBlock([0; Self::LEN]);
}

/// The part of the memory that is not yet in use.
pub(crate) struct Scratch<'s>(&'s mut [u8]);

impl<'s> Scratch<'s> {
    pub(crate) fn new(blocks: &'s mut [ScratchBlock]) -> Self {
        Scratch(blocks.as_mut_bytes())
    }

    /// The next `count` numbers, from the start of a block.
    #[inline(always)]
    pub(crate) fn take<T: FromBytes + IntoBytes + KnownLayout>(
        &mut self,
        count: usize,
    ) -> Result<&'s mut [T], ScoreError> {
        let bytes = blocks_of::<T>(count) * ScratchBlock::LEN;
        if bytes > self.0.len() {
            return Err(self.too_small(bytes));
        }
        let (here, rest) = std::mem::take(&mut self.0).split_at_mut(bytes);
        self.0 = rest;
        let (numbers, _) = <[T]>::mut_from_prefix_with_elems(here, count).map_err(|_| self.too_small(bytes))?;
        Ok(numbers)
    }

    /// The same memory once more, for what is done with before the next numbers are taken.
    pub(crate) fn for_now(&mut self) -> Scratch<'_> {
        Scratch(self.0)
    }

    fn too_small(&self, bytes: usize) -> ScoreError {
        ScoreError::ScratchTooSmall {
            needed: bytes.div_ceil(ScratchBlock::LEN),
            found: self.0.len() / ScratchBlock::LEN,
        }
    }
}

/// Blocks that `count` numbers fill.
#[inline(always)]
pub(crate) const fn blocks_of<T>(count: usize) -> usize {
    (size_of::<T>() * count).div_ceil(ScratchBlock::LEN)
}

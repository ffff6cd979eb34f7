//! Memory that the caller gives: cut into arrays, each from the start of a block.

use std::mem;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::ScoreError;
use crate::run::run_mut;

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
    #[inline]
    pub(crate) fn take<T: FromBytes + IntoBytes + KnownLayout>(
        &mut self,
        count: usize,
    ) -> Result<&'s mut [T], ScoreError> {
        // Whole numbers, from the start of a block.
        Ok(<[T]>::mut_from_bytes(self.cut(count * size_of::<T>())?).unwrap_or_default())
    }

    /// The next `len` bytes. Small programs have it once, and not for each type of numbers.
    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn cut(&mut self, len: usize) -> Result<&'s mut [u8], ScoreError> {
        let (needed, found) = (blocks_of::<u8>(len), self.0.len() / ScratchBlock::LEN);
        if needed > found {
            return Err(ScoreError::ScratchTooSmall { needed, found });
        }
        let (here, rest) = mem::take(&mut self.0).split_at_mut_checked(needed * ScratchBlock::LEN).unwrap_or_default();
        self.0 = rest;
        Ok(run_mut(here, 0, len))
    }

    /// The same memory once more, for what is done with before the next numbers are taken.
    pub(crate) fn for_now(&mut self) -> Scratch<'_> {
        Scratch(self.0)
    }
}

/// Blocks that `count` numbers fill.
#[inline(always)]
pub(crate) const fn blocks_of<T>(count: usize) -> usize {
    (size_of::<T>() * count).div_ceil(ScratchBlock::LEN)
}

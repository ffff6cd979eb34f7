//! Memory that the caller gives: cut into arrays, each from the start of a block, or measured before there is any.

use std::mem;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::{ScoreError, Scored};
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

/// Numbers that can lie in any memory, and be filled with zeros.
pub(crate) trait Plain: Copy + FromBytes + IntoBytes + Immutable + KnownLayout {}

impl<T: Copy + FromBytes + IntoBytes + Immutable + KnownLayout> Plain for T {}

/// Where arrays are taken from. What takes them runs on [`Scratch`] and on [`Measure`], so that what is taken and what
/// was said to be needed cannot differ.
pub(crate) trait Memory<'s> {
    /// The next `count` numbers, from the start of a block; none while they are measured.
    fn take<T: Plain>(&mut self, count: usize) -> Scored<&'s mut [T]>;

    /// The same memory once more, for what is done with before the next numbers are taken.
    fn for_now<T: Plain>(&mut self, count: usize) -> Scored<&mut [T]>;

    /// The next `count` numbers, zeros until `lay` has filled them, which it does not while they are measured.
    fn lay<T: Plain>(&mut self, count: usize, lay: impl FnOnce(&mut [T])) -> Scored<&'s [T]>;
}

/// The part of the memory that is not yet in use.
pub(crate) struct Scratch<'s>(&'s mut [u8]);

impl<'s> Scratch<'s> {
    pub(crate) fn new(blocks: &'s mut [ScratchBlock]) -> Self {
        Scratch(blocks.as_mut_bytes())
    }

    /// The next `len` bytes. Small programs have it once, and not for each type of numbers.
    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn cut(&mut self, len: usize) -> Scored<&'s mut [u8]> {
        let (needed, found) = (blocks_of::<u8>(len), self.0.len() / ScratchBlock::LEN);
        if needed > found {
            return Err(ScoreError::ScratchTooSmall { needed, found });
        }
        let (here, rest) = mem::take(&mut self.0).split_at_mut_checked(needed * ScratchBlock::LEN).unwrap_or_default();
        self.0 = rest;
        Ok(run_mut(here, 0, len))
    }
}

impl<'s> Memory<'s> for Scratch<'s> {
    #[inline]
    fn take<T: Plain>(&mut self, count: usize) -> Scored<&'s mut [T]> {
        // Whole numbers, from the start of a block.
        Ok(<[T]>::mut_from_bytes(self.cut(count * size_of::<T>())?).unwrap_or_default())
    }

    #[inline]
    fn for_now<T: Plain>(&mut self, count: usize) -> Scored<&mut [T]> {
        Scratch(self.0).take(count)
    }

    fn lay<T: Plain>(&mut self, count: usize, lay: impl FnOnce(&mut [T])) -> Scored<&'s [T]> {
        let numbers = self.take::<T>(count)?;
        numbers.as_mut_bytes().fill(0);
        lay(numbers);
        Ok(numbers)
    }
}

/// Whether there are as many blocks as are needed.
pub(crate) fn check_room(needed: usize, memory: &[ScratchBlock]) -> Scored<()> {
    let found = memory.len();
    if found < needed { Err(ScoreError::ScratchTooSmall { needed, found }) } else { Ok(()) }
}

/// Counts the blocks that would be taken.
#[derive(Default)]
pub(crate) struct Measure {
    taken: usize,
    /// At any time, with what is [for now](Memory::for_now).
    most: usize,
}

impl Measure {
    /// The blocks that `carve` takes.
    #[inline(always)]
    pub(crate) fn of<T>(carve: impl FnOnce(&mut Self) -> Scored<T>) -> usize {
        let mut measure = Measure::default();
        // There is always room.
        let _ = carve(&mut measure);
        measure.most.max(measure.taken)
    }
}

impl<'s> Memory<'s> for Measure {
    #[inline(always)]
    fn take<T: Plain>(&mut self, count: usize) -> Scored<&'s mut [T]> {
        self.taken += blocks_of::<T>(count);
        Ok(&mut [])
    }

    #[inline(always)]
    fn for_now<T: Plain>(&mut self, count: usize) -> Scored<&mut [T]> {
        self.most = self.most.max(self.taken + blocks_of::<T>(count));
        Ok(&mut [])
    }

    fn lay<T: Plain>(&mut self, count: usize, _: impl FnOnce(&mut [T])) -> Scored<&'s [T]> {
        self.take::<T>(count).map(|none| &*none)
    }
}

/// Blocks that `count` numbers fill.
#[inline(always)]
const fn blocks_of<T>(count: usize) -> usize {
    (size_of::<T>() * count).div_ceil(ScratchBlock::LEN)
}

//! How a packed file keeps what raw values mean: a record for each field, a static function from tokens to indices
//! without the tokens' text, and thresholds of numbers (`docs/format.md`, "Raw values").
//!
//! The function is a perfect hash of one level with pilots, after PTHash (Pibiri and Trani 2021, arXiv:2104.10402): a
//! token's hash chooses a bucket, whose pilot chooses the slots of all its tokens so that no two share one. A slot has
//! a few bits of another hash, its fingerprint, by which most unseen tokens are told, and the index.

use xxhash_rust::xxh64::xxh64;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Longest separator of a bag, in bytes.
pub const MAX_SEPARATOR: usize = 7;
/// Most bits of a fingerprint.
pub const MAX_FINGERPRINT_BITS: u8 = 24;
/// Zeros after the last slot, so that a slot is read as eight bytes wherever it lies.
pub const SLOTS_SLACK: usize = 8;

/// What a field's raw values are, as a number in [`EncoderRecord::kind`].
pub mod kind {
    /// One token.
    pub const TOKEN: u8 = 0;
    /// Several tokens.
    pub const BAG: u8 = 1;
    /// A number, whose index is that of the last threshold that is not above it.
    pub const NUMBER: u8 = 2;
}

/// How one field's raw values become indices: 64 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EncoderRecord {
    /// One of [`kind`].
    pub kind: u8,
    /// Bags: 1 where the last tokens of a longer one are kept, 0 for the first.
    pub keep_last: u8,
    /// Bits of a slot's fingerprint, at most [`MAX_FINGERPRINT_BITS`].
    pub fingerprint_bits: u8,
    /// Bits of a slot's index, at most 32; 0 where the slot is the index, less 1, as tables were numbered anew. Slots
    /// beyond the field's tokens have their index, an u32, after the field's slots.
    pub index_bits: u8,
    /// Bags: the most tokens that are kept.
    pub max_bag: U16,
    /// Zero.
    pub reserved: U16,
    /// Text: the first byte that is taken.
    pub cut_from: U32,
    /// Text: the end of what is taken; 0 where all of it is.
    pub cut_to: U32,
    /// Bags: bytes of the separator, then the separator itself, then zeros.
    pub separator: [u8; 1 + MAX_SEPARATOR],
    /// Numbers: the index of a missing one.
    pub missing: U32,
    /// What the tokens' hash begins with.
    pub seed: U32,
    /// Number of buckets, each with a pilot; 0 where there are no tokens.
    pub buckets: U32,
    /// Number of slots.
    pub slots: U32,
    /// The field's first pilot.
    pub pilots_offset: U32,
    /// The field's first byte of slots.
    pub slots_offset: U32,
    /// Numbers: how many thresholds there are.
    pub steps: U32,
    /// The field's first threshold.
    pub steps_offset: U32,
    /// Zero.
    pub reserved_2: U64,
}

/// Numbers from a threshold on have an index: 12 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Step {
    /// The threshold, by [`order`].
    pub from: U64,
    /// The index up to the next one.
    pub index: U32,
}

impl EncoderRecord {
    /// Bytes of the field's slots, without slack.
    pub fn slot_bytes(&self) -> u64 {
        (u64::from(self.slots.get()) * self.slot_bits()).div_ceil(8)
    }

    /// Slots beyond the tokens, whose indices are written out: of a field that was numbered anew.
    pub fn moved(&self, features: u32) -> u32 {
        let is_numbered_anew = self.index_bits == 0 && self.buckets.get() > 0;
        if is_numbered_anew { self.slots.get().saturating_sub(features.saturating_sub(1)) } else { 0 }
    }

    /// Bits of one slot: fingerprint, then index.
    pub fn slot_bits(&self) -> u64 {
        u64::from(self.fingerprint_bits) + u64::from(self.index_bits)
    }

    /// Where a token would be.
    pub fn hash(&self, token: &[u8]) -> TokenHash {
        TokenHash(xxh64(token, self.seed.get().into()))
    }
}

/// XXH64 of a token: bucket, slot and fingerprint are parts of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub u64);

impl TokenHash {
    /// Which of `buckets` has the token's pilot.
    pub fn bucket(self, buckets: u32) -> u32 {
        reduce((self.0 >> 32) as u32, buckets)
    }

    /// Which of `slots` is the token's, given its pilot.
    pub fn slot(self, pilot: u8, slots: u32) -> u32 {
        let mixed = self.0 as u32 ^ u32::from(pilot).wrapping_mul(0x9E37_79B1);
        reduce(mixed.wrapping_mul(0x85EB_CA6B), slots)
    }

    /// So many bits, which say nothing of bucket and slot.
    pub fn fingerprint(self, bits: u8) -> u32 {
        let mixed = (self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
        mixed.checked_shr(32 - u32::from(bits)).unwrap_or(0)
    }
}

/// A number below `count` (Lemire 2019, arXiv:1805.10941).
fn reduce(hash: u32, count: u32) -> u32 {
    ((u64::from(hash) * u64::from(count)) >> 32) as u32
}

/// The bits of a number, in the order of numbers: compared as integers, without floating point. -0 is 0.
pub fn order(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

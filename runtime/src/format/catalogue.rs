//! The file of a catalogue, byte by byte (`docs/format.md`, "Catalogues").
//!
//! ```text
//! Header (64 bytes) | sums | padding | vectors | padding | layer sums | padding      all at multiples of 64
//! ```

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{SECTION_ALIGNMENT, limit};

/// First bytes of every catalogue.
pub const MAGIC: [u8; 8] = *b"\x89XSFC\r\n\x1a";
/// The version of the format that this code writes, and the newest that it reads.
pub const VERSION: u16 = 1;
/// The numbers of an item's vectors, and its layer sums, are filled with zeros to a multiple of this many.
pub const PADDED_TO: usize = 16;

/// The first 64 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: U16,
    /// 1 where items have their share of the first layer, else 0.
    pub layer_sums: u8,
    /// Zero.
    pub reserved: u8,
    /// How many there are.
    pub items: U32,
    /// The fields of the context, a bit for each, from the lowest of the first word on; items have the others.
    pub context: [U32; limit::FIELDS / 32],
    /// Bytes of the whole file.
    pub file_len: U64,
    /// Bytes of the packed model.
    pub model_len: U64,
    /// [`Prefix::body_crc`](super::Prefix::body_crc) of the packed model.
    pub model_crc: U32,
    /// [`CRC`](super::CRC) of everything after the header.
    pub body_crc: U32,
    /// Zero.
    pub unused: U32,
    /// [`CRC`](super::CRC) of the 60 bytes before this field.
    pub header_crc: U32,
}

impl Header {
    /// Bytes of the header.
    pub const LEN: usize = size_of::<Header>();

    /// [`CRC`](super::CRC) of the header without its last field.
    pub fn checksum(&self) -> u32 {
        let (checked, _) = self.as_bytes().split_at(Self::LEN - size_of::<U32>());
        super::checksum_of_few(checked)
    }
}

/// Bytes that an item takes in each of the sections; 0 in one that the file has no use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemBytes {
    /// Its own sums: feature weights, field vectors and pairs, i64 each; in f32 mode one f32.
    pub sums: usize,
    /// The vectors of its fields: i8, f32.
    pub vectors: usize,
    /// The sums of the first layer over them: i32, f32.
    pub layer_sums: usize,
}

impl ItemBytes {
    /// The sections of so many items one after another: where each starts, and the end of the file.
    pub(crate) fn places(&self, items: u32) -> [u64; 4] {
        let mut at = Header::LEN as u64;
        let mut places = [at; 4];
        for (place, bytes) in places.iter_mut().skip(1).zip([self.sums, self.vectors, self.layer_sums]) {
            // Under 2^32 times 2^17: `limit`.
            at += (u64::from(items) * bytes as u64).next_multiple_of(SECTION_ALIGNMENT as u64);
            *place = at;
        }
        places
    }

    /// Bytes of a file of so many items.
    pub fn file_len(&self, items: u32) -> u64 {
        self.places(items)[3]
    }
}

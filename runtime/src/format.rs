//! The packed file, byte by byte (`docs/format.md` is the normative text).
//!
//! ```text
//! Prefix (32 bytes) | manifest (postcard) | padding | section | padding | section …  sections at multiples of 64
//! ```
//!
//! The prefix and the records are read in place through [`zerocopy`]; the manifest is decoded, because varints are
//! small but cannot be borrowed as weights. Writers use the same types, so the layout has one definition; with the
//! feature `std` those of the manifest implement serde's traits, for the crate [postcard](https://docs.rs/postcard).

#[cfg(feature = "std")]
use serde::{Deserialize, Serialize};
use zerocopy::little_endian::{F32, I32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub mod catalogue;
pub mod layout;
mod manifest;
pub mod vocabulary;
mod xxh64;

pub use layout::Layout;
pub(crate) use manifest::{Head, Reader};

#[cfg(target_endian = "big")]
compile_error!("sections are borrowed in place as little-endian numbers; big-endian targets are not supported");

/// First bytes of every file. The high bit and the line ends catch transfers that treat it as text, as PNG's do.
pub const MAGIC: [u8; 8] = *b"\x89XSFM\r\n\x1a";
/// The version of the format that this code writes, and the newest that it reads.
pub const VERSION: u16 = 4;
/// The first version whose manifest has the vocabulary's fingerprint.
pub const FIRST_WITH_VOCABULARY: u16 = 4;
/// Sections start at multiples of this many bytes.
pub const SECTION_ALIGNMENT: usize = 64;
/// Section kinds from this one on may be ignored by a reader that does not know them.
pub const FIRST_OPTIONAL_KIND: u8 = 128;
/// A manifest lists at most this many sections.
pub const MAX_SECTIONS: usize = 24;

/// The checksum of prefix and body: CRC-32/ISO-HDLC, as in gzip and PNG.
///
/// A large table is faster; a small one leaves flash to the model.
#[cfg(feature = "std")]
pub const CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISO_HDLC);
/// The checksum of prefix and body: CRC-32/ISO-HDLC, as in gzip and PNG.
#[cfg(not(feature = "std"))]
pub const CRC: crc::Crc<u32, crc::Table<1>> = crc::Crc::<u32, crc::Table<1>>::new(&crc::CRC_32_ISO_HDLC);

/// The first 32 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Prefix {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: U16,
    /// Zero.
    pub reserved: U16,
    /// Bytes of the manifest, which follows the prefix.
    pub manifest_len: U32,
    /// Bytes of the whole file.
    pub file_len: U64,
    /// [`CRC`] of everything after the prefix.
    pub body_crc: U32,
    /// [`CRC`] of the 28 bytes before this field.
    pub prefix_crc: U32,
}

impl Prefix {
    /// Bytes of the prefix.
    pub const LEN: usize = size_of::<Prefix>();

    /// [`CRC`] of the prefix without its last field.
    pub fn checksum(&self) -> u32 {
        let (checked, _) = self.as_bytes().split_at(Self::LEN - size_of::<U32>());
        checksum_of_few(checked)
    }
}

/// [`CRC`] of a few bytes: a table of 1 KB, which the body may go without (`Model::from_bytes_skipping_checksum`), would
/// not pay for them.
fn checksum_of_few(bytes: &[u8]) -> u32 {
    const CRC: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}

/// What people and the loader need to know before the first section.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "std", derive(Serialize, Deserialize))]
pub struct Manifest<'a> {
    /// Program and version that wrote the file.
    pub producer: &'a str,
    /// What a label of 1 means, in words.
    pub label: &'a str,
    /// Number of fields of a row.
    pub num_fields: u16,
    /// Length of a field's vector.
    pub embed_dim: u16,
    /// The arithmetic, with the numbers that stand alone.
    pub arithmetic: Arithmetic,
    /// Names of the fields: postcard strings, one after another.
    pub field_names: &'a [u8],
    /// Where the sections are, in the order of their offsets.
    pub sections: heapless::Vec<Section, MAX_SECTIONS>,
    /// The fingerprint of the vocabulary that the indices are of, for programs that see both; scoring has no use for
    /// it. Empty where it is not known, and in files of versions before [`FIRST_WITH_VOCABULARY`].
    pub vocabulary: &'a [u8],
}

/// The arithmetic of a packed model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Mode {
    /// Weights and sums in f32.
    F32,
    /// Integers from the table to the logit.
    Int8,
    /// Integer weights and field vectors; the outputs of layers are quantised anew for each row.
    Dynamic,
}

/// The arithmetic of a file, with the numbers that stand alone.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "std", derive(Serialize, Deserialize))]
pub enum Arithmetic {
    /// Weights and sums in f32.
    F32 {
        /// The model's bias.
        bias: f32,
    },
    /// Integers from the table to the logit.
    Int8 {
        /// The model's bias in steps of the logit.
        bias: i32,
        /// How each part's accumulator enters the logit.
        terms: Terms,
    },
    /// As `Int8` up to the sums of the layers; each row's layer outputs get a scale of their own.
    Dynamic {
        /// The model's bias in steps of the logit.
        bias: i32,
        /// How each part's accumulator enters the logit; the MLP's output is real, its term absent.
        terms: Terms,
    },
}

/// A part's way into the logit: `(acc * mantissa + 2^(shift-1)) >> shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(Serialize, Deserialize))]
pub struct Term {
    /// In `[2^22, 2^23)`, or 0 for a part that is absent or vanishes.
    pub mantissa: i32,
    /// In `1..=62`.
    pub shift: u8,
}

impl Term {
    /// A part that the model lacks.
    pub const ABSENT: Term = Term { mantissa: 0, shift: 1 };
}

/// How each part's integer accumulator enters the logit; [`Term::ABSENT`] for a part that the model lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(Serialize, Deserialize))]
pub struct Terms {
    /// First-order term with one scalar per feature.
    pub feature_weight: Term,
    /// First-order term with one vector per field.
    pub field_vector: Term,
    /// Second-order term.
    pub interaction: Term,
    /// Output layer of the MLP.
    pub mlp: Term,
}

impl Terms {
    /// Those of a model without parts.
    pub(crate) const ABSENT: Terms = Terms {
        feature_weight: Term::ABSENT,
        field_vector: Term::ABSENT,
        interaction: Term::ABSENT,
        mlp: Term::ABSENT,
    };
}

/// One entry of the section table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(Serialize, Deserialize))]
pub struct Section {
    /// A [`SectionKind`] as a number.
    pub kind: u8,
    /// First byte, counted from the start of the file.
    pub offset: u32,
    /// Bytes, without padding.
    pub len: u32,
}

/// What a section holds. Element types are those of int8 mode, then of f32 mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
#[non_exhaustive]
pub enum SectionKind {
    /// One [`FieldRecord`] per field.
    Fields = 1,
    /// Embedding tables, field after field, quotient before remainder: i8, f32.
    Tables = 2,
    /// One scalar per feature, field after field: i8, f32.
    FeatureWeights = 3,
    /// One coefficient per field for its feature weights: i16; absent in f32 mode.
    FeatureCoefficients = 4,
    /// `[num_fields, embed_dim]`: i16, f32.
    FieldVectors = 5,
    /// The pairs `(i, j)`, `i < j`, of a pruned interaction in ascending order: two u8 each. Absent when all pairs are
    /// used.
    PairIndices = 6,
    /// One weight per pair, by default the upper triangle row by row: i16, f32.
    PairWeights = 7,
    /// One [`LayerRecord`] per layer; the last has one output.
    Layers = 8,
    /// `[outputs, inputs]` per layer, or as its [`Layout`] has it: i8, f32.
    LayerWeights = 9,
    /// `[outputs]` per layer: i32; f32 in f32 and dynamic mode.
    LayerBiases = 10,
    /// `[outputs]` per layer: i32; f32 in dynamic mode; absent in f32 mode.
    LayerMultipliers = 11,
    /// The sum of each channel's weights, `[outputs]` per layer: i32, where layers lie in tiles of i8.
    LayerSums = 12,
    /// Low-rank interaction: the sign of each factor, i8.
    LowRankSigns = 13,
    /// Low-rank interaction: `[rank, num_fields]`, i16, f32.
    LowRankFactors = 14,
    /// Low-rank interaction: what the factors' squares add up to for each field, with their signs: i32, f32.
    LowRankDiagonal = 15,
    /// How raw values become indices: one [`EncoderRecord`](vocabulary::EncoderRecord) per field.
    Encoders = 128,
    /// The pilots of the fields' tokens, u8, field after field.
    Pilots = 129,
    /// The slots of the fields' tokens, bit by bit, each field's from a byte on, and zeros.
    Slots = 130,
    /// The thresholds of the fields' numbers: [`Step`](vocabulary::Step)s, field after field.
    Steps = 131,
    /// How files of raw rows are read, as JSON: for programs with files.
    RawInput = 132,
    /// The text of every token: for each field how many offsets it has, those before included; an offset for each
    /// [`TEXTS_PER_OFFSET`](vocabulary::TEXTS_PER_OFFSET) tokens of a field, u32 both; then the texts, each after its
    /// length.
    Tokens = 133,
}

impl SectionKind {
    /// All kinds that this version knows.
    pub const ALL: [SectionKind; 21] = [
        SectionKind::Fields,
        SectionKind::Tables,
        SectionKind::FeatureWeights,
        SectionKind::FeatureCoefficients,
        SectionKind::FieldVectors,
        SectionKind::PairIndices,
        SectionKind::PairWeights,
        SectionKind::Layers,
        SectionKind::LayerWeights,
        SectionKind::LayerBiases,
        SectionKind::LayerMultipliers,
        SectionKind::LayerSums,
        SectionKind::LowRankSigns,
        SectionKind::LowRankFactors,
        SectionKind::LowRankDiagonal,
        SectionKind::Encoders,
        SectionKind::Pilots,
        SectionKind::Slots,
        SectionKind::Steps,
        SectionKind::RawInput,
        SectionKind::Tokens,
    ];

    /// The kind with this number.
    pub fn from_number(kind: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&k| k as u8 == kind)
    }
}

/// How a field's vectors are stored, as a number in [`FieldRecord::composition`].
pub mod composition {
    /// One row per feature.
    pub const FULL: u8 = 0;
    /// Quotient row times remainder row.
    pub const MULT: u8 = 1;
    /// Quotient row plus remainder row.
    pub const ADD: u8 = 2;
    /// Quotient row followed by remainder row, half of `embed_dim` each.
    pub const CONCAT: u8 = 3;
}

/// One field: 32 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FieldRecord {
    /// One of [`composition`].
    pub composition: u8,
    /// 1 where a row may have several indices in this field, else 0.
    pub bag: u8,
    /// int8 and dynamic mode: 4 where two numbers of the tables share a byte; otherwise 0.
    pub bits: u8,
    /// Zero.
    pub reserved: u8,
    /// Valid indices are `0..features`; 0 where indices have weights.
    pub features: U32,
    /// Features that share a quotient row; 0 for a full table.
    pub collisions: U32,
    /// The field's first number in [`SectionKind::Tables`], counted in numbers, in bytes where two share one: the sum
    /// over the fields before.
    pub table_offset: U32,
    /// The field's first scalar in [`SectionKind::FeatureWeights`]: the sum over the fields before.
    pub feature_offset: U32,
    /// int8 mode: brings a composed vector back to i8; 0 where rows are copied. 0 in f32 mode.
    pub multiplier: I32,
    /// int8 mode, for people: what one step of the field's vector is worth. The device does not need it.
    pub scale: F32,
    /// The same of a field whose indices have weights; 0 of others.
    ///
    /// What scores fields without weights finds no index of such a field valid, and need not ask whether it has any.
    pub weighted_features: U32,
}

impl FieldRecord {
    /// The number of features, with weights or without.
    pub const fn num_features(&self) -> u32 {
        self.features.get() | self.weighted_features.get()
    }

    /// Whether indices have weights.
    pub const fn is_weighted(&self) -> bool {
        self.weighted_features.get() != 0
    }

    /// Numbers of a table's row of `columns`; bytes, where two numbers share one.
    pub(crate) const fn row_len(&self, columns: usize) -> usize {
        if self.bits == 0 { columns } else { columns.div_ceil(2) }
    }
}

/// One layer: 32 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct LayerRecord {
    /// Numbers that it reads.
    pub inputs: U32,
    /// Numbers that it gives.
    pub outputs: U32,
    /// The layer's first weight in [`SectionKind::LayerWeights`], counted in numbers: the sum over the layers before.
    pub weight_offset: U32,
    /// The layer's first bias (and multiplier), counted in numbers: the sum over the layers before.
    pub channel_offset: U32,
    /// int8 mode, for people: what one step of the layer's output is worth. The device does not need it.
    pub scale: F32,
    /// The number of a [`Layout`].
    pub layout: U32,
    /// Zero.
    pub reserved: [U32; 2],
}

/// Where the weight of pair `i < j` lies among [`SectionKind::PairWeights`] of all pairs: in the upper triangle, row by
/// row.
pub(crate) fn triangle(num_fields: usize, i: usize, j: usize) -> usize {
    i * (2 * num_fields - i - 1) / 2 + j - i - 1
}

/// The numbers that keep every integer sum in its type, whatever the bytes; the loader checks them all.
pub mod limit {
    /// Fields of a model.
    pub const FIELDS: usize = 128;
    /// Length of a field's vector.
    pub const EMBED_DIM: usize = 256;
    /// Indices in a bag: `1024 * 128 * (128 + 128) < 2^31`, two rows of -128 each.
    pub const BAG: usize = 1024;
    /// Features of a field whose indices have weights: words below are indices. With weights of 16 bits,
    /// `1024 * 2^15 * 2^15 / 2^12 = 2^28`.
    pub const WEIGHTED_FEATURES: u32 = 1 << 31;
    /// Magnitude of what the feature weights of a field with weights add, which no field without them exceeds:
    /// `1024 * 128 * 2^15`. With 128 fields and a mantissa, `2^39 * 2^23 = 2^62`.
    pub const FEATURE_WEIGHTS: i64 = 1 << 32;
    /// Inputs of a layer: with [`BIAS`], `32768 * 255 * 128 + 2^30 < 2^31`.
    pub const LAYER_INPUTS: usize = 32_768;
    /// Magnitude of a layer's i32 bias; in strips, without what the layout adds to it, up to
    /// `32768 * 128 * 128 = 2^29`. Sums wrap on their way there, and end where those of rows do.
    pub const BIAS: i32 = 1 << 30;
    /// Magnitude of a layer's bias and scale in dynamic mode.
    pub const DYNAMIC: f32 = (1_u64 << 32) as f32;
    /// `sum |u|` over all field vectors: `128 * (2^24 - 1) < 2^31`.
    pub const FIELD_VECTOR_SUM: i64 = (1 << 24) - 1;
    /// `sum |R|` over all pairs: `128 * 128 * (2^17 - 1) < 2^31`.
    pub const PAIR_SUM: i64 = (1 << 17) - 1;
    /// Factors of a low-rank interaction.
    pub const RANK: usize = 64;
    /// `sum_i |u_i|` of each factor: its sums are under `128 * 2^15 = 2^22`, so the squares of all, and what the
    /// diagonal takes away, stay under `64 * 256 * 2^44 = 2^58` each.
    pub const LOW_RANK_SUM: i64 = (1 << 15) - 1;
    /// Bits that a low-rank interaction's accumulator is rounded by, which leaves `2^59 / 2^20 = 2^39`.
    pub const LOW_RANK_SHIFT: u8 = 20;
    /// Magnitude of what a part's accumulator enters the logit with: `2^39 * 2^23 = 2^62`.
    pub const SUM: i64 = 1 << 39;
    /// A logit in steps of 2^-16 stays within this magnitude, so that it is exact in f32.
    pub const LOGIT: i64 = 1 << 23;
}

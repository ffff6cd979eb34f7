//! What can go wrong, each with the two values that disagree. Small and `Copy`, so that firmware can keep and log them.

use std::fmt;

use crate::format::SectionKind;
use crate::kernel::Backend;

/// What each error says.
macro_rules! messages {
    ($error:ident: $($case:pat $(if $condition:expr)? => $message:literal $(, $argument:expr)?;)*) => {
        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $($case $(if $condition)? => write!(f, $message $(, $argument)?),)*
                }
            }
        }

        impl core::error::Error for $error {}
    };
}

/// Why bytes are not a model.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LoadError {
    /// Fewer bytes than the file states.
    Truncated {
        /// Bytes that the prefix, the manifest or the file needs.
        needed: u64,
        /// Bytes given.
        found: u64,
    },
    /// The first bytes are not [`MAGIC`](crate::format::MAGIC).
    NotXsfm,
    /// The file is newer than this runtime.
    Version {
        /// Newest version that this runtime reads.
        supported: u16,
        /// Version of the file.
        found: u16,
    },
    /// The prefix was damaged.
    PrefixChecksum {
        /// Checksum in the file.
        stored: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
    /// The body was damaged.
    Checksum {
        /// Checksum in the file.
        stored: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
    /// The manifest is not valid postcard of this version, or its names do not fit its number of fields.
    Manifest,
    /// The section table has a kind that this version must know but does not.
    UnknownSection {
        /// The kind's number.
        kind: u8,
    },
    /// A section that the others call for is missing, or one is there that they do not.
    SectionPresence {
        /// The section.
        section: SectionKind,
        /// Whether the file has it.
        found: bool,
    },
    /// A section lies outside the file, over its neighbour, or not at a multiple of 64.
    SectionBounds {
        /// The section's kind as a number.
        kind: u8,
        /// Where it starts.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// A section has not the size that the other numbers ask for.
    SectionSize {
        /// The section.
        section: SectionKind,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// The bytes were placed at an address where numbers of this section cannot be read. See
    /// [`Aligned`](crate::Aligned).
    Misaligned {
        /// The section.
        section: SectionKind,
        /// Alignment in bytes that its numbers need.
        required: u64,
    },
    /// A number is out of range or contradicts another.
    Value {
        /// What the number is.
        what: &'static str,
        /// Which field, layer, channel or pair it belongs to, counted from 0.
        at: u32,
        /// The smallest value allowed.
        least: i64,
        /// The largest value allowed; equal to the smallest where only one is.
        most: i64,
        /// The value found.
        found: i64,
    },
    /// The CPU lacks the instructions that were chosen, or the system does not let this process use them.
    Backend {
        /// What was chosen.
        backend: Backend,
    },
}

messages! { LoadError:
    LoadError::Truncated { needed, found } => "truncated: {needed} bytes needed, {found} found";
    LoadError::NotXsfm => "not an .xsfm file";
    LoadError::Version { supported, found } => "format version {found}, but this runtime reads up to {supported}";
    LoadError::PrefixChecksum { stored, computed } =>
        "damaged prefix: checksum {stored:#010x} stored, {computed:#010x} computed";
    LoadError::Checksum { stored, computed } =>
        "damaged file: checksum {stored:#010x} stored, {computed:#010x} computed";
    LoadError::Manifest => "malformed manifest";
    LoadError::UnknownSection { kind } => "unknown section kind {kind}";
    LoadError::SectionPresence { section, found: true } => "unexpected section {section:?}";
    LoadError::SectionPresence { section, found: false } => "missing section {section:?}";
    LoadError::SectionBounds { kind, offset, len } =>
        "section kind {kind} does not fit: offset {offset}, length {len}";
    LoadError::SectionSize { section, expected, found } =>
        "section {section:?}: {expected} bytes expected, {found} found";
    LoadError::Misaligned { section, required } =>
        "section {section:?} is not at a multiple of {required} bytes in memory";
    LoadError::Value { what, at, least, most, found } if least == most => "{what} {at}: {found} found, {most} expected";
    LoadError::Value { what, at, least, most, found } => "{what} {at}: {found} found, {least} to {most} allowed";
    LoadError::Backend { backend } => "this CPU lacks back end {}", backend.name();
}

/// Why bytes are not a catalogue of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CatalogueError {
    /// Fewer bytes than the header or the file needs.
    Truncated {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes given.
        found: u64,
    },
    /// The first bytes are not [`MAGIC`](crate::format::catalogue::MAGIC).
    NotCatalogue,
    /// The file is newer than this runtime.
    Version {
        /// Newest version that this runtime reads.
        supported: u16,
        /// Version of the file.
        found: u16,
    },
    /// The header was damaged.
    HeaderChecksum {
        /// Checksum in the file.
        stored: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
    /// The body was damaged.
    Checksum {
        /// Checksum in the file.
        stored: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
    /// It was made of another packed model, or of this one before something in it was changed.
    OtherModel {
        /// Bytes and checksum of the model that it was made of.
        made_of: (u64, u32),
        /// Those of the model that was given.
        found: (u64, u32),
    },
    /// A number is out of range, or contradicts the model.
    Value {
        /// What the number is.
        what: &'static str,
        /// The smallest value allowed.
        least: u64,
        /// The largest value allowed; equal to the smallest where only one is.
        most: u64,
        /// The value found.
        found: u64,
    },
    /// The bytes were placed at an address where its numbers cannot be read. See [`Aligned`](crate::Aligned).
    Misaligned {
        /// Alignment in bytes that they need.
        required: usize,
    },
}

messages! { CatalogueError:
    CatalogueError::Truncated { needed, found } => "truncated: {needed} bytes needed, {found} found";
    CatalogueError::NotCatalogue => "not a catalogue (.xsfc)";
    CatalogueError::Version { supported, found } =>
        "version {found} of catalogues, but this runtime reads up to {supported}";
    CatalogueError::HeaderChecksum { stored, computed } =>
        "damaged header: checksum {stored:#010x} stored, {computed:#010x} computed";
    CatalogueError::Checksum { stored, computed } =>
        "damaged file: checksum {stored:#010x} stored, {computed:#010x} computed";
    CatalogueError::OtherModel { made_of: (bytes, crc), found: (len, sum) } =>
        "made of a model of {bytes} bytes with checksum {crc:#010x}, not of this one of {len} bytes with {sum:#010x}";
    CatalogueError::Value { what, least, most, found } if least == most => "{what}: {found} found, {most} expected";
    CatalogueError::Value { what, least, most, found } => "{what}: {found} found, {least} to {most} allowed";
    CatalogueError::Misaligned { required } => "not at a multiple of {required} bytes in memory";
}

/// Why a row has no score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ScoreError {
    /// The scratch is smaller than the model asks for.
    ScratchTooSmall {
        /// Blocks that the model needs.
        needed: usize,
        /// Blocks given.
        found: usize,
    },
    /// The row has not the model's number of fields.
    FieldCount {
        /// Fields of the model.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// The row's offsets decrease or leave its indices.
    Offsets {
        /// The field.
        field: usize,
    },
    /// The field takes one index, or a bag 1 to 1024; the row has another number.
    IndexCount {
        /// The field.
        field: usize,
        /// Indices that the field takes at most.
        most: usize,
        /// Indices of the row in this field.
        found: usize,
    },
    /// An index is not a feature of its field.
    IndexOutOfRange {
        /// The field.
        field: usize,
        /// The index.
        index: u32,
        /// Valid indices are below this.
        features: u32,
    },
    /// An index of a field with weights has none behind it.
    // Not one variant with a flag: beside the tag, a byte would leave it one, and make small programs larger.
    MissingWeight {
        /// The field.
        field: usize,
    },
    /// An index has a weight behind it in a field without weights.
    UnexpectedWeight {
        /// The field.
        field: usize,
    },
    /// A batch has not one score per row.
    BatchLength {
        /// Rows given.
        rows: usize,
        /// Scores given.
        scores: usize,
    },
    /// A context cannot have this field: the model has no such field, it is named twice, or it is the last that is
    /// left.
    ContextField {
        /// The field.
        field: usize,
    },
    /// Candidates were given before a context, or after one that was refused.
    NoContext,
    /// f32 mode: the logit is infinite or not a number, because a weight is, or weights are too large to multiply.
    NotFinite,
    /// A catalogue has no such item.
    ItemOutOfRange {
        /// The item, counted from 0.
        item: u32,
        /// Items that there are.
        items: u32,
    },
    /// A catalogue is of another model than the one that shall score its items.
    CatalogueModel,
}

impl ScoreError {
    /// The field that it is about, by its number, which its message begins with.
    pub const fn field(self) -> Option<usize> {
        match self {
            ScoreError::Offsets { field }
            | ScoreError::IndexCount { field, .. }
            | ScoreError::IndexOutOfRange { field, .. }
            | ScoreError::MissingWeight { field }
            | ScoreError::UnexpectedWeight { field }
            | ScoreError::ContextField { field } => Some(field),
            ScoreError::ScratchTooSmall { .. }
            | ScoreError::FieldCount { .. }
            | ScoreError::BatchLength { .. }
            | ScoreError::NoContext
            | ScoreError::NotFinite
            | ScoreError::ItemOutOfRange { .. }
            | ScoreError::CatalogueModel => None,
        }
    }
}

messages! { ScoreError:
    ScoreError::ScratchTooSmall { needed, found } => "scratch too small: {needed} blocks needed, {found} given";
    ScoreError::FieldCount { expected, found } => "the model has {expected} fields, the row {found}";
    ScoreError::Offsets { field } => "field {field}: offsets do not fit the indices";
    ScoreError::IndexCount { field, found: 0, .. } => "field {field}: empty, one index is needed";
    ScoreError::IndexCount { field, most, found } => "field {field}: {found} indices, but it takes at most {most}";
    ScoreError::IndexOutOfRange { field, index, features } =>
        "field {field}: index {index}, but the field has {features} features";
    ScoreError::MissingWeight { field } => "field {field}: each index needs its weight behind it";
    ScoreError::UnexpectedWeight { field } => "field {field}: its indices have no weights, but the row has some";
    ScoreError::BatchLength { rows, scores } => "{rows} rows, but room for {scores} scores";
    ScoreError::ContextField { field } =>
        "field {field} cannot be in the context: unknown, named twice, or no field is left for candidates";
    ScoreError::NoContext => "no context: none was set, or the last was refused";
    ScoreError::NotFinite => "the logit is not finite";
    ScoreError::ItemOutOfRange { item, items } => "item {item}, but the catalogue has {items} items";
    ScoreError::CatalogueModel => "the catalogue is of another model";
}

/// What scoring takes or gives, or why there is no score.
pub(crate) type Scored<T> = Result<T, ScoreError>;

/// Why a row of a batch has no score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BatchError {
    /// The row, counted from 0; the rows before it have their scores.
    pub row: usize,
    /// What is wrong with it.
    pub error: ScoreError,
}

messages! { BatchError:
    BatchError { row, error } => "row {row}: {error}";
}

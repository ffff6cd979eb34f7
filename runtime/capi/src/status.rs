//! The codes that functions return.

use core::ffi::{CStr, c_char};

use xsfm_runtime::{CatalogueError, EncodeError, LoadError, ScoreError};

/// What a function has to say. Codes keep their numbers; later versions may add some.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XsfmStatus {
    /// It was done.
    Ok = 0,
    /// A pointer is NULL that must not be.
    Null = 1,
    /// A pointer is not at a multiple of its type's alignment.
    MisalignedPointer = 2,
    /// A length is more than memory can have.
    TooLong = 3,
    /// A struct was not made by its function, or that function failed.
    NotReady = 4,
    /// The model has no field of that number.
    NoSuchField = 5,
    /// A value's kind is none of XSFM_VALUE_KIND_..., or parts of a catalogue are none of XSFM_CATALOGUE_PARTS_...
    NoSuchKind = 6,
    /// A text is not UTF-8.
    NotUtf8 = 7,
    /// Fewer bytes than the file states.
    Truncated = 16,
    /// The bytes are not an .xsfm file.
    NotXsfm = 17,
    /// The file is newer than this library.
    Version = 18,
    /// The first bytes of the file were damaged.
    PrefixChecksum = 19,
    /// The file was damaged.
    Checksum = 20,
    /// The manifest is malformed.
    Manifest = 21,
    /// The file has a section that this library does not know.
    UnknownSection = 22,
    /// A section is missing, or one too many is there.
    SectionPresence = 23,
    /// A section lies outside the file, over its neighbour, or not at a multiple of 64.
    SectionBounds = 24,
    /// A section has the wrong size.
    SectionSize = 25,
    /// The file lies at an address where its numbers cannot be read: see XSFM_ALIGNED.
    MisalignedModel = 26,
    /// A number of the file is out of range or contradicts another.
    Value = 27,
    /// The CPU lacks the instructions that were chosen, or the system does not let this process use them.
    Backend = 28,
    /// The bytes are not an .xsfc file.
    NotCatalogue = 29,
    /// The catalogue was made of another model.
    OtherModel = 30,
    /// Another reason why the bytes are not a model, or not a catalogue.
    LoadFailed = 47,
    /// Fewer blocks of memory than needed.
    ScratchTooSmall = 48,
    /// The row has not the model's number of fields.
    FieldCount = 49,
    /// The row's offsets decrease or leave its indices.
    Offsets = 50,
    /// A field has no index, or more than it takes.
    IndexCount = 51,
    /// An index is not a feature of its field.
    IndexOutOfRange = 52,
    /// There is not one score for each row.
    BatchLength = 53,
    /// A context cannot have this field: unknown, named twice, or the last that is left.
    ContextField = 54,
    /// Candidates were given before a context, or after one that was refused.
    NoContext = 55,
    /// f32 mode: the logit is infinite or not a number.
    NotFinite = 56,
    /// An index of a field with weights has none behind it.
    MissingWeight = 57,
    /// An index has a weight behind it in a field without weights.
    UnexpectedWeight = 58,
    /// The catalogue has no item of that number, or more were given than one can have.
    ItemOutOfRange = 59,
    /// Another reason why a row has no score.
    ScoreFailed = 79,
    /// The model was packed without what raw values mean.
    NoVocabulary = 80,
    /// A field of numbers was given what is no finite number, or a field of tokens a fraction.
    NotANumber = 81,
    /// Tokens were given to a field that takes one value.
    SeveralValues = 82,
    /// A text is shorter than what is taken of it, or that begins or ends inside a character.
    Cut = 83,
    /// Fewer indices or offsets than a row needs.
    RoomTooSmall = 84,
    /// A weight is none, or was given to tokens whose weights are not the data's to say.
    NotAWeight = 85,
    /// Another reason why raw values are no row.
    EncodeFailed = 111,
}

impl XsfmStatus {
    /// All codes with their names.
    pub const NAMES: [(XsfmStatus, &'static CStr); 44] = [
        (XsfmStatus::Ok, c"XSFM_STATUS_OK"),
        (XsfmStatus::Null, c"XSFM_STATUS_NULL"),
        (XsfmStatus::MisalignedPointer, c"XSFM_STATUS_MISALIGNED_POINTER"),
        (XsfmStatus::TooLong, c"XSFM_STATUS_TOO_LONG"),
        (XsfmStatus::NotReady, c"XSFM_STATUS_NOT_READY"),
        (XsfmStatus::NoSuchField, c"XSFM_STATUS_NO_SUCH_FIELD"),
        (XsfmStatus::NoSuchKind, c"XSFM_STATUS_NO_SUCH_KIND"),
        (XsfmStatus::NotUtf8, c"XSFM_STATUS_NOT_UTF8"),
        (XsfmStatus::Truncated, c"XSFM_STATUS_TRUNCATED"),
        (XsfmStatus::NotXsfm, c"XSFM_STATUS_NOT_XSFM"),
        (XsfmStatus::Version, c"XSFM_STATUS_VERSION"),
        (XsfmStatus::PrefixChecksum, c"XSFM_STATUS_PREFIX_CHECKSUM"),
        (XsfmStatus::Checksum, c"XSFM_STATUS_CHECKSUM"),
        (XsfmStatus::Manifest, c"XSFM_STATUS_MANIFEST"),
        (XsfmStatus::UnknownSection, c"XSFM_STATUS_UNKNOWN_SECTION"),
        (XsfmStatus::SectionPresence, c"XSFM_STATUS_SECTION_PRESENCE"),
        (XsfmStatus::SectionBounds, c"XSFM_STATUS_SECTION_BOUNDS"),
        (XsfmStatus::SectionSize, c"XSFM_STATUS_SECTION_SIZE"),
        (XsfmStatus::MisalignedModel, c"XSFM_STATUS_MISALIGNED_MODEL"),
        (XsfmStatus::Value, c"XSFM_STATUS_VALUE"),
        (XsfmStatus::Backend, c"XSFM_STATUS_BACKEND"),
        (XsfmStatus::NotCatalogue, c"XSFM_STATUS_NOT_CATALOGUE"),
        (XsfmStatus::OtherModel, c"XSFM_STATUS_OTHER_MODEL"),
        (XsfmStatus::LoadFailed, c"XSFM_STATUS_LOAD_FAILED"),
        (XsfmStatus::ScratchTooSmall, c"XSFM_STATUS_SCRATCH_TOO_SMALL"),
        (XsfmStatus::FieldCount, c"XSFM_STATUS_FIELD_COUNT"),
        (XsfmStatus::Offsets, c"XSFM_STATUS_OFFSETS"),
        (XsfmStatus::IndexCount, c"XSFM_STATUS_INDEX_COUNT"),
        (XsfmStatus::IndexOutOfRange, c"XSFM_STATUS_INDEX_OUT_OF_RANGE"),
        (XsfmStatus::BatchLength, c"XSFM_STATUS_BATCH_LENGTH"),
        (XsfmStatus::ContextField, c"XSFM_STATUS_CONTEXT_FIELD"),
        (XsfmStatus::NoContext, c"XSFM_STATUS_NO_CONTEXT"),
        (XsfmStatus::NotFinite, c"XSFM_STATUS_NOT_FINITE"),
        (XsfmStatus::MissingWeight, c"XSFM_STATUS_MISSING_WEIGHT"),
        (XsfmStatus::UnexpectedWeight, c"XSFM_STATUS_UNEXPECTED_WEIGHT"),
        (XsfmStatus::ItemOutOfRange, c"XSFM_STATUS_ITEM_OUT_OF_RANGE"),
        (XsfmStatus::ScoreFailed, c"XSFM_STATUS_SCORE_FAILED"),
        (XsfmStatus::NoVocabulary, c"XSFM_STATUS_NO_VOCABULARY"),
        (XsfmStatus::NotANumber, c"XSFM_STATUS_NOT_A_NUMBER"),
        (XsfmStatus::SeveralValues, c"XSFM_STATUS_SEVERAL_VALUES"),
        (XsfmStatus::Cut, c"XSFM_STATUS_CUT"),
        (XsfmStatus::RoomTooSmall, c"XSFM_STATUS_ROOM_TOO_SMALL"),
        (XsfmStatus::NotAWeight, c"XSFM_STATUS_NOT_A_WEIGHT"),
        (XsfmStatus::EncodeFailed, c"XSFM_STATUS_ENCODE_FAILED"),
    ];
}

impl From<&LoadError> for XsfmStatus {
    fn from(error: &LoadError) -> Self {
        match error {
            LoadError::Truncated { .. } => XsfmStatus::Truncated,
            LoadError::NotXsfm => XsfmStatus::NotXsfm,
            LoadError::Version { .. } => XsfmStatus::Version,
            LoadError::PrefixChecksum { .. } => XsfmStatus::PrefixChecksum,
            LoadError::Checksum { .. } => XsfmStatus::Checksum,
            LoadError::Manifest => XsfmStatus::Manifest,
            LoadError::UnknownSection { .. } => XsfmStatus::UnknownSection,
            LoadError::SectionPresence { .. } => XsfmStatus::SectionPresence,
            LoadError::SectionBounds { .. } => XsfmStatus::SectionBounds,
            LoadError::SectionSize { .. } => XsfmStatus::SectionSize,
            LoadError::Misaligned { .. } => XsfmStatus::MisalignedModel,
            LoadError::Value { .. } => XsfmStatus::Value,
            LoadError::Backend { .. } => XsfmStatus::Backend,
            _ => XsfmStatus::LoadFailed,
        }
    }
}

impl From<&CatalogueError> for XsfmStatus {
    fn from(error: &CatalogueError) -> Self {
        match error {
            CatalogueError::Truncated { .. } => XsfmStatus::Truncated,
            CatalogueError::NotCatalogue => XsfmStatus::NotCatalogue,
            CatalogueError::Version { .. } => XsfmStatus::Version,
            CatalogueError::HeaderChecksum { .. } => XsfmStatus::PrefixChecksum,
            CatalogueError::Checksum { .. } => XsfmStatus::Checksum,
            CatalogueError::OtherModel { .. } => XsfmStatus::OtherModel,
            CatalogueError::Value { .. } => XsfmStatus::Value,
            CatalogueError::Misaligned { .. } => XsfmStatus::MisalignedModel,
            _ => XsfmStatus::LoadFailed,
        }
    }
}

impl From<&EncodeError> for XsfmStatus {
    fn from(error: &EncodeError) -> Self {
        match error {
            EncodeError::FieldCount { .. } => XsfmStatus::FieldCount,
            EncodeError::Field { .. } => XsfmStatus::NoSuchField,
            EncodeError::Number { .. } => XsfmStatus::NotANumber,
            EncodeError::Several { .. } => XsfmStatus::SeveralValues,
            EncodeError::Cut { .. } => XsfmStatus::Cut,
            EncodeError::Room { .. } => XsfmStatus::RoomTooSmall,
            EncodeError::Weight { .. } => XsfmStatus::NotAWeight,
            _ => XsfmStatus::EncodeFailed,
        }
    }
}

impl From<&ScoreError> for XsfmStatus {
    fn from(error: &ScoreError) -> Self {
        match error {
            ScoreError::ScratchTooSmall { .. } => XsfmStatus::ScratchTooSmall,
            ScoreError::FieldCount { .. } => XsfmStatus::FieldCount,
            ScoreError::Offsets { .. } => XsfmStatus::Offsets,
            ScoreError::IndexCount { .. } => XsfmStatus::IndexCount,
            ScoreError::IndexOutOfRange { .. } => XsfmStatus::IndexOutOfRange,
            ScoreError::BatchLength { .. } => XsfmStatus::BatchLength,
            ScoreError::ContextField { .. } => XsfmStatus::ContextField,
            ScoreError::NoContext => XsfmStatus::NoContext,
            ScoreError::NotFinite => XsfmStatus::NotFinite,
            ScoreError::MissingWeight { .. } => XsfmStatus::MissingWeight,
            ScoreError::UnexpectedWeight { .. } => XsfmStatus::UnexpectedWeight,
            ScoreError::CatalogueModel => XsfmStatus::OtherModel,
            ScoreError::ItemOutOfRange { .. } => XsfmStatus::ItemOutOfRange,
            _ => XsfmStatus::ScoreFailed,
        }
    }
}

/// The name of a code, such as "XSFM_STATUS_CHECKSUM", which lives as long as the program; "unknown status" for other
/// numbers.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_status_name(status: i32) -> *const c_char {
    let name = XsfmStatus::NAMES.iter().find(|(code, _)| *code as i32 == status).map(|&(_, name)| name);
    name.unwrap_or(c"unknown status").as_ptr()
}

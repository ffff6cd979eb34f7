//! Why a function failed, with the values that disagree.

use core::fmt;

use xsfm_runtime::{BatchError, CatalogueError, EncodeError, LoadError, ScoreError};

use crate::status::XsfmStatus;

/// Why a function failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Error {
    /// Which of several rows.
    pub(crate) row: Option<usize>,
    cause: Cause,
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    Argument { name: &'static str, problem: Problem },
    Value { field: usize, member: &'static str, problem: Problem },
    Encode(EncodeError),
    Load(LoadError),
    Catalogue(CatalogueError),
    Score(ScoreError),
}

/// What is wrong with an argument.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Problem {
    Null,
    Misaligned { required: usize },
    TooLong { len: usize },
    NotReady,
    NoSuchBackend { number: i32 },
    NoSuchField { field: usize, num_fields: usize },
    NoSuchName { num_fields: usize },
    NoVocabulary,
    NoSuchKind { number: i32 },
    NoSuchParts { number: i32 },
    NotUtf8 { valid: usize },
}

impl Error {
    pub(crate) const fn argument(name: &'static str, problem: Problem) -> Self {
        Error { row: None, cause: Cause::Argument { name, problem } }
    }

    /// The same error, of one of several rows.
    pub(crate) fn of_row(self, row: usize) -> Self {
        Error { row: Some(row), ..self }
    }

    /// The same error, of a field's value.
    pub(crate) fn of_field(self, field: usize) -> Self {
        match self.cause {
            Cause::Argument { name, problem } => Error { cause: Cause::Value { field, member: name, problem }, ..self },
            _ => self,
        }
    }

    pub(crate) fn status(&self) -> XsfmStatus {
        match &self.cause {
            Cause::Argument { problem, .. } | Cause::Value { problem, .. } => match problem {
                Problem::Null => XsfmStatus::Null,
                Problem::Misaligned { .. } => XsfmStatus::MisalignedPointer,
                Problem::TooLong { .. } => XsfmStatus::TooLong,
                Problem::NotReady => XsfmStatus::NotReady,
                Problem::NoSuchBackend { .. } => XsfmStatus::Backend,
                Problem::NoSuchField { .. } | Problem::NoSuchName { .. } => XsfmStatus::NoSuchField,
                Problem::NoVocabulary => XsfmStatus::NoVocabulary,
                Problem::NoSuchKind { .. } | Problem::NoSuchParts { .. } => XsfmStatus::NoSuchKind,
                Problem::NotUtf8 { .. } => XsfmStatus::NotUtf8,
            },
            Cause::Encode(error) => error.into(),
            Cause::Load(error) => error.into(),
            Cause::Catalogue(error) => error.into(),
            Cause::Score(error) => error.into(),
        }
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        Error { row: None, cause: Cause::Load(error) }
    }
}

impl From<CatalogueError> for Error {
    fn from(error: CatalogueError) -> Self {
        Error { row: None, cause: Cause::Catalogue(error) }
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Error { row: None, cause: Cause::Encode(error) }
    }
}

impl From<ScoreError> for Error {
    fn from(error: ScoreError) -> Self {
        Error { row: None, cause: Cause::Score(error) }
    }
}

impl From<BatchError> for Error {
    fn from(BatchError { row, error }: BatchError) -> Self {
        Error::from(error).of_row(row)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.row {
            write!(f, "row {row}: ")?;
        }
        match &self.cause {
            Cause::Argument { name, problem } => write!(f, "argument {name}: {problem}"),
            Cause::Value { field, member, problem } => write!(f, "field {field}: value.{member}: {problem}"),
            Cause::Encode(error) => write!(f, "{error}"),
            Cause::Load(error) => write!(f, "{error}"),
            Cause::Catalogue(error) => write!(f, "{error}"),
            Cause::Score(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Null => write!(f, "NULL"),
            Problem::Misaligned { required } => write!(f, "not at a multiple of {required}"),
            Problem::TooLong { len } => write!(f, "{len} elements are more than memory can have"),
            Problem::NotReady => write!(f, "not made by its function, or that function failed"),
            Problem::NoSuchBackend { number } => write!(f, "there is no back end of number {number}"),
            Problem::NoSuchField { field, num_fields } => write!(f, "{field}, but the model has {num_fields} fields"),
            Problem::NoSuchName { num_fields } => write!(f, "none of the model's {num_fields} fields has that name"),
            Problem::NoVocabulary => write!(f, "packed without what raw values mean"),
            Problem::NoSuchParts { number } => write!(f, "there are no parts of number {number}"),
            Problem::NoSuchKind { number } => write!(f, "there is no kind of number {number}"),
            Problem::NotUtf8 { valid } => write!(f, "not UTF-8 after {valid} bytes"),
        }
    }
}

//! Why a function failed, with the values that disagree.

use core::fmt;

use xsfm_runtime::{BatchError, LoadError, ScoreError};

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
    Load(LoadError),
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
}

impl Error {
    pub(crate) const fn argument(name: &'static str, problem: Problem) -> Self {
        Error { row: None, cause: Cause::Argument { name, problem } }
    }

    /// The same error, of one of several rows.
    pub(crate) fn of_row(self, row: usize) -> Self {
        Error { row: Some(row), ..self }
    }

    pub(crate) fn status(&self) -> XsfmStatus {
        match &self.cause {
            Cause::Argument { problem, .. } => match problem {
                Problem::Null => XsfmStatus::Null,
                Problem::Misaligned { .. } => XsfmStatus::MisalignedPointer,
                Problem::TooLong { .. } => XsfmStatus::TooLong,
                Problem::NotReady => XsfmStatus::NotReady,
                Problem::NoSuchBackend { .. } => XsfmStatus::Backend,
                Problem::NoSuchField { .. } => XsfmStatus::NoSuchField,
            },
            Cause::Load(error) => error.into(),
            Cause::Score(error) => error.into(),
        }
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        Error { row: None, cause: Cause::Load(error) }
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
            Cause::Load(error) => write!(f, "{error}"),
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
        }
    }
}

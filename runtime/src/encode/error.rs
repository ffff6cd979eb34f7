//! Why raw values have no indices.

use std::fmt;

/// Why raw values have no indices. Small and `Copy`, as the other errors; fields are told by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncodeError {
    /// Not one value for each field.
    FieldCount {
        /// Fields to be encoded.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// The model has no such field.
    Field {
        /// The field.
        field: usize,
    },
    /// A field of numbers was given what is no finite number, or a field of tokens a fraction, which has several texts.
    Number {
        /// The field.
        field: usize,
    },
    /// Tokens were given to a field that takes one value.
    Several {
        /// The field.
        field: usize,
    },
    /// A weight is none, or was given to tokens whose weights are not the data's to say.
    Weight {
        /// The field.
        field: usize,
    },
    /// The text is shorter than what is taken of it, or that begins or ends inside a character.
    Cut {
        /// The field.
        field: usize,
    },
    /// The caller's buffer is too small.
    Room {
        /// Numbers that are needed at least.
        needed: usize,
        /// Numbers that it has.
        found: usize,
    },
}

impl EncodeError {
    /// The field whose value it is, for [`Encoder::name`](super::Encoder::name); `None` where it is the row, or a
    /// buffer.
    pub fn field(&self) -> Option<usize> {
        match *self {
            EncodeError::Field { field }
            | EncodeError::Number { field }
            | EncodeError::Several { field }
            | EncodeError::Weight { field }
            | EncodeError::Cut { field } => Some(field),
            EncodeError::FieldCount { .. } | EncodeError::Room { .. } => None,
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            EncodeError::FieldCount { expected, found } => write!(f, "{found} values for {expected} fields"),
            EncodeError::Field { field } => write!(f, "field {field}: the model has no such field"),
            EncodeError::Number { field } => write!(f, "field {field}: not a number that it can have"),
            EncodeError::Several { field } => write!(f, "field {field}: several values, but it takes one"),
            EncodeError::Weight { field } => write!(f, "field {field}: a weight that it cannot have"),
            EncodeError::Cut { field } => write!(f, "field {field}: the text has not the bytes that are taken of it"),
            EncodeError::Room { needed, found } => write!(f, "room for {found} numbers, at least {needed} needed"),
        }
    }
}

impl core::error::Error for EncodeError {}

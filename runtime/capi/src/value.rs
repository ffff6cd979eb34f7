//! Raw values as C gives them.

use core::ffi::c_char;
use core::fmt;

use xsfm_runtime::{EncodeError, Value, Weight};

use crate::failure::{Error, Problem};
use crate::model::XsfmText;
use crate::pointer;

/// What a raw value is. Codes keep their numbers; later versions may add some.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XsfmValueKind {
    /// None: the empty token, the empty bag, or no number. What zeros are.
    Missing = 0,
    /// As a file of the training data would have it: a token, a number, or a bag's tokens with separators between.
    Text = 1,
    /// A number; in other fields the token of its decimal digits.
    Integer = 2,
    /// A number, finite.
    Real = 3,
    /// The tokens of a bag; empty ones are none.
    Tokens = 4,
    /// The same with a weight for each, of a bag whose data say them.
    Weighted = 5,
}

/// Tokens of a bag.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmTokens {
    /// The first of them, UTF-8.
    pub start: *const XsfmText,
    /// How many there are.
    pub len: usize,
}

/// A token, and what its vector is multiplied by.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmWeightedToken {
    /// UTF-8.
    pub text: XsfmText,
    /// From -7.9998 to 7.9998; the nearest multiple of 1/4096 is taken.
    pub weight: f64,
}

/// Tokens of a bag with their weights.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmWeightedTokens {
    /// The first of them.
    pub start: *const XsfmWeightedToken,
    /// How many there are.
    pub len: usize,
}

/// The value itself, as its kind says.
#[repr(C)]
#[derive(Clone, Copy)]
pub union XsfmContent {
    /// XSFM_VALUE_KIND_TEXT: UTF-8.
    pub text: XsfmText,
    /// XSFM_VALUE_KIND_INTEGER.
    pub integer: i64,
    /// XSFM_VALUE_KIND_REAL.
    pub real: f64,
    /// XSFM_VALUE_KIND_TOKENS.
    pub tokens: XsfmTokens,
    /// XSFM_VALUE_KIND_WEIGHTED.
    pub weighted: XsfmWeightedTokens,
}

/// A raw value of a field; xsfm_text_value and its like make one. What it points to stays until it was encoded.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct XsfmValue {
    /// One of the codes XSFM_VALUE_KIND_...
    pub kind: i32,
    /// The member that the kind says.
    pub content: XsfmContent,
}

impl fmt::Debug for XsfmContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
}

impl fmt::Debug for XsfmValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of kind {}", self.kind)
    }
}

/// A value as the runtime takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'v> {
    One(Value<'v>),
    Tokens(Tokens<'v>),
    Weighted(Weighted<'v>),
}

/// Tokens, all of which are texts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens<'v>(&'v [XsfmText]);

impl<'v> Tokens<'v> {
    pub(crate) fn iter(self) -> impl Iterator<Item = &'v str> + Clone {
        // SAFETY: who made this has promised it for `'v`. None is wrong: all have been looked at.
        self.0.iter().map(|token| unsafe { token.borrow() }.unwrap_or_default())
    }
}

/// Tokens, all of which are texts, with weights that are some.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighted<'v>(&'v [XsfmWeightedToken]);

impl<'v> Weighted<'v> {
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'v str, Weight)> + Clone {
        // SAFETY: who made this has promised it for `'v`. None is wrong: all have been looked at.
        let text = |token: &XsfmWeightedToken| unsafe { token.text.borrow() }.unwrap_or_default();
        self.0.iter().map(move |token| (text(token), Weight::nearest(token.weight).unwrap_or(Weight::ZERO)))
    }
}

impl XsfmText {
    /// # Safety
    /// As [`pointer::array`].
    unsafe fn borrow<'v>(&self) -> Result<&'v str, Error> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { pointer::array("text.start", self.start.cast::<u8>(), self.len) }?;
        str::from_utf8(bytes)
            .map_err(|error| Error::argument("text.start", Problem::NotUtf8 { valid: error.valid_up_to() }))
    }
}

impl XsfmValue {
    /// The value, for the field of that number, which errors name.
    ///
    /// # Safety
    /// The member that `kind` says has been written, and points to as much as it says, which nobody changes during
    /// `'v`.
    pub(crate) unsafe fn borrow<'v>(&self, field: usize) -> Result<Raw<'v>, Error> {
        // SAFETY: the caller's promise.
        let raw = unsafe { self.content() }.map_err(|error| error.of_field(field))?;
        match raw {
            Raw::Weighted(tokens) if tokens.0.iter().any(|token| Weight::nearest(token.weight).is_none()) => {
                Err(EncodeError::Weight { field }.into())
            }
            _ => Ok(raw),
        }
    }

    /// # Safety
    /// As [`XsfmValue::borrow`].
    unsafe fn content<'v>(&self) -> Result<Raw<'v>, Error> {
        let kind = |kind: XsfmValueKind| kind as i32 == self.kind;
        let XsfmValue { content, .. } = *self;
        // SAFETY: the caller's promise, for each of the members.
        Ok(Raw::One(unsafe {
            if kind(XsfmValueKind::Missing) {
                Value::Missing
            } else if kind(XsfmValueKind::Text) {
                Value::Text(content.text.borrow()?)
            } else if kind(XsfmValueKind::Integer) {
                Value::Integer(content.integer)
            } else if kind(XsfmValueKind::Real) {
                Value::Real(content.real)
            } else if kind(XsfmValueKind::Tokens) {
                let tokens = pointer::array("tokens.start", content.tokens.start, content.tokens.len)?;
                for token in tokens {
                    token.borrow()?;
                }
                return Ok(Raw::Tokens(Tokens(tokens)));
            } else if kind(XsfmValueKind::Weighted) {
                let tokens = pointer::array("weighted.start", content.weighted.start, content.weighted.len)?;
                for token in tokens {
                    token.text.borrow()?;
                }
                return Ok(Raw::Weighted(Weighted(tokens)));
            } else {
                return Err(Error::argument("kind", Problem::NoSuchKind { number: self.kind }));
            }
        }))
    }
}

/// No value.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_missing_value() -> XsfmValue {
    XsfmValue { kind: XsfmValueKind::Missing as i32, content: XsfmContent { integer: 0 } }
}

/// A text of `len` bytes at `start`, UTF-8: a token, a number, or a bag's tokens with separators between.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_text_value(start: *const c_char, len: usize) -> XsfmValue {
    XsfmValue { kind: XsfmValueKind::Text as i32, content: XsfmContent { text: XsfmText { start, len } } }
}

/// An integer.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_integer_value(integer: i64) -> XsfmValue {
    XsfmValue { kind: XsfmValueKind::Integer as i32, content: XsfmContent { integer } }
}

/// A number, finite.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_real_value(real: f64) -> XsfmValue {
    XsfmValue { kind: XsfmValueKind::Real as i32, content: XsfmContent { real } }
}

/// The `len` tokens of a bag.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_tokens_value(start: *const XsfmText, len: usize) -> XsfmValue {
    XsfmValue { kind: XsfmValueKind::Tokens as i32, content: XsfmContent { tokens: XsfmTokens { start, len } } }
}

/// The `len` tokens of a bag whose data say a weight for each.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_weighted_value(start: *const XsfmWeightedToken, len: usize) -> XsfmValue {
    let weighted = XsfmWeightedTokens { start, len };
    XsfmValue { kind: XsfmValueKind::Weighted as i32, content: XsfmContent { weighted } }
}

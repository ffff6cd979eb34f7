//! Raw values, and what their texts are.

use crate::format::vocabulary::EncoderRecord;
use crate::weight::Weight;

/// A raw value of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value<'v> {
    /// None: the empty token, the empty bag, or no number.
    #[default]
    Missing,
    /// As a file of the training data would have it: a token, a number, or a bag's tokens with separators between.
    Text(&'v str),
    /// The same of bytes at which nobody has looked: what is not UTF-8 is no token of any vocabulary.
    Bytes(&'v [u8]),
    /// A number; in other fields the token of its decimal digits.
    Integer(i64),
    /// A number, finite.
    Real(f64),
    /// The tokens of a bag; empty ones are none.
    Tokens(&'v [&'v str]),
    /// The same with a weight for each, of a bag whose data say them.
    Weighted(&'v [(&'v str, Weight)]),
}

/// Without a library of floats.
pub(super) fn is_finite(number: f64) -> bool {
    number.to_bits() >> 52 & 0x7FF != 0x7FF
}

impl<'v> Value<'v> {
    /// The text that it is; those that are none have no bytes.
    pub(super) fn text<'t>(self, digits: &'t mut Digits) -> &'t [u8]
    where
        'v: 't,
    {
        match self {
            Value::Text(text) => text.as_bytes(),
            Value::Bytes(text) => text,
            Value::Integer(number) => digits.of(number),
            Value::Missing | Value::Real(_) | Value::Tokens(_) | Value::Weighted(_) => &[],
        }
    }
}

/// The bytes of a text that are taken; `None` where it has not so many, or they are not whole characters.
pub(super) fn cut<'t>(record: &EncoderRecord, text: &'t [u8]) -> Option<&'t [u8]> {
    let (from, to) = (record.cut_from.get() as usize, record.cut_to.get() as usize);
    if to == 0 {
        return Some(text);
    }
    // As `str::is_char_boundary`: the bytes of a character but for the first are 10xxxxxx.
    let is_inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    text.get(from..to).filter(|_| !is_inside(from) && !is_inside(to))
}

/// What lies between separators, as [`str::split`] has it, in less code.
#[derive(Clone)]
pub(super) struct Parts<'t> {
    pub(super) rest: Option<&'t [u8]>,
    pub(super) separator: &'t [u8],
}

impl<'t> Iterator for Parts<'t> {
    type Item = &'t [u8];

    // Out of line: small programs have it once. The separator is compared byte by byte, as it mostly is one.
    #[inline(never)]
    fn next(&mut self) -> Option<&'t [u8]> {
        let rest = self.rest?;
        let (mut start, len) = (0, self.separator.len());
        while let Some(part) = rest.get(start..start + len) {
            if part.iter().eq(self.separator) {
                self.rest = rest.get(start + len..);
                return rest.get(..start);
            }
            start += 1;
        }
        self.rest = None;
        Some(rest)
    }
}

/// The decimal digits of an integer.
#[derive(Default)]
pub(super) struct Digits([u8; 20]);

impl Digits {
    fn of(&mut self, number: i64) -> &[u8] {
        // Divided by parts of 16 bits: a small CPU has no division of 64.
        let magnitude = number.unsigned_abs();
        let mut parts = [48, 32, 16, 0].map(|shift| (magnitude >> shift) as u32 & 0xFFFF);
        let mut first = self.0.len();
        for digit in self.0.iter_mut().rev() {
            let mut rest = 0;
            for part in &mut parts {
                let dividend = rest << 16 | *part;
                (*part, rest) = (dividend / 10, dividend % 10);
            }
            *digit = b'0' + rest as u8;
            first -= 1;
            if parts == [0; 4] {
                break;
            }
        }
        if number < 0
            && let Some(sign) = first.checked_sub(1)
            && let Some(place) = self.0.get_mut(sign)
        {
            *place = b'-';
            first = sign;
        }
        self.0.get(first..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use crate::format::vocabulary::integer;

    #[test]
    fn integers_are_parsed_as_the_library_does() {
        let ends = ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"];
        let large = ["18446744073709551616", "92233720368547758070", "00000000000000000000000000000000000000017"];
        let odd = ["", "+", "-", "+5", "--5", "+-5", "5-", " 5", "1.0", "1e3", "0x1", "\u{660}", "-0", "007"];
        for text in ends.into_iter().chain(large).chain(odd) {
            assert_eq!(integer(text.as_bytes()), text.parse().ok(), "{text:?}");
        }
        assert_eq!(integer(b"\xFF"), None);
    }
}

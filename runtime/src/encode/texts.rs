//! The text of every token, where the file keeps it: names for indices, and lookups without doubt.

use crate::error::LoadError;
use crate::format::vocabulary::{EncoderRecord, TEXTS_PER_OFFSET};
use crate::format::{FieldRecord, SectionKind};

/// The section of texts (`docs/format.md`, "Raw values").
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts<'a>(&'a [u8]);

impl<'a> Texts<'a> {
    /// Checks that there are offsets for all tokens of each field that has any, and room for them. What they point to
    /// is looked at when it is asked for.
    pub(super) fn new(bytes: &'a [u8], records: &[EncoderRecord], fields: &[FieldRecord]) -> Result<Self, LoadError> {
        let (texts, mut before) = (Texts(bytes), 0);
        for (f, (record, field)) in (0..).zip(records.iter().zip(fields)) {
            let all = record.tokens(field.num_features()).div_ceil(TEXTS_PER_OFFSET);
            let (least, most) = (if record.has_tokens() { all.into() } else { 0 }, all.into());
            let end = texts.number(f as usize).unwrap_or(0);
            let found = i64::from(end) - i64::from(before);
            if !(least..=most).contains(&found) {
                return Err(LoadError::Value { what: "offsets of tokens of field", at: f, least, most, found });
            }
            before = end;
        }
        let (expected, found) = (4 * (records.len() as u64 + u64::from(before)), bytes.len() as u64);
        match found < expected {
            true => Err(LoadError::SectionSize { section: SectionKind::Tokens, expected, found }),
            false => Ok(texts),
        }
    }

    /// The token that has an index below `features` in a field of so many; `None` where none has, or nothing is kept.
    pub(super) fn get(self, [field, fields]: [usize; 2], features: u32, index: u32) -> Option<&'a [u8]> {
        let place = index.checked_sub(1).filter(|_| index < features)?;
        let before = field.checked_sub(1).map_or(Some(0), |field| self.number(field))?;
        let offset = before + place / TEXTS_PER_OFFSET;
        if offset >= self.number(field)? {
            return None;
        }
        let texts = 4 * (fields + self.number(fields.checked_sub(1)?)? as usize);
        let mut rest = self.0.get(texts.checked_add(self.number(fields + offset as usize)? as usize)?..)?;
        for _ in 0..place % TEXTS_PER_OFFSET {
            (_, rest) = text(rest)?;
        }
        text(rest).map(|(text, _)| text)
    }

    /// By field, how many offsets it has, those before included; then the offsets.
    fn number(self, place: usize) -> Option<u32> {
        self.0.get(4 * place..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }
}

/// A text after its length, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut len, mut rest) = (0_usize, bytes);
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, after) = rest.split_first()?;
        (len, rest) = (len | usize::from(byte & 0x7F) << shift, after);
        if byte & 0x80 == 0 {
            return rest.split_at_checked(len);
        }
    }
    None
}

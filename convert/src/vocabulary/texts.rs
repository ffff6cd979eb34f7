//! Lays out the text of every token (`docs/format.md`, "Raw values"): for whoever pays its bytes, names of indices and
//! lookups that take no unseen token for another.

use xsfm_interchange::schema::Schema;
use xsfm_runtime::format::vocabulary::TEXTS_PER_OFFSET;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, IntoBytes};

use crate::pack::{PackError, narrow};

/// The section of a schema's tokens, in the order of their indices.
pub(super) fn section(schema: &Schema) -> Result<Vec<u8>, PackError> {
    let (mut ends, mut offsets, mut texts) = (Vec::<U32>::new(), Vec::<U32>::new(), Vec::new());
    for field in &schema.fields {
        for some in field.vocabulary.chunks(TEXTS_PER_OFFSET as usize) {
            offsets.push(narrow("bytes of all tokens", texts.len())?.into());
            for token in some {
                let mut len = narrow("bytes of a token", token.len())?;
                while len >= 0x80 {
                    texts.push(len as u8 | 0x80);
                    len >>= 7;
                }
                texts.push(len as u8);
                texts.extend(token.as_bytes());
            }
        }
        ends.push(narrow("tokens of all fields", offsets.len())?.into());
    }
    Ok([ends.as_bytes(), offsets.as_bytes(), &texts].concat())
}

/// By field: bytes of its tokens' text in a section; nothing where there is none.
pub(super) fn bytes(section: &[u8], fields: usize) -> Vec<u64> {
    let numbers = <[U32]>::ref_from_prefix_with_elems(section, fields).ok();
    let Some((ends, rest)) = numbers.filter(|_| !section.is_empty()) else { return vec![0; fields] };
    let count = ends.last().map_or(0, |end| end.get() as usize);
    let Ok((offsets, texts)) = <[U32]>::ref_from_prefix_with_elems(rest, count) else { return vec![0; fields] };
    let from = |offset: usize| offsets.get(offset).map_or(texts.len() as u64, |offset| offset.get().into());
    let mut before = 0;
    let of_field = |end: &U32| {
        let end = end.get() as usize;
        let bytes = 4 * (1 + end as u64 - before as u64) + from(end) - from(before);
        before = end;
        bytes
    };
    ends.iter().map(of_field).collect()
}

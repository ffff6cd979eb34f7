//! What lookups rely on, of records that a file has for raw values.

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use crate::error::LoadError;
use crate::format::vocabulary::{EncoderRecord, MAX_FINGERPRINT_BITS, MAX_SEPARATOR, SLOTS_SLACK, kind, weights};
use crate::format::{FieldRecord, SectionKind, limit};

/// A section as records.
pub(super) fn numbers<T>(section: SectionKind, bytes: &[u8]) -> Result<&[T], LoadError>
where
    T: FromBytes + zerocopy::Immutable + zerocopy::KnownLayout + zerocopy::Unaligned,
{
    let found = bytes.len() as u64;
    let expected = found - found % size_of::<T>() as u64;
    <[T]>::ref_from_bytes(bytes).map_err(|_| LoadError::SectionSize { section, expected, found })
}

/// What lookups rely on; indices are compared with the field's features as they are found. In small programs they
/// have no weights.
pub(super) fn check<const SMALL: bool>(
    f: u32,
    record: &EncoderRecord,
    field: &FieldRecord,
    [pilots, slots, steps]: [usize; 3],
) -> Result<(), LoadError> {
    let is_weighted_number = !SMALL && record.is_weighted_number();
    let is_bag = u32::from(field.bag != 0 && !is_weighted_number);
    let has_tokens = record.has_tokens();
    let wide = |number: U32| u64::from(number.get());
    within("kind of raw values of field", f, [0, kind::INTEGER_BAG.into()], record.kind.into())?;
    within("bag of raw values of field", f, [is_bag; 2], u64::from(record.is_bag()))?;
    within("kept end of bags of field", f, [0, 1], record.keep_last.into())?;
    within("fingerprint bits of field", f, [0, MAX_FINGERPRINT_BITS.into()], record.fingerprint_bits.into())?;
    within("index bits of field", f, [0, 32], record.index_bits.into())?;
    within("longest bag of field", f, [is_bag, limit::BAG as u32], record.max_bag.get().into())?;
    let refused = if SMALL { record.weights.get() } else { 0 };
    within("weights of encoder", f, [0, 0], refused.into())?;
    within("length of separator of field", f, [is_bag, MAX_SEPARATOR as u32], record.separator[0].into())?;
    within("slots of field", f, [has_tokens.into(), u32::MAX], wide(record.slots))?;
    within("end of pilots of field", f, [0, pilots as u32], wide(record.pilots_offset) + wide(record.buckets))?;
    let features = if SMALL { field.features.get() } else { field.num_features() };
    let has_vocabulary = matches!(record.kind, kind::TOKEN | kind::BAG) || record.is_integer();
    let most = if has_vocabulary { features.saturating_sub(1) } else { 0 };
    within("out-of-vocabulary buckets of field", f, [0, most], wide(record.oov_buckets))?;
    if has_tokens {
        let bytes = record.slot_bytes() + 4 * u64::from(record.moved(features)) + SLOTS_SLACK as u64;
        within("end of slots of field", f, [0, slots as u32], wide(record.slots_offset) + bytes)?;
    }
    if !SMALL {
        // Fields with weights are bags, but for those of numbers.
        let allowed = match (field.is_weighted(), record.kind) {
            (false, _) => [weights::NONE; 2],
            (true, kind::NUMBER) => [weights::VALUE, weights::INTERPOLATED],
            (true, _) => [weights::MEAN, weights::GIVEN],
        };
        within("weights of raw values of field", f, allowed.map(u32::from), record.weights.get().into())?;
    }
    if is_weighted_number {
        // A centre and a width; or a bound for each index but that of what is missing.
        let is_value = record.weights.get() == weights::VALUE;
        within("features of the numbers of field", f, [2, if is_value { 2 } else { u32::MAX }], features.into())?;
        let expected = if is_value { 2 } else { features - 1 };
        within("thresholds of the numbers of field", f, [expected; 2], wide(record.steps))?;
    }
    within("end of thresholds of field", f, [0, steps as u32], wide(record.steps_offset) + wide(record.steps))
}

/// What a damaged file has for an index may be none.
pub(super) fn valid(index: u32, features: u32) -> u32 {
    if index < features { index } else { 0 }
}

// Inlined: a program that does not look at errors has none of their words then.
#[inline(always)]
fn within(what: &'static str, at: u32, [least, most]: [u32; 2], found: u64) -> Result<(), LoadError> {
    match is_within(least, most, found) {
        true => Ok(()),
        false => Err(LoadError::Value { what, at, least: least.into(), most: most.into(), found: found.cast_signed() }),
    }
}

// Out of line: small programs have it once.
#[inline(never)]
fn is_within(least: u32, most: u32, found: u64) -> bool {
    (u64::from(least)..=u64::from(most)).contains(&found)
}

//! Raw values become indices, by what the model's file says: the rules of the training data, without its text.
//!
//! ```text
//! token  ──cut──▶ bytes ──XXH64──▶ bucket ──pilot──▶ slot: fingerprint, index      another fingerprint: index 0
//! number ──────────────────────▶ the last threshold that is not above it: index
//! ```

mod error;

use zerocopy::FromBytes;

use crate::error::LoadError;
use crate::format::vocabulary::{
    EncoderRecord, MAX_FINGERPRINT_BITS, MAX_SEPARATOR, SLOTS_SLACK, Step, TokenHash, kind, order,
};
use crate::format::{FieldRecord, Reader, SectionKind, limit};
use crate::row::Row;

pub use self::error::EncodeError;

/// A raw value of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value<'v> {
    /// None: the empty token, the empty bag, or no number.
    #[default]
    Missing,
    /// As a file of the training data would have it: a token, a number, or a bag's tokens with separators between.
    Text(&'v str),
    /// A number; in other fields the token of its decimal digits.
    Integer(i64),
    /// A number, finite.
    Real(f64),
    /// The tokens of a bag; empty ones are none.
    Tokens(&'v [&'v str]),
}

/// Encodes raw values as the training data were. Borrowed from the model's file and checked once; made by
/// [`Model::encoder`](crate::Model::encoder).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let packed = include_bytes!("../../tests/fixtures/movielens-student/model.xsfm");
/// use xsfm_runtime::{Aligned, Model, Scorer, ScratchBlock, Value};
///
/// # let bytes = Aligned(*packed); let bytes = &bytes.0;
/// let model = Model::from_bytes(bytes)?;
/// let Some(encoder) = model.encoder()? else {
///     return Ok(()); // packed without a vocabulary
/// };
/// let mut values = [Value::Missing; 7];
/// values[encoder.field("user").ok_or("no user")?] = Value::Integer(196);
/// let (mut indices, mut offsets) = ([0; 16], [0; 8]);
/// let row = encoder.encode(&values, &mut indices, &mut offsets)?;
/// # let mut scratch = [ScratchBlock::ZERO; 32];
/// let score = Scorer::new(&model, &mut scratch)?.score(row)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Encoder<'a> {
    fields: &'a [FieldRecord],
    records: &'a [EncoderRecord],
    names: Reader<'a>,
    pilots: &'a [u8],
    slots: &'a [u8],
    steps: &'a [Step],
    has_bags: bool,
}

impl<'a> Encoder<'a> {
    /// The sections that it borrows.
    pub(crate) const SECTIONS: [SectionKind; 4] =
        [SectionKind::Encoders, SectionKind::Pilots, SectionKind::Slots, SectionKind::Steps];

    /// `None` where the file was packed without what raw values mean.
    ///
    /// # Errors
    /// [`LoadError`]: a section that contradicts itself or the others.
    pub(crate) fn new(
        fields: &'a [FieldRecord],
        names: Reader<'a>,
        [records, pilots, slots, steps]: [Option<&'a [u8]>; 4],
    ) -> Result<Option<Self>, LoadError> {
        let Some(records) = records else { return Ok(None) };
        let records = numbers::<EncoderRecord>(SectionKind::Encoders, records)?;
        if records.len() != fields.len() {
            let bytes = |count: usize| (count * size_of::<EncoderRecord>()) as u64;
            let (expected, found) = (bytes(fields.len()), bytes(records.len()));
            return Err(LoadError::SectionSize { section: SectionKind::Encoders, expected, found });
        }
        let (pilots, slots) = (pilots.unwrap_or_default(), slots.unwrap_or_default());
        let steps = numbers::<Step>(SectionKind::Steps, steps.unwrap_or_default())?;
        for (f, (record, field)) in records.iter().zip(fields).enumerate() {
            check(f as u32, record, field, [pilots.len(), slots.len(), steps.len()])?;
        }
        let has_bags = records.iter().any(|record| record.kind == kind::BAG);
        Ok(Some(Encoder { fields, records, names, pilots, slots, steps, has_bags }))
    }

    /// Number of fields of a row.
    pub fn num_fields(&self) -> usize {
        self.records.len()
    }

    /// The place of the field with this name.
    pub fn field(&self, name: &str) -> Option<usize> {
        let mut names = self.names;
        (0..self.num_fields()).find(|_| names.string() == Some(name))
    }

    /// Room for the indices of any row.
    pub fn max_indices(&self) -> usize {
        self.records.iter().map(|record| if record.kind == kind::BAG { record.max_bag.get().into() } else { 1 }).sum()
    }

    /// A row: `values` has one for each field, in their order; `indices` has room for the row's (at most
    /// [`Encoder::max_indices`]), and `offsets` for one more than there are fields, or none where no field is a bag.
    ///
    /// # Errors
    /// [`EncodeError`], which names the field by its place.
    pub fn encode<'b>(
        &self,
        values: &[Value<'_>],
        indices: &'b mut [u32],
        offsets: &'b mut [u32],
    ) -> Result<Row<'b>, EncodeError> {
        let (expected, found) = (self.num_fields(), values.len());
        if expected != found {
            return Err(EncodeError::FieldCount { expected, found });
        }
        self.encode_each((0..expected).zip(values), indices, offsets)
    }

    /// A row of these fields alone, as a [`Ranker`](crate::Ranker) takes those of a context or of a candidate; they
    /// stand in the model's order.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode_fields<'b>(
        &self,
        fields: &[usize],
        values: &[Value<'_>],
        indices: &'b mut [u32],
        offsets: &'b mut [u32],
    ) -> Result<Row<'b>, EncodeError> {
        let (expected, found) = (fields.len(), values.len());
        if expected != found {
            return Err(EncodeError::FieldCount { expected, found });
        }
        self.encode_each(fields.iter().copied().zip(values), indices, offsets)
    }

    fn encode_each<'v, 'b>(
        &self,
        values: impl Iterator<Item = (usize, &'v Value<'v>)>,
        indices: &'b mut [u32],
        offsets: &'b mut [u32],
    ) -> Result<Row<'b>, EncodeError> {
        let (mut found, mut fields) = (0, 0);
        if self.has_bags {
            *offsets.first_mut().ok_or(EncodeError::Room { needed: 1, found: 0 })? = 0;
        }
        for (field, value) in values {
            let room = indices.len();
            let rest = indices.get_mut(found..).unwrap_or_default();
            found += self.encode_field(field, value, rest).map_err(|error| match error {
                EncodeError::Room { needed, .. } => EncodeError::Room { needed: found + needed, found: room },
                other => other,
            })?;
            fields += 1;
            if self.has_bags {
                let room = offsets.len();
                let end = offsets.get_mut(fields).ok_or(EncodeError::Room { needed: fields + 1, found: room })?;
                *end = found as u32;
            }
        }
        let indices = indices.get(..found).unwrap_or_default();
        Ok(match self.has_bags {
            false => Row::new(indices),
            true => Row::with_bags(indices, offsets.get(..fields + 1).unwrap_or_default()),
        })
    }

    /// Writes the indices of one field's value to the beginning of `indices`, and says how many there are.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode_field(&self, field: usize, value: &Value<'_>, indices: &mut [u32]) -> Result<usize, EncodeError> {
        let (Some(record), Some(FieldRecord { features, .. })) = (self.records.get(field), self.fields.get(field))
        else {
            return Err(EncodeError::Field { field });
        };
        let features = features.get();
        if record.kind == kind::BAG {
            return self.encode_bag(field, record, features, value, indices);
        }
        let mut digits = Digits::default();
        let index = match (record.kind, *value) {
            (_, Value::Tokens(_)) => return Err(EncodeError::Several { field }),
            (kind::NUMBER, Value::Missing | Value::Text("")) => record.missing.get(),
            (kind::NUMBER, Value::Integer(number)) => self.step(record, number as f64),
            (kind::NUMBER, Value::Real(number)) if number.is_finite() => self.step(record, number),
            (kind::NUMBER, Value::Text(text)) => {
                let number = cut(record, text).and_then(|text| text.parse::<f64>().ok());
                self.step(record, number.filter(|number| number.is_finite()).ok_or(EncodeError::Number { field })?)
            }
            (_, Value::Real(_)) => return Err(EncodeError::Number { field }),
            (_, Value::Missing) => self.token(record, features, cut(record, "").ok_or(EncodeError::Cut { field })?),
            (_, Value::Text(text)) => {
                self.token(record, features, cut(record, text).ok_or(EncodeError::Cut { field })?)
            }
            (_, Value::Integer(number)) => {
                self.token(record, features, cut(record, digits.of(number)).ok_or(EncodeError::Cut { field })?)
            }
        };
        let to = indices.first_mut().ok_or(EncodeError::Room { needed: 1, found: 0 })?;
        *to = if index < features { index } else { 0 };
        Ok(1)
    }

    /// The index of a token as it stands in a vocabulary, with nothing cut; 0 where it is unseen, or the field is one
    /// of numbers.
    pub fn index_of(&self, field: usize, token: &str) -> u32 {
        let (Some(record), Some(of)) = (self.records.get(field), self.fields.get(field)) else { return 0 };
        self.token(record, of.features.get(), token)
    }

    fn encode_bag(
        &self,
        field: usize,
        record: &EncoderRecord,
        features: u32,
        value: &Value<'_>,
        indices: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let mut digits = Digits::default();
        let (text, tokens): (&str, &[&str]) = match *value {
            Value::Missing => ("", &[]),
            Value::Text(text) => (text, &[]),
            Value::Integer(number) => (digits.of(number), &[]),
            Value::Tokens(tokens) => ("", tokens),
            Value::Real(_) => return Err(EncodeError::Number { field }),
        };
        let text = match value {
            Value::Tokens(_) => "",
            _ => cut(record, text).ok_or(EncodeError::Cut { field })?,
        };
        let [len, separator @ ..] = &record.separator;
        let separator = separator.get(..usize::from(*len)).and_then(|bytes| str::from_utf8(bytes).ok());
        let all = || {
            let of_text = text.split(separator.unwrap_or("|"));
            of_text.chain(tokens.iter().copied()).filter(|token| !token.is_empty())
        };
        let most = usize::from(record.max_bag.get());
        let first = if record.keep_last == 1 { all().count().saturating_sub(most) } else { 0 };
        let mut found = 0;
        for token in all().skip(first).take(most) {
            let room = indices.len();
            let to = indices.get_mut(found).ok_or(EncodeError::Room { needed: found + 1, found: room })?;
            *to = self.token(record, features, token);
            found += 1;
        }
        if found == 0 {
            *indices.first_mut().ok_or(EncodeError::Room { needed: 1, found: 0 })? = 0;
            found = 1;
        }
        Ok(found)
    }

    /// The index of a token; 0, the out-of-vocabulary row, for one that was not in the vocabulary, but for 2^-bits of
    /// those, which are taken for another.
    fn token(&self, record: &EncoderRecord, features: u32, token: &str) -> u32 {
        if record.buckets.get() == 0 {
            return 0;
        }
        let hash: TokenHash = record.hash(token.as_bytes());
        let bucket = record.pilots_offset.get() as usize + hash.bucket(record.buckets.get()) as usize;
        let Some(&pilot) = self.pilots.get(bucket) else { return 0 };
        let place = hash.slot(pilot, record.slots.get());
        let bits = record.slot_bits() * u64::from(place);
        let from = record.slots_offset.get() as usize + (bits / 8) as usize;
        let Some(bytes) = self.slots.get(from..).and_then(|slots| slots.first_chunk()) else { return 0 };
        let slot = u64::from_le_bytes(*bytes) >> (bits % 8);
        let mask = |bits: u8| (1_u64 << bits) - 1;
        let is_known = slot & mask(record.fingerprint_bits) == u64::from(hash.fingerprint(record.fingerprint_bits));
        let index = match (is_known, record.index_bits) {
            (false, _) => 0,
            (true, 0) => self.numbered_anew(record, features, place),
            (true, bits) => (slot >> record.fingerprint_bits & mask(bits)) as u32,
        };
        if index < features { index } else { 0 }
    }

    /// The index of a slot where it needs no bits of its own.
    fn numbered_anew(&self, record: &EncoderRecord, features: u32, slot: u32) -> u32 {
        let Some(moved) = slot.checked_sub(features.saturating_sub(1)) else { return slot + 1 };
        let from = record.slots_offset.get() as usize + record.slot_bytes() as usize + 4 * moved as usize;
        let index = self.slots.get(from..).and_then(|rest| rest.first_chunk());
        index.map_or(0, |index| u32::from_le_bytes(*index))
    }

    /// The index of a number; 0 below the first threshold.
    fn step(&self, record: &EncoderRecord, number: f64) -> u32 {
        let steps = self.steps.get(record.steps_offset.get() as usize..).unwrap_or_default();
        let steps = steps.get(..record.steps.get() as usize).unwrap_or_default();
        let number = order(number);
        let after = steps.partition_point(|step| step.from.get() <= number);
        after.checked_sub(1).and_then(|last| steps.get(last)).map_or(0, |step| step.index.get())
    }
}

/// The bytes of a text that are taken; `None` where it has not so many, or they are not whole characters.
fn cut<'t>(record: &EncoderRecord, text: &'t str) -> Option<&'t str> {
    match record.cut_to.get() as usize {
        0 => Some(text),
        to => text.get(record.cut_from.get() as usize..to),
    }
}

/// The decimal digits of an integer.
#[derive(Default)]
struct Digits([u8; 20]);

impl Digits {
    fn of(&mut self, number: i64) -> &str {
        let mut rest = number.unsigned_abs();
        let mut at = self.0.len();
        loop {
            at -= 1;
            self.0[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            self.0[at] = b'-';
        }
        str::from_utf8(&self.0[at..]).unwrap_or_default()
    }
}

/// A section as records.
fn numbers<T>(section: SectionKind, bytes: &[u8]) -> Result<&[T], LoadError>
where
    T: FromBytes + zerocopy::Immutable + zerocopy::KnownLayout + zerocopy::Unaligned,
{
    let found = bytes.len() as u64;
    let expected = found - found % size_of::<T>() as u64;
    <[T]>::ref_from_bytes(bytes).map_err(|_| LoadError::SectionSize { section, expected, found })
}

/// What lookups rely on; indices are compared with the field's features as they are found.
fn check(
    f: u32,
    record: &EncoderRecord,
    field: &FieldRecord,
    [pilots, slots, steps]: [usize; 3],
) -> Result<(), LoadError> {
    let within = |what: &'static str, least: u64, most: u64, found: u64| match (least..=most).contains(&found) {
        true => Ok(()),
        false => Err(LoadError::Value { what, at: f, least: least as i64, most: most as i64, found: found as i64 }),
    };
    let is_bag = u64::from(field.bag != 0);
    within("kind of raw values of field", 0, kind::NUMBER.into(), record.kind.into())?;
    within("bag of raw values of field", is_bag, is_bag, u64::from(record.kind == kind::BAG))?;
    within("kept end of bags of field", 0, 1, record.keep_last.into())?;
    within("fingerprint bits of field", 0, MAX_FINGERPRINT_BITS.into(), record.fingerprint_bits.into())?;
    within("index bits of field", 0, 32, record.index_bits.into())?;
    within("longest bag of field", is_bag, limit::BAG as u64, record.max_bag.get().into())?;
    within("reserved bytes of encoder", 0, 0, u64::from(record.reserved.get()) | record.reserved_2.get())?;
    within("length of separator of field", is_bag, MAX_SEPARATOR as u64, record.separator[0].into())?;
    within("slots of field", u64::from(record.buckets.get() > 0), u32::MAX.into(), record.slots.get().into())?;
    let (from, count) = (u64::from(record.pilots_offset.get()), u64::from(record.buckets.get()));
    within("end of pilots of field", 0, pilots as u64, from + count)?;
    if count > 0 {
        let slack = SLOTS_SLACK as u64;
        let moved = 4 * u64::from(record.moved(field.features.get()));
        let end = u64::from(record.slots_offset.get()) + record.slot_bytes() + moved + slack;
        within("end of slots of field", 0, slots as u64, end)?;
    }
    let (from, count) = (u64::from(record.steps_offset.get()), u64::from(record.steps.get()));
    within("end of thresholds of field", 0, steps as u64, from + count)
}

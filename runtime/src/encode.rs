//! Raw values become indices, by what the model's file says: the rules of the training data, without its text.
//!
//! ```text
//! token  ──cut──▶ bytes ──XXH64──▶ bucket ──pilot──▶ slot: fingerprint, index      another fingerprint: index 0
//! number ──────────────────────▶ the last threshold that is not above it: index
//! ```

mod error;

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use crate::error::LoadError;
use crate::format::vocabulary::{
    EncoderRecord, MAX_FINGERPRINT_BITS, MAX_SEPARATOR, SLOTS_SLACK, Step, kind, order, order_of_integer,
};
use crate::format::{FieldRecord, Head, Reader, SectionKind, limit};
use crate::load::{self, Body};
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
/// # let packed = include_bytes!("../../tests/fixtures/raw-values/model.xsfm");
/// use xsfm_runtime::{Aligned, Model, Scorer, ScratchBlock, Value};
///
/// # let bytes = Aligned(*packed); let bytes = &bytes.0;
/// let model = Model::from_bytes(bytes)?;
/// let encoder = model.encoder()?.ok_or("packed without a vocabulary")?;
/// let mut values = [Value::Missing; 4]; // user, genres, price, hour
/// values[encoder.field("user").ok_or("no user")?] = Value::Text("chloé");
/// values[encoder.field("genres").ok_or("no genres")?] = Value::Tokens(&["comedy", "western"]);
/// values[encoder.field("price").ok_or("no price")?] = Value::Real(7.75);
/// values[3] = Value::Text("2026-03-05T21:00:00"); // of which the file takes two bytes
/// let (mut indices, mut offsets) = ([0; 8], [0; 5]);
/// let row = encoder.encode(&values, &mut indices, &mut offsets)?;
/// let mut scratch = [ScratchBlock::ZERO; 16]; // at least model.scratch_blocks()
/// let likes = Scorer::new(&model, &mut scratch)?.score(row)?;
/// # values[0] = Value::Text("ben");
/// # let row = encoder.encode(&values, &mut indices, &mut offsets)?;
/// # assert!(likes.logit > Scorer::new(&model, &mut scratch)?.score(row)?.logit);
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
    /// The [`order`] of a number's text.
    parse: fn(&str) -> Option<u64>,
}

impl<'a> Encoder<'a> {
    /// Of a file, for programs that must be small, which [`Int8Model`](crate::Int8Model) is for. Texts of numbers are
    /// integers here: what reads any other number is larger than the rest of such a program. `None` where the file was
    /// packed without what raw values mean.
    ///
    /// # Errors
    /// [`LoadError`], but for the checksum of the body, which nobody looks at.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Option<Self>, LoadError> {
        let (file, head) = load::head(bytes, Body::Trust)?;
        let fields = load::section(file, &head, SectionKind::Fields).unwrap_or_default();
        let fields = numbers::<FieldRecord>(SectionKind::Fields, fields)?;
        Self::new(file, &head, fields, |text| text.parse().ok().map(order_of_integer))
    }

    /// Of a file whose fields have been checked.
    pub(crate) fn of_model(file: &'a [u8], fields: &'a [FieldRecord]) -> Result<Option<Self>, LoadError> {
        let (file, head) = load::head(file, Body::Trust)?;
        Self::new(file, &head, fields, |text| text.parse().ok().filter(|number: &f64| number.is_finite()).map(order))
    }

    fn new(
        file: &'a [u8],
        head: &Head<'a>,
        fields: &'a [FieldRecord],
        parse: fn(&str) -> Option<u64>,
    ) -> Result<Option<Self>, LoadError> {
        let [records, pilots, slots, steps] =
            [SectionKind::Encoders, SectionKind::Pilots, SectionKind::Slots, SectionKind::Steps]
                .map(|kind| load::section(file, head, kind));
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
        let names = Reader(head.field_names);
        Ok(Some(Encoder { fields, records, names, pilots, slots, steps, has_bags, parse }))
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

    /// Whether the field is one of numbers.
    pub fn is_number(&self, field: usize) -> bool {
        self.records.get(field).is_some_and(|record| record.kind == kind::NUMBER)
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
        let missing_cut = EncodeError::Cut { field };
        let mut digits = Digits::default();
        let index = match (record.kind, *value) {
            (_, Value::Tokens(_)) => return Err(EncodeError::Several { field }),
            // A cut is one of text: of digits too, but no other number has one text.
            (kind::NUMBER, Value::Integer(number)) if record.cut_to.get() == 0 => {
                self.step(record, features, order_of_integer(number))
            }
            (kind::NUMBER, Value::Real(number)) if record.cut_to.get() == 0 && is_finite(number) => {
                self.step(record, features, order(number))
            }
            (_, Value::Real(_)) => return Err(EncodeError::Number { field }),
            (_, Value::Missing) => self.uncut(field, record, features, cut(record, "").ok_or(missing_cut)?)?,
            (_, Value::Text(text)) => self.uncut(field, record, features, cut(record, text).ok_or(missing_cut)?)?,
            (_, Value::Integer(number)) => {
                self.uncut(field, record, features, cut(record, digits.of(number)).ok_or(missing_cut)?)?
            }
        };
        *indices.first_mut().ok_or(EncodeError::Room { needed: 1, found: 0 })? = index;
        Ok(1)
    }

    /// The index of one token, or of a number, as readers of files give them: of a text that was cut already. 0 for an
    /// unseen one.
    ///
    /// # Errors
    /// [`EncodeError::Field`], and [`EncodeError::Number`] where it should be a number.
    pub fn index_of(&self, field: usize, text: &str) -> Result<u32, EncodeError> {
        let of = self.records.get(field).zip(self.fields.get(field));
        let (record, FieldRecord { features, .. }) = of.ok_or(EncodeError::Field { field })?;
        self.uncut(field, record, features.get(), text)
    }

    fn uncut(&self, field: usize, record: &EncoderRecord, features: u32, text: &str) -> Result<u32, EncodeError> {
        Ok(match record.kind {
            kind::NUMBER if text.is_empty() => valid(record.missing.get(), features),
            kind::NUMBER => self.step(record, features, (self.parse)(text).ok_or(EncodeError::Number { field })?),
            _ => self.token(record, features, text.as_bytes()),
        })
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
        let missing_cut = EncodeError::Cut { field };
        let (text, tokens): (&[u8], &[&str]) = match *value {
            Value::Missing => (cut(record, "").ok_or(missing_cut)?.as_bytes(), &[]),
            Value::Text(text) => (cut(record, text).ok_or(missing_cut)?.as_bytes(), &[]),
            Value::Integer(number) => (cut(record, digits.of(number)).ok_or(missing_cut)?.as_bytes(), &[]),
            Value::Tokens(tokens) => (&[], tokens),
            Value::Real(_) => return Err(EncodeError::Number { field }),
        };
        let [len, separator @ ..] = &record.separator;
        let separator = separator.get(..usize::from(*len)).unwrap_or_default();
        let all = || {
            let of_text = Parts { rest: Some(text), separator };
            of_text.chain(tokens.iter().map(|token| token.as_bytes())).filter(|token| !token.is_empty())
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
    fn token(&self, record: &EncoderRecord, features: u32, token: &[u8]) -> u32 {
        if record.buckets.get() == 0 {
            return 0;
        }
        let hash = record.hash(token);
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
        valid(index, features)
    }

    /// The index of a slot where it needs no bits of its own.
    fn numbered_anew(&self, record: &EncoderRecord, features: u32, slot: u32) -> u32 {
        let Some(moved) = slot.checked_sub(features.saturating_sub(1)) else { return slot + 1 };
        let from = record.slots_offset.get() as usize + record.slot_bytes() as usize + 4 * moved as usize;
        let index = self.slots.get(from..).and_then(|rest| rest.first_chunk());
        index.map_or(0, |index| u32::from_le_bytes(*index))
    }

    /// The index of a number, given its [`order`]; 0 below the first threshold.
    fn step(&self, record: &EncoderRecord, features: u32, number: u64) -> u32 {
        let steps = self.steps.get(record.steps_offset.get() as usize..).unwrap_or_default();
        let steps = steps.get(..record.steps.get() as usize).unwrap_or_default();
        let after = steps.partition_point(|step| step.from.get() <= number);
        after.checked_sub(1).and_then(|last| steps.get(last)).map_or(0, |step| valid(step.index.get(), features))
    }
}

/// What a damaged file has for an index may be none.
fn valid(index: u32, features: u32) -> u32 {
    if index < features { index } else { 0 }
}

/// Without a library of floats.
fn is_finite(number: f64) -> bool {
    number.to_bits() >> 52 & 0x7FF != 0x7FF
}

/// The bytes of a text that are taken; `None` where it has not so many, or they are not whole characters.
fn cut<'t>(record: &EncoderRecord, text: &'t str) -> Option<&'t str> {
    match record.cut_to.get() as usize {
        0 => Some(text),
        to => text.get(record.cut_from.get() as usize..to),
    }
}

/// What lies between separators, as [`str::split`] has it, in less code.
struct Parts<'t> {
    rest: Option<&'t [u8]>,
    separator: &'t [u8],
}

impl<'t> Iterator for Parts<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        let rest = self.rest?;
        let end = (0..rest.len()).find(|&at| rest.get(at..).is_some_and(|rest| rest.starts_with(self.separator)));
        self.rest = end.and_then(|end| rest.get(end + self.separator.len()..));
        end.map_or(Some(rest), |end| rest.get(..end))
    }
}

/// The decimal digits of an integer.
#[derive(Default)]
struct Digits([u8; 20]);

impl Digits {
    fn of(&mut self, number: i64) -> &str {
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
        self.0.get(first..).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default()
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
    let is_bag = u32::from(field.bag != 0);
    let has_tokens = record.buckets.get() > 0;
    let wide = |number: U32| u64::from(number.get());
    within("kind of raw values of field", f, [0, kind::NUMBER.into()], record.kind.into())?;
    within("bag of raw values of field", f, [is_bag; 2], u64::from(record.kind == kind::BAG))?;
    within("kept end of bags of field", f, [0, 1], record.keep_last.into())?;
    within("fingerprint bits of field", f, [0, MAX_FINGERPRINT_BITS.into()], record.fingerprint_bits.into())?;
    within("index bits of field", f, [0, 32], record.index_bits.into())?;
    within("longest bag of field", f, [is_bag, limit::BAG as u32], record.max_bag.get().into())?;
    let reserved = wide(record.reserved_2) | wide(record.reserved_3) | u64::from(record.reserved.get());
    within("reserved bytes of encoder", f, [0, 0], reserved)?;
    within("length of separator of field", f, [is_bag, MAX_SEPARATOR as u32], record.separator[0].into())?;
    within("slots of field", f, [has_tokens.into(), u32::MAX], wide(record.slots))?;
    within("end of pilots of field", f, [0, pilots as u32], wide(record.pilots_offset) + wide(record.buckets))?;
    if has_tokens {
        let bytes = record.slot_bytes() + 4 * u64::from(record.moved(field.features.get())) + SLOTS_SLACK as u64;
        within("end of slots of field", f, [0, slots as u32], wide(record.slots_offset) + bytes)?;
    }
    within("end of thresholds of field", f, [0, steps as u32], wide(record.steps_offset) + wide(record.steps))
}

// Out of line: small programs have it once.
#[inline(never)]
fn within(what: &'static str, at: u32, [least, most]: [u32; 2], found: u64) -> Result<(), LoadError> {
    match (u64::from(least)..=u64::from(most)).contains(&found) {
        true => Ok(()),
        false => Err(LoadError::Value { what, at, least: least.into(), most: most.into(), found: found.cast_signed() }),
    }
}

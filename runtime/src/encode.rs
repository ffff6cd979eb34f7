//! Raw values become indices, by what the model's file says: the rules of the training data, without its text.
//!
//! ```text
//! token  ──cut──▶ bytes ──XXH64──▶ bucket ──pilot──▶ slot: fingerprint, index      another fingerprint: index 0
//! integer ───cut──▶ bytes ──▶ its bit, where it has one: as many bits as there are up to it: index
//! number ──────────────────────▶ the last threshold that is not above it: index
//! token of a field without a vocabulary ──cut──▶ bytes ──XXH64──▶ bucket: index
//! ```

mod check;
mod error;
mod texts;
mod value;
mod weighted;
mod writer;

use crate::error::LoadError;
use crate::format::vocabulary::{
    BLOCK_BYTES, EncoderRecord, INTEGERS_PER_BLOCK, Step, hashed, integer, kind, order, order_of_integer,
    plain_integer, weights,
};
use crate::format::{FieldRecord, Head, Reader, SectionKind};
use crate::load::{self, Body};
use crate::row::Row;
use crate::weight::Weight;

pub use self::error::EncodeError;
pub use self::value::Value;
pub use self::writer::RowWriter;

use self::check::{check, numbers, valid};
use self::texts::Texts;
use self::value::{Digits, Parts, cut, is_finite};

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
///
/// `SMALL`: see [`SmallEncoder`].
#[derive(Clone, Copy, Debug)]
pub struct Encoder<'a, const SMALL: bool = false> {
    fields: &'a [FieldRecord],
    records: &'a [EncoderRecord],
    names: Reader<'a>,
    pilots: &'a [u8],
    slots: &'a [u8],
    steps: &'a [Step],
    /// Where the file keeps them.
    texts: Option<Texts<'a>>,
    has_bags: bool,
}

/// An encoder for programs that must be small, which [`Int8Model`](crate::Int8Model) is for. Texts of numbers are
/// integers here: what reads any other number is larger than the rest of such a program. Nor is a kept text looked at,
/// and files with weights of indices are refused.
pub type SmallEncoder<'a> = Encoder<'a, true>;

impl<'a> SmallEncoder<'a> {
    /// Of a file; `None` where it was packed without what raw values mean.
    ///
    /// # Errors
    /// [`LoadError`], but for the checksum of the body, which nobody looks at.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Option<Self>, LoadError> {
        let (file, head) = load::head(bytes, Body::Trust)?;
        Self::of_head(file, &head)
    }

    /// Of a file whose head has been read.
    pub(crate) fn of_head(file: &'a [u8], head: &Head<'a>) -> Result<Option<Self>, LoadError> {
        let fields = load::section(file, head, SectionKind::Fields).unwrap_or_default();
        Self::new(file, head, numbers::<FieldRecord>(SectionKind::Fields, fields)?)
    }
}

impl<'a> Encoder<'a> {
    /// Of a file whose fields have been checked.
    pub(crate) fn of_model(file: &'a [u8], fields: &'a [FieldRecord]) -> Result<Option<Self>, LoadError> {
        let (file, head) = load::head(file, Body::Trust)?;
        let Some(encoder) = Self::new(file, &head, fields)? else { return Ok(None) };
        let Some(texts) = load::section(file, &head, SectionKind::Tokens) else { return Ok(Some(encoder)) };
        Ok(Some(Encoder { texts: Some(Texts::new(texts, encoder.records, fields)?), ..encoder }))
    }
}

impl<'a, const SMALL: bool> Encoder<'a, SMALL> {
    fn new(file: &'a [u8], head: &Head<'a>, fields: &'a [FieldRecord]) -> Result<Option<Self>, LoadError> {
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
            check::<SMALL>(f as u32, record, field, [pilots.len(), slots.len(), steps.len()])?;
        }
        let has_bags = fields.iter().any(|field| field.bag != 0);
        let names = Reader(head.field_names);
        Ok(Some(Encoder { fields, records, names, pilots, slots, steps, texts: None, has_bags }))
    }

    /// The [`order`] of a number's text.
    fn parse(text: &[u8]) -> Option<u64> {
        // Most are integers, and sooner read as such.
        match integer(text) {
            Some(number) => Some(order_of_integer(number)),
            None if SMALL => None,
            None => str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| number.is_finite()).map(order),
        }
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

    /// Whether the field's tokens have their indices by a hash, and no vocabulary.
    pub fn is_hashed(&self, field: usize) -> bool {
        self.records.get(field).is_some_and(EncoderRecord::is_hashed)
    }

    /// Whether a value of the field may be one that training has not seen, or too rarely, so that it is index 0.
    pub fn has_unseen(&self, field: usize) -> bool {
        self.records
            .get(field)
            .is_some_and(|record| !record.is_hashed() && !record.is_weighted_number() && record.oov_buckets.get() == 0)
    }

    /// The field's name; `None` where there is no such field.
    pub fn name(&self, field: usize) -> Option<&'a str> {
        let mut names = self.names;
        (0..self.num_fields()).map(|_| names.string()).nth(field).flatten()
    }

    /// Room for the offsets of any row: one more than there are fields, or 0 where no field is a bag.
    pub fn max_offsets(&self) -> usize {
        if self.has_bags { self.num_fields() + 1 } else { 0 }
    }

    /// Whether the field is a bag.
    pub fn is_bag(&self, field: usize) -> bool {
        self.records.get(field).is_some_and(EncoderRecord::is_bag)
    }

    /// Whether each index has its weight behind it.
    pub fn is_weighted(&self, field: usize) -> bool {
        self.records.get(field).is_some_and(EncoderRecord::is_weighted)
    }

    /// Whether raw values say a weight for each token of the field, a bag.
    pub fn takes_weights(&self, field: usize) -> bool {
        self.records.get(field).is_some_and(|record| record.weights.get() == weights::GIVEN)
    }

    /// Whether the file keeps the tokens' text, so that no unseen token is taken for another.
    pub fn has_tokens(&self) -> bool {
        self.texts.is_some()
    }

    /// The token that has this index, of a number its bucket's; `None` for index 0, which is any other's, and where the
    /// file does not keep the text.
    pub fn token(&self, field: usize, index: u32) -> Option<&'a str> {
        self.text(field, index).and_then(|text| str::from_utf8(text).ok())
    }

    fn text(&self, field: usize, index: u32) -> Option<&'a [u8]> {
        let features = self.fields.get(field)?.num_features();
        self.texts?.get([field, self.records.len()], features, index)
    }

    /// Room for the indices of any row, and for their weights.
    pub fn max_indices(&self) -> usize {
        self.records.iter().map(EncoderRecord::most_words).sum()
    }

    /// A row: `values` has one for each field, in their order; `indices` has room for the row's, and weights (at most
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
        let mut row = self.writer(indices, offsets)?;
        for (field, value) in values {
            row.push(|rest| self.encode_field(field, value, rest))?;
        }
        Ok(row.row())
    }

    /// For a row whose fields come one by one: in the model's order those of the row, a context or a candidate, each by
    /// [`Encoder::encode_field`] or [`Encoder::encode_tokens`]. The buffers are those of [`Encoder::encode`].
    ///
    /// # Errors
    /// [`EncodeError::Room`].
    pub fn writer<'b>(&self, indices: &'b mut [u32], offsets: &'b mut [u32]) -> Result<RowWriter<'b>, EncodeError> {
        RowWriter::new(indices, offsets, self.has_bags)
    }

    /// Writes the indices of one field's value, where they have weights each with its own behind it, to the beginning
    /// of `indices`, and says how many numbers that are.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode_field(&self, field: usize, value: &Value<'_>, indices: &mut [u32]) -> Result<usize, EncodeError> {
        let (record, features) = self.record(field)?;
        if !SMALL && record.is_weighted() {
            return self.weighted_field(field, value, indices);
        }
        let is_plain_number = record.kind == kind::NUMBER && record.cut_to.get() == 0;
        // A cut is one of text: of digits too, but no other number has one text.
        let number = match *value {
            Value::Tokens(tokens) => return self.encode_tokens(field, tokens.iter().copied(), indices),
            Value::Weighted(_) if record.is_bag() => return Err(EncodeError::Weight { field }),
            Value::Weighted(_) => return Err(EncodeError::Several { field }),
            Value::Integer(number) if is_plain_number => Some(order_of_integer(number)),
            Value::Real(number) if is_plain_number && is_finite(number) => Some(order(number)),
            Value::Real(_) => return Err(EncodeError::Number { field }),
            Value::Missing | Value::Text(_) | Value::Bytes(_) | Value::Integer(_) => None,
        };
        let index = match number {
            Some(number) => self.step(record, features, number),
            None => {
                let mut digits = Digits::default();
                let text = cut(record, value.text(&mut digits)).ok_or(EncodeError::Cut { field })?;
                if record.is_bag() {
                    let [len, separator @ ..] = &record.separator;
                    let separator = separator.get(..usize::from(*len)).unwrap_or_default();
                    return self.bag(field, record, features, Parts { rest: Some(text), separator }, indices);
                }
                self.uncut(field, record, features, text)?
            }
        };
        *indices.first_mut().ok_or(EncodeError::Room { needed: 1, found: 0 })? = index;
        Ok(1)
    }

    /// How a field's values become indices, and the number of its features, which is 0 where they have weights.
    fn record(&self, field: usize) -> Result<(&'a EncoderRecord, u32), EncodeError> {
        let of = self.records.get(field).zip(self.fields.get(field));
        of.map(|(record, of_field)| (record, of_field.features.get())).ok_or(EncodeError::Field { field })
    }

    /// The index of one token, or of a number, as readers of files give them: of a text that was cut already. 0 for an
    /// unseen one.
    ///
    /// # Errors
    /// [`EncodeError::Field`]; [`EncodeError::Number`] where it should be a number, and [`EncodeError::Weight`] where a
    /// number is more than an index.
    pub fn index_of(&self, field: usize, text: &str) -> Result<u32, EncodeError> {
        let (record, _) = self.record(field)?;
        let features = self.fields.get(field).map_or(0, FieldRecord::num_features);
        self.uncut(field, record, features, text.as_bytes())
    }

    fn uncut(&self, field: usize, record: &EncoderRecord, features: u32, text: &[u8]) -> Result<u32, EncodeError> {
        Ok(match record.kind {
            _ if !SMALL && record.is_weighted_number() => return Err(EncodeError::Weight { field }),
            kind::NUMBER if text.is_empty() => valid(record.missing.get(), features),
            kind::NUMBER => self.step(record, features, Self::parse(text).ok_or(EncodeError::Number { field })?),
            _ => self.lookup(field, record, features, text),
        })
    }

    /// As [`Encoder::encode_field`] of a bag's tokens, of whatever has them; empty ones are none.
    ///
    /// # Errors
    /// [`EncodeError`]: [`EncodeError::Several`] where the field is no bag.
    pub fn encode_tokens<'t>(
        &self,
        field: usize,
        tokens: impl Iterator<Item = &'t str> + Clone,
        indices: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let (record, features) = self.record(field)?;
        match record.is_bag() {
            true if !SMALL && record.is_weighted() => {
                self.encode_weighted(field, tokens.map(|token| (token, Weight::ONE)), indices)
            }
            true => self.bag(field, record, features, tokens.map(str::as_bytes), indices),
            false => Err(EncodeError::Several { field }),
        }
    }

    fn bag<'t>(
        &self,
        field: usize,
        record: &EncoderRecord,
        features: u32,
        tokens: impl Iterator<Item = &'t [u8]> + Clone,
        indices: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let tokens = tokens.filter(|token| !token.is_empty());
        let most = usize::from(record.max_bag.get());
        let mut left_out = if record.keep_last == 1 { tokens.clone().count().saturating_sub(most) } else { 0 };
        let mut found = 0;
        for token in tokens {
            if left_out > 0 {
                left_out -= 1;
                continue;
            }
            if found == most {
                break;
            }
            let room = indices.len();
            let to = indices.get_mut(found).ok_or(EncodeError::Room { needed: found + 1, found: room })?;
            *to = self.lookup(field, record, features, token);
            found += 1;
        }
        if found == 0 {
            *indices.first_mut().ok_or(EncodeError::Room { needed: 1, found: 0 })? = 0;
            found = 1;
        }
        Ok(found)
    }

    /// The index of a token; 0, the out-of-vocabulary row, or that of a bucket for one that was not in the vocabulary,
    /// but for 2^-bits of those, which are taken for another where the file has no texts.
    fn lookup(&self, field: usize, record: &EncoderRecord, features: u32, token: &[u8]) -> u32 {
        if record.is_hashed() {
            return valid(hashed(token, record.seed.get(), 0, features.saturating_sub(1)), features);
        }
        let index = self.likely(record, features, token);
        if index > 0 && (SMALL || self.texts.is_none() || self.text(field, index) == Some(token)) {
            return index;
        }
        oov(record, features, token)
    }

    /// The index of a token, by its fingerprint.
    fn likely(&self, record: &EncoderRecord, features: u32, token: &[u8]) -> u32 {
        if record.is_integer() {
            return valid(self.integer(record, token).unwrap_or(0), features);
        }
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

    /// The index of an integer that has a bit: how many have one up to it.
    fn integer(&self, record: &EncoderRecord, token: &[u8]) -> Option<u32> {
        let place = plain_integer(token)?.checked_sub(record.seed.get())?;
        if place >= record.slots.get() {
            return None;
        }
        let (block, place) = ((place / INTEGERS_PER_BLOCK) as usize, place % INTEGERS_PER_BLOCK);
        let bytes = self.slots.get(record.slots_offset.get() as usize + block * BLOCK_BYTES..)?;
        let mut words = bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word));
        let (mut index, mut left) = (words.next()?, place);
        for word in words {
            let upto = if left < u32::BITS { word << (u32::BITS - 1 - left) } else { word };
            index = index.wrapping_add(upto.count_ones());
            if left < u32::BITS {
                return (upto >> (u32::BITS - 1) == 1).then_some(index);
            }
            left -= u32::BITS;
        }
        None
    }

    /// The index of a slot where it needs no bits of its own.
    fn numbered_anew(&self, record: &EncoderRecord, features: u32, slot: u32) -> u32 {
        let Some(moved) = slot.checked_sub(record.tokens(features)) else { return slot + 1 };
        let from = record.slots_offset.get() as usize + record.slot_bytes() as usize + 4 * moved as usize;
        let index = self.slots.get(from..).and_then(|rest| rest.first_chunk());
        index.map_or(0, |index| u32::from_le_bytes(*index))
    }

    /// The thresholds of a field.
    fn steps(&self, record: &EncoderRecord) -> &'a [Step] {
        let steps = self.steps.get(record.steps_offset.get() as usize..).unwrap_or_default();
        steps.get(..record.steps.get() as usize).unwrap_or_default()
    }

    /// The index of a number, given its [`order`]; 0 below the first threshold.
    fn step(&self, record: &EncoderRecord, features: u32, number: u64) -> u32 {
        let steps = self.steps(record);
        let after = steps.partition_point(|step| step.from.get() <= number);
        after.checked_sub(1).and_then(|last| steps.get(last)).map_or(0, |step| valid(step.index.get(), features))
    }
}

/// The index of a token that is not in the vocabulary. Out of the way of those that are.
#[cold]
#[inline(never)]
fn oov(record: &EncoderRecord, features: u32, token: &[u8]) -> u32 {
    match record.oov_buckets.get() {
        0 => 0,
        buckets => valid(hashed(token, record.oov_seed.get(), record.tokens(features), buckets), features),
    }
}

//! What raw values mean, in the packed file: rules, tokens and thresholds of a schema, by default without the tokens'
//! text (`docs/format.md`, "Raw values").

mod hash;
mod integers;
mod original;
mod texts;

use xsfm_interchange::encoding::{Encoding, Hashing};
use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::input::{Input, Keep, RECSYS_MAX_BAG, TableField};
use xsfm_interchange::rows::MAX_BAG;
use xsfm_interchange::schema::{Field, FieldKind, Schema, Weights};
use xsfm_runtime::format::vocabulary::{
    EncoderRecord, MAX_FINGERPRINT_BITS, MAX_SEPARATOR, SLOTS_SLACK, Step, TokenHash, kind, order, weights,
};
use xsfm_runtime::format::{Arithmetic, FieldRecord, Manifest, SectionKind, composition};
use xsfm_runtime::{Backend, Encoder, LoadOptions, Model, Weight};
use zerocopy::{FromBytes, FromZeros};

use self::integers::Integers;
use crate::pack::{FileWriter, PackError, Packed, narrow};
use crate::target::Source;

pub use self::original::Original;

/// Bits by which unseen tokens are told, where nobody says: one of 1,024 is taken for another.
pub const FINGERPRINT_BITS: u8 = 10;
/// Seeds that are tried for a field's hash. Each fails about once for a million tokens, whose hashes may be equal.
const ATTEMPTS: u32 = 64;
/// Between the tokens of a bag where the description of a table does not say.
const SEPARATOR: &str = "|";

/// Why a file cannot have a vocabulary.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VocabularyError {
    /// The schema is not the model's.
    #[error("the schema is not the model's: {what}")]
    Schema {
        /// What differs.
        what: String,
    },
    /// More bits than a slot has for a fingerprint.
    #[error("{found} fingerprint bits, 0 to {MAX_FINGERPRINT_BITS} expected")]
    FingerprintBits {
        /// The bits.
        found: u8,
    },
    /// A separator of more bytes than the format has for it.
    #[error("field {field:?}: separator {separator:?} has more than {MAX_SEPARATOR} bytes")]
    Separator {
        /// The field.
        field: String,
        /// The separator.
        separator: String,
    },
    /// A numeric field has a token that no number has.
    #[error("field {field:?}: {token:?} is the token of no number")]
    Number {
        /// The field.
        field: String,
        /// The token.
        token: String,
    },
    /// No perfect hash was found, with any of the seeds that were tried.
    #[error("field {field:?}: no perfect hash of its {tokens} tokens was found by {ATTEMPTS} seeds")]
    Hash {
        /// The field.
        field: String,
        /// How many there are.
        tokens: usize,
    },
    /// A count that the format has no room for, or a file that the runtime refuses.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// What was packed does not give a token its index. Nothing is written then.
    #[error("field {field:?}: token {token:?} would be encoded as {found}, not as {expected}")]
    Verify {
        /// The field.
        field: String,
        /// The token.
        token: String,
        /// Its index in the schema.
        expected: u32,
        /// What the packed file gives.
        found: u32,
    },
}

/// How a vocabulary is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bits by which unseen tokens are told, 0 to [`MAX_FINGERPRINT_BITS`].
    pub fingerprint_bits: u8,
    /// Whether rows of full tables are numbered anew, as their tokens' slots are, which saves the bits of indices, or
    /// in the order of tokens that are integers, which then take a bit for each integer between the least and the
    /// largest where that is less. The file then takes raw values, and no rows of indices that were made with the
    /// schema.
    pub renumber: bool,
    /// Whether the tokens' text is kept too, so that indices have names, and no unseen token is taken for another.
    pub keep_tokens: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { fingerprint_bits: FINGERPRINT_BITS, renumber: false, keep_tokens: false }
    }
}

/// By field that is numbered anew: the index that was before, of each from 1 on.
type Orders = Vec<Option<Vec<u32>>>;

/// The same model with what raw values mean. What the file had of it before is replaced.
///
/// # Errors
/// [`VocabularyError`].
pub fn attach(packed: &[u8], schema: &Schema, options: Options) -> Result<Packed, VocabularyError> {
    if options.fingerprint_bits > MAX_FINGERPRINT_BITS {
        return Err(VocabularyError::FingerprintBits { found: options.fingerprint_bits });
    }
    let model = load(packed)?;
    let manifest = model.manifest().map_err(PackError::Refused)?;
    check_fields(&model, &manifest, schema)?;
    let source = Source { file: packed, manifest: &manifest };
    let fields = source.numbers::<FieldRecord>(SectionKind::Fields);
    let (sections, orders) = Sections::of(schema, fields, options)?;
    let schema = &renumbered(schema, &orders);
    let mut file = FileWriter::default();
    for section in manifest.sections.iter().filter(|s| !SECTIONS.iter().any(|&kind| kind as u8 == s.kind)) {
        let bytes = source.bytes(section.kind);
        match SectionKind::from_number(section.kind) {
            Some(SectionKind::Tables) => file.raw(section.kind, &tables(&manifest, fields, &orders, bytes)),
            Some(SectionKind::FeatureWeights) => file.raw(section.kind, &weights(&manifest, fields, &orders, bytes)),
            _ => file.raw(section.kind, bytes),
        }
    }
    file.optional(SectionKind::Encoders, &sections.records);
    file.optional(SectionKind::Pilots, &sections.pilots);
    file.optional(SectionKind::Slots, &sections.slots);
    file.optional(SectionKind::Steps, &sections.steps);
    if let Some(input) = &schema.input {
        let json = serde_json::to_vec(input).map_err(|error| VocabularyError::Schema { what: error.to_string() })?;
        file.optional(SectionKind::RawInput, &json);
    }
    if options.keep_tokens {
        file.optional(SectionKind::Tokens, &texts::section(schema)?);
    }
    let vocabulary = Vocabulary::of(schema).to_bytes();
    let packed = file.write(Manifest { sections: Default::default(), vocabulary: &vocabulary, ..manifest.clone() })?;
    verify(&packed, schema)?;
    Ok(packed)
}

/// By field: what its raw values take in the file, rules included; nothing where the file has none.
pub fn bytes(model: &Model<'_>) -> Vec<u64> {
    let records = model.section(SectionKind::Encoders).unwrap_or_default();
    let records = <[EncoderRecord]>::ref_from_bytes(records).unwrap_or_default();
    let of = |record: &EncoderRecord| {
        let steps = u64::from(record.steps.get()) * size_of::<Step>() as u64;
        size_of::<EncoderRecord>() as u64 + u64::from(record.buckets.get()) + record.slot_bytes() + steps
    };
    let moved = |(record, field): (&EncoderRecord, xsfm_runtime::schema::Field<'_>)| {
        of(record) + 4 * u64::from(record.moved(field.features))
    };
    let texts = texts::bytes(model.section(SectionKind::Tokens).unwrap_or_default(), records.len());
    records.iter().zip(model.fields()).map(moved).zip(texts).map(|(rules, text)| rules + text).collect()
}

const SECTIONS: [SectionKind; 6] = [
    SectionKind::Encoders,
    SectionKind::Pilots,
    SectionKind::Slots,
    SectionKind::Steps,
    SectionKind::RawInput,
    SectionKind::Tokens,
];

fn load(packed: &[u8]) -> Result<Model<'_>, PackError> {
    Model::from_bytes_with(packed, LoadOptions::on(Backend::Portable)).map_err(PackError::Refused)
}

/// Indices of another schema would be those of other tokens.
fn check_fields(model: &Model<'_>, manifest: &Manifest<'_>, schema: &Schema) -> Result<(), VocabularyError> {
    let differs = |what: String| Err(VocabularyError::Schema { what });
    let (here, there) = (model.num_fields(), schema.fields.len());
    if here != there {
        return differs(format!("{there} fields, the model has {here}"));
    }
    for (f, (here, there)) in model.fields().zip(&schema.fields).enumerate() {
        let differs_in = (here.name, here.features, here.bag, here.weighted)
            != (&there.name, there.features(), there.has_several(), there.is_weighted());
        if differs_in {
            return differs(format!(
                "field {f} is {:?}, {}, with {} indices; the model's is {:?} with {}",
                there.name,
                there.kind.name(),
                there.features(),
                here.name,
                here.features
            ));
        }
    }
    match Vocabulary::from_bytes(manifest.vocabulary) {
        Some(trained) if trained != Vocabulary::of(schema) => {
            differs(format!("its vocabulary is {}, the model's {trained}", Vocabulary::of(schema)))
        }
        _ => Ok(()),
    }
}

#[derive(Default)]
struct Sections {
    records: Vec<EncoderRecord>,
    pilots: Vec<u8>,
    slots: Vec<u8>,
    steps: Vec<Step>,
}

impl Sections {
    fn of(schema: &Schema, records: &[FieldRecord], options: Options) -> Result<(Self, Orders), VocabularyError> {
        let (mut sections, mut orders) = (Sections::default(), Orders::new());
        for (field, of_model) in schema.fields.iter().zip(records) {
            let mut record = rules(field, schema.input.as_ref())?;
            record.pilots_offset = narrow("pilots of all fields", sections.pilots.len())?.into();
            record.slots_offset = narrow("bytes of all slots", sections.slots.len())?.into();
            record.steps_offset = narrow("thresholds of all fields", sections.steps.len())?.into();
            match (field.kind, &field.encoding) {
                (_, Encoding::Hash(hashing)) => {
                    record.seed = hashing.seed.into();
                    orders.push(None);
                }
                (_, Encoding::Value(scale)) => {
                    sections.steps(&mut record, scale.numbers().map(|number| (number, 0)))?;
                    orders.push(None);
                }
                (_, Encoding::Interpolated(bounds)) => {
                    sections.steps(&mut record, bounds.as_slice().iter().copied().zip(1..))?;
                    orders.push(None);
                }
                (FieldKind::Numeric, _) => {
                    sections.number(field, &mut record)?;
                    orders.push(None);
                }
                (FieldKind::Categorical | FieldKind::Bag, encoding) => {
                    if let Encoding::OovBuckets(Hashing { buckets, seed }) = encoding {
                        (record.oov_buckets, record.oov_seed) = ((*buckets).into(), (*seed).into());
                    }
                    let renumber = options.renumber && of_model.composition == composition::FULL;
                    orders.push(sections.tokens(field, Options { renumber, ..options }, &mut record)?);
                }
            }
            sections.records.push(record);
        }
        if !sections.slots.is_empty() {
            sections.slots.extend([0; SLOTS_SLACK]);
        }
        Ok((sections, orders))
    }

    /// Thresholds of the intervals that have tokens; numbers between them are unseen ones.
    fn number(&mut self, field: &Field, record: &mut EncoderRecord) -> Result<(), VocabularyError> {
        let mut intervals = Vec::new();
        for (token, index) in field.vocabulary.iter().zip(1_u32..) {
            if token.is_empty() {
                record.missing = index.into();
                continue;
            }
            let bad = || VocabularyError::Number { field: field.name.clone(), token: token.clone() };
            intervals.push((field.interval(token).ok_or_else(bad)?, index));
        }
        intervals.sort_by(|(a, _), (b, _)| a.start.total_cmp(&b.start));
        let mut steps = Vec::new();
        for (n, (range, index)) in intervals.iter().enumerate() {
            steps.push((range.start, *index));
            // Numbers are finite: nothing is behind an infinite end.
            if range.end.is_finite() && intervals.get(n + 1).is_none_or(|(next, _)| next.start > range.end) {
                steps.push((range.end, 0));
            }
        }
        self.steps(record, steps)
    }

    /// Numbers, each with its index.
    fn steps(
        &mut self,
        record: &mut EncoderRecord,
        steps: impl IntoIterator<Item = (f64, u32)>,
    ) -> Result<(), VocabularyError> {
        let first = self.steps.len();
        let step = |(from, index): (f64, u32)| Step { from: order(from).into(), index: index.into() };
        self.steps.extend(steps.into_iter().map(step));
        record.steps = narrow("thresholds of a field", self.steps.len() - first)?.into();
        Ok(())
    }

    fn tokens(
        &mut self,
        field: &Field,
        Options { fingerprint_bits, renumber, .. }: Options,
        record: &mut EncoderRecord,
    ) -> Result<Option<Vec<u32>>, VocabularyError> {
        if field.vocabulary.is_empty() {
            return Ok(None);
        }
        record.fingerprint_bits = fingerprint_bits;
        let tokens = record.tokens(field.features());
        record.index_bits = if renumber { 0 } else { (u32::BITS - tokens.leading_zeros()) as u8 };
        let (hashes, found) = (0..ATTEMPTS)
            .find_map(|attempt| {
                record.seed = attempt.into();
                let hashes: Vec<TokenHash> =
                    field.vocabulary.iter().map(|token| record.hash(token.as_bytes())).collect();
                let found = hash::find(&hashes, attempt)?;
                Some((hashes, found))
            })
            .ok_or_else(|| VocabularyError::Hash { field: field.name.clone(), tokens: field.vocabulary.len() })?;
        record.buckets = narrow("pilots of a field", found.pilots.len())?.into();
        record.slots = found.slots.into();
        let hashed_bytes = record.slot_bytes() + 4 * u64::from(record.moved(field.features()));
        let hashed_bytes = hashed_bytes as usize + found.pilots.len();
        let integers = if renumber { Integers::of(&field.vocabulary, hashed_bytes) } else { None };
        if let Some(Integers { least, count, blocks, order }) = integers {
            record.kind = if record.is_bag() { kind::INTEGER_BAG } else { kind::INTEGER };
            (record.fingerprint_bits, record.buckets) = (0, 0.into());
            (record.seed, record.slots) = (least.into(), count.into());
            self.slots.extend(blocks);
            return Ok(Some(order));
        }
        let bits = record.slot_bits();
        let mut slots = vec![0; record.slot_bytes() as usize + SLOTS_SLACK];
        for (&hash, index) in hashes.iter().zip(1_u64..) {
            let index = if renumber { 0 } else { index << fingerprint_bits };
            let value = u64::from(hash.fingerprint(fingerprint_bits)) | index;
            let at = bits * u64::from(found.slot(hash));
            let bytes = &mut slots[(at / 8) as usize..][..8];
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            bytes.copy_from_slice(&(u64::from_le_bytes(word) | value << (at % 8)).to_le_bytes());
        }
        slots.truncate(record.slot_bytes() as usize);
        self.slots.extend(slots);
        let order = renumber.then(|| {
            let slots: Vec<u32> = hashes.iter().map(|&hash| found.slot(hash)).collect();
            let (order, moved) = number(&slots, found.slots);
            self.slots.extend(moved.iter().flat_map(|index| index.to_le_bytes()));
            order
        });
        self.pilots.extend(found.pilots);
        Ok(order)
    }
}

/// Numbers tokens by their slots: what index each from 1 on had before, and the indices of slots that are beyond the
/// number of tokens, which are the free ones among the others; 0 where such a slot is free itself.
fn number(slots: &[u32], count: u32) -> (Vec<u32>, Vec<u32>) {
    let tokens = slots.len();
    let (mut order, mut moved) = (vec![0; tokens], vec![0; (count as usize).saturating_sub(tokens)]);
    let of = |slot: &u32| *slot as usize;
    for (slot, before) in slots.iter().map(of).zip(1..).filter(|(slot, _)| *slot < tokens) {
        order[slot] = before;
    }
    let mut free: Vec<usize> = (0..tokens).rev().filter(|&slot| order[slot] == 0).collect();
    for (slot, before) in slots.iter().map(of).zip(1..).filter(|(slot, _)| *slot >= tokens) {
        // As many are free as are beyond.
        let Some(place) = free.pop() else { break };
        order[place] = before;
        moved[slot - tokens] = place as u32 + 1;
    }
    (order, moved)
}

/// The schema whose indices are the packed ones.
fn renumbered(schema: &Schema, orders: &Orders) -> Schema {
    let mut schema = schema.clone();
    for (field, order) in schema.fields.iter_mut().zip(orders) {
        if let Some(order) = order {
            field.vocabulary = order.iter().map(|&before| field.vocabulary[before as usize - 1].clone()).collect();
        }
    }
    schema
}

/// Rows of full tables in their new order.
fn tables(manifest: &Manifest<'_>, fields: &[FieldRecord], orders: &Orders, bytes: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    for (field, order) in fields.iter().zip(orders) {
        let dim = usize::from(manifest.embed_dim);
        let row = if field.bits == 4 { dim.div_ceil(2) } else { dim } * number_bytes(manifest);
        permute(&mut all, bytes, field.table_offset.get() as usize * number_bytes(manifest), row, order.as_deref());
    }
    all
}

/// Feature weights in their new order.
fn weights(manifest: &Manifest<'_>, fields: &[FieldRecord], orders: &Orders, bytes: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    for (field, order) in fields.iter().zip(orders) {
        let one = number_bytes(manifest);
        permute(&mut all, bytes, field.feature_offset.get() as usize * one, one, order.as_deref());
    }
    all
}

fn number_bytes(manifest: &Manifest<'_>) -> usize {
    if matches!(manifest.arithmetic, Arithmetic::F32 { .. }) { size_of::<f32>() } else { size_of::<i8>() }
}

/// Rows of `row` bytes from `first` on, but for the first of them, in a new order.
fn permute(to: &mut [u8], from: &[u8], first: usize, row: usize, order: Option<&[u32]>) {
    let place = |index: usize| first + index * row..first + (index + 1) * row;
    for (n, &before) in order.unwrap_or_default().iter().enumerate() {
        to[place(n + 1)].copy_from_slice(&from[place(before as usize)]);
    }
}

/// What happens to a field's text before it is looked up.
fn rules(field: &Field, input: Option<&Input>) -> Result<EncoderRecord, VocabularyError> {
    let mut record = EncoderRecord::new_zeroed();
    record.kind = match (field.kind, &field.encoding) {
        (FieldKind::Categorical, Encoding::Hash(_)) => kind::HASHED,
        (FieldKind::Bag, Encoding::Hash(_)) => kind::HASHED_BAG,
        (FieldKind::Categorical, _) => kind::TOKEN,
        (FieldKind::Bag, _) => kind::BAG,
        (FieldKind::Numeric, _) => kind::NUMBER,
    };
    record.weights = match (&field.encoding, field.weights) {
        (Encoding::Value(_), _) => weights::VALUE,
        (Encoding::Interpolated(_), _) => weights::INTERPOLATED,
        (_, None) => weights::NONE,
        (_, Some(Weights::Mean)) => weights::MEAN,
        (_, Some(Weights::Given)) => weights::GIVEN,
    }
    .into();
    let of_table = match input {
        Some(Input::Table(table)) => table.fields.iter().find(|column| column.name == field.name),
        _ => None,
    };
    if let Some(TableField { bytes: Some([from, to]), .. }) = of_table {
        record.cut_from = narrow("bytes of a value", *from)?.into();
        record.cut_to = narrow("bytes of a value", *to)?.into();
    }
    if field.kind == FieldKind::Bag {
        let keeps_last = of_table.is_some_and(|column| column.keep == Some(Keep::Last));
        record.keep_last = keeps_last.into();
        let most = match input {
            Some(Input::Recsys2020 { .. }) => RECSYS_MAX_BAG,
            _ => of_table.and_then(|column| column.max_bag).unwrap_or(MAX_BAG).min(MAX_BAG),
        };
        record.max_bag = (most as u16).into();
        let separator = match input {
            Some(Input::Recsys2020 { .. }) => "\t",
            _ => of_table.and_then(|column| column.separator.as_deref()).unwrap_or(SEPARATOR),
        };
        let bytes = separator.as_bytes();
        let too_long = || VocabularyError::Separator { field: field.name.clone(), separator: separator.to_owned() };
        let room = record.separator.get_mut(1..=bytes.len()).ok_or_else(too_long)?;
        room.copy_from_slice(bytes);
        record.separator[0] = bytes.len() as u8;
    }
    Ok(record)
}

/// Every token of the vocabulary has its index, and so has the first number of each token of numbers; of hashed fields,
/// which have any tokens, a few do, and of numbers that are weights some have the same ones. Where text is kept, every
/// index has its token.
fn verify(packed: &Packed, schema: &Schema) -> Result<(), VocabularyError> {
    let model = load(packed)?;
    let Some(encoder) = model.encoder().map_err(PackError::Refused)? else { return Ok(()) };
    for (f, field) in schema.fields.iter().enumerate() {
        if let Encoding::Hash(_) = &field.encoding {
            let by_schema = field.encoder();
            for token in ["", "0", "a", "token", "é", "what is longer than a stripe of thirty-two bytes"] {
                check_index(field, token, by_schema.index_of(token), encoder.index_of(f, token).unwrap_or(0))?;
            }
        }
        verify_numbers(&encoder, f, field)?;
        for (token, expected) in field.vocabulary.iter().zip(1..) {
            let number = if field.kind == FieldKind::Numeric { field.interval(token) } else { None };
            let text = number.map(|range| range.start.to_string());
            // A text that is no number, which `Sections::number` has refused, would have no index.
            let found = encoder.index_of(f, text.as_deref().unwrap_or(token)).unwrap_or(0);
            check_index(field, token, expected, found)?;
            if encoder.has_tokens() && encoder.token(f, expected) != Some(token) {
                check_index(field, token, expected, 0)?;
            }
        }
    }
    Ok(())
}

/// That numbers have the same indices and weights by the schema and by the file, where they have weights.
fn verify_numbers(encoder: &Encoder<'_>, f: usize, field: &Field) -> Result<(), VocabularyError> {
    let numbers: Vec<f64> = match &field.encoding {
        Encoding::Value(scale) => {
            let [centre, width] = scale.numbers();
            [-9.0, -1.5, 0.0, 1.0, 9.0].map(|distance| centre + distance * width).to_vec()
        }
        Encoding::Interpolated(bounds) => {
            let between = |two: &[f64]| [two[0], two[0] / 4.0 * 3.0 + two[1] / 4.0];
            let ends = [f64::MIN, f64::MAX].into_iter().chain(bounds.as_slice().last().copied());
            ends.chain(bounds.as_slice().windows(2).flat_map(between)).collect()
        }
        Encoding::Tokens | Encoding::Bounds(_) | Encoding::Hash(_) | Encoding::OovBuckets(_) => return Ok(()),
    };
    let by_schema = field.encoder();
    for text in numbers.iter().filter(|number| number.is_finite()).map(f64::to_string).chain([String::new()]) {
        let expected =
            by_schema.weighted(&text).into_iter().flat_map(|(first, second)| [Some(first), second]).flatten();
        let expected: Vec<u32> = expected.flat_map(|(index, weight)| [index, weight.word()]).collect();
        let mut words = [0; 4];
        let found = encoder.encode_cut(f, [(text.as_str(), Weight::ONE)].into_iter(), &mut words).unwrap_or(0);
        let found = words.get(..found).unwrap_or_default();
        if found != expected {
            let at = |words: &[u32]| words.first().copied().unwrap_or(0);
            return Err(VocabularyError::Verify {
                field: field.name.clone(),
                expected: at(&expected),
                found: at(found),
                token: text,
            });
        }
    }
    Ok(())
}

fn check_index(field: &Field, token: &str, expected: u32, found: u32) -> Result<(), VocabularyError> {
    let (field, token) = (field.name.clone(), token.to_owned());
    if found == expected { Ok(()) } else { Err(VocabularyError::Verify { field, token, expected, found }) }
}

//! From bytes to a model: every number that scoring relies on is checked here, once.
//!
//! After [`load`] has accepted the bytes, offsets lie inside their sections, shapes fit each other, and no integer sum can
//! leave its type (`format::limit`), whatever the tables and weights hold.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::embedding::{Composition, Embedding};
use crate::error::LoadError;
use crate::format::{
    Arithmetic, CRC, FIRST_OPTIONAL_KIND, FieldRecord, LayerRecord, MAGIC, Manifest, Prefix, SECTION_ALIGNMENT,
    SectionKind, VERSION, composition, limit,
};
use crate::interaction::FieldInteraction;
use crate::linear::{FeatureWeight, FieldVector};
use crate::mlp::Mlp;
use crate::model::{Network, Parts};

/// Whether to read every byte of the body for its checksum.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Body {
    Verify,
    Trust,
}

/// The file without trailing bytes, and its manifest.
pub(crate) fn manifest(bytes: &[u8], body: Body) -> Result<(&[u8], Manifest<'_>), LoadError> {
    let found = bytes.len() as u64;
    let (prefix, _) =
        Prefix::ref_from_prefix(bytes).map_err(|_| LoadError::Truncated { needed: Prefix::LEN as u64, found })?;
    if prefix.magic != MAGIC {
        return Err(LoadError::NotXsfm);
    }
    let (stored, computed) = (prefix.prefix_crc.get(), prefix.checksum());
    if stored != computed {
        return Err(LoadError::PrefixChecksum { stored, computed });
    }
    if prefix.version.get() == 0 || prefix.version.get() > VERSION {
        return Err(LoadError::Version { supported: VERSION, found: prefix.version.get() });
    }
    equal("reserved bytes of prefix", 0, 0, prefix.reserved.get())?;
    let needed = prefix.file_len.get();
    let file = usize::try_from(needed).ok().and_then(|len| bytes.get(..len));
    let file = file.ok_or(LoadError::Truncated { needed, found })?;
    let end = Prefix::LEN as u64 + u64::from(prefix.manifest_len.get());
    let manifest = usize::try_from(end).ok().and_then(|end| file.get(Prefix::LEN..end));
    let manifest = manifest.ok_or(LoadError::Truncated { needed: end, found: needed })?;
    if body == Body::Verify {
        let (stored, computed) = (prefix.body_crc.get(), CRC.checksum(&file[Prefix::LEN..]));
        if stored != computed {
            return Err(LoadError::Checksum { stored, computed });
        }
    }
    let (manifest, rest) = postcard::take_from_bytes::<Manifest<'_>>(manifest).map_err(|_| LoadError::Manifest)?;
    if !rest.is_empty() {
        return Err(LoadError::Manifest);
    }
    check_sections(&manifest, end, needed)?;
    Ok((file, manifest))
}

/// Sections follow the manifest in the order of their offsets, aligned, inside the file, without overlap.
fn check_sections(manifest: &Manifest<'_>, manifest_end: u64, file_len: u64) -> Result<(), LoadError> {
    let mut free_from = manifest_end;
    for (number, section) in manifest.sections.iter().enumerate() {
        let (kind, offset, len) = (section.kind, section.offset, section.len);
        if kind < FIRST_OPTIONAL_KIND && SectionKind::from_number(kind).is_none() {
            return Err(LoadError::UnknownSection { kind });
        }
        let end = offset.checked_add(len).filter(|&end| end <= file_len);
        let repeated = manifest.sections[..number].iter().any(|other| other.kind == kind);
        match end {
            Some(end) if offset >= free_from && offset % SECTION_ALIGNMENT as u64 == 0 && !repeated => free_from = end,
            _ => return Err(LoadError::SectionBounds { kind, offset, len }),
        }
    }
    Ok(())
}

/// The sections of a file whose manifest has been checked.
struct Sections<'a, 'm> {
    file: &'a [u8],
    manifest: &'m Manifest<'a>,
}

impl<'a> Sections<'a, '_> {
    fn has(&self, kind: SectionKind) -> bool {
        self.manifest.sections.iter().any(|section| section.kind == kind as u8)
    }

    /// All numbers of a section; none where the file lacks it.
    fn numbers<T: FromBytes + Immutable + KnownLayout>(&self, kind: SectionKind) -> Result<&'a [T], LoadError> {
        let Some(section) = self.manifest.sections.iter().find(|section| section.kind == kind as u8) else {
            return Ok(&[]);
        };
        // In range: `check_sections` compared both with the length of `file`.
        let bytes = &self.file[section.offset as usize..][..section.len as usize];
        <[T]>::ref_from_bytes(bytes).map_err(|error| match error {
            zerocopy::ConvertError::Alignment(_) => {
                LoadError::Misaligned { section: kind, required: align_of::<T>() as u64 }
            }
            _ => {
                let size = size_of::<T>() as u64;
                LoadError::SectionSize { section: kind, expected: section.len / size * size, found: section.len }
            }
        })
    }

    /// A section that must be there, or must not, and hold `count` numbers.
    fn exactly<T: FromBytes + Immutable + KnownLayout>(
        &self,
        kind: SectionKind,
        wanted: bool,
        count: u64,
    ) -> Result<&'a [T], LoadError> {
        if self.has(kind) != wanted {
            return Err(LoadError::SectionPresence { section: kind, found: !wanted });
        }
        let numbers = self.numbers::<T>(kind)?;
        let (expected, found) =
            (count.saturating_mul(size_of::<T>() as u64), (numbers.len() as u64) * size_of::<T>() as u64);
        if wanted && expected != found {
            return Err(LoadError::SectionSize { section: kind, expected, found });
        }
        Ok(numbers)
    }
}

/// A number as errors show it; what does not fit is shown as the largest.
fn shown(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// `found` must be in `least..=most`.
fn within(
    what: &'static str,
    at: usize,
    least: i64,
    most: impl TryInto<i64>,
    found: impl TryInto<i64>,
) -> Result<(), LoadError> {
    let (most, found) = (shown(most), shown(found));
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(LoadError::Value { what, at: at as u32, least, most, found })
    }
}

/// `found` must be `expected`.
fn equal(what: &'static str, at: usize, expected: u64, found: impl Into<u64>) -> Result<(), LoadError> {
    let found = found.into();
    if expected == found {
        Ok(())
    } else {
        let only = shown(expected);
        Err(LoadError::Value { what, at: at as u32, least: only, most: only, found: shown(found) })
    }
}

/// Checks everything and borrows the parts.
pub(crate) fn load<'a>(file: &'a [u8], manifest: &Manifest<'a>) -> Result<(Parts<'a>, &'a [FieldRecord]), LoadError> {
    let (num_fields, dim) = (usize::from(manifest.num_fields), usize::from(manifest.embed_dim));
    within("number of fields", 0, 1, limit::FIELDS, num_fields)?;
    within("embed_dim", 0, 1, limit::EMBED_DIM, dim)?;
    check_names(manifest.field_names, num_fields)?;
    let sections = Sections { file, manifest };
    let fields = sections.exactly::<FieldRecord>(SectionKind::Fields, true, num_fields as u64)?;
    let parts = match manifest.arithmetic {
        Arithmetic::F32 { bias } => Parts::F32(network::<f32, f32, f32>(&sections, fields, dim, bias, false)?),
        Arithmetic::Int8 { bias, terms } => {
            let network = network::<i8, i16, i32>(&sections, fields, dim, bias, true)?;
            let terms_in_order = [terms.feature_weight, terms.field_vector, terms.interaction, terms.mlp];
            for (t, term) in terms_in_order.into_iter().enumerate() {
                within("mantissa of term", t, 0, (1 << 23) - 1, term.mantissa)?;
                within("shift of term", t, 1, 62, term.shift)?;
            }
            check_sums(&network)?;
            Parts::Int8(network, terms)
        }
    };
    Ok((parts, fields))
}

/// The names are as many postcard strings as there are fields, and nothing else.
fn check_names(mut names: &[u8], num_fields: usize) -> Result<(), LoadError> {
    let mut found = 0;
    while !names.is_empty() {
        let (_, rest) = postcard::take_from_bytes::<&str>(names).map_err(|_| LoadError::Manifest)?;
        names = rest;
        found += 1;
    }
    equal("number of field names", 0, num_fields as u64, found as u64)
}

/// All parts, with W the type of weights, C of coefficients and B of biases.
fn network<'a, W, C, B>(
    sections: &Sections<'a, '_>,
    fields: &'a [FieldRecord],
    dim: usize,
    bias: B,
    int8: bool,
) -> Result<Network<'a, W, C, B>, LoadError>
where
    W: FromBytes + Immutable + KnownLayout,
    C: FromBytes + Immutable + KnownLayout,
    B: FromBytes + Immutable + KnownLayout,
{
    use SectionKind::*;
    let (table_numbers, features) = check_fields(fields, dim, int8)?;
    let inputs = fields.len() * dim;
    let embedding = Embedding { fields, tables: sections.exactly::<W>(Tables, true, table_numbers)?, dim };

    let has_feature_weight = sections.has(FeatureWeights);
    let weights = sections.exactly::<W>(FeatureWeights, has_feature_weight, features)?;
    let coefficients = sections.exactly::<i16>(FeatureCoefficients, has_feature_weight && int8, fields.len() as u64)?;
    let feature_weight = has_feature_weight.then_some(FeatureWeight { weights, coefficients });

    let has_field_vector = sections.has(FieldVectors);
    let vectors = sections.exactly::<C>(FieldVectors, has_field_vector, inputs as u64)?;
    let field_vector = has_field_vector.then_some(FieldVector(vectors));

    let interaction = if sections.has(PairIndices) {
        let pairs = sections.numbers::<[u8; 2]>(PairIndices)?;
        check_pairs(pairs, fields.len())?;
        FieldInteraction::Pruned(pairs, sections.exactly::<C>(PairWeights, true, pairs.len() as u64)?)
    } else if sections.has(PairWeights) {
        let pairs = fields.len() * (fields.len() - 1) / 2;
        FieldInteraction::Dense(sections.exactly::<C>(PairWeights, true, pairs as u64)?)
    } else {
        FieldInteraction::None
    };

    let has_mlp = sections.has(Layers);
    let layers = sections.numbers::<LayerRecord>(Layers)?;
    let (layer_weights, channels) = if has_mlp { check_layers(layers, inputs)? } else { (0, 0) };
    let weights = sections.exactly::<W>(LayerWeights, has_mlp, layer_weights)?;
    let biases = sections.exactly::<B>(LayerBiases, has_mlp, channels)?;
    let multipliers = sections.exactly::<i32>(LayerMultipliers, has_mlp && int8, channels)?;
    let mlp = has_mlp.then_some(Mlp { layers, weights, biases, multipliers });

    Ok(Network { embedding, feature_weight, field_vector, interaction, mlp, bias })
}

/// Numbers in all tables, and features of all fields.
fn check_fields(fields: &[FieldRecord], dim: usize, int8: bool) -> Result<(u64, u64), LoadError> {
    let (mut numbers, mut features) = (0_u64, 0_u64);
    for (f, record) in fields.iter().enumerate() {
        let is_qr = record.composition != composition::FULL;
        within("composition of field", f, 0, composition::CONCAT, record.composition)?;
        within("bag flag of field", f, 0, 1, record.bag)?;
        let reserved = record.reserved.into_iter().map(u64::from).sum::<u64>() + u64::from(record.reserved_2.get());
        equal("reserved bytes of field", f, 0, reserved)?;
        within("features of field", f, 1, u32::MAX, record.features.get())?;
        equal("presence of collisions in field", f, is_qr.into(), record.collisions.get() != 0)?;
        if record.composition == composition::CONCAT {
            equal("embed_dim modulo 2, for concatenation in field", f, 0, dim as u64 % 2)?;
        }
        equal("table offset of field", f, numbers, record.table_offset.get())?;
        equal("feature offset of field", f, features, record.feature_offset.get())?;
        let composition = Composition::of(record);
        let is_copied = !int8 || (record.bag == 0 && composition.is_copy());
        within("multiplier of field", f, 0, if is_copied { 0 } else { i32::MAX }, record.multiplier.get())?;
        let (first, second, columns) = composition.tables(record.features.get(), dim);
        numbers += (first as u64 + second as u64) * columns as u64;
        features += u64::from(record.features.get());
    }
    Ok((numbers, features))
}

/// Pairs ascend strictly, and each is `i < j < num_fields`.
fn check_pairs(pairs: &[[u8; 2]], num_fields: usize) -> Result<(), LoadError> {
    let mut before = None;
    for (p, &pair) in pairs.iter().enumerate() {
        within("second field of pair", p, 1, num_fields - 1, pair[1])?;
        within("first field of pair", p, 0, pair[1] - 1, pair[0])?;
        equal("ascending order of pair", p, 1, before < Some(pair))?;
        before = Some(pair);
    }
    Ok(())
}

/// Weights and channels of all layers.
fn check_layers(layers: &[LayerRecord], inputs: usize) -> Result<(u64, u64), LoadError> {
    let (mut weights, mut channels, mut width) = (0_u64, 0_u64, inputs as u64);
    for (l, record) in layers.iter().enumerate() {
        equal("inputs of layer", l, width, record.inputs.get())?;
        within("inputs of layer", l, 1, limit::LAYER_INPUTS, record.inputs.get())?;
        within("outputs of layer", l, 1, limit::LAYER_INPUTS, record.outputs.get())?;
        equal("weight offset of layer", l, weights, record.weight_offset.get())?;
        equal("channel offset of layer", l, channels, record.channel_offset.get())?;
        let reserved = record.reserved.iter().map(|word| u64::from(word.get())).sum::<u64>();
        equal("reserved bytes of layer", l, 0, reserved)?;
        width = record.outputs.get().into();
        weights += u64::from(record.inputs.get()) * width;
        channels += width;
    }
    equal("outputs of the last layer", layers.len().saturating_sub(1), 1, if layers.is_empty() { 0 } else { width })?;
    Ok((weights, channels))
}

/// No integer sum can leave its type.
fn check_sums(network: &Network<'_, i8, i16, i32>) -> Result<(), LoadError> {
    let magnitude = |values: &[i16]| values.iter().map(|&v| i64::from(v).abs()).sum::<i64>();
    if let Some(FieldVector(vectors)) = network.field_vector {
        within("sum of field vectors", 0, 0, limit::FIELD_VECTOR_SUM, magnitude(vectors))?;
    }
    if let FieldInteraction::Dense(weights) | FieldInteraction::Pruned(_, weights) = network.interaction {
        within("sum of pair weights", 0, 0, limit::PAIR_SUM, magnitude(weights))?;
    }
    if let Some(mlp) = &network.mlp {
        for (channel, (&bias, &multiplier)) in mlp.biases.iter().zip(mlp.multipliers).enumerate() {
            within("magnitude of layer bias in channel", channel, 0, limit::BIAS, bias.unsigned_abs())?;
            within("multiplier of channel", channel, 0, i32::MAX, multiplier)?;
        }
    }
    Ok(())
}

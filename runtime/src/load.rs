//! From bytes to a model: every number that scoring relies on is checked here, once.
//!
//! After [`load`] has accepted the bytes, offsets lie inside their sections, shapes fit each other, and no integer sum
//! can leave its type (`format::limit`), whatever the tables and weights hold.

use std::alloc;

use zerocopy::FromBytes;

use crate::embedding::{Composition, Embedding};
use crate::error::LoadError;
use crate::format::layout::{Bias, Weight, tile};
use crate::format::{
    Arithmetic, CRC, FIRST_OPTIONAL_KIND, FieldRecord, Head, LayerRecord, Layout, MAGIC, Mode, Prefix, Reader,
    SECTION_ALIGNMENT, Section, SectionKind, Term, Terms, VERSION, composition, limit,
};
use crate::interaction::{Coefficient, FieldInteraction, LowRank};
use crate::linear::{FeatureWeight, FieldVector};
use crate::mlp::{Layer, Layers, Mlp, shape};
use crate::network::{Fwfm, Network};
use crate::run::{rows, run};
use crate::scratch::Plain;

/// What was read, or why the bytes are not a model.
type Loaded<T> = Result<T, LoadError>;

/// Whether to read every byte of the body for its checksum.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Body {
    Verify,
    Trust,
}

/// The file without trailing bytes, and its manifest, whose strings nobody has looked at.
pub(crate) fn head(bytes: &[u8], body: Body) -> Loaded<(&[u8], Head<'_>)> {
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
        let (stored, computed) = (prefix.body_crc.get(), CRC.checksum(file.get(Prefix::LEN..).unwrap_or_default()));
        if stored != computed {
            return Err(LoadError::Checksum { stored, computed });
        }
    }
    let head = Head::read(manifest, prefix.version.get()).ok_or(LoadError::Manifest)?;
    check_sections(&head, end, needed)?;
    Ok((file, head))
}

/// Sections follow the manifest in the order of their offsets, aligned, inside the file, without overlap.
fn check_sections(head: &Head<'_>, manifest_end: u64, file_len: u64) -> Loaded<()> {
    let mut free_from = manifest_end;
    for (number, section) in head.sections().enumerate() {
        let (kind, offset, len) = (section.kind, u64::from(section.offset), u64::from(section.len));
        if kind < FIRST_OPTIONAL_KIND && SectionKind::from_number(kind).is_none() {
            return Err(LoadError::UnknownSection { kind });
        }
        let end = offset.checked_add(len).filter(|&end| end <= file_len);
        let repeated = head.sections().take(number).any(|other| other.kind == kind);
        match end {
            Some(end) if offset >= free_from && offset % SECTION_ALIGNMENT as u64 == 0 && !repeated => free_from = end,
            _ => return Err(LoadError::SectionBounds { kind, offset, len }),
        }
    }
    Ok(())
}

/// The bytes of a section of a file whose manifest has been checked; `None` where the file lacks it.
pub(crate) fn section<'a>(file: &'a [u8], head: &Head<'a>, kind: SectionKind) -> Option<&'a [u8]> {
    let section = head.sections().find(|section| section.kind == kind as u8)?;
    // In range: `check_sections` compared both with the length of `file`.
    Some(run(file, section.offset as usize, section.len as usize))
}

/// The sections of a file whose manifest has been checked.
struct Sections<'a, 'h> {
    file: &'a [u8],
    head: &'h Head<'a>,
}

impl<'a> Sections<'a, '_> {
    fn find(&self, kind: SectionKind) -> Option<Section> {
        self.head.sections().find(|section| section.kind == kind as u8)
    }

    fn has(&self, kind: SectionKind) -> bool {
        self.find(kind).is_some()
    }

    /// The bytes of a section, none where the file lacks it: whole numbers of this layout, at an address for them.
    // Out of line, as the next: small programs have it once, and not for each type of numbers.
    #[inline(never)]
    fn bytes(&self, kind: SectionKind, number: alloc::Layout) -> Loaded<&'a [u8]> {
        let Some(section) = self.find(kind) else { return Ok(&[]) };
        // In range: `check_sections` compared both with the length of `file`.
        let bytes = run(self.file, section.offset as usize, section.len as usize);
        if !bytes.as_ptr().addr().is_multiple_of(number.align()) {
            return Err(LoadError::Misaligned { section: kind, required: number.align() as u64 });
        }
        let left_over = bytes.len() % number.size();
        if left_over != 0 {
            let found = bytes.len() as u64;
            return Err(LoadError::SectionSize { section: kind, expected: found - left_over as u64, found });
        }
        Ok(bytes)
    }

    /// The bytes of a section that must be there, or must not, and hold `count` numbers of this layout.
    #[inline(never)]
    fn exact_bytes(&self, kind: SectionKind, wanted: bool, count: u64, number: alloc::Layout) -> Loaded<&'a [u8]> {
        let found = self.find(kind).map(|section| u64::from(section.len));
        if found.is_some() != wanted {
            return Err(LoadError::SectionPresence { section: kind, found: !wanted });
        }
        let expected = count.saturating_mul(number.size() as u64);
        match found {
            Some(found) if found != expected => Err(LoadError::SectionSize { section: kind, expected, found }),
            _ => self.bytes(kind, number),
        }
    }

    /// All numbers of a section; none where the file lacks it.
    // Inlined, as the next: a program that does not look at errors has no code then that passes them on.
    #[inline(always)]
    fn numbers<T: Plain>(&self, kind: SectionKind) -> Loaded<&'a [T]> {
        Ok(in_place(self.bytes(kind, alloc::Layout::new::<T>())?))
    }

    /// A section that must be there, or must not, and hold `count` numbers.
    #[inline(always)]
    fn exactly<T: Plain>(&self, kind: SectionKind, wanted: bool, count: u64) -> Loaded<&'a [T]> {
        Ok(in_place(self.exact_bytes(kind, wanted, count, alloc::Layout::new::<T>())?))
    }
}

/// Bytes of a section, of whose size and address [`Sections::bytes`] has seen to, as the numbers that they are.
pub(crate) fn in_place<T: Plain>(bytes: &[u8]) -> &[T] {
    <[T]>::ref_from_bytes(bytes).unwrap_or_default()
}

/// A number as errors show it; what does not fit is shown as the largest.
fn shown(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// `found` must be in `least..=most`.
fn within(what: &'static str, at: usize, least: i64, most: impl TryInto<i64>, found: impl TryInto<i64>) -> Loaded<()> {
    let (most, found) = (shown(most), shown(found));
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(LoadError::Value { what, at: at as u32, least, most, found })
    }
}

/// `found` must be `expected`.
fn equal(what: &'static str, at: usize, expected: u64, found: impl Into<u64>) -> Loaded<()> {
    let found = found.into();
    if expected == found {
        Ok(())
    } else {
        let only = shown(expected);
        Err(LoadError::Value { what, at: at as u32, least: only, most: only, found: shown(found) })
    }
}

/// Checks everything and borrows the parts.
pub(crate) fn load<'a>(file: &'a [u8], head: &Head<'a>) -> Loaded<(Network<'a>, &'a [FieldRecord])> {
    let (sections, fields, dim) = fields(file, head)?;
    head.strings().ok_or(LoadError::Manifest)?;
    check_names(Reader(head.field_names), fields.len())?;
    let inputs = fields.len() * dim;
    let parts = match head.arithmetic() {
        Arithmetic::F32 { bias } => {
            let fwfm = fwfm::<f32, f32>(&sections, fields, dim, Takes { int8: false, weights: true })?;
            Network::F32 { fwfm, mlp: mlp::<f32, f32, f32>(&sections, inputs, false)?, bias }
        }
        Arithmetic::Int8 { bias, terms } | Arithmetic::Dynamic { bias, terms } => {
            let (fwfm, terms) = (integers(&sections, fields, dim, true)?, checked(terms)?);
            let layers = if head.mode == Mode::Int8 {
                static_mlp(&sections, inputs)?.map(Layers::Static)
            } else {
                let mlp = mlp::<i8, f32, f32>(&sections, inputs, true)?;
                mlp.map(|mlp| check_dynamic(&mlp).map(|()| Layers::Dynamic(mlp))).transpose()?
            };
            Network::Int8 { fwfm, layers: layers.unwrap_or(Layers::None), bias, terms }
        }
    };
    Ok((parts, fields))
}

/// The same for int8 mode alone: the parts, the MLP, and the numbers that stand alone. Names are not looked at.
pub(crate) fn load_int8<'a>(file: &'a [u8], head: &Head<'a>) -> Loaded<Int8Parts<'a>> {
    let number = match head.mode {
        Mode::F32 => 0_u32,
        Mode::Int8 => 1,
        Mode::Dynamic => 2,
    };
    equal("arithmetic (0: f32, 1: int8, 2: dynamic) of file", 0, 1, number)?;
    let (sections, fields, dim) = fields(file, head)?;
    let (fwfm, terms) = (integers(&sections, fields, dim, false)?, checked(head.terms)?);
    Ok((fwfm, static_mlp(&sections, fields.len() * dim)?, head.bias.cast_signed(), terms))
}

/// What an int8 model consists of.
pub(crate) type Int8Parts<'a> = (Fwfm<'a, i8, i16>, Option<Mlp<'a, i8, i32, i32>>, i32, Terms);

/// The sections, the fields' records, and the length of their vectors.
fn fields<'a, 'h>(file: &'a [u8], head: &'h Head<'a>) -> Loaded<(Sections<'a, 'h>, &'a [FieldRecord], usize)> {
    let (num_fields, dim) = (usize::from(head.num_fields), usize::from(head.embed_dim));
    within("number of fields", 0, 1, limit::FIELDS, num_fields)?;
    within("embed_dim", 0, 1, limit::EMBED_DIM, dim)?;
    let sections = Sections { file, head };
    let fields = sections.exactly::<FieldRecord>(SectionKind::Fields, true, num_fields as u64)?;
    Ok((sections, fields, dim))
}

/// All parts but the MLP, in integers.
fn integers<'a>(
    sections: &Sections<'a, '_>,
    fields: &'a [FieldRecord],
    dim: usize,
    weights: bool,
) -> Loaded<Fwfm<'a, i8, i16>> {
    let fwfm = fwfm::<i8, i16>(sections, fields, dim, Takes { int8: true, weights })?;
    check_sums(&fwfm)?;
    Ok(fwfm)
}

/// The terms, whose mantissas and shifts are in range. Made anew one by one, they need no `memcpy` in a small program.
fn checked(terms: Terms) -> Loaded<Terms> {
    let term = |t, Term { mantissa, shift }| {
        within("mantissa of term", t, 0, (1 << 23) - 1, mantissa)?;
        within("shift of term", t, 1, 62, shift)?;
        Ok(Term { mantissa, shift })
    };
    Ok(Terms {
        feature_weight: term(0, terms.feature_weight)?,
        field_vector: term(1, terms.field_vector)?,
        interaction: term(2, terms.interaction)?,
        mlp: term(3, terms.mlp)?,
    })
}

/// The MLP of int8 mode.
fn static_mlp<'a>(sections: &Sections<'a, '_>, inputs: usize) -> Loaded<Option<Mlp<'a, i8, i32, i32>>> {
    let mlp = mlp::<i8, i32, i32>(sections, inputs, true)?;
    if let Some(mlp) = &mlp {
        check_static(mlp)?;
    }
    Ok(mlp)
}

/// The names are as many postcard strings as there are fields, and nothing else.
fn check_names(mut names: Reader<'_>, num_fields: usize) -> Loaded<()> {
    let mut found = 0;
    while !names.0.is_empty() {
        names.string().ok_or(LoadError::Manifest)?;
        found += 1;
    }
    equal("number of field names", 0, num_fields as u64, found as u64)
}

/// What fields may have.
#[derive(Clone, Copy)]
struct Takes {
    /// Multipliers, and tables of four bits.
    int8: bool,
    /// Indices with weights, which [`Int8Model`](crate::Int8Model) has no code for.
    weights: bool,
}

/// All parts but the MLP, with W the type of weights and C of coefficients.
fn fwfm<'a, W: Plain, C: Coefficient + Plain>(
    sections: &Sections<'a, '_>,
    fields: &'a [FieldRecord],
    dim: usize,
    takes: Takes,
) -> Loaded<Fwfm<'a, W, C>> {
    use SectionKind::*;
    let (table_numbers, features) = check_fields(fields, dim, takes)?;
    let embedding = Embedding::new(fields, sections.exactly::<W>(Tables, true, table_numbers)?, dim);

    let has_feature_weight = sections.has(FeatureWeights);
    let weights = sections.exactly::<W>(FeatureWeights, has_feature_weight, features)?;
    let coefficients =
        sections.exactly::<i16>(FeatureCoefficients, has_feature_weight && takes.int8, fields.len() as u64)?;
    let feature_weight = has_feature_weight.then_some(FeatureWeight { weights, coefficients });

    let has_field_vector = sections.has(FieldVectors);
    let vectors = sections.exactly::<C>(FieldVectors, has_field_vector, (fields.len() * dim) as u64)?;
    let field_vector = has_field_vector.then_some(FieldVector(vectors));

    let signs = sections.numbers::<i8>(LowRankSigns)?;
    let is_low_rank = sections.has(LowRankSigns);
    let factors = sections.exactly::<C>(LowRankFactors, is_low_rank, (signs.len() * fields.len()) as u64)?;
    let diagonal = sections.exactly::<C::Square>(LowRankDiagonal, is_low_rank, fields.len() as u64)?;
    let interaction = if is_low_rank {
        check_signs(signs)?;
        for kind in [PairIndices, PairWeights] {
            sections.exactly::<u8>(kind, false, 0)?;
        }
        FieldInteraction::LowRank(LowRank { signs, factors, diagonal, begun: &[] })
    } else if sections.has(PairIndices) {
        let pairs = sections.numbers::<[u8; 2]>(PairIndices)?;
        check_pairs(pairs, fields.len())?;
        FieldInteraction::Pruned(pairs, sections.exactly::<C>(PairWeights, true, pairs.len() as u64)?)
    } else if sections.has(PairWeights) {
        let pairs = fields.len() * (fields.len() - 1) / 2;
        FieldInteraction::Dense(sections.exactly::<C>(PairWeights, true, pairs as u64)?)
    } else {
        FieldInteraction::None
    };
    Ok(Fwfm { embedding, feature_weight, field_vector, interaction })
}

/// Signs of a low-rank interaction: 1 to 64, each 1 or -1.
fn check_signs(signs: &[i8]) -> Loaded<()> {
    within("rank of the interaction", 0, 1, limit::RANK, signs.len())?;
    for (factor, &sign) in signs.iter().enumerate() {
        equal("magnitude of the sign of factor", factor, 1, sign.unsigned_abs())?;
    }
    Ok(())
}

/// The MLP, with W the type of weights, B of biases, M of multipliers, of which f32 mode has none.
fn mlp<'a, W: Weight + Number, B: Bias + Number, M: Number>(
    sections: &Sections<'a, '_>,
    inputs: usize,
    has_multipliers: bool,
) -> Loaded<Option<Mlp<'a, W, B, M>>> {
    use SectionKind::*;
    let has_mlp = sections.has(Layers);
    let layers = sections.numbers::<LayerRecord>(Layers)?;
    let (weights, channels) = if has_mlp { check_layers::<W>(layers, inputs, B::IN_STRIPS)? } else { (0, 0) };
    let weights = sections.exactly::<W>(LayerWeights, has_mlp, weights)?;
    let biases = sections.exactly::<B>(LayerBiases, has_mlp, channels)?;
    let multipliers = sections.exactly::<M>(LayerMultipliers, has_mlp && has_multipliers, channels)?;
    let is_tiled = layers.first().is_some_and(|record| record.layout.get() == Layout::Tiles.number());
    let has_sums = is_tiled && W::DEPTH > 1;
    let sums = sections.exactly::<i32>(LayerSums, has_sums, channels)?;
    let mlp = Mlp { layers, weights, biases, multipliers, sums, first: None };
    if has_sums {
        check_layer_sums(&mlp)?;
    }
    if has_mlp {
        check_padding(&mlp)?;
    }
    if has_mlp && mlp.layout().is_strips() && weights.as_ptr().addr() % align_of::<u32>() != 0 {
        return Err(LoadError::Misaligned { section: LayerWeights, required: align_of::<u32>() as u64 });
    }
    Ok(has_mlp.then_some(mlp))
}

/// The sums are those of the weights, on which shifted inputs rely.
fn check_layer_sums<W: Weight, B: Bias, M: Copy>(mlp: &Mlp<'_, W, B, M>) -> Loaded<()> {
    let (hidden, _) = mlp.split();
    for (n, record) in mlp.layers.iter().take(hidden).enumerate() {
        let layer = mlp.layer(n);
        let tiles = rows(layer.weights, tile::OUTPUTS * layer.layout.inputs::<W>(layer.inputs));
        for (t, (tile, sums)) in tiles.zip(layer.sums.chunks_exact(tile::OUTPUTS)).enumerate() {
            let mut found = [0_i32; tile::OUTPUTS];
            for quads in tile.chunks_exact(tile::OUTPUTS * W::DEPTH) {
                for (sum, quad) in found.iter_mut().zip(quads.chunks_exact(W::DEPTH)) {
                    *sum += quad.iter().map(|&w| w.integer()).sum::<i32>();
                }
            }
            for (o, (&stored, &found)) in sums.iter().zip(&found).enumerate() {
                let channel = record.channel_offset.get() as usize + t * tile::OUTPUTS + o;
                within("sum of weights in channel", channel, found.into(), found, stored)?;
            }
        }
    }
    Ok(())
}

/// Padding is zero: what memory holds beside the inputs is nobody's, and outputs that are not the model's give nothing,
/// whichever back end computes them.
fn check_padding<W: Number + Weight, B: Number + Bias, M: Number>(mlp: &Mlp<'_, W, B, M>) -> Loaded<()> {
    let (hidden, _) = mlp.split();
    for (n, record) in mlp.layers.iter().take(hidden).enumerate() {
        let Layer { inputs, outputs, layout, weights, biases, multipliers, .. } = mlp.layer(n);
        for (o, bias) in biases.iter().enumerate() {
            let channel = record.channel_offset.get() as usize + o;
            let is_padding = o >= outputs;
            for i in if is_padding { 0 } else { inputs }..layout.inputs::<W>(inputs) {
                within("padding weight of channel", channel, 0, 0, layout.weight(weights, inputs, o, i).bits())?;
            }
            if is_padding {
                within("padding bias of channel", channel, 0, 0, bias.bits())?;
                within("padding multiplier of channel", channel, 0, 0, multipliers.get(o).map_or(0, |m| m.bits()))?;
            }
        }
    }
    Ok(())
}

/// A number of a layer.
trait Number: Plain {
    /// As an error shows it, in place of a real number its bits: 0 for zero alone.
    fn bits(self) -> i64;
}

macro_rules! numbers {
    ($($type:ty: $number:ident => $bits:expr;)*) => {$(
        impl Number for $type {
            fn bits(self) -> i64 {
                let $number = self;
                $bits.into()
            }
        }
    )*};
}

numbers! {
    i8: number => number;
    i32: number => number;
    f32: number => number.to_bits();
}

/// Numbers in all tables, and features of all fields.
fn check_fields(fields: &[FieldRecord], dim: usize, Takes { int8, weights }: Takes) -> Loaded<(u64, u64)> {
    let (mut numbers, mut features) = (0_u64, 0_u64);
    for (f, record) in fields.iter().enumerate() {
        let is_qr = record.composition != composition::FULL;
        within("composition of field", f, 0, composition::CONCAT, record.composition)?;
        within("bag flag of field", f, 0, 1, record.bag)?;
        let refused = if weights { 0 } else { record.weighted_features.get().into() };
        equal("reserved bytes, or features with weights, of field", f, 0, u64::from(record.reserved) + refused)?;
        equal("bits of the tables of field", f, if int8 && record.bits != 0 { 4 } else { 0 }, record.bits)?;
        if weights && record.is_weighted() {
            within("features with weights of field", f, 1, limit::WEIGHTED_FEATURES, record.weighted_features.get())?;
            equal("bag flag, for weights in field", f, 1, record.bag)?;
            equal("features, for weights in field", f, 0, record.features.get())?;
        } else {
            within("features of field", f, 1, u32::MAX, record.features.get())?;
        }
        equal("presence of collisions in field", f, is_qr.into(), record.collisions.get() != 0)?;
        if record.composition == composition::CONCAT {
            equal("embed_dim modulo 2, for concatenation in field", f, 0, dim as u64 % 2)?;
        }
        equal("table offset of field", f, numbers, record.table_offset.get())?;
        equal("feature offset of field", f, features, record.feature_offset.get())?;
        let composition = Composition::of(record);
        let is_copied = !int8 || (record.bag == 0 && composition.is_copy());
        within("multiplier of field", f, 0, if is_copied { 0 } else { i32::MAX }, record.multiplier.get())?;
        let of_field = if weights { record.num_features() } else { record.features.get() };
        let (first, second, columns) = composition.tables(of_field, dim);
        numbers += (first as u64 + second as u64) * record.row_len(columns) as u64;
        features += u64::from(of_field);
    }
    Ok((numbers, features))
}

/// Pairs ascend strictly, and each is `i < j < num_fields`.
fn check_pairs(pairs: &[[u8; 2]], num_fields: usize) -> Loaded<()> {
    let mut before = None;
    for (p, &pair) in pairs.iter().enumerate() {
        within("second field of pair", p, 1, num_fields - 1, pair[1])?;
        within("first field of pair", p, 0, pair[1] - 1, pair[0])?;
        equal("ascending order of pair", p, 1, before < Some((pair[0], pair[1])))?;
        before = Some((pair[0], pair[1]));
    }
    Ok(())
}

/// Weights and channels of all layers.
fn check_layers<W: Weight>(layers: &[LayerRecord], inputs: usize, strips: bool) -> Loaded<(u64, u64)> {
    let (mut weights, mut channels, mut width) = (0_u64, 0_u64, inputs as u64);
    for (l, record) in layers.iter().enumerate() {
        equal("inputs of layer", l, width, record.inputs.get())?;
        within("inputs of layer", l, 1, limit::LAYER_INPUTS, record.inputs.get())?;
        within("outputs of layer", l, 1, limit::LAYER_INPUTS, record.outputs.get())?;
        equal("weight offset of layer", l, weights, record.weight_offset.get())?;
        equal("channel offset of layer", l, channels, record.channel_offset.get())?;
        // All hidden layers lie alike; the output layer is a row.
        let alike = if l + 1 == layers.len() { Layout::Rows.number() } else { layers[0].layout.get() };
        equal("layout of layer", l, alike.into(), record.layout.get())?;
        let most = if strips { Layout::Mve } else { Layout::Tiles };
        within("layout of layer", l, 0, most.number(), alike)?;
        if Layout::from_number(alike).is_none() {
            equal("layout of layer", l, Layout::Rows.number().into(), alike)?;
        }
        let reserved = record.reserved.iter().map(|word| u64::from(word.get())).sum::<u64>();
        equal("reserved bytes of layer", l, 0, reserved)?;
        width = record.outputs.get().into();
        let shape = shape::<W>(record);
        weights += shape.1 as u64;
        channels += shape.0 as u64;
    }
    equal("outputs of the last layer", layers.len().saturating_sub(1), 1, if layers.is_empty() { 0 } else { width })?;
    Ok((weights, channels))
}

/// No integer sum can leave its type.
fn check_sums(fwfm: &Fwfm<'_, i8, i16>) -> Loaded<()> {
    let magnitude = |values: &[i16]| values.iter().map(|&v| i64::from(v).abs()).sum::<i64>();
    if let Some(FieldVector(vectors)) = fwfm.field_vector {
        within("sum of field vectors", 0, 0, limit::FIELD_VECTOR_SUM, magnitude(vectors))?;
    }
    if let FieldInteraction::Dense(weights) | FieldInteraction::Pruned(_, weights) = fwfm.interaction {
        within("sum of pair weights", 0, 0, limit::PAIR_SUM, magnitude(weights))?;
    }
    if let FieldInteraction::LowRank(LowRank { signs, factors, diagonal, .. }) = fwfm.interaction {
        for (factor, u) in rows(factors, diagonal.len()).enumerate() {
            within("sum of factor", factor, 0, limit::LOW_RANK_SUM, magnitude(u))?;
        }
        for (field, &stored) in diagonal.iter().enumerate() {
            let of_field = rows(factors, diagonal.len()).filter_map(|u| u.get(field));
            let squares = of_field.zip(signs).map(|(&u, &sign)| i64::from(u) * i64::from(u) * i64::from(sign));
            let expected: i64 = squares.sum();
            within("low-rank diagonal of field", field, expected, expected, stored)?;
        }
    }
    Ok(())
}

/// Layers of int8 mode stay in an i32: in strips too, whose biases are the model's own and what the layout adds to
/// them.
fn check_static(mlp: &Mlp<'_, i8, i32, i32>) -> Loaded<()> {
    check_couples(mlp)?;
    for (n, record) in mlp.layers.iter().enumerate() {
        let Layer { inputs, layout, weights, biases, multipliers, .. } = mlp.layer(n);
        for (o, (&bias, &multiplier)) in biases.iter().zip(multipliers).enumerate() {
            let channel = record.channel_offset.get() as usize + o;
            // Wraps to magnitudes beyond the limit alone: what the layout adds is at most 2^29.
            let own = bias.shifted(-layout.shift(n == 0, weights, inputs, o));
            within("magnitude of layer bias in channel", channel, 0, limit::BIAS, own.unsigned_abs())?;
            within("multiplier of channel", channel, 0, i32::MAX, multiplier)?;
        }
    }
    Ok(())
}

/// Coupled weights are -127 to 127: what the instructions and a reader of single weights take them for is the same
/// then.
fn check_couples(mlp: &Mlp<'_, i8, i32, i32>) -> Loaded<()> {
    let (hidden, _) = mlp.split();
    if mlp.layout() != Layout::Dsp {
        return Ok(());
    }
    for n in 0..hidden {
        for &[even, high] in mlp.layer(n).weights.as_chunks().0 {
            let odd = -i16::from(high) - i16::from(even < 0);
            for weight in [i16::from(even), odd] {
                within("coupled weight in layer", n, -127, 127, weight)?;
            }
        }
    }
    Ok(())
}

/// Layers of dynamic mode stay finite: with `DYNAMIC_MAX`, no product exceeds 2^96.
fn check_dynamic(mlp: &Mlp<'_, i8, f32, f32>) -> Loaded<()> {
    let bits = |value: f32| i64::from(value.abs().to_bits());
    let most = bits(limit::DYNAMIC);
    for (channel, (&bias, &scale)) in mlp.biases.iter().zip(mlp.multipliers).enumerate() {
        // Magnitudes are ordered as their bits are; what is not a number lies above them all.
        within("bits of layer bias in channel", channel, 0, most, bits(bias))?;
        within("bits of layer scale in channel", channel, 0, most, scale.to_bits())?;
    }
    Ok(())
}

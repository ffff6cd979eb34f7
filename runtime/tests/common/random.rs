//! Random models of every shape, and rows for them.

use xsfm_runtime::format::layout::{self, Bias};
use xsfm_runtime::format::{
    Arithmetic, FieldRecord, LayerRecord, Layout, SectionKind, Term, Terms, composition, limit,
};
use xsfm_runtime::{Mode, Model, Row, Weight};
use zerocopy::{Immutable, IntoBytes};

use super::{Draft, layer};
use SectionKind::*;

/// SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195): these tests also run where a build must stay small.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// From `-most` to `most`.
    pub(crate) fn integer(&mut self, most: i64) -> i64 {
        (self.next() % (2 * most.cast_unsigned() + 1)).cast_signed() - most
    }

    /// From `-most` to `most`.
    pub(crate) fn real(&mut self, most: f32) -> f32 {
        ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * most
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// Which pairs of fields interact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pairs {
    None,
    Dense,
    Pruned,
    LowRank,
}

/// What a random model looks like; every part may be absent.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) mode: Mode,
    pub(crate) num_fields: usize,
    pub(crate) dim: usize,
    pub(crate) hidden: Option<Vec<usize>>,
    pub(crate) feature_weight: bool,
    pub(crate) field_vector: bool,
    pub(crate) pairs: Pairs,
    /// How the file's layers lie. Coupled weights are not -128.
    pub(crate) layout: Layout,
    /// Whether the indices of some fields have weights.
    pub(crate) weights: bool,
    /// Whether numbers lie at the ends of their ranges.
    pub(crate) extreme: bool,
}

impl Shape {
    pub(crate) fn random(rng: &mut Rng, mode: Mode) -> Self {
        let num_fields = if rng.one_in(3) { rng.pick(&[39, 40, 63, 64]) } else { 1 + rng.below(12) };
        let dim = if rng.one_in(3) { rng.pick(&[15, 16, 17, 31, 32, 33, 63, 64]) } else { 1 + rng.below(20) };
        // Wide layers over many inputs would take most of the time and show nothing new.
        let widths: &[usize] =
            if num_fields * dim > 800 { &[1, 3, 16, 17] } else { &[1, 2, 7, 16, 17, 31, 48, 65, 80] };
        let layers = rng.below(5);
        Shape {
            mode,
            num_fields,
            dim,
            hidden: (!rng.one_in(6)).then(|| (0..layers).map(|_| rng.pick(widths)).collect()),
            feature_weight: rng.one_in(2),
            field_vector: rng.one_in(2),
            pairs: rng.pick(&[Pairs::None, Pairs::Dense, Pairs::Dense, Pairs::Pruned, Pairs::LowRank]),
            layout: match rng.below(8) {
                0 | 1 => Layout::Tiles,
                2 if mode == Mode::Int8 => Layout::Dsp,
                3 if mode == Mode::Int8 => Layout::Mve,
                _ => Layout::Rows,
            },
            weights: rng.one_in(2),
            extreme: rng.one_in(4),
        }
    }

    /// A file of this shape.
    pub(crate) fn draft(&self, rng: &mut Rng) -> Draft {
        self.draft_in(self.layout, rng)
    }

    /// The same numbers, with layers as `layout` has them.
    pub(crate) fn draft_in(&self, layout: Layout, rng: &mut Rng) -> Draft {
        let mut draft = Draft::empty(self.num_fields as u16, self.dim as u16, Arithmetic::F32 { bias: rng.real(1.0) });
        let (numbers, features) = self.put_fields(&mut draft, rng);
        let pairs = self.pairs(&mut draft, rng);
        let vectors = self.num_fields * self.dim;
        if self.mode == Mode::F32 {
            let mut put = |kind, wanted: bool, count, most| {
                if wanted {
                    draft.put(kind, &self.reals(rng, count, most));
                }
            };
            put(Tables, true, numbers, 0.5);
            put(FeatureWeights, self.feature_weight, features, 0.3);
            put(FieldVectors, self.field_vector, vectors, 0.3);
            put(PairWeights, matches!(self.pairs, Pairs::Dense | Pairs::Pruned), pairs, 0.5);
        } else {
            draft.put(Tables, &self.bytes(rng, numbers));
            if self.feature_weight {
                draft.put(FeatureWeights, &self.bytes(rng, features));
                draft.put(FeatureCoefficients, &self.shorts(rng, self.num_fields, i64::MAX));
            }
            if self.field_vector {
                draft.put(FieldVectors, &self.shorts(rng, vectors, limit::FIELD_VECTOR_SUM));
            }
            if matches!(self.pairs, Pairs::Dense | Pairs::Pruned) {
                draft.put(PairWeights, &self.shorts(rng, pairs, limit::PAIR_SUM));
            }
            let (bias, terms) = (rng.integer(1 << 16) as i32, self.terms(rng, pairs));
            draft.arithmetic = match self.mode {
                Mode::Int8 => Arithmetic::Int8 { bias, terms },
                _ => Arithmetic::Dynamic { bias, terms: Terms { mlp: Term::ABSENT, ..terms } },
            };
        }
        if self.pairs == Pairs::LowRank {
            self.put_factors(&mut draft, rng);
        }
        self.put_layers(&mut draft, layout, rng);
        draft
    }

    /// Factors with signs in turn, and the diagonal that belongs to them.
    fn put_factors(&self, draft: &mut Draft, rng: &mut Rng) {
        // The squares of extreme factors fill an i32 with the first of each sign.
        let rank = 1 + rng.below(if self.extreme { 2 } else { 9 });
        let signs: Vec<i8> = (0..rank).map(|factor| if factor % 2 == 0 { 1 } else { -1 }).collect();
        draft.put(LowRankSigns, &signs);
        if self.mode == Mode::F32 {
            let factors = self.reals(rng, rank * self.num_fields, 0.3);
            draft.put(
                LowRankDiagonal,
                &self.diagonal(&factors, &signs, 0.0_f32, |sum, u, sign| sum + u * u * f32::from(sign)),
            );
            draft.put(LowRankFactors, &factors);
        } else {
            let sum = if self.extreme { limit::LOW_RANK_SUM } else { limit::LOW_RANK_SUM / 2 };
            let factors: Vec<i16> = (0..rank).flat_map(|_| self.shorts(rng, self.num_fields, sum)).collect();
            let square = |sum, u: i16, sign| sum + i32::from(u) * i32::from(u) * i32::from(sign);
            draft.put(LowRankDiagonal, &self.diagonal(&factors, &signs, 0, square));
            draft.put(LowRankFactors, &factors);
        }
    }

    /// What the factors' squares add up to for each field.
    fn diagonal<C: Copy, D: Copy>(&self, factors: &[C], signs: &[i8], zero: D, add: impl Fn(D, C, i8) -> D) -> Vec<D> {
        let of_field = |field| {
            let of_field = factors.iter().skip(field).step_by(self.num_fields);
            of_field.zip(signs).fold(zero, |sum, (&u, &sign)| add(sum, u, sign))
        };
        (0..self.num_fields).map(of_field).collect()
    }

    /// Numbers in the tables, and features.
    fn put_fields(&self, draft: &mut Draft, rng: &mut Rng) -> (usize, usize) {
        let (mut numbers, mut features_before) = (0, 0);
        let mut records = Vec::new();
        for _ in 0..self.num_fields {
            let kinds = if self.dim.is_multiple_of(2) { 4 } else { 3 };
            let composition = if rng.one_in(2) { composition::FULL } else { rng.below(kinds) as u8 };
            let (bag, features) = (u8::from(rng.one_in(if self.weights { 2 } else { 5 })), 1 + rng.below(40));
            let weighted = self.weights && bag == 1 && !rng.one_in(3);
            let collisions = if composition == composition::FULL { 0 } else { 1 + rng.below(6) };
            let halves = self.mode != Mode::F32 && rng.one_in(4);
            let is_copied = bag == 0 && matches!(composition, composition::FULL | composition::CONCAT);
            let multiplier = match self.mode {
                Mode::F32 => 0,
                _ if is_copied => 0,
                _ if self.extreme => rng.pick(&[0, 1 << 20, i32::MAX]),
                // Two rows of 70 multiplied, or one of them times 128, back to 70.
                _ => (1 << 25) + rng.integer(1 << 24) as i32,
            };
            records.push(FieldRecord {
                composition,
                bag,
                bits: if halves { 4 } else { 0 },
                reserved: 0,
                features: if weighted { 0 } else { features as u32 }.into(),
                collisions: (collisions as u32).into(),
                table_offset: (numbers as u32).into(),
                feature_offset: (features_before as u32).into(),
                multiplier: multiplier.into(),
                scale: 1.0.into(),
                weighted_features: if weighted { features as u32 } else { 0 }.into(),
            });
            let rows =
                if collisions == 0 { features } else { features.div_ceil(collisions) + collisions.min(features) };
            let columns = if composition == composition::CONCAT { self.dim / 2 } else { self.dim };
            numbers += rows * if halves { columns.div_ceil(2) } else { columns };
            features_before += features;
        }
        draft.put(Fields, &records);
        (numbers, features_before)
    }

    /// The number of pairs, listed where they are pruned.
    fn pairs(&self, draft: &mut Draft, rng: &mut Rng) -> usize {
        let count = self.num_fields as u8;
        let all = (0..count).flat_map(|i| (i + 1..count).map(move |j| [i, j]));
        if self.pairs != Pairs::Pruned {
            return all.count();
        }
        let kept: Vec<[u8; 2]> = all.filter(|_| rng.one_in(2)).collect();
        draft.put(PairIndices, &kept);
        kept.len()
    }

    fn bytes(&self, rng: &mut Rng, count: usize) -> Vec<i8> {
        let one = |rng: &mut Rng| match self.extreme {
            true => rng.pick(&[i8::MIN, -127, i8::MAX, i8::MAX, 0]),
            false => (rng.below(256) as u8).cast_signed(),
        };
        (0..count).map(|_| one(rng)).collect()
    }

    /// Their magnitudes sum up to `sum` at most.
    fn shorts(&self, rng: &mut Rng, count: usize, mut sum: i64) -> Vec<i16> {
        let most = (sum / i64::try_from(count.max(1)).unwrap()).min(i16::MAX.into());
        let mut one = || {
            let extreme = rng.pick(&[i16::MIN, i16::MAX, i16::MAX, -1]).into();
            let value = if self.extreme { i64::clamp(extreme, -sum, sum) } else { rng.integer(most) };
            sum -= value.abs();
            value as i16
        };
        (0..count).map(|_| one()).collect()
    }

    fn reals(&self, rng: &mut Rng, count: usize, most: f32) -> Vec<f32> {
        let one = |rng: &mut Rng| match self.extreme {
            true => rng.pick(&[-most, most, 20.0 * most, 0.0, -0.0, 1e-40]),
            false => rng.real(most),
        };
        (0..count).map(|_| one(rng)).collect()
    }

    /// Each part moves the logit by about one.
    fn terms(&self, rng: &mut Rng, pairs: usize) -> Terms {
        let (fields, dim, pairs) = (self.num_fields as f64, self.dim as f64, pairs.max(1) as f64);
        let of = |limit: i64, count: f64| (limit as f64 / count).min(32_768.0) / 2.0;
        let width = self.hidden.as_ref().and_then(|hidden| hidden.last()).map_or(fields * dim, |&width| width as f64);
        let listed = (pairs * dim).sqrt() * 70.0 * 70.0 * of(limit::PAIR_SUM, pairs);
        let factor = fields.sqrt() * 70.0 * of(limit::LOW_RANK_SUM, 2.0 * fields);
        let low_rank = (factor * factor * dim / (1_u64 << limit::LOW_RANK_SHIFT) as f64).max(1.0);
        let mut term = |accumulator: f64| {
            let shift = (accumulator.log2() + 22.5 - 16.0).clamp(1.0, 62.0) as u8;
            let shift = if self.extreme && rng.one_in(4) { 1 + rng.below(62) as u8 } else { shift };
            Term { mantissa: (3 << 21) + rng.integer((1 << 21) - 1) as i32, shift }
        };
        Terms {
            feature_weight: term(fields.sqrt() * 70.0 * 16_000.0),
            field_vector: term((fields * dim).sqrt() * 70.0 * of(limit::FIELD_VECTOR_SUM, fields * dim)),
            interaction: term(if self.pairs == Pairs::LowRank { low_rank } else { listed }),
            mlp: term(width.sqrt() * 70.0 * 90.0),
        }
    }

    fn put_layers(&self, draft: &mut Draft, layout: Layout, rng: &mut Rng) {
        let Some(hidden) = &self.hidden else { return };
        let widths = [&[self.num_fields * self.dim], &hidden[..], &[1]].concat();
        match self.mode {
            Mode::F32 => put_laid(draft, &widths, layout, |inputs, outputs| Numbers {
                weights: self.reals(rng, inputs * outputs, (3.0 / inputs as f32).sqrt()),
                biases: self.reals(rng, outputs, 0.1),
                multipliers: vec![0.0_f32; 0],
            }),
            Mode::Int8 => put_laid(draft, &widths, layout, |inputs, outputs| {
                let typical = (inputs as f64).sqrt() * 70.0 * 75.0;
                let biases: Vec<i32> = (0..outputs).map(|_| rng.integer(typical as i64) as i32).collect();
                let multipliers = (0..outputs).map(|_| (4.3e9 * 90.0 / typical) as i32 + rng.integer(1000) as i32);
                let mut numbers = Numbers {
                    weights: vec![],
                    multipliers: multipliers.map(|multiplier| multiplier.max(0)).collect(),
                    biases,
                };
                if self.extreme {
                    let biases = [-limit::BIAS, limit::BIAS, 0, 1, -1];
                    numbers.biases.iter_mut().for_each(|bias| *bias = rng.pick(&biases));
                    let multipliers = [0, 1, i32::MAX, 1 << 20];
                    numbers.multipliers.iter_mut().for_each(|multiplier| *multiplier = rng.pick(&multipliers));
                }
                numbers.weights = self.bytes(rng, inputs * outputs);
                if self.layout == Layout::Dsp {
                    numbers.weights.iter_mut().for_each(|weight| *weight = (*weight).max(-127));
                }
                numbers
            }),
            _ => put_laid(draft, &widths, layout, |inputs, outputs| {
                let typical = (inputs as f32).sqrt() * 70.0 * 75.0;
                let mut scale = |most: f32| match self.extreme {
                    true => rng.pick(&[0.0, 1e-40, 1e-20, limit::DYNAMIC, most]),
                    false => most * (1.0 + rng.real(0.5)),
                };
                let multipliers = (0..outputs).map(|_| scale(1.0 / typical)).collect();
                let biases = match self.extreme {
                    true => (0..outputs).map(|_| rng.pick(&[-limit::DYNAMIC, limit::DYNAMIC, 0.1, -0.0])).collect(),
                    false => (0..outputs).map(|_| rng.real(0.5)).collect(),
                };
                Numbers { weights: self.bytes(rng, inputs * outputs), biases, multipliers }
            }),
        }
    }
}

/// The numbers of a layer, row by row.
struct Numbers<W, B, M> {
    weights: Vec<W>,
    biases: Vec<B>,
    multipliers: Vec<M>,
}

/// All layers, the hidden ones as `layout` has them.
fn put_laid<W, B, M>(
    draft: &mut Draft,
    widths: &[usize],
    layout: Layout,
    mut numbers: impl FnMut(usize, usize) -> Numbers<W, B, M>,
) where
    W: layout::Weight + IntoBytes + Immutable,
    B: Bias + IntoBytes + Immutable,
    M: Copy + Default + IntoBytes + Immutable,
{
    let (mut records, mut weights, mut biases, mut multipliers, mut sums) = (vec![], vec![], vec![], vec![], vec![]);
    let last = widths.len() - 2;
    for (l, pair) in widths.windows(2).enumerate() {
        let &[inputs, outputs] = pair else { unreachable!("windows of two") };
        let of_layer = numbers(inputs, outputs);
        let mut record: LayerRecord = layer(inputs as u32, outputs as u32, weights.len() as u32, biases.len() as u32);
        let layout = if l < last { layout } else { Layout::Rows };
        record.layout = layout.number().into();
        let channels = layout.channels(outputs);
        let first = weights.len();
        weights.resize(first + layout.weights::<W>(inputs, outputs), W::default());
        layout.lay(&of_layer.weights, inputs, &mut weights[first..]);
        records.push(record);
        let shift = |o| layout.shift(l == 0, &weights[first..], inputs, o);
        let shifted = of_layer.biases.iter().enumerate().map(|(o, bias)| bias.shifted(shift(o))).collect::<Vec<_>>();
        let first = biases.len();
        // The output layer's own sum is not used.
        let of_rows = of_layer.weights.chunks(inputs).map(|row| row.iter().map(|w| w.integer()).sum::<i32>());
        sums.extend(of_rows.map(|sum| if l < last { sum } else { 0 }));
        sums.resize(first + channels, 0);
        biases.extend(shifted);
        biases.resize(first + channels, B::default());
        if !of_layer.multipliers.is_empty() {
            multipliers.extend(of_layer.multipliers);
            multipliers.resize(first + channels, M::default());
        }
    }
    draft.put(Layers, &records);
    draft.put(LayerWeights, &weights);
    draft.put(LayerBiases, &biases);
    if !multipliers.is_empty() {
        draft.put(LayerMultipliers, &multipliers);
    }
    if layout == Layout::Tiles && last > 0 && W::DEPTH > 1 {
        draft.put(LayerSums, &sums);
    }
}

/// An f32 model of all numbers' magnitudes: its logit is the sum of the magnitudes that rounding errors are relative
/// to.
pub(crate) fn magnitudes(mut draft: Draft) -> Draft {
    let Arithmetic::F32 { bias } = draft.arithmetic else { panic!("f32 alone is rounded") };
    draft.arithmetic = Arithmetic::F32 { bias: bias.abs() };
    for kind in [Tables, FeatureWeights, FieldVectors, PairWeights, LowRankFactors, LayerWeights, LayerBiases] {
        if draft.sections.iter().any(|&(other, _)| other == kind as u8) {
            // The sign is the highest bit of the last of four bytes.
            draft.section(kind).chunks_exact_mut(4).for_each(|number| number[3] &= 0x7F);
        }
    }
    if draft.sections.iter().any(|&(kind, _)| kind == LowRankSigns as u8) {
        draft.section(LowRankSigns).fill(1);
        // It is taken away.
        draft.section(LowRankDiagonal).chunks_exact_mut(4).for_each(|number| number[3] |= 0x80);
    }
    draft
}

/// The words of each field.
pub(crate) type Sample = Vec<Vec<u32>>;

fn weight(rng: &mut Rng) -> Weight {
    let ends = [Weight::ONE, Weight::MAX, Weight::of_steps(-i16::MAX).unwrap(), Weight::of_steps(0).unwrap()];
    if rng.one_in(3) { rng.pick(&ends) } else { Weight::of_steps(rng.integer(8192) as i16).unwrap() }
}

/// Random samples; bags have 1 to 8 indices, one of them as many as it may.
pub(crate) fn samples(model: &Model<'_>, rng: &mut Rng, count: usize) -> Vec<Sample> {
    let most = if rng.one_in(8) { limit::BAG } else { 8 };
    let mut samples: Vec<Sample> = Vec::new();
    for n in 0..count {
        let mut words = |features: u32, bag: bool, weighted: bool| {
            let several = match (bag, n) {
                (false, _) => 1,
                (true, 0) => most,
                (true, _) => 1 + rng.below(8),
            };
            let mut words = Vec::new();
            for _ in 0..several {
                words.push(rng.below(features as usize) as u32);
                words.extend(weighted.then(|| weight(rng).word()));
            }
            words
        };
        samples.push(model.fields().map(|field| words(field.features, field.bag, field.weighted)).collect());
    }
    samples
}

/// The same with weights that are not negative.
pub(crate) fn with_magnitudes(samples: &[Sample]) -> Vec<Sample> {
    let magnitude = |&word: &u32| match Weight::of_word(word) {
        Some(weight) => Weight::of_steps(weight.steps().abs()).unwrap().word(),
        None => word,
    };
    samples.iter().map(|sample| sample.iter().map(|words| words.iter().map(magnitude).collect()).collect()).collect()
}

/// Samples as rows of some fields.
pub(crate) struct Rows {
    indices: Vec<u32>,
    offsets: Vec<u32>,
    num_fields: usize,
}

impl Rows {
    /// The rows of `fields` alone, in the order of a model.
    pub(crate) fn new<'s>(samples: impl IntoIterator<Item = &'s Sample>, fields: &[usize]) -> Self {
        let (mut indices, mut offsets) = (Vec::new(), vec![0]);
        for sample in samples {
            for &field in fields {
                indices.extend(&sample[field]);
                offsets.push(indices.len() as u32);
            }
        }
        Rows { indices, offsets, num_fields: fields.len() }
    }

    /// Every other row without offsets, where no bag has several indices. Rows of no field are not there.
    pub(crate) fn all(&self) -> Vec<Row<'_>> {
        let windows = self.offsets[..self.offsets.len() - 1].chunks(self.num_fields.max(1)).enumerate();
        let row = |(n, first): (usize, &[u32])| {
            let from = n * self.num_fields;
            let offsets = &self.offsets[from..=from + first.len()];
            let indices = &self.indices[offsets[0] as usize..offsets[first.len()] as usize];
            if n % 2 == 0 && indices.len() == self.num_fields {
                Row::new(indices)
            } else {
                Row::with_bags(&self.indices, offsets)
            }
        };
        windows.map(row).collect()
    }
}

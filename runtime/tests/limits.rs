//! Every limit of the loader: a model just at it scores, one just above it is refused by name.
//!
//! The files are built here from the public types of the format, so that these tests run wherever the runtime does.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{Draft, FIRST_SECTION, field, layer};
use xsfm_runtime::format::{Arithmetic, Layout, SectionKind, Term, Terms, VERSION, composition, limit};
use xsfm_runtime::quant::requantize;
use xsfm_runtime::{
    Backend, Int8Model, LoadError, Mode, Model, Row, ScoreError, Scorer, ScratchBlock, Statistics, Weight,
};
use zerocopy::IntoBytes;

use SectionKind::*;

const OPTIONAL_KIND: u8 = 128;

/// All parts are there, and every number is 1 unless the test changes it.
impl Draft {
    /// Two features per field, the first field a bag; one hidden layer.
    fn new(mode: Mode, num_fields: u16, dim: u16, hidden: u32) -> Self {
        let term = Term { mantissa: 1 << 22, shift: 30 };
        let terms = Terms { feature_weight: term, field_vector: term, interaction: term, mlp: term };
        let arithmetic = match mode {
            Mode::Int8 => Arithmetic::Int8 { bias: 1, terms },
            Mode::Dynamic => Arithmetic::Dynamic { bias: 1, terms },
            _ => Arithmetic::F32 { bias: 1.0 },
        };
        let mut draft = Draft::empty(num_fields, dim, arithmetic);
        let (f, k) = (usize::from(num_fields), usize::from(dim));
        let (inputs, channels) = (u32::from(num_fields) * u32::from(dim), hidden as usize + 1);
        let fields: Vec<_> = (0..num_fields.into()).map(|n| field(n, u8::from(n == 0), 2, dim.into())).collect();
        draft.put(Fields, &fields);
        draft.put(Layers, &[layer(inputs, hidden, 0, 0), layer(hidden, 1, inputs * hidden, hidden)]);
        let (pairs, layer_weights) = (f * f.saturating_sub(1) / 2, (f * k + 1) * hidden as usize);
        let weights = [(Tables, 2 * f * k), (FeatureWeights, 2 * f), (LayerWeights, layer_weights)];
        for (kind, count) in weights {
            if mode != Mode::F32 { draft.put(kind, &vec![1_i8; count]) } else { draft.put(kind, &vec![1_f32; count]) }
        }
        for (kind, count) in [(FieldVectors, f * k), (PairWeights, pairs)] {
            if mode != Mode::F32 { draft.put(kind, &vec![1_i16; count]) } else { draft.put(kind, &vec![1_f32; count]) }
        }
        if mode != Mode::F32 {
            draft.put(FeatureCoefficients, &vec![1_i16; f]);
        }
        if mode == Mode::Int8 {
            draft.put(LayerBiases, &vec![1_i32; channels]);
            draft.put(LayerMultipliers, &vec![1_i32; channels]);
        } else {
            draft.put(LayerBiases, &vec![1_f32; channels]);
        }
        if mode == Mode::Dynamic {
            draft.put(LayerMultipliers, &vec![1_f32; channels]);
        }
        draft
    }

    /// Field 3, the last of four int8 fields, with its own tables of `numbers`.
    fn compose(&mut self, composition: u8, collisions: u32, numbers: usize) {
        (self.field(3).composition, self.field(3).collisions) = (composition, collisions.into());
        self.put(Tables, &vec![1_i8; 24 + numbers]);
    }

    /// Lays the hidden layer, of 16 inputs and two outputs in int8 mode, in a tile.
    fn tile(&mut self) {
        let mut weights = vec![0_i8; Layout::Tiles.weights::<i8>(16, 2)];
        Layout::Tiles.lay(&[1; 32], 16, &mut weights);
        weights.extend([1; 2]);
        self.layer(0).layout = Layout::Tiles.number().into();
        self.layer(1).weight_offset = 256.into();
        self.layer(1).channel_offset = 16.into();
        self.put(LayerWeights, &weights);
        self.put(LayerBiases, &padded(&[1, 1], 16));
        self.put(LayerMultipliers, &padded(&[1, 1], 16));
        self.put(LayerSums, &[&[16, 16][..], &[0; 15]].concat());
    }

    /// Lays the hidden layer, of 16 inputs and two outputs in int8 mode, in a strip.
    fn lay_strips(&mut self, layout: Layout) {
        let mut weights = vec![0_i8; layout.weights::<i8>(16, 2)];
        layout.lay(&[1; 32], 16, &mut weights);
        let mut biases = padded(&[1, 1], 4);
        for (o, bias) in biases.iter_mut().enumerate().take(2) {
            *bias += layout.shift(true, &weights, 16, o);
        }
        weights.extend([1; 2]);
        self.layer(0).layout = layout.number().into();
        self.layer(1).weight_offset = 64.into();
        self.layer(1).channel_offset = 4.into();
        self.put(LayerWeights, &weights);
        self.put(LayerBiases, &biases);
        self.put(LayerMultipliers, &padded(&[1, 1], 4));
    }

    fn terms(&mut self) -> &mut Terms {
        let Arithmetic::Int8 { terms, .. } = &mut self.arithmetic else { panic!("f32 has no terms") };
        terms
    }

    /// Gives the indices of a bag weights.
    fn weigh(&mut self, field: usize) {
        let record = self.field(field);
        (record.features, record.weighted_features) = (0.into(), record.num_features().into());
    }

    /// The pairs of a pruned interaction, and a weight for each.
    fn prune(&mut self, pairs: &[[u8; 2]]) {
        self.put(PairIndices, pairs);
        self.put(PairWeights, &vec![1_i16; pairs.len()]);
    }

    /// The logit of the row that reads index 0 everywhere, in bags `in_bag` times.
    fn logit(&self, in_bag: u32) -> Result<f32, ScoreError> {
        self.weighted_logit(in_bag, Weight::ONE)
    }

    /// The same, with this weight of every index that has one.
    fn weighted_logit(&self, in_bag: u32, weight: Weight) -> Result<f32, ScoreError> {
        let bytes = self.write();
        let model = Model::from_bytes(bytes.as_bytes()).unwrap_or_else(|error| panic!("refused: {error}"));
        let (mut indices, mut offsets) = (vec![], vec![0]);
        for field in model.fields() {
            let count = if field.bag { in_bag } else { 1 } as usize;
            match field.weighted {
                true => indices.extend([0, weight.word()].repeat(count)),
                false => indices.extend(vec![0; count]),
            }
            offsets.push(indices.len() as u32);
        }
        let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
        Scorer::new(&model, &mut scratch)?.score(Row::with_bags(&indices, &offsets)).map(|score| score.logit)
    }
}

/// The numbers of a hidden layer, padded to `channels`, and a 1 for the output layer.
fn padded(numbers: &[i32], channels: usize) -> Vec<i32> {
    let mut numbers = numbers.to_vec();
    numbers.resize(channels, 0);
    numbers.push(1);
    numbers
}

fn value(what: &'static str, at: u32, least: i64, most: i64, found: i64) -> LoadError {
    LoadError::Value { what, at, least, most, found }
}

/// The name of a limit, the edit that goes to it, the edit that goes over it, and what the loader says then.
type Case = (&'static str, fn(&mut Draft), fn(&mut Draft), LoadError);

/// Four fields of four numbers and a hidden layer of two.
fn check(mode: Mode, cases: &[Case]) {
    for &(name, at, over, error) in cases {
        let mut draft = Draft::new(mode, 4, 4, 2);
        at(&mut draft);
        assert!(draft.logit(2).is_ok_and(f32::is_finite), "{name}: at the limit");
        let mut draft = Draft::new(mode, 4, 4, 2);
        over(&mut draft);
        assert_eq!(draft.load_error(), Some(error), "{name}");
        if mode == Mode::Int8 && !is_of_names(&error) {
            let small = Int8Model::from_bytes(draft.write().as_bytes()).err();
            assert_eq!(small, Some(error), "{name}, in a small program");
        }
    }
}

/// What [`Int8Model`] does not look at, because nothing in a small program reads it.
fn is_of_names(error: &LoadError) -> bool {
    matches!(error, LoadError::Manifest | LoadError::Value { what: "number of field names", .. })
}

/// Where nothing but the number of [`Draft::new`] is allowed.
fn as_is(_: &mut Draft) {}

#[test]
fn shapes_and_fields() {
    let max = i64::from(i32::MAX);
    #[rustfmt::skip]
    check(Mode::Int8, &[
        ("version", as_is, |d| d.version = VERSION + 1, LoadError::Version { supported: VERSION, found: VERSION + 1 }),
        ("version 0", as_is, |d| d.version = 0, LoadError::Version { supported: VERSION, found: 0 }),
        ("prefix", as_is, |d| d.reserved = 1, value("reserved bytes of prefix", 0, 0, 0, 1)),
        (
            "fields", |d| *d = Draft::new(Mode::Int8, 128, 1, 1), |d| *d = Draft::new(Mode::Int8, 129, 1, 1),
            value("number of fields", 0, 1, 128, 129),
        ),
        (
            "no field", |d| *d = Draft::new(Mode::Int8, 1, 1, 1), |d| d.num_fields = 0,
            value("number of fields", 0, 1, 128, 0),
        ),
        (
            "dim", |d| *d = Draft::new(Mode::Int8, 1, 256, 1), |d| *d = Draft::new(Mode::Int8, 1, 257, 1),
            value("embed_dim", 0, 1, 256, 257),
        ),
        ("no dim", as_is, |d| d.dim = 0, value("embed_dim", 0, 1, 256, 0)),
        ("names", as_is, |d| d.names.extend([1, b'g']), value("number of field names", 0, 4, 4, 5)),
        ("cut name", |d| d.names[6] = 1, |d| d.names[6] = 2, LoadError::Manifest),
        (
            "composition", |d| d.compose(3, 2, 6), |d| d.field(3).composition = 4,
            value("composition of field", 3, 0, 3, 4),
        ),
        ("bag", |d| d.field(1).bag = 1, |d| d.field(1).bag = 2, value("bag flag of field", 1, 0, 1, 2)),
        (
            "reserved", as_is, |d| d.field(2).reserved = 1,
            value("reserved bytes, or features with weights, of field", 2, 0, 0, 1),
        ),
        (
            "bits", |d| { d.field(3).bits = 4; d.put(Tables, &[1_i8; 28]); }, |d| d.field(3).bits = 8,
            value("bits of the tables of field", 3, 4, 4, 8),
        ),
        (
            "size of four bits", |d| { d.field(3).bits = 4; d.put(Tables, &[1_i8; 28]); }, |d| d.field(3).bits = 4,
            LoadError::SectionSize { section: Tables, expected: 28, found: 32 },
        ),
        (
            "offset behind four bits", as_is, |d| { d.field(2).bits = 4; d.put(Tables, &[1_i8; 28]); },
            value("table offset of field", 3, 20, 20, 24),
        ),
        (
            "features",
            |d| { d.field(3).features = 1.into(); d.put(Tables, &[1_i8; 28]); d.put(FeatureWeights, &[1_i8; 7]); },
            |d| d.field(3).features = 0.into(), value("features of field", 3, 1, u32::MAX.into(), 0),
        ),
        (
            "collisions of a full table", as_is, |d| d.field(3).collisions = 1.into(),
            value("presence of collisions in field", 3, 0, 0, 1),
        ),
        (
            "collisions", |d| d.compose(1, 1, 12), |d| d.field(3).composition = 1,
            value("presence of collisions in field", 3, 1, 1, 0),
        ),
        (
            "halves", as_is, |d| { *d = Draft::new(Mode::Int8, 4, 3, 2); d.compose(3, 1, 0); },
            value("embed_dim modulo 2, for concatenation in field", 3, 0, 0, 1),
        ),
        ("table offset", as_is, |d| d.field(1).table_offset = 9.into(), value("table offset of field", 1, 8, 8, 9)),
        (
            "feature offset", as_is, |d| d.field(1).feature_offset = 1.into(),
            value("feature offset of field", 1, 2, 2, 1),
        ),
        (
            "bag multiplier", |d| d.field(0).multiplier = i32::MAX.into(), |d| d.field(0).multiplier = (-1).into(),
            value("multiplier of field", 0, 0, max, -1),
        ),
        ("copied row", as_is, |d| d.field(1).multiplier = 1.into(), value("multiplier of field", 1, 0, 0, 1)),
        (
            "copied halves", |d| d.compose(3, 2, 6), |d| { d.compose(3, 2, 6); d.field(3).multiplier = 1.into(); },
            value("multiplier of field", 3, 0, 0, 1),
        ),
        (
            "composed row", |d| { d.compose(2, 1, 12); d.field(3).multiplier = i32::MAX.into(); },
            |d| { d.compose(2, 1, 12); d.field(3).multiplier = i32::MIN.into(); },
            value("multiplier of field", 3, 0, max, i32::MIN.into()),
        ),
    ]);
    // Not in int8 mode, where a small program takes no weights at all.
    #[rustfmt::skip]
    check(Mode::Dynamic, &[
        (
            "weights of a single index", |d| d.weigh(0), |d| { d.weigh(0); d.field(0).bag = 0; },
            value("bag flag, for weights in field", 0, 1, 1, 0),
        ),
        (
            "features of both kinds", |d| d.weigh(0), |d| d.field(0).weighted_features = 2.into(),
            value("features, for weights in field", 0, 0, 0, 2),
        ),
        (
            "features with weights", |d| d.weigh(0), |d| { d.weigh(0); d.field(0).weighted_features = 3.into(); },
            value("table offset of field", 1, 12, 12, 8),
        ),
        (
            "features that are words of weights", as_is,
            |d| { d.weigh(0); d.field(0).weighted_features = ((1 << 31) + 1).into(); },
            value("features with weights of field", 0, 1, 1 << 31, (1 << 31) + 1),
        ),
    ]);
    #[rustfmt::skip]
    check(Mode::F32, &[
        ("f32", as_is, |d| d.field(0).multiplier = 1.into(), value("multiplier of field", 0, 0, 0, 1)),
        ("f32 bits", as_is, |d| d.field(0).bits = 4, value("bits of the tables of field", 0, 0, 0, 4)),
        (
            "f32 presence", as_is, |d| d.put(FeatureCoefficients, &[1_i16; 4]),
            LoadError::SectionPresence { section: FeatureCoefficients, found: true },
        ),
    ]);
}

#[test]
fn parts() {
    let (bias, max) = (i64::from(limit::BIAS), i64::from(i32::MAX));
    #[rustfmt::skip]
    check(Mode::Int8, &[
        ("pair's second", |d| d.prune(&[[0, 3]]), |d| d.prune(&[[0, 4]]), value("second field of pair", 0, 1, 3, 4)),
        (
            "pair's second, low", |d| d.prune(&[[0, 1]]), |d| d.prune(&[[0, 0]]),
            value("second field of pair", 0, 1, 3, 0),
        ),
        ("pair's first", |d| d.prune(&[[2, 3]]), |d| d.prune(&[[3, 3]]), value("first field of pair", 0, 0, 2, 3)),
        (
            "pair twice", |d| d.prune(&[[0, 1], [0, 2], [1, 2]]), |d| d.prune(&[[0, 1], [0, 2], [0, 2]]),
            value("ascending order of pair", 2, 1, 1, 0),
        ),
        (
            "pairs descend", |d| d.prune(&[[0, 3], [1, 2]]), |d| d.prune(&[[1, 2], [0, 3]]),
            value("ascending order of pair", 1, 1, 1, 0),
        ),
        ("inputs", as_is, |d| d.layer(1).inputs = 3.into(), value("inputs of layer", 1, 2, 2, 3)),
        (
            "outputs", |d| *d = Draft::new(Mode::Int8, 1, 1, 32_768), |d| *d = Draft::new(Mode::Int8, 1, 1, 32_769),
            value("outputs of layer", 0, 1, 32_768, 32_769),
        ),
        (
            "most inputs", |d| *d = Draft::new(Mode::Int8, 128, 256, 1), |d| d.layer(0).outputs = 0.into(),
            value("outputs of layer", 0, 1, 32_768, 0),
        ),
        ("one output", as_is, |d| d.layer(1).outputs = 2.into(), value("outputs of the last layer", 1, 1, 1, 2)),
        ("no layer", as_is, |d| d.put::<u8>(Layers, &[]), value("outputs of the last layer", 0, 1, 1, 0)),
        (
            "weight offset", as_is, |d| d.layer(1).weight_offset = 0.into(),
            value("weight offset of layer", 1, 32, 32, 0),
        ),
        (
            "channel offset", as_is, |d| d.layer(1).channel_offset = 3.into(),
            value("channel offset of layer", 1, 2, 2, 3),
        ),
        ("reserved", as_is, |d| d.layer(1).reserved[1] = 5.into(), value("reserved bytes of layer", 1, 0, 0, 5)),
        (
            "bias", |d| d.set(LayerBiases, 2, limit::BIAS), |d| d.set(LayerBiases, 2, limit::BIAS + 1),
            value("magnitude of layer bias in channel", 2, 0, bias, bias + 1),
        ),
        (
            "low bias", |d| d.set(LayerBiases, 0, -limit::BIAS), |d| d.set(LayerBiases, 0, i32::MIN),
            value("magnitude of layer bias in channel", 0, 0, bias, 1 << 31),
        ),
        (
            "multiplier", |d| d.set(LayerMultipliers, 1, i32::MAX), |d| d.set(LayerMultipliers, 1, -1),
            value("multiplier of channel", 1, 0, max, -1),
        ),
        (
            "mantissa", |d| d.terms().feature_weight.mantissa = (1 << 23) - 1,
            |d| d.terms().feature_weight.mantissa = 1 << 23, value("mantissa of term", 0, 0, (1 << 23) - 1, 1 << 23),
        ),
        (
            "low mantissa", |d| d.terms().field_vector.mantissa = 0, |d| d.terms().field_vector.mantissa = -1,
            value("mantissa of term", 1, 0, (1 << 23) - 1, -1),
        ),
        (
            "shift", |d| d.terms().interaction.shift = 62, |d| d.terms().interaction.shift = 63,
            value("shift of term", 2, 1, 62, 63),
        ),
        ("low shift", |d| d.terms().mlp.shift = 1, |d| d.terms().mlp.shift = 0, value("shift of term", 3, 1, 62, 0)),
        (
            "field vectors", |d| wide(d, &[&[i16::MIN; 511][..], &[i16::MAX]].concat()), |d| wide(d, &[i16::MIN; 512]),
            value("sum of field vectors", 0, 0, limit::FIELD_VECTOR_SUM, 1 << 24),
        ),
        (
            "pair weights", |d| d.put(PairWeights, &[i16::MIN, i16::MIN, i16::MIN, i16::MAX, 0, 0]),
            |d| d.put(PairWeights, &[i16::MIN, 0, i16::MIN, i16::MIN, i16::MIN, 0]),
            value("sum of pair weights", 0, 0, limit::PAIR_SUM, 1 << 17),
        ),
        (
            "pruned pair weights",
            |d| { d.prune(&[[0, 1], [0, 2], [0, 3], [2, 3]]);
                d.put(PairWeights, &[i16::MIN, i16::MIN, i16::MIN, i16::MAX]); },
            |d| { d.prune(&[[0, 1], [0, 2], [0, 3], [2, 3]]); d.put(PairWeights, &[i16::MIN; 4]); },
            value("sum of pair weights", 0, 0, limit::PAIR_SUM, 1 << 17),
        ),
    ]);
}

/// `rank` factors of four fields in place of pairs, each number 1 and each sign 1.
fn factors(draft: &mut Draft, rank: i32) {
    draft.remove(PairWeights);
    draft.put(LowRankSigns, &vec![1_i8; rank as usize]);
    draft.put(LowRankFactors, &vec![1_i16; 4 * rank as usize]);
    draft.put(LowRankDiagonal, &[rank; 4]);
}

fn two_factors(draft: &mut Draft) {
    factors(draft, 2);
}

/// Two factors, the second with these numbers.
fn second_factor(draft: &mut Draft, u: [i16; 4]) {
    two_factors(draft);
    draft.put(LowRankFactors, &[[1; 4], u].concat());
    draft.put(LowRankDiagonal, &u.map(|u| 1 + i32::from(u) * i32::from(u)));
}

#[test]
fn low_rank() {
    let presence = |section, found| LoadError::SectionPresence { section, found };
    #[rustfmt::skip]
    check(Mode::Int8, &[
        ("rank", |d| factors(d, 64), |d| factors(d, 65), value("rank of the interaction", 0, 1, 64, 65)),
        ("no factor", |d| factors(d, 1), |d| factors(d, 0), value("rank of the interaction", 0, 1, 64, 0)),
        (
            "sign", |d| { two_factors(d); d.set(LowRankSigns, 1, -1_i8); d.put(LowRankDiagonal, &[0; 4]); },
            |d| { two_factors(d); d.set(LowRankSigns, 1, -2_i8); },
            value("magnitude of the sign of factor", 1, 1, 1, 2),
        ),
        (
            "no sign", two_factors, |d| { two_factors(d); d.set(LowRankSigns, 0, 0_i8); },
            value("magnitude of the sign of factor", 0, 1, 1, 0),
        ),
        (
            "sum", |d| second_factor(d, [i16::MAX - 3, -1, 1, -1]), |d| second_factor(d, [i16::MAX, -1, 0, 0]),
            value("sum of factor", 1, 0, limit::LOW_RANK_SUM, 1 << 15),
        ),
        (
            "diagonal", two_factors, |d| { two_factors(d); d.set(LowRankDiagonal, 3, 1); },
            value("low-rank diagonal of field", 3, 2, 2, 1),
        ),
        ("no factors", two_factors, |d| { two_factors(d); d.remove(LowRankFactors); }, presence(LowRankFactors, false)),
        (
            "no diagonal", two_factors, |d| { two_factors(d); d.remove(LowRankDiagonal); },
            presence(LowRankDiagonal, false),
        ),
        ("factors alone", as_is, |d| d.put(LowRankFactors, &[1_i16; 4]), presence(LowRankFactors, true)),
        (
            "pairs too", two_factors, |d| { two_factors(d); d.put(PairWeights, &[1_i16; 6]); },
            presence(PairWeights, true),
        ),
        (
            "size", two_factors, |d| { two_factors(d); d.put(LowRankFactors, &[1_i16; 7]); },
            LoadError::SectionSize { section: LowRankFactors, expected: 16, found: 14 },
        ),
    ]);
    // 128 fields of 256 numbers, 64 factors of one sign: the largest sums, and wider integers give the same logit.
    for (table, sign) in [(-128_i8, 1_i8), (-128, -1), (127, 1), (127, -1)] {
        let mut draft = Draft::new(Mode::Int8, 128, 256, 1);
        draft.remove(PairWeights);
        draft.put(Tables, &vec![table; 2 * 128 * 256]);
        draft.put(LowRankSigns, &[sign; limit::RANK]);
        draft.put(LowRankFactors, &[255_i16; 128 * limit::RANK]);
        draft.put(LowRankDiagonal, &[i32::from(sign) * 64 * 255 * 255; 128]);
        draft.field(0).bag = 0;
        let term = Term { mantissa: (1 << 23) - 1, shift: 42 };
        *draft.terms() =
            Terms { feature_weight: Term::ABSENT, field_vector: Term::ABSENT, interaction: term, mlp: Term::ABSENT };
        let square = i128::from(table) * i128::from(table) * 255 * 255;
        let acc = 256 * i128::from(sign) * 64 * (square * 128 * 128 - square * 128);
        let acc = (acc + (1 << 19)) >> limit::LOW_RANK_SHIFT;
        let steps = 1 + ((acc * i128::from(term.mantissa) + (1 << 41)) >> 42);
        assert!(steps.abs() < i128::from(limit::LOGIT), "{steps} hides what was summed");
        assert_eq!(draft.logit(1), Ok(steps as f32 / 65_536.0), "{table} {sign}");
    }
}

#[test]
fn tiles() {
    let presence = |found| LoadError::SectionPresence { section: LayerSums, found };
    #[rustfmt::skip]
    check(Mode::Int8, &[
        ("tile", Draft::tile, |d| { d.tile(); d.layer(0).layout = 8.into(); }, value("layout of layer", 0, 0, 0, 8)),
        (
            "tile of the output", Draft::tile, |d| { d.tile(); d.layer(1).layout = 16.into(); },
            value("layout of layer", 1, 0, 0, 16),
        ),
        (
            "padding", Draft::tile, |d| { d.tile(); d.layer(1).channel_offset = 2.into(); },
            value("channel offset of layer", 1, 16, 16, 2),
        ),
        (
            "sum", Draft::tile, |d| { d.tile(); d.set(LayerSums, 1, 15); },
            value("sum of weights in channel", 1, 16, 16, 15),
        ),
        (
            "weight", Draft::tile, |d| { d.tile(); d.set(LayerWeights, 0, -128_i8); },
            value("sum of weights in channel", 0, -113, -113, 16),
        ),
        (
            "sum of padding", Draft::tile, |d| { d.tile(); d.set(LayerSums, 15, 1); },
            value("sum of weights in channel", 15, 0, 0, 1),
        ),
        ("no sums", Draft::tile, |d| { d.tile(); d.remove(LayerSums); }, presence(false)),
        ("sums of rows", as_is, |d| d.put(LayerSums, &[16, 16, 0]), presence(true)),
        (
            "sums' size", Draft::tile, |d| { d.tile(); d.put(LayerSums, &[16; 16]); },
            LoadError::SectionSize { section: LayerSums, expected: 68, found: 64 },
        ),
    ]);
    let mut draft = Draft::new(Mode::Int8, 4, 4, 2);
    let rows = draft.logit(2);
    draft.tile();
    assert_eq!(draft.logit(2), rows);
    // Inputs are padded where their number is no multiple of 4: a weight there would meet what memory holds.
    let mut draft = Draft::new(Mode::Int8, 3, 1, 2);
    let mut weights = vec![0_i8; Layout::Tiles.weights::<i8>(3, 2)];
    Layout::Tiles.lay(&[1; 6], 3, &mut weights);
    weights.extend([1; 2]);
    draft.layer(0).layout = Layout::Tiles.number().into();
    draft.layer(1).weight_offset = 64.into();
    draft.layer(1).channel_offset = 16.into();
    draft.put(LayerWeights, &weights);
    draft.put(LayerBiases, &padded(&[1, 1], 16));
    draft.put(LayerMultipliers, &padded(&[1, 1], 16));
    draft.put(LayerSums, &[&[3, 3][..], &[0; 15]].concat());
    assert!(draft.logit(2).is_ok());
    draft.set(LayerWeights, 3, 1_i8);
    draft.set(LayerSums, 0, 4);
    assert_eq!(draft.load_error(), Some(value("padding weight of channel", 0, 0, 0, 1)));
}

#[test]
fn strips() {
    // What 16 weights of 1 add to a bias of the first layer: -128 for each odd one.
    const SHIFT: i32 = -1024;
    let most = i64::from(limit::BIAS);
    #[rustfmt::skip]
    check(Mode::Int8, &[
        ("bias", |d| { d.lay_strips(Layout::Dsp); d.set(LayerBiases, 0, limit::BIAS + SHIFT); },
         |d| { d.lay_strips(Layout::Dsp); d.set(LayerBiases, 0, limit::BIAS + SHIFT + 1); },
            value("magnitude of layer bias in channel", 0, 0, most, most + 1)),
        ("low bias", |d| { d.lay_strips(Layout::Dsp); d.set(LayerBiases, 1, -limit::BIAS + SHIFT); },
         |d| { d.lay_strips(Layout::Dsp); d.set(LayerBiases, 1, i32::MIN); },
            value("magnitude of layer bias in channel", 1, 0, most, (1 << 31) + i64::from(SHIFT))),
        ("bias that nothing is added to", |d| { d.lay_strips(Layout::Mve); d.set(LayerBiases, 0, limit::BIAS); },
         |d| { d.lay_strips(Layout::Mve); d.set(LayerBiases, 0, limit::BIAS + 1); },
            value("magnitude of layer bias in channel", 0, 0, most, most + 1)),
        // The last sum is that of a row, to which no layout adds anything.
        ("bias of the output", |d| { d.lay_strips(Layout::Dsp); d.set(LayerBiases, 4, limit::BIAS); },
         |d| { d.lay_strips(Layout::Dsp); d.set(LayerBiases, 4, limit::BIAS + 1); },
            value("magnitude of layer bias in channel", 4, 0, most, most + 1)),
        ("low bias of the output", |d| { d.lay_strips(Layout::Mve); d.set(LayerBiases, 4, -limit::BIAS); },
         |d| { d.lay_strips(Layout::Mve); d.set(LayerBiases, 4, -limit::BIAS - (1 << 29)); },
            value("magnitude of layer bias in channel", 4, 0, most, most + (1 << 29))),
        ("couple", |d| { d.lay_strips(Layout::Dsp); d.set(LayerWeights, 0, -127_i8); },
         |d| { d.lay_strips(Layout::Dsp); d.set(LayerWeights, 0, -128_i8); },
            value("coupled weight in layer", 0, -127, 127, -128)),
        // 128 is what the high byte of -128 stands for beside an even weight that is not negative.
        ("high byte", |d| { d.lay_strips(Layout::Dsp); d.set(LayerWeights, 1, -127_i8); },
         |d| { d.lay_strips(Layout::Dsp); d.set(LayerWeights, 1, -128_i8); },
            value("coupled weight in layer", 0, -127, 127, 128)),
        ("vector weight", |d| { d.lay_strips(Layout::Mve); d.set(LayerWeights, 0, -128_i8); },
         |d| { d.lay_strips(Layout::Mve); d.layer(0).layout = 19.into(); },
            value("layout of layer", 0, 0, 18, 19)),
        (
            "sums", |d| d.lay_strips(Layout::Dsp), |d| { d.lay_strips(Layout::Dsp); d.put(LayerSums, &[0; 5]); },
            LoadError::SectionPresence { section: LayerSums, found: true },
        ),
        (
            "padding", |d| d.lay_strips(Layout::Mve),
            |d| { d.lay_strips(Layout::Mve); d.layer(1).channel_offset = 2.into(); },
            value("channel offset of layer", 1, 4, 4, 2),
        ),
    ]);
    for mode in [Mode::F32, Mode::Dynamic] {
        let mut draft = Draft::new(mode, 4, 4, 2);
        draft.layer(0).layout = Layout::Dsp.number().into();
        assert_eq!(draft.load_error(), Some(value("layout of layer", 0, 0, 16, 17)));
    }
    for layout in [Layout::Dsp, Layout::Mve] {
        let mut draft = Draft::new(Mode::Int8, 4, 4, 2);
        let rows = draft.logit(2);
        draft.lay_strips(layout);
        assert_eq!(draft.logit(2), rows, "{layout:?}");
    }
}

#[test]
fn dynamic_layers() {
    let most = i64::from(limit::DYNAMIC.to_bits());
    let nan = i64::from(f32::NAN.to_bits());
    #[rustfmt::skip]
    check(Mode::Dynamic, &[
        (
            "bias", |d| d.set(LayerBiases, 1, limit::DYNAMIC), |d| d.set(LayerBiases, 1, limit::DYNAMIC.next_up()),
            value("bits of layer bias in channel", 1, 0, most, most + 1),
        ),
        (
            "low bias", |d| d.set(LayerBiases, 2, -limit::DYNAMIC),
            |d| d.set(LayerBiases, 2, -limit::DYNAMIC.next_up()),
            value("bits of layer bias in channel", 2, 0, most, most + 1),
        ),
        (
            "no number", as_is, |d| d.set(LayerBiases, 0, f32::NAN),
            value("bits of layer bias in channel", 0, 0, most, nan),
        ),
        (
            "scale", |d| d.set(LayerMultipliers, 0, limit::DYNAMIC), |d| d.set(LayerMultipliers, 0, f32::INFINITY),
            value("bits of layer scale in channel", 0, 0, most, f32::INFINITY.to_bits().into()),
        ),
        (
            "negative scale", |d| d.set(LayerMultipliers, 2, 0.0_f32), |d| d.set(LayerMultipliers, 2, -1.0_f32),
            value("bits of layer scale in channel", 2, 0, most, (-1.0_f32).to_bits().into()),
        ),
        (
            "no scales", as_is, |d| d.remove(LayerMultipliers),
            LoadError::SectionPresence { section: LayerMultipliers, found: false },
        ),
    ]);
}

/// A model with 512 field vector numbers.
fn wide(draft: &mut Draft, vectors: &[i16]) {
    *draft = Draft::new(Mode::Int8, 2, 256, 1);
    draft.put(FieldVectors, vectors);
}

#[test]
fn sections() {
    use LoadError::{SectionBounds, SectionPresence, SectionSize, UnknownSection};
    let missing = |section| SectionPresence { section, found: false };
    #[rustfmt::skip]
    check(Mode::Int8, &[
        ("unknown", as_is, |d| d.put_bytes(99, &[1]), UnknownSection { kind: 99 }),
        (
            "optional", |d| d.put_bytes(OPTIONAL_KIND, &[1; 7]), |d| d.put_bytes(OPTIONAL_KIND - 1, &[1; 7]),
            UnknownSection { kind: 127 },
        ),
        ("last optional", |d| d.put_bytes(255, &[]), |d| d.put_bytes(0, &[]), UnknownSection { kind: 0 }),
        // The 128 bytes of `Fields` end where `Tables` starts, the limit of overlapping.
        (
            "overlap", as_is, |d| d.place = |s| s[1].offset -= 64,
            SectionBounds { kind: 2, offset: FIRST_SECTION + 64, len: 32 },
        ),
        (
            "over the manifest", as_is, |d| d.place = |s| s[0].offset = 64,
            SectionBounds { kind: 1, offset: 64, len: 128 },
        ),
        (
            "alignment", as_is, |d| d.place = |s| s[1].offset += 32,
            SectionBounds { kind: 2, offset: FIRST_SECTION + 160, len: 32 },
        ),
        (
            "repeated", as_is, |d| d.place = |s| s[1].kind = 1,
            SectionBounds { kind: 1, offset: FIRST_SECTION + 128, len: 32 },
        ),
        (
            "repeated optional", |d| { d.put_bytes(200, &[]); d.put_bytes(201, &[]); },
            |d| { d.put_bytes(200, &[]); d.put_bytes(201, &[]); d.place = |s| s[11].kind = 200; },
            SectionBounds { kind: 200, offset: FIRST_SECTION + 704, len: 0 },
        ),
        (
            "past the end", as_is, |d| d.place = |s| s[9].len += 1,
            SectionBounds { kind: 11, offset: FIRST_SECTION + 640, len: 13 },
        ),
        (
            "wraps", as_is, |d| d.place = |s| s[9].offset = u32::MAX - 63,
            SectionBounds { kind: 11, offset: u64::from(u32::MAX) - 63, len: 12 },
        ),
        ("no fields", as_is, |d| d.remove(Fields), missing(Fields)),
        ("no tables", as_is, |d| d.remove(Tables), missing(Tables)),
        (
            "feature weights", |d| { d.remove(FeatureWeights); d.remove(FeatureCoefficients); },
            |d| d.remove(FeatureCoefficients), missing(FeatureCoefficients),
        ),
        (
            "coefficients alone", as_is, |d| d.remove(FeatureWeights),
            SectionPresence { section: FeatureCoefficients, found: true },
        ),
        ("pairs", |d| d.remove(PairWeights), |d| { d.prune(&[[0, 1]]); d.remove(PairWeights); }, missing(PairWeights)),
        ("weights", as_is, |d| d.remove(LayerWeights), missing(LayerWeights)),
        ("biases", as_is, |d| d.remove(LayerBiases), missing(LayerBiases)),
        ("multipliers", as_is, |d| d.remove(LayerMultipliers), missing(LayerMultipliers)),
        ("weights alone", as_is, |d| d.remove(Layers), SectionPresence { section: LayerWeights, found: true }),
        (
            "field size", as_is, |d| d.section(Fields).truncate(96),
            SectionSize { section: Fields, expected: 128, found: 96 },
        ),
        ("table size", as_is, |d| d.section(Tables).push(1), SectionSize { section: Tables, expected: 32, found: 33 }),
        (
            "feature size", as_is, |d| d.section(FeatureWeights).truncate(7),
            SectionSize { section: FeatureWeights, expected: 8, found: 7 },
        ),
        (
            "vector size", as_is, |d| d.put(FieldVectors, &[1_i16; 17]),
            SectionSize { section: FieldVectors, expected: 32, found: 34 },
        ),
        (
            "half a number", as_is, |d| d.section(FieldVectors).push(1),
            SectionSize { section: FieldVectors, expected: 32, found: 33 },
        ),
        (
            "pair size", as_is, |d| d.put(PairWeights, &[1_i16; 5]),
            SectionSize { section: PairWeights, expected: 12, found: 10 },
        ),
        (
            "weight size", as_is, |d| d.section(LayerWeights).truncate(33),
            SectionSize { section: LayerWeights, expected: 34, found: 33 },
        ),
        (
            "bias size", as_is, |d| d.put(LayerBiases, &[1; 2]),
            SectionSize { section: LayerBiases, expected: 12, found: 8 },
        ),
    ]);
}

/// A model whose numbers are all as extreme as its coefficients' sign lets them be.
struct Extreme {
    shape: (u16, u16, u32),
    bag: u8,
    /// Of each index, where they have weights.
    weight: Option<Weight>,
    composition: u8,
    table: i8,
    coefficient: i16,
    layer: i8,
}

/// `count` numbers of one sign whose magnitudes sum up to `most`, where they suffice.
fn spread(extreme: i16, mut most: i64, count: usize) -> Vec<i16> {
    let mut next = || {
        let magnitude = most.min(i64::from(extreme).abs());
        most -= magnitude;
        i16::try_from(magnitude * i64::from(extreme.signum())).unwrap()
    };
    (0..count).map(|_| next()).collect()
}

impl Extreme {
    /// The draft, and its logit in i128.
    fn draft(&self, shifts: [u8; 4]) -> (Draft, f32) {
        let (f, k, hidden) = self.shape;
        let mut draft = Draft::new(Mode::Int8, f, k, hidden);
        let (fields, dim) = (usize::from(f), usize::from(k));
        let rows = if matches!(self.composition, composition::MULT | composition::ADD) { 2 } else { 1 };
        let multiplier = if self.bag == 1 { i32::MAX } else { 0 };
        for at in 0..f {
            let record = draft.field(at.into());
            *record = field(at.into(), self.bag, 1, u32::from(k) * rows);
            record.feature_offset = u32::from(at).into();
            (record.composition, record.multiplier) = (self.composition, multiplier.into());
            record.collisions = u32::from(self.composition != composition::FULL).into();
            if self.weight.is_some() {
                draft.weigh(at.into());
            }
        }
        let vectors = spread(self.coefficient, limit::FIELD_VECTOR_SUM, fields * dim);
        let pairs = spread(self.coefficient, limit::PAIR_SUM, fields * (fields - 1) / 2);
        let (width, bias) = (hidden as usize, limit::BIAS * i32::from(self.layer.signum()));
        let hidden_weights = vec![self.table; fields * dim * width]; // of e's sign: all that ReLU lets through
        draft.put(Tables, &vec![self.table; fields * dim * rows as usize]);
        draft.put(FeatureWeights, &vec![self.table; fields]);
        draft.put(FeatureCoefficients, &vec![self.coefficient; fields]);
        draft.put(FieldVectors, &vectors);
        draft.put(PairWeights, &pairs);
        draft.put(LayerWeights, &[hidden_weights, vec![self.layer; width]].concat());
        draft.put(LayerBiases, &[vec![limit::BIAS; width], vec![bias]].concat());
        draft.put(LayerMultipliers, &vec![i32::MAX; width + 1]);
        let [feature_weight, field_vector, interaction, mlp] =
            shifts.map(|shift| Term { mantissa: (1 << 23) - 1, shift });
        let terms = Terms { feature_weight, field_vector, interaction, mlp };
        draft.arithmetic = Arithmetic::Int8 { bias: 1, terms };

        let n = if self.bag == 1 { limit::BAG as i128 } else { 1 };
        let table = i128::from(self.table);
        let of_index = match self.composition {
            composition::MULT => table * table,
            composition::ADD => 128 * table * 2,
            _ => 128 * table,
        };
        let weighted =
            |number: i128| self.weight.map_or(number, |weight| (number * i128::from(weight.steps()) + 2048) >> 12);
        let composed = n * weighted(of_index);
        let of_features = weighted(n * table * i128::from(self.coefficient));
        let fitted =
            |acc: i128, least, most| i128::from(requantize(i32::try_from(acc).unwrap(), i32::MAX)).clamp(least, most);
        let e = if self.bag == 1 { fitted(composed, -127, 127) } else { table };
        let total = |numbers: &[i16]| numbers.iter().map(|&number| i128::from(number)).sum::<i128>();
        let inputs = (fields * dim) as i128;
        let h = fitted(inputs * e * table + i128::from(limit::BIAS), 0, 255);
        let steps = [
            (fields as i128 * of_features.clamp(-(1 << 32), 1 << 32), terms.feature_weight),
            (e * total(&vectors), terms.field_vector),
            (e * e * k as i128 * total(&pairs), terms.interaction),
            (i128::from(hidden) * h * i128::from(self.layer) + i128::from(bias), terms.mlp),
        ]
        .map(|(acc, term)| (acc * i128::from(term.mantissa) + (1 << (term.shift - 1))) >> term.shift);
        let sum = (1 + steps.iter().sum::<i128>()).clamp(-i128::from(limit::LOGIT), limit::LOGIT.into());
        (draft, sum as f32 / 65_536.0)
    }
}

/// Wider integers give the same logit, so none left its type; where overflow is checked, it would also panic.
#[test]
fn extremes_fit_their_integers() {
    let (many_fields, many_channels) = ((128, 256, 1), (4, 4, 32_768));
    let weights = [Some(Weight::MAX), Weight::of_steps(-i16::MAX)];
    let compositions = [composition::FULL, composition::MULT, composition::ADD, composition::CONCAT];
    let bags = compositions.into_iter().flat_map(|composition| {
        [None].into_iter().chain(weights).map(move |weight| (many_fields, 1, weight, composition))
    });
    let singles = [many_fields, many_channels].map(|shape| (shape, 0, None, composition::FULL));
    for (shape, bag, weight, composition) in bags.chain(singles) {
        let logit_of = |draft: &Draft| draft.weighted_logit(1024, weight.unwrap_or(Weight::ONE));
        for (table, coefficient, layer) in [-128, 127].into_iter().flat_map(|table| {
            [(table, i16::MIN, -128), (table, i16::MIN, 127), (table, i16::MAX, -128), (table, i16::MAX, 127)]
        }) {
            let extreme = Extreme { shape, bag, weight, composition, table, coefficient, layer };
            let (draft, logit) = extreme.draft([42, 34, 42, 34]);
            assert_eq!(
                logit_of(&draft),
                Ok(logit),
                "{shape:?}, {composition}: {table} {weight:?} {coefficient} {layer}"
            );
            assert!(logit.abs() < 128.0, "{logit} hides what was summed");
        }
        // With the smallest shifts, the sum of the parts is as large as it gets.
        let table = if weight.is_some_and(|weight| weight < Weight::ONE) { -127 } else { 127 };
        let extreme = Extreme { shape, bag, weight, composition, table, coefficient: i16::MAX, layer: 127 };
        let (draft, logit) = extreme.draft([1; 4]);
        assert_eq!((logit_of(&draft), logit), (Ok(128.0), 128.0));
    }
}

#[test]
fn bags_end_at_1024_indices() {
    let draft = Draft::new(Mode::Int8, 4, 4, 2);
    assert!(draft.logit(1024).is_ok());
    assert_eq!(draft.logit(1025), Err(ScoreError::IndexCount { field: 0, most: 1024, found: 1025 }));
    assert_eq!(draft.logit(0), Err(ScoreError::IndexCount { field: 0, most: 1024, found: 0 }));
}

#[test]
fn not_a_number_has_no_score() {
    for wrong in [f32::NAN, f32::INFINITY] {
        for kind in [Tables, FeatureWeights, FieldVectors, PairWeights, LayerWeights, LayerBiases] {
            let mut draft = Draft::new(Mode::F32, 4, 4, 2);
            assert!(draft.logit(2).is_ok());
            draft.set(kind, 0, wrong);
            assert_eq!(draft.logit(2), Err(ScoreError::NotFinite), "{kind:?} {wrong}");
        }
        let mut draft = Draft::new(Mode::F32, 4, 4, 2);
        draft.arithmetic = Arithmetic::F32 { bias: wrong };
        assert_eq!(draft.logit(2), Err(ScoreError::NotFinite));
        // Feature 1 of field 0, which the row does not read.
        let mut draft = Draft::new(Mode::F32, 4, 4, 2);
        draft.set(Tables, 4, wrong);
        draft.set(FeatureWeights, 1, wrong);
        assert!(draft.logit(2).is_ok());
    }
}

#[test]
fn statistics_are_what_a_hand_counts() {
    // Scratch depends on the back end; that of a microcontroller has the least.
    let portable = |model: Model<'_>| model.with_backend(Backend::Portable).unwrap().statistics();
    let of = |draft: &Draft| portable(Model::from_bytes(draft.write().as_bytes()).unwrap());
    let (num_fields, embed_dim) = (4, 4);
    // Tables 4 * 2 * 4, feature weights 8, field vectors 16, pairs 6, layers 16 * 65 + 65, biases 65 + 1, bias 1.
    let (parameters, multiply_accumulates) = (32 + 8 + 16 + 6 + 1105 + 66 + 1, 16 + 6 * 4 + 1105);
    let mut draft = Draft::new(Mode::Int8, 4, 4, 65);
    let int8 = Statistics {
        mode: Mode::Int8,
        num_fields,
        embed_dim,
        // Blocks before the last section: fields 2, tables to pair weights 5, layers 1, weights 18, biases 5.
        file_bytes: 1024 + 64 * (2 + 5 + 1 + 18 + 5) + 66 * 4,
        // Accumulators, vectors, two hidden layers.
        scratch_bytes: 64 * (1 + 1 + 2 * 2),
        parameters,
        multiply_accumulates,
    };
    assert_eq!(of(&draft), int8);
    draft.prune(&[[0, 1], [2, 3]]);
    let (file_bytes, parameters) = (int8.file_bytes + 64, parameters - 4);
    assert_eq!(of(&draft), Statistics { file_bytes, parameters, multiply_accumulates: 16 + 2 * 4 + 1105, ..int8 });
    let float = of(&Draft::new(Mode::F32, 4, 4, 65));
    // Fields 2, tables 2, feature weights, field vectors, pair weights and layers 1 each, weights 70 (1105 * 4 bytes).
    let file_bytes = 1024 + 64 * (2 + 2 + 4 + 70) + 66 * 4;
    // Vectors of 16 floats and room for 16 behind them, two hidden layers of 65.
    let scratch_bytes = 64 * (2 + 2 * 5);
    assert_eq!(float, Statistics { mode: Mode::F32, file_bytes, scratch_bytes, ..int8 });
}

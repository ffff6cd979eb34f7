//! Numbers that the format calls zero: where they are not, a file is refused by all that read it, or they have no say,
//! whichever back end scores.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::random::{Rng, Rows, Shape, samples};
use common::{Draft, field};
use xsfm_runtime::format::{Arithmetic, LayerRecord, Layout, SectionKind, Term, Terms, composition};
use xsfm_runtime::{Backend, Int8Model, LoadError, Mode, Model, Scorer, ScratchBlock};
use zerocopy::{FromBytes, IntoBytes};

use SectionKind::*;

/// Logits on each back end, as packed and prepared, and of a small program where it is the mode for one.
fn logits(draft: &Draft, seed: u64) -> Vec<(String, Vec<f32>)> {
    let file = draft.write();
    let model = Model::from_bytes(file.as_bytes()).unwrap();
    let samples = samples(&model, &mut Rng(seed), 20);
    let every_field: Vec<usize> = (0..model.num_fields()).collect();
    let rows = Rows::new(&samples, &every_field);
    let memory = |blocks| vec![ScratchBlock::ZERO; blocks];
    let mut found = Vec::new();
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let model = model.with_backend(backend).unwrap();
        let mut room = memory(model.prepared_blocks());
        for model in [model, model.prepare(&mut room).unwrap()] {
            let mut scratch = memory(model.batch_scratch_blocks());
            let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
            let of_rows = rows.all().into_iter().map(|row| scorer.score(row).unwrap().logit).collect();
            found.push((format!("{}, {:?}", backend.name(), model.layout()), of_rows));
        }
    }
    if model.mode() == Mode::Int8 {
        let small = Int8Model::from_bytes(file.as_bytes()).unwrap();
        let mut scratch = memory(small.scratch_blocks());
        let of_rows = rows.all().into_iter().map(|row| small.score(row, &mut scratch).unwrap() as f32 / 65_536.0);
        found.push(("small".to_owned(), of_rows.collect()));
    }
    found
}

/// Three fields of tables of four bits; `halves`: whether the last half of a row's bytes, where it has no number, is
/// not zero.
fn four_bits(dim: u16, composition: u8, bag: u8, seed: u64, halves: bool) -> Draft {
    let mut rng = Rng(seed * 31 + u64::from(dim));
    let term = |shift| Term { mantissa: (1 << 22) + 12_345, shift };
    let absent = Term::ABSENT;
    let terms = Terms { feature_weight: absent, field_vector: term(24), interaction: term(30), mlp: absent };
    let mut draft = Draft::empty(3, dim, Arithmetic::Int8 { bias: 7, terms });
    let dim = usize::from(dim);
    let tables = if composition == composition::FULL { 1 } else { 2 };
    let row_len = (if composition == composition::CONCAT { dim / 2 } else { dim }).div_ceil(2);
    let bytes = 4 * tables * row_len;
    let mut numbers: Vec<u8> = (0..3 * bytes).map(|_| rng.below(256) as u8).collect();
    if !halves {
        numbers.iter_mut().skip(row_len - 1).step_by(row_len).for_each(|byte| *byte &= 0x0F);
    }
    let record = |n| {
        let mut record = field(n, bag, if tables == 2 { 16 } else { 4 }, dim as u32);
        (record.composition, record.bits) = (composition, 4);
        record.collisions = if tables == 2 { 4 } else { 0 }.into();
        record.table_offset = (n * bytes as u32).into();
        let is_copied = bag == 0 && matches!(composition, composition::FULL | composition::CONCAT);
        record.multiplier = if is_copied { 0 } else { 1 << 25 }.into();
        record
    };
    draft.put(Fields, &(0..3).map(record).collect::<Vec<_>>());
    draft.put(Tables, &numbers);
    draft.put(FieldVectors, &vec![101_i16; 3 * dim]);
    draft.put(PairWeights, &[300_i16, -200, 100]);
    draft
}

/// A row of four bits ends with half a byte where its numbers are odd.
#[test]
fn a_half_byte_without_a_number_is_not_read() {
    let halved = [2, 6, 10].map(|dim| (dim, composition::CONCAT));
    let whole = [composition::FULL, composition::MULT, composition::ADD].into_iter();
    for (dim, composition) in
        halved.into_iter().chain(whole.flat_map(|composition| [(5, composition), (7, composition)]))
    {
        for (bag, seed) in (0..16).map(|n| (n % 2, u64::from(n / 2))) {
            let clean = logits(&four_bits(dim, composition, bag, seed, false), seed);
            let expected = &clean[0].1;
            for (name, found) in clean.iter().chain(&logits(&four_bits(dim, composition, bag, seed, true), seed)) {
                assert_eq!(found, expected, "{name}: dim {dim}, composition {composition}, bag {bag}, seed {seed}");
            }
        }
    }
}

/// Makes a number of a channel that is not the model's another than 0, in a way that nothing else forbids.
fn set_padding(draft: &mut Draft, mode: Mode, kind: SectionKind, record: LayerRecord, o: usize, rng: &mut Rng) {
    let (inputs, channel) = (record.inputs.get() as usize, record.channel_offset.get() as usize + o);
    let (first, layout) = (record.weight_offset.get() as usize, Layout::from_number(record.layout.get()).unwrap());
    let i = rng.below(inputs);
    let real = rng.pick(&[1.0_f32, -1.0, 1e30, f32::NAN, -0.0]);
    match (kind, mode) {
        (LayerWeights, Mode::F32) => {
            let numbers = <[f32]>::mut_from_bytes(draft.section(kind)).unwrap();
            layout.set(&mut numbers[first..], inputs, o, i, real);
        }
        (LayerWeights, _) => {
            let weight = rng.pick(&[1_i8, -1, 127, -127]);
            let numbers = <[i8]>::mut_from_bytes(draft.section(kind)).unwrap();
            layout.set(&mut numbers[first..], inputs, o, i, weight);
            if layout == Layout::Tiles {
                draft.set(LayerSums, channel, i32::from(weight));
            }
        }
        (_, Mode::Int8) => draft.set(kind, channel, rng.pick(&[1_i32, 1 << 20, i32::MAX >> 2])),
        (_, Mode::Dynamic) => draft.set(kind, channel, rng.pick(&[1e-20_f32, 1.0, 1e9])),
        _ => draft.set(kind, channel, real),
    }
}

/// Each channel of a hidden layer's padding, one number at a time.
#[test]
fn padding_outputs_are_zero() {
    let kinds = [
        (LayerWeights, "padding weight of channel"),
        (LayerBiases, "padding bias of channel"),
        (LayerMultipliers, "padding multiplier of channel"),
    ];
    let mut changed = [0; 3];
    let tiles = [Mode::Int8, Mode::Dynamic, Mode::F32].map(|mode| (mode, Layout::Tiles));
    for (mode, layout) in tiles.into_iter().chain([(Mode::Int8, Layout::Dsp), (Mode::Int8, Layout::Mve)]) {
        for seed in 0..6 {
            let mut rng = Rng(seed);
            let hidden = Some(vec![1 + rng.below(15), 1 + rng.below(20)]);
            // `Int8Model` refuses weights before it looks at layers.
            let shape = Shape { hidden, layout, weights: false, extreme: false, ..Shape::random(&mut rng, mode) };
            let mut draft = shape.draft(&mut rng);
            assert_eq!(draft.load_error(), None);
            for l in 0..2 {
                let record = *draft.layer(l);
                let outputs = record.outputs.get() as usize;
                for o in outputs..layout.channels(outputs) {
                    for (n, (kind, what)) in kinds.into_iter().enumerate().take(if mode == Mode::F32 { 2 } else { 3 }) {
                        let before = draft.sections.clone();
                        set_padding(&mut draft, mode, kind, record, o, &mut rng);
                        let at = record.channel_offset.get() + o as u32;
                        let error = draft.load_error();
                        let is_right =
                            matches!(error, Some(LoadError::Value { what: w, at: a, .. }) if (w, a) == (what, at));
                        assert!(is_right, "{mode:?} {layout:?}, {what} {at}: {error:?}");
                        if mode == Mode::Int8 {
                            assert_eq!(Int8Model::from_bytes(draft.write().as_bytes()).err(), error);
                        }
                        draft.sections = before;
                        changed[n] += 1;
                    }
                }
            }
        }
    }
    assert!(changed.iter().all(|&count| count > 50), "{changed:?}");
}

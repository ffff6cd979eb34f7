//! Numbers that the format calls zero: where they are not, a file is refused by all that read it, or they have no say, whichever back
//! end scores.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::random::{Rng, Rows, Shape, samples};
use common::{Draft, field};
use xsfm_runtime::format::{Arithmetic, LayerRecord, Layout, SectionKind, Terms, composition};
use xsfm_runtime::quant::Term;
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

/// A row of four bits ends with half a byte where its numbers are odd.
#[test]
fn a_half_byte_without_a_number_is_not_read() {
    for (dim, composition) in [(6, composition::CONCAT), (10, composition::CONCAT), (2, composition::CONCAT)]
        .into_iter()
        .chain([composition::FULL, composition::MULT, composition::ADD].into_iter().flat_map(|c| [(5, c), (7, c)]))
    {
        for bag in [0, 1] {
            for seed in 0..8 {
                let draft = |halves: bool| {
                    let mut rng = Rng(seed * 31 + u64::from(dim));
                    let term = |shift| Term { mantissa: (1 << 22) + 12_345, shift };
                    let terms = Terms {
                        feature_weight: Term::ABSENT,
                        field_vector: term(24),
                        interaction: term(30),
                        mlp: Term::ABSENT,
                    };
                    let mut draft = Draft::empty(3, dim, Arithmetic::Int8 { bias: 7, terms });
                    let dim = usize::from(dim);
                    let (columns, tables) = match composition {
                        composition::CONCAT => (dim / 2, 2),
                        composition::FULL => (dim, 1),
                        _ => (dim, 2),
                    };
                    let bytes = 4 * tables * columns.div_ceil(2);
                    let mut numbers: Vec<u8> = (0..3 * bytes).map(|_| rng.below(256) as u8).collect();
                    if !halves {
                        // The last byte of each row, whose high half is nobody's.
                        numbers
                            .iter_mut()
                            .skip(columns.div_ceil(2) - 1)
                            .step_by(columns.div_ceil(2))
                            .for_each(|b| *b &= 15);
                    }
                    let records: Vec<_> = (0..3)
                        .map(|n| {
                            let mut record = field(n, bag, if tables == 2 { 16 } else { 4 }, dim as u32);
                            record.composition = composition;
                            record.bits = 4;
                            record.collisions = if tables == 2 { 4 } else { 0 }.into();
                            record.table_offset = (n * bytes as u32).into();
                            let is_copied = bag == 0 && matches!(composition, composition::FULL | composition::CONCAT);
                            record.multiplier = if is_copied { 0 } else { 1 << 25 }.into();
                            record
                        })
                        .collect();
                    draft.put(Fields, &records);
                    draft.put(Tables, &numbers);
                    draft.put(FieldVectors, &vec![101_i16; 3 * dim]);
                    draft.put(PairWeights, &[300_i16, -200, 100]);
                    draft
                };
                let clean = logits(&draft(false), seed);
                let expected = &clean[0].1;
                for (name, found) in clean.iter().chain(&logits(&draft(true), seed)) {
                    assert_eq!(found, expected, "{name}: dim {dim}, composition {composition}, bag {bag}, seed {seed}");
                }
            }
        }
    }
}

/// Each number of a hidden layer's padding, one at a time.
#[test]
fn padding_outputs_are_zero() {
    let mut changed = [0; 3];
    for (mode, layout) in [
        (Mode::Int8, Layout::Tiles),
        (Mode::Int8, Layout::Dsp),
        (Mode::Int8, Layout::Mve),
        (Mode::Dynamic, Layout::Tiles),
        (Mode::F32, Layout::Tiles),
    ] {
        for seed in 0..6 {
            let mut rng = Rng(seed);
            let widths = vec![1 + rng.below(15), 1 + rng.below(20)];
            let shape = Shape { hidden: Some(widths), layout, extreme: false, ..Shape::random(&mut rng, mode) };
            let mut draft = shape.draft(&mut rng);
            logits(&draft, seed);
            let mut channel = 0;
            for l in 0..2 {
                let record: &LayerRecord = draft.layer(l);
                let (inputs, outputs) = (record.inputs.get() as usize, record.outputs.get() as usize);
                let first = record.weight_offset.get() as usize;
                for o in outputs..layout.channels(outputs) {
                    let at = channel + o;
                    let i = rng.below(inputs);
                    let kinds: &[SectionKind] = match mode {
                        Mode::F32 => &[LayerWeights, LayerBiases],
                        _ => &[LayerWeights, LayerBiases, LayerMultipliers],
                    };
                    for (n, &kind) in kinds.iter().enumerate() {
                        let before = draft.section(kind).clone();
                        let sums = (kind == LayerWeights && mode != Mode::F32 && layout == Layout::Tiles)
                            .then(|| draft.section(LayerSums).clone());
                        let number = rng.pick(&[1.0_f32, -1.0, 1e30, f32::NAN, -0.0]);
                        match (kind, mode) {
                            (LayerWeights, Mode::F32) => {
                                let bytes = draft.section(kind);
                                let numbers = <[f32]>::mut_from_bytes(bytes).unwrap();
                                layout.set(&mut numbers[first..], inputs, o, i, number);
                            }
                            (LayerWeights, _) => {
                                let weight = rng.pick(&[1_i8, -1, 127, -127]);
                                let bytes = draft.section(kind);
                                let numbers = <[i8]>::mut_from_bytes(bytes).unwrap();
                                layout.set(&mut numbers[first..], inputs, o, i, weight);
                                if sums.is_some() {
                                    draft.set(LayerSums, at, i32::from(weight));
                                }
                            }
                            (_, Mode::Int8) => draft.set(kind, at, rng.pick(&[1_i32, 1 << 20, i32::MAX >> 2])),
                            // Within the limits of dynamic mode, which would be what is wrong otherwise.
                            (_, Mode::Dynamic) => draft.set(kind, at, rng.pick(&[1e-20_f32, 1.0, 1e9])),
                            _ => draft.set(kind, at, number),
                        }
                        let error = draft.load_error();
                        let what =
                            ["padding weight of channel", "padding bias of channel", "padding multiplier of channel"]
                                [n];
                        assert!(
                            matches!(error, Some(LoadError::Value { what: w, at: a, .. }) if w == what && a as usize == at),
                            "{mode:?} {layout:?}, {what} {at}: {error:?}"
                        );
                        if mode == Mode::Int8 {
                            assert_eq!(Int8Model::from_bytes(draft.write().as_bytes()).err(), error);
                        }
                        *draft.section(kind) = before;
                        if let Some(sums) = sums {
                            *draft.section(LayerSums) = sums;
                        }
                        changed[n] += 1;
                    }
                }
                channel += layout.channels(outputs);
            }
        }
    }
    assert!(changed.iter().all(|&count| count > 50), "{changed:?}");
}

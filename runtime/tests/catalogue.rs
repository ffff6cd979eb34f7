//! Items of catalogues against whole rows: every mode, layout, back end, and part of a catalogue; and files that are
//! damaged, or of another model.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::compare::{Expected, available, cases, memory};
use common::random::{Rng, Rows, Sample, Shape, magnitudes, samples};
use xsfm_runtime::format::catalogue::{Header, VERSION};
use xsfm_runtime::format::{CRC, Layout};
use xsfm_runtime::{
    Backend, Catalogue, CatalogueError, CatalogueParts, CatalogueRanker, Mode, Model, Ranked, Row, Score, ScoreError,
    ScratchBlock,
};
use zerocopy::{FromBytes, IntoBytes};

const BOTH: [CatalogueParts; 2] = [CatalogueParts::LayerSums, CatalogueParts::Vectors];

/// Fields of a random context, one at least being left for items.
fn context_fields(rng: &mut Rng, num_fields: usize) -> Vec<usize> {
    let mut context: Vec<usize> = (0..num_fields).collect();
    for n in (1..num_fields).rev() {
        context.swap(n, rng.below(n + 1));
    }
    context.truncate(rng.below(num_fields));
    context
}

/// The file of a catalogue whose items are the samples' other fields.
fn built(model: &Model<'_>, context: &[usize], parts: CatalogueParts, samples: &[Sample]) -> Vec<ScratchBlock> {
    let of_items: Vec<usize> = (0..model.num_fields()).filter(|field| !context.contains(field)).collect();
    let rows = Rows::new(samples, &of_items);
    let mut room = memory(Catalogue::blocks(model, context, parts, samples.len() as u32).unwrap());
    let mut scratch = memory(Catalogue::scratch_blocks(model));
    let catalogue = Catalogue::build(model, context, parts, rows.all(), &mut scratch, &mut room).unwrap();
    assert_eq!(catalogue.len(), samples.len());
    assert!(catalogue.context_fields().all(|field| context.contains(&field)));
    room
}

fn ranked((candidate, score): (usize, Score)) -> Ranked {
    Ranked { candidate, score }
}

/// Items with the fields of one context after another, against whole rows.
fn check(name: &str, model: &Model<'_>, file: &[u8], expected: &[(Sample, Expected)], rng: &mut Rng) {
    let catalogue = Catalogue::from_bytes(model, file).unwrap();
    let context: Vec<usize> = catalogue.context_fields().collect();
    let mut room = memory(CatalogueRanker::blocks(model, &catalogue));
    let mut ranker = CatalogueRanker::new(model, &catalogue, &mut room).unwrap();
    let items: Vec<u32> = (0..catalogue.len() as u32).collect();
    let mut scores = vec![Score::default(); items.len()];
    for (shared, expected) in expected {
        let row = Rows::new([shared], &context);
        ranker.set_context(row.all().first().copied().unwrap_or(Row::new(&[]))).unwrap();
        let size = 1 + rng.below(37);
        for (items, scores) in items.chunks(size).zip(scores.chunks_mut(size)) {
            ranker.score_items(items, scores).unwrap();
        }
        expected.check(name, &scores);
        // The other way round, and some of them twice.
        let some: Vec<u32> = items.iter().rev().flat_map(|&item| [item, item / 2]).collect();
        let mut of_some = vec![Score::default(); some.len()];
        ranker.score_items(&some, &mut of_some).unwrap();
        for (&item, score) in some.iter().zip(&of_some) {
            assert_eq!(*score, scores[item as usize], "{name}: item {item} among others");
        }
        let mut sorted: Vec<Ranked> = scores.iter().copied().enumerate().map(ranked).collect();
        sorted.sort_by(|a, b| b.score.logit.total_cmp(&a.score.logit));
        let room = rng.below(items.len() + 3);
        let mut best = vec![Ranked::default(); room];
        let found = ranker.top_k(&mut best).unwrap();
        assert_eq!(best[..found], sorted[..room.min(sorted.len())], "{name}: the best {room}");
    }
}

fn check_mode(mode: Mode) {
    let (mut distinct, mut in_all) = (std::collections::HashSet::new(), 0);
    for seed in 0..cases() {
        let mut rng = Rng(seed * 11 + mode as u64);
        let shape = Shape::random(&mut rng, mode);
        let mut same = rng.clone();
        let draft = shape.draft(&mut rng);
        let file = draft.write();
        let model = Model::from_bytes(file.as_bytes()).unwrap();
        let in_rows = shape.draft_in(Layout::Rows, &mut same).write();
        let reference = Model::from_bytes(in_rows.as_bytes()).unwrap().with_backend(Backend::Portable).unwrap();
        let of_magnitudes = (mode == Mode::F32).then(|| magnitudes(draft).write());
        let of_magnitudes = of_magnitudes.as_ref().map(|file| Model::from_bytes(file.as_bytes()).unwrap());
        let of_magnitudes = of_magnitudes.map(|model| model.with_backend(Backend::Portable).unwrap());
        let samples = samples(&model, &mut rng, if cfg!(miri) { 4 } else { 37 });
        let context = context_fields(&mut rng, shape.num_fields);
        let expected = [0, 1].map(|n| {
            let shared = samples[n].clone();
            let whole = samples.iter().map(|sample| {
                let of = |field: usize| if context.contains(&field) { &shared } else { sample };
                (0..shape.num_fields).map(|field| of(field)[field].clone()).collect()
            });
            let whole: Vec<Sample> = whole.collect();
            let expected = Expected::new(&reference, of_magnitudes.as_ref(), &whole);
            (shared, expected)
        });
        for (_, expected) in &expected {
            in_all += expected.scores.len();
            distinct.extend(expected.scores.iter().map(|score| score.to_bits()));
        }
        let mut files: [Option<Vec<ScratchBlock>>; 2] = [None, None];
        for backend in available() {
            let model = model.with_backend(backend).unwrap();
            let best = model.with_backend(Backend::detect()).unwrap();
            let mut room = memory(best.prepared_blocks());
            let prepared = best.prepare(&mut room).unwrap().with_backend(backend).unwrap();
            for (layout, model) in [("as packed", &model), ("prepared", &prepared)] {
                for (parts, known) in BOTH.into_iter().zip(&mut files) {
                    let name =
                        format!("seed {seed}, {}, {layout}, {parts:?}, context {context:?}, {shape:?}", backend.name());
                    let file = built(model, &context, parts, &samples);
                    if mode != Mode::F32 {
                        // Whoever makes it.
                        let known = known.get_or_insert_with(|| file.clone());
                        assert!(known.as_bytes() == file.as_bytes(), "{name}: another file");
                    }
                    check(&name, model, file.as_bytes(), &expected, &mut rng);
                }
            }
        }
    }
    // Logits that are clamped, or all the same, would compare nothing.
    assert!(distinct.len() * 3 > in_all, "{} different logits of {in_all}", distinct.len());
}

#[test]
fn int8_items_have_the_bits_of_whole_rows() {
    check_mode(Mode::Int8);
}

#[test]
fn dynamic_items_have_the_bits_of_whole_rows() {
    check_mode(Mode::Dynamic);
}

#[test]
fn f32_items_are_close_to_whole_rows() {
    check_mode(Mode::F32);
}

/// A model with everything, its context, and a catalogue of seven items.
fn example(seed: u64, mode: Mode) -> (Vec<ScratchBlock>, Vec<usize>, Vec<Sample>) {
    let mut rng = Rng(seed);
    let shape = Shape {
        num_fields: 5,
        dim: 4,
        hidden: Some(vec![6, 3]),
        field_vector: true,
        feature_weight: true,
        extreme: false,
        ..Shape::random(&mut rng, mode)
    };
    let file = shape.draft(&mut rng).write();
    let samples = samples(&Model::from_bytes(file.as_bytes()).unwrap(), &mut rng, 7);
    (file, vec![3, 0], samples)
}

/// Makes the checksums right again.
fn sign(file: &mut [u8]) {
    let crc = CRC.checksum(&file[Header::LEN..]);
    let (header, _) = Header::mut_from_prefix(file).unwrap();
    header.body_crc = crc.into();
    header.header_crc = header.checksum().into();
}

/// Every score of a file that was read, whatever its numbers are.
fn scores_of(model: &Model<'_>, catalogue: &Catalogue<'_>, shared: &Sample) -> Result<Vec<Score>, ScoreError> {
    let context: Vec<usize> = catalogue.context_fields().collect();
    let mut room = memory(CatalogueRanker::blocks(model, catalogue));
    let mut ranker = CatalogueRanker::new(model, catalogue, &mut room)?;
    let row = Rows::new([shared], &context);
    ranker.set_context(row.all().first().copied().unwrap_or(Row::new(&[])))?;
    let items: Vec<u32> = (0..catalogue.len() as u32).collect();
    let mut scores = vec![Score::default(); items.len()];
    ranker.score_items(&items, &mut scores).map_err(|error| error.error)?;
    Ok(scores)
}

#[test]
fn any_byte_of_a_file_may_change_and_any_length_be_cut() {
    for mode in [Mode::Int8, Mode::Dynamic, Mode::F32] {
        let (mut refused, mut accepted) = (0, 0);
        let (file, context, samples) = example(5, mode);
        let model = Model::from_bytes(file.as_bytes()).unwrap();
        for parts in BOTH {
            let mut catalogue = built(&model, &context, parts, &samples);
            let bytes = catalogue.as_mut_bytes();
            for len in (0..bytes.len()).step_by(if cfg!(miri) { 41 } else { 1 }) {
                let error = Catalogue::from_bytes(&model, &bytes[..len]).unwrap_err();
                assert!(matches!(error, CatalogueError::Truncated { .. }), "{len} bytes: {error}");
            }
            for at in (0..bytes.len()).step_by(if cfg!(miri) { 37 } else { 1 }) {
                for flip in [0x01, 0x10, 0x7F, 0x80, 0xFF] {
                    let kept = bytes[..Header::LEN].to_vec();
                    bytes[at] ^= flip;
                    assert!(Catalogue::from_bytes(&model, bytes).is_err(), "byte {at} flipped by {flip:#x}");
                    sign(bytes);
                    match Catalogue::from_bytes(&model, bytes) {
                        Err(_) => refused += 1,
                        Ok(catalogue) => {
                            accepted += 1;
                            // The context may have become another, of other fields.
                            match scores_of(&model, &catalogue, &samples[0]) {
                                Ok(scores) => assert!(scores.iter().all(|score| score.logit.is_finite())),
                                Err(error) => assert!(mode == Mode::F32 && error == ScoreError::NotFinite, "{error}"),
                            }
                        }
                    }
                    bytes[at] ^= flip;
                    bytes[..Header::LEN].copy_from_slice(&kept);
                }
            }
        }
        assert!(cfg!(miri) || (refused > 100 && accepted > 1000), "{refused} refused, {accepted} accepted");
    }
}

/// Sums at the ends of an i64, and vectors and layer sums at the ends of theirs: scores at an end of the logit's range.
#[test]
fn numbers_that_no_item_has_give_scores_all_the_same() {
    for (mode, byte) in [Mode::Int8, Mode::Dynamic, Mode::F32].into_iter().flat_map(|mode| [(mode, 0x80), (mode, 0x7F)])
    {
        for seed in 0..cases() / 3 {
            let (file, context, samples) = example(seed, mode);
            let model = Model::from_bytes(file.as_bytes()).unwrap();
            for parts in BOTH {
                let mut catalogue = built(&model, &context, parts, &samples);
                let bytes = catalogue.as_mut_bytes();
                // The highest byte of each number, of eight bytes and of four, and all of them.
                for step in [8, 4, 1] {
                    bytes[Header::LEN..].fill(if step == 1 { byte } else { 0xFF });
                    bytes[Header::LEN..].iter_mut().skip(step - 1).step_by(step).for_each(|last| *last = byte);
                    sign(bytes);
                    let catalogue = Catalogue::from_bytes(&model, bytes).unwrap();
                    match scores_of(&model, &catalogue, &samples[0]) {
                        Ok(scores) => {
                            assert!(scores.iter().all(|score| score.logit.abs() <= 128.0 || mode == Mode::F32))
                        }
                        Err(error) => assert!(mode == Mode::F32 && error == ScoreError::NotFinite, "{error}"),
                    }
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let (file, context, samples) = example(5, Mode::Int8);
    let model = Model::from_bytes(file.as_bytes()).unwrap();
    let mut room = built(&model, &context, CatalogueParts::LayerSums, &samples);
    let (other, ..) = example(6, Mode::Int8);
    let other = Model::from_bytes(other.as_bytes()).unwrap();
    let error = Catalogue::from_bytes(&other, room.as_bytes()).unwrap_err();
    assert!(matches!(error, CatalogueError::OtherModel { .. }), "{error}");
    {
        let catalogue = Catalogue::from_bytes(&model, room.as_bytes()).unwrap();
        let mut blocks = memory(1 << 10);
        assert_eq!(CatalogueRanker::new(&other, &catalogue, &mut blocks).unwrap_err(), ScoreError::CatalogueModel);
        let (needed, found) = (CatalogueRanker::blocks(&model, &catalogue), 0);
        let error = CatalogueRanker::new(&model, &catalogue, &mut []).unwrap_err();
        assert_eq!(error, ScoreError::ScratchTooSmall { needed, found });
        let mut ranker = CatalogueRanker::new(&model, &catalogue, &mut blocks).unwrap();
        let mut scores = [Score::default(); 3];
        let error = ranker.score_items(&[0, 1, 2], &mut scores).unwrap_err();
        assert_eq!((error.row, error.error), (0, ScoreError::NoContext));
        assert_eq!(ranker.top_k(&mut []).unwrap_err().error, ScoreError::NoContext);
        let row = Rows::new([&samples[0]], &[0, 3]);
        ranker.set_context(row.all()[0]).unwrap();
        let error = ranker.score_items(&[6, 7, 1], &mut scores).unwrap_err();
        assert_eq!((error.row, error.error), (1, ScoreError::ItemOutOfRange { item: 7, items: 7 }));
        let first = scores[0];
        ranker.score_items(&[6], &mut scores[1..2]).unwrap();
        assert_eq!(first, scores[1], "items before the wrong one have their scores");
        let error = ranker.score_items(&[6], &mut scores).unwrap_err().error;
        assert_eq!(error, ScoreError::BatchLength { rows: 1, scores: 3 });
        assert!(matches!(ranker.set_context(Row::new(&[1])), Err(ScoreError::FieldCount { expected: 2, found: 1 })));
        assert_eq!(ranker.score_items(&[6], &mut scores[..1]).unwrap_err().error, ScoreError::NoContext);
        let misplaced = room.as_bytes();
        let mut shifted = memory(room.len() + 1);
        shifted.as_mut_bytes()[4..][..misplaced.len()].copy_from_slice(misplaced);
        let error = Catalogue::from_bytes(&model, &shifted.as_bytes()[4..]).unwrap_err();
        assert_eq!(error, CatalogueError::Misaligned { required: 8 });
    }
    let bytes = room.as_mut_bytes();
    let mut refuses = |change: &dyn Fn(&mut Header), text: &str| {
        let kept = bytes.to_vec();
        change(Header::mut_from_prefix(bytes).unwrap().0);
        sign(bytes);
        let error = Catalogue::from_bytes(&model, bytes).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        bytes.copy_from_slice(&kept);
    };
    refuses(&|header| header.version = (VERSION + 1).into(), "version 2");
    refuses(&|header| header.layer_sums = 2, "parts (1: sums of the first layer): 2 found, 0 to 1 allowed");
    refuses(&|header| header.reserved = 3, "reserved bytes: 3 found, 0 expected");
    refuses(&|header| header.unused = 1.into(), "reserved bytes: 1 found");
    refuses(&|header| header.context[0] = 31.into(), "fields of the context");
    refuses(&|header| header.context[3] = 1.into(), "fields of the context");
    refuses(&|header| header.items = 8.into(), "bytes of the file");
    refuses(&|header| header.items = u32::MAX.into(), "bytes of the file");
    refuses(&|header| header.magic[1] = b'Y', "not a catalogue");
    // An index that its field does not have, by its item's number.
    let mut wrong = samples.clone();
    wrong[4][1][0] = u32::MAX;
    let rows = Rows::new(&wrong, &[1, 2, 4]);
    let mut scratch = memory(Catalogue::scratch_blocks(&model));
    let mut memory = memory(Catalogue::blocks(&model, &context, CatalogueParts::Vectors, 7).unwrap());
    let vectors = CatalogueParts::Vectors;
    let error = Catalogue::build(&model, &context, vectors, rows.all(), &mut scratch, &mut memory).unwrap_err();
    assert!(error.row == 4 && error.error.field() == Some(0), "{error}");
    let error = Catalogue::build(&model, &context, vectors, rows.all(), &mut [], &mut memory).unwrap_err();
    assert!(matches!(error.error, ScoreError::ScratchTooSmall { found: 0, .. }), "{error}");
    let error = Catalogue::build(&model, &[9], vectors, rows.all(), &mut scratch, &mut memory).unwrap_err();
    assert_eq!(error.error, ScoreError::ContextField { field: 9 });
}

/// A catalogue without items, and one without a context: both are read, and rank what there is.
#[test]
fn nothing_and_everything() {
    let (file, _, samples) = example(9, Mode::Int8);
    let model = Model::from_bytes(file.as_bytes()).unwrap();
    let none = built(&model, &[1], CatalogueParts::LayerSums, &[]);
    let catalogue = Catalogue::from_bytes(&model, none.as_bytes()).unwrap();
    assert!(catalogue.is_empty() && none.len() * ScratchBlock::LEN == Header::LEN);
    let mut room = memory(CatalogueRanker::blocks(&model, &catalogue));
    let mut ranker = CatalogueRanker::new(&model, &catalogue, &mut room).unwrap();
    ranker.set_context(Rows::new([&samples[0]], &[1]).all()[0]).unwrap();
    assert_eq!(ranker.top_k(&mut [Ranked::default()]).unwrap(), 0);
    ranker.score_items(&[], &mut []).unwrap();
    let all = built(&model, &[], CatalogueParts::Vectors, &samples);
    let catalogue = Catalogue::from_bytes(&model, all.as_bytes()).unwrap();
    assert_eq!(scores_of(&model, &catalogue, &samples[0]).unwrap().len(), 7);
}

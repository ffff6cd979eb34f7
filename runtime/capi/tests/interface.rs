//! The interface as C uses it: right calls give the runtime's bits, wrong ones the right code and words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(unsafe_code, reason = "it calls as C does")]

use std::ffi::CStr;
use std::mem::zeroed;
use std::ptr::{null, null_mut};

use xsfm_capi::error::{XsfmError, xsfm_error_message};
use xsfm_capi::model::*;
use xsfm_capi::ranker::*;
use xsfm_capi::row::XsfmRow;
use xsfm_capi::scorer::*;
use xsfm_capi::status::{XsfmStatus, xsfm_status_name};
use xsfm_runtime::{Aligned, Backend, Model, Row, Scorer, ScratchBlock};

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../tests/fixtures/movielens-student/model.xsfm"));
/// Six fields with one index, and a bag of two.
const INDICES: [u32; 8] = [7, 42, 1, 1, 3, 5, 2, 9];
const OFFSETS: [u32; 8] = [0, 1, 2, 3, 4, 5, 6, 8];
const BLOCKS: usize = 64;

/// All zeros, as C's `= {0}`.
fn zero<T>() -> T {
    // SAFETY: the structs of the interface are numbers and pointers, for which zeros are values.
    unsafe { zeroed() }
}

fn blocks(count: usize) -> Vec<XsfmBlock> {
    vec![XsfmBlock { bytes: [0xA5; 64] }; count]
}

fn row(indices: &[u32], offsets: &[u32]) -> XsfmRow {
    let offsets_pointer = if offsets.is_empty() { null() } else { offsets.as_ptr() };
    XsfmRow {
        indices: indices.as_ptr(),
        num_indices: indices.len(),
        offsets: offsets_pointer,
        num_offsets: offsets.len(),
    }
}

fn loaded() -> XsfmModel {
    let mut model = zero();
    // SAFETY: the file is static.
    let status = unsafe { xsfm_load(&mut model, FILE.0.as_ptr(), FILE.0.len(), null_mut()) };
    assert_eq!(status, XsfmStatus::Ok);
    model
}

/// The words for an error.
fn message(error: &XsfmError) -> String {
    let mut buffer = [1; 160];
    // SAFETY: the buffer is as long as stated.
    let len = unsafe { xsfm_error_message(error, buffer.as_mut_ptr(), buffer.len()) };
    // SAFETY: the text is ended.
    let text = unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_str().unwrap();
    assert_eq!(text.len(), len);
    text.to_owned()
}

fn expected(rows: &[Row<'_>]) -> Vec<u32> {
    let model = Model::from_bytes(&FILE.0).unwrap();
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
    rows.iter().map(|&row| scorer.score(row).unwrap().logit.to_bits()).collect()
}

#[test]
fn a_scorer_gives_the_runtimes_bits() {
    let model = loaded();
    let mut info: XsfmInfo = zero();
    let (mut scratch, mut tiles) = (blocks(BLOCKS), blocks(4 * BLOCKS));
    let (mut scorer, mut prepared): (XsfmScorer, XsfmModel) = (zero(), zero());
    let one = row(&INDICES, &OFFSETS);
    let many = [one; 77];
    let want = expected(&[Row::with_bags(&INDICES, &OFFSETS)])[0];
    // SAFETY: everything lives until the end, and lengths are right.
    unsafe {
        assert_eq!(xsfm_get_info(&model, &mut info, null_mut()), XsfmStatus::Ok);
        assert_eq!((info.num_fields, info.embed_dim, info.mode), (7, 16, XsfmMode::Int8));
        assert_eq!(info.file_bytes, FILE.0.len());
        tiles.resize(info.prepared_blocks, tiles[0]);
        let status = xsfm_prepare(&model, tiles.as_mut_ptr(), tiles.len(), &mut prepared, null_mut());
        assert_eq!(status, XsfmStatus::Ok);
        for model in [&model, &prepared] {
            let status = xsfm_scorer_new(&mut scorer, model, scratch.as_mut_ptr(), BLOCKS, null_mut());
            assert_eq!(status, XsfmStatus::Ok);
            let mut logit = 0.0;
            assert_eq!(xsfm_score(&mut scorer, &one, &mut logit, null_mut()), XsfmStatus::Ok);
            assert_eq!(logit.to_bits(), want);
            let mut logits = [0.0_f32; 77];
            let status = xsfm_score_batch(&mut scorer, many.as_ptr(), 77, logits.as_mut_ptr(), null_mut());
            assert_eq!(status, XsfmStatus::Ok);
            assert!(logits.iter().all(|logit| logit.to_bits() == want));
        }
    }
    assert!((xsfm_probability(f32::from_bits(want)) - 0.5).abs() < 0.5);
    assert_eq!(xsfm_format_version(), xsfm_runtime::format::VERSION);
}

#[test]
fn a_ranker_gives_the_runtimes_bits_and_order() {
    let model = loaded();
    let mut ranker: XsfmRanker = zero();
    let context_fields = [4, 2, 3, 0];
    let context = row(&[7, 1, 1, 3], &[]);
    let films: Vec<[u32; 3]> = (1..50).map(|film| [film, film % 7, film % 19]).collect();
    let candidates: Vec<XsfmRow> = films.iter().map(|film| row(film, &[])).collect();
    let whole: Vec<[u32; 7]> = films.iter().map(|&[item, year, genre]| [7, item, 1, 1, 3, year, genre]).collect();
    let want = expected(&whole.iter().map(|indices| Row::new(indices)).collect::<Vec<_>>());
    let (mut logits, mut best, mut found) = ([0.0_f32; 49], [zero::<XsfmRanked>(); 5], 0);
    // SAFETY: everything lives until the end, and lengths are right.
    unsafe {
        let mut needed = 0;
        let fields = context_fields.as_ptr();
        assert_eq!(xsfm_ranker_blocks(&model, fields, 4, &mut needed, null_mut()), XsfmStatus::Ok);
        let mut memory = blocks(needed);
        let mut new = |blocks| xsfm_ranker_new(&mut ranker, &model, fields, 4, memory.as_mut_ptr(), blocks, null_mut());
        assert_eq!(new(needed - 1), XsfmStatus::ScratchTooSmall);
        assert_eq!(new(needed), XsfmStatus::Ok);
        let mut score =
            |ranker| xsfm_ranker_score_batch(ranker, candidates.as_ptr(), 49, logits.as_mut_ptr(), null_mut());
        assert_eq!(score(&mut ranker), XsfmStatus::NoContext);
        assert_eq!(xsfm_ranker_set_context(&mut ranker, &context, null_mut()), XsfmStatus::Ok);
        assert_eq!(score(&mut ranker), XsfmStatus::Ok);
        assert_eq!(logits.map(f32::to_bits).to_vec(), want);
        let mut top = |candidates: &[XsfmRow], most, error: *mut XsfmError| {
            let (rows, len) = (candidates.as_ptr(), candidates.len());
            xsfm_ranker_top_k(&mut ranker, rows, len, best.as_mut_ptr(), most, &mut found, error)
        };
        let mut wrong = candidates.clone();
        wrong[40].indices = null();
        let mut error: XsfmError = zero();
        assert_eq!(top(&wrong, 5, &mut error), XsfmStatus::Null);
        assert_eq!((error.row, message(&error).as_str()), (40, "row 40: argument row.indices: NULL"));
        assert_eq!(top(&candidates, 5, null_mut()), XsfmStatus::Ok);
        assert_eq!(found, 5);
    }
    let mut order: Vec<usize> = (0..49).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    assert_eq!(best.map(|ranked| ranked.candidate).to_vec(), order[..5]);
    assert!(best.iter().all(|ranked| ranked.logit.to_bits() == want[ranked.candidate]));
}

#[test]
fn fields_have_their_names() {
    let model = loaded();
    let mut field: XsfmField = zero();
    let mut error: XsfmError = zero();
    let mut names = Vec::new();
    // SAFETY: the model lives, and so does the text of its file.
    unsafe {
        for number in 0..7 {
            assert_eq!(xsfm_get_field(&model, number, &mut field, null_mut()), XsfmStatus::Ok);
            let name = std::slice::from_raw_parts(field.name.start.cast(), field.name.len);
            names.push(String::from_utf8(name.to_vec()).unwrap());
        }
        assert_eq!(xsfm_get_field(&model, 7, &mut field, &mut error), XsfmStatus::NoSuchField);
    }
    assert_eq!((names[0].as_str(), field.bag), ("user", true));
    assert_eq!(message(&error), "argument number: 7, but the model has 7 fields");
}

#[test]
fn files_that_are_none_are_named() {
    let mut copy = blocks(FILE.0.len().div_ceil(64) + 1);
    let bytes = copy.as_mut_ptr().cast::<u8>();
    let mut model = loaded();
    let mut error: XsfmError = zero();
    let len = FILE.0.len();
    // SAFETY: the copy has room for the file and 64 bytes.
    let mut load = |at: usize, len: usize, change: usize, to: u8| unsafe {
        std::ptr::copy_nonoverlapping(FILE.0.as_ptr(), bytes.add(at), FILE.0.len());
        bytes.add(at + change).write(to);
        let status = xsfm_load(&mut model, bytes.add(at), len, &mut error);
        assert_eq!(error.status, status);
        (status, message(&error))
    };
    let (status, text) = load(0, len / 2, 0, FILE.0[0]);
    let words = format!("truncated: {len} bytes needed, {} found", len / 2);
    assert_eq!((status, text), (XsfmStatus::Truncated, words));
    assert_eq!(load(0, len, 0, 0).0, XsfmStatus::NotXsfm);
    assert_eq!(load(0, len, len - 1, !FILE.0[len - 1]).0, XsfmStatus::Checksum);
    assert_eq!(load(0, len, 31, !FILE.0[31]).0, XsfmStatus::PrefixChecksum);
    assert_eq!(load(1, len, 0, FILE.0[0]).0, XsfmStatus::MisalignedModel);
    assert_eq!(load(0, len, 0, FILE.0[0]), (XsfmStatus::Ok, "no error".to_owned()));
}

#[test]
fn after_a_failure_nothing_is_ready() {
    let (mut model, mut scorer): (XsfmModel, XsfmScorer) = (loaded(), zero());
    let mut scratch = blocks(BLOCKS);
    let (mut logit, mut error): (f32, XsfmError) = (0.0, zero());
    let one = row(&INDICES, &OFFSETS);
    // SAFETY: everything lives until the end, and lengths are right.
    unsafe {
        assert_eq!(xsfm_score(&mut scorer, &one, &mut logit, null_mut()), XsfmStatus::NotReady);
        let mut new =
            |model: &XsfmModel, blocks, error| xsfm_scorer_new(&mut scorer, model, scratch.as_mut_ptr(), blocks, error);
        assert_eq!(new(&model, BLOCKS, null_mut()), XsfmStatus::Ok);
        assert_eq!(new(&model, 1, &mut error), XsfmStatus::ScratchTooSmall);
        assert!(message(&error).ends_with("1 given"), "{}", message(&error));
        assert_eq!(xsfm_score(&mut scorer, &one, &mut logit, &mut error), XsfmStatus::NotReady);
        assert!(message(&error).starts_with("argument scorer: not made"), "{}", message(&error));
        assert_eq!(xsfm_load(&mut model, FILE.0.as_ptr(), 1, null_mut()), XsfmStatus::Truncated);
        assert_eq!(xsfm_verify_checksum(&model, null_mut()), XsfmStatus::NotReady);
        // A model is not a scorer.
        model = loaded();
        let as_scorer = (&raw mut model).cast::<XsfmScorer>();
        assert_eq!(xsfm_score(as_scorer, &one, &mut logit, null_mut()), XsfmStatus::NotReady);
    }
}

/// However setting a context fails, what an earlier one left is gone.
#[test]
fn a_refused_context_leaves_none() {
    let model = loaded();
    let (mut ranker, mut error): (XsfmRanker, XsfmError) = (zero(), zero());
    let context = row(&[7, 1, 1, 3], &[]);
    let film = row(&[42, 5, 2], &[]);
    let (fields, mut best, mut found, mut logit) = ([0, 2, 3, 4], [zero::<XsfmRanked>(); 1], 0, 0.0_f32);
    let (null_row, off) = (null::<XsfmRow>(), (&raw mut error).wrapping_byte_add(1));
    let shifted = |row: &XsfmRow| XsfmRow { indices: row.indices.wrapping_byte_add(1), ..*row };
    // SAFETY: everything lives until the end, and lengths are right where they are used.
    unsafe {
        let mut needed = 0;
        assert_eq!(xsfm_ranker_blocks(&model, fields.as_ptr(), 4, &mut needed, null_mut()), XsfmStatus::Ok);
        let mut memory = blocks(needed);
        let (memory, new) = (memory.as_mut_ptr(), &raw mut ranker);
        assert_eq!(xsfm_ranker_new(new, &model, fields.as_ptr(), 4, memory, needed, null_mut()), XsfmStatus::Ok);
        let wrong: [(*const XsfmRow, *mut XsfmError, XsfmStatus); 11] = [
            (null_row, null_mut(), XsfmStatus::Null),
            ((&raw const context).wrapping_byte_add(1), null_mut(), XsfmStatus::MisalignedPointer),
            (&context, off, XsfmStatus::MisalignedPointer),
            (null_row, off, XsfmStatus::MisalignedPointer),
            (&XsfmRow { indices: null(), ..context }, null_mut(), XsfmStatus::Null),
            (&XsfmRow { num_offsets: 5, ..context }, null_mut(), XsfmStatus::Null),
            (&XsfmRow { num_indices: usize::MAX, ..context }, null_mut(), XsfmStatus::TooLong),
            (&shifted(&context), null_mut(), XsfmStatus::MisalignedPointer),
            (&XsfmRow { num_indices: 3, ..context }, null_mut(), XsfmStatus::FieldCount),
            (&row(&[7, 1, 1, u32::MAX], &[]), &raw mut error, XsfmStatus::IndexOutOfRange),
            (&row(&[7, 1, 1, 3], &[0, 1, 2, 3, 5]), &raw mut error, XsfmStatus::Offsets),
        ];
        for (number, (wrong, error, status)) in wrong.into_iter().enumerate() {
            assert_eq!(xsfm_ranker_set_context(new, &context, null_mut()), XsfmStatus::Ok);
            let ranked = xsfm_ranker_top_k(new, &film, 1, best.as_mut_ptr(), 1, &mut found, null_mut());
            assert_eq!((ranked, found), (XsfmStatus::Ok, 1));
            assert_eq!(xsfm_ranker_set_context(new, wrong, error), status, "{number}");
            let scored = xsfm_ranker_score_batch(new, &film, 1, &mut logit, null_mut());
            assert_eq!(scored, XsfmStatus::NoContext, "{number}");
            let ranked = xsfm_ranker_top_k(new, &film, 1, best.as_mut_ptr(), 1, &mut found, null_mut());
            assert_eq!(ranked, XsfmStatus::NoContext, "{number}");
        }
    }
}

/// A model that cannot be prepared where it lies is as it was.
#[test]
fn what_cannot_be_prepared_in_place_stays() {
    let mut model = loaded();
    let mut info: XsfmInfo = zero();
    let (mut scorer, mut scratch, mut error): (XsfmScorer, _, XsfmError) = (zero(), blocks(BLOCKS), zero());
    let one = row(&INDICES, &OFFSETS);
    let want = expected(&[Row::with_bags(&INDICES, &OFFSETS)])[0];
    // SAFETY: everything lives until the end, and lengths are right where they are used.
    unsafe {
        assert_eq!(xsfm_get_info(&model, &mut info, null_mut()), XsfmStatus::Ok);
        let needed = info.prepared_blocks;
        let mut tiles = blocks(needed);
        let tiles = tiles.as_mut_ptr();
        let place = &raw mut model;
        let mut scores = |model: *const XsfmModel| {
            let status = xsfm_scorer_new(&mut scorer, model, scratch.as_mut_ptr(), BLOCKS, null_mut());
            assert_eq!(status, XsfmStatus::Ok);
            let mut logit = 0.0;
            assert_eq!(xsfm_score(&mut scorer, &one, &mut logit, null_mut()), XsfmStatus::Ok);
            assert_eq!(logit.to_bits(), want);
        };
        // Where there are no vector instructions there is nothing to prepare, and nothing that fails.
        if needed > 0 {
            let off = (&raw mut error).wrapping_byte_add(1);
            assert_eq!(xsfm_prepare(place, tiles, needed - 1, place, null_mut()), XsfmStatus::ScratchTooSmall);
            scores(place);
            assert_eq!(xsfm_prepare(place, null_mut(), needed, place, null_mut()), XsfmStatus::Null);
            scores(place);
            assert_eq!(xsfm_prepare(place, tiles, needed, place, off), XsfmStatus::MisalignedPointer);
            scores(place);
            // Elsewhere nothing is ready then, whatever was there before, and the model is as it was.
            let mut other = loaded();
            assert_eq!(xsfm_prepare(place, tiles, needed - 1, &mut other, null_mut()), XsfmStatus::ScratchTooSmall);
            assert_eq!(xsfm_verify_checksum(&other, null_mut()), XsfmStatus::NotReady);
            other = loaded();
            assert_eq!(xsfm_prepare(place, tiles, needed, &mut other, off), XsfmStatus::MisalignedPointer);
            assert_eq!(xsfm_verify_checksum(&other, null_mut()), XsfmStatus::NotReady);
            scores(place);
        }
        assert_eq!(xsfm_prepare(place, tiles, needed, place, &mut error), XsfmStatus::Ok);
        assert_eq!(error.status, XsfmStatus::Ok);
        scores(place);
        let mut none: XsfmModel = zero();
        let none = &raw mut none;
        assert_eq!(xsfm_prepare(none, tiles, needed, none, null_mut()), XsfmStatus::NotReady);
    }
}

#[test]
fn instructions_are_chosen_before_a_model_is_loaded() {
    let mut model: XsfmModel = zero();
    let (mut info, mut error): (XsfmInfo, XsfmError) = (zero(), zero());
    let mut load = |backend, skip_checksum| {
        let options = XsfmLoadOptions { backend, skip_checksum };
        // SAFETY: the file is static; what is made lives until the end.
        unsafe {
            let status = xsfm_load_with(&mut model, FILE.0.as_ptr(), FILE.0.len(), &options, &mut error);
            let told = xsfm_get_info(&model, &mut info, null_mut());
            assert_eq!(told, if status == XsfmStatus::Ok { told } else { XsfmStatus::NotReady });
            let name = if status == XsfmStatus::Ok {
                std::slice::from_raw_parts(info.backend.start.cast(), info.backend.len).to_vec()
            } else {
                message(&error).into_bytes()
            };
            (status, String::from_utf8(name).unwrap())
        }
    };
    let numbers = [
        XsfmBackend::Portable,
        XsfmBackend::Sse41,
        XsfmBackend::Avx2,
        XsfmBackend::AvxVnni,
        XsfmBackend::Avx512Vnni,
        XsfmBackend::Avx512Amx,
        XsfmBackend::Neon,
        XsfmBackend::NeonDotprod,
        XsfmBackend::NeonI8mm,
        XsfmBackend::Simd128,
    ];
    assert_eq!(numbers.len(), Backend::ALL.len());
    for (number, backend) in numbers.into_iter().zip(Backend::ALL) {
        let (status, text) = load(number as i32, 0);
        if backend.is_available() {
            assert_eq!((status, text.as_str()), (XsfmStatus::Ok, backend.name()));
        } else {
            let words = format!("this CPU lacks back end {}", backend.name());
            assert_eq!((status, text), (XsfmStatus::Backend, words));
        }
    }
    assert_eq!(load(0, 0), (XsfmStatus::Ok, Backend::detect().name().to_owned()));
    assert_eq!(load(1, 0), (XsfmStatus::Ok, Backend::detect_without_amx().name().to_owned()));
    for number in [-1, 12, i32::MAX] {
        let words = format!("argument options.backend: there is no back end of number {number}");
        assert_eq!(load(number, 0), (XsfmStatus::Backend, words));
    }
    let mut damaged = blocks(FILE.0.len().div_ceil(64));
    let bytes = damaged.as_mut_ptr().cast::<u8>();
    let options = XsfmLoadOptions { backend: XsfmBackend::Portable as i32, skip_checksum: 0 };
    // SAFETY: the copy has room for the file, and lives until the end.
    unsafe {
        std::ptr::copy_nonoverlapping(FILE.0.as_ptr(), bytes, FILE.0.len());
        *bytes.add(FILE.0.len() - 1) ^= 1;
        let load = |model, options| xsfm_load_with(model, bytes, FILE.0.len(), options, null_mut());
        assert_eq!(load(&mut model, &options), XsfmStatus::Checksum);
        assert_eq!(load(&mut model, null()), XsfmStatus::Checksum);
        assert_eq!(load(&mut model, &XsfmLoadOptions { skip_checksum: 2, ..options }), XsfmStatus::Ok);
    }
}

#[test]
fn wrong_rows_are_named() {
    let model = loaded();
    let (mut scorer, mut scratch): (XsfmScorer, _) = (zero(), blocks(BLOCKS));
    let mut error: XsfmError = zero();
    let good = row(&INDICES, &OFFSETS);
    let unknown = row(&[u32::MAX; 7], &[]);
    let mut rows = [good; 60];
    let mut logits = [f32::NAN; 60];
    // SAFETY: everything lives until the end, and lengths are right.
    unsafe {
        let status = xsfm_scorer_new(&mut scorer, &model, scratch.as_mut_ptr(), BLOCKS, null_mut());
        assert_eq!(status, XsfmStatus::Ok);
        let mut score = |row: XsfmRow| xsfm_score(&mut scorer, &row, &mut 0.0, &mut error);
        assert_eq!(score(row(&INDICES[..6], &[])), XsfmStatus::FieldCount);
        assert_eq!(score(row(&INDICES, &[0; 8])), XsfmStatus::IndexCount);
        assert_eq!(score(row(&INDICES[..3], &OFFSETS)), XsfmStatus::Offsets);
        assert_eq!(score(XsfmRow { offsets: null(), ..good }), XsfmStatus::Null);
        assert_eq!(score(XsfmRow { num_indices: usize::MAX / 2, ..good }), XsfmStatus::TooLong);
        assert_eq!(score(unknown), XsfmStatus::IndexOutOfRange);
        assert_eq!(message(&error), "field 0: index 4294967295, but the field has 944 features");
        for (number, wrong, code) in [
            (41, unknown, XsfmStatus::IndexOutOfRange),
            (37, XsfmRow { indices: INDICES.as_ptr().byte_add(1), ..good }, XsfmStatus::MisalignedPointer),
        ] {
            rows[number] = wrong;
            logits.fill(f32::NAN);
            let status = xsfm_score_batch(&mut scorer, rows.as_ptr(), 60, logits.as_mut_ptr(), &mut error);
            assert_eq!((status, error.row), (code, number));
            assert!(message(&error).starts_with(&format!("row {number}: ")), "{}", message(&error));
            assert!(logits[..number].iter().all(|logit| logit.is_finite()));
            assert!(logits[number..].iter().all(|logit| logit.is_nan()));
        }
    }
}

/// Each pointer that must not be NULL, in turn NULL and off by a byte.
#[test]
fn pointers_are_checked() {
    let mut model = loaded();
    let (mut scorer, mut ranker): (XsfmScorer, XsfmRanker) = (zero(), zero());
    let mut scratch = blocks(4 * BLOCKS);
    let (mut info, mut field, mut found, mut logit) = (zero::<XsfmInfo>(), zero::<XsfmField>(), 0_usize, 0.0_f32);
    let (mut best, fields) = ([zero::<XsfmRanked>(); 2], [0_usize]);
    let (one, context, error) = (row(&INDICES, &OFFSETS), row(&[7], &[]), null_mut());
    let (bytes, len, memory) = (FILE.0.as_ptr(), FILE.0.len(), scratch.as_mut_ptr());
    let n = 4 * BLOCKS;
    // SAFETY: everything lives until the end; what is wrong is refused before it is used.
    unsafe {
        assert_eq!(xsfm_scorer_new(&mut scorer, &model, memory, n, error), XsfmStatus::Ok);
        // Runs a call with the pointer as it is off by a byte, then NULL.
        macro_rules! refused {
            ($call:ident($($before:expr),*; $pointer:expr; $($after:expr),*)) => {{
                let pointer = $pointer;
                let status = $call($($before,)* pointer.wrapping_byte_add(1), $($after),*);
                assert_eq!(status, XsfmStatus::MisalignedPointer, "{}", stringify!($pointer));
                let status = $call($($before,)* pointer.with_addr(0), $($after),*);
                assert_eq!(status, XsfmStatus::Null, "{}", stringify!($pointer));
            }};
        }
        refused!(xsfm_load(; &raw mut model; bytes, len, error));
        assert_eq!(xsfm_load(&mut model, null(), 0, error), XsfmStatus::Null);
        model = loaded();
        refused!(xsfm_verify_checksum(; &raw const model; error));
        refused!(xsfm_get_info(; &raw const model; &mut info, error));
        refused!(xsfm_get_info(&model; &raw mut info; error));
        refused!(xsfm_get_field(; &raw const model; 0, &mut field, error));
        refused!(xsfm_get_field(&model, 0; &raw mut field; error));
        let mut prepared: XsfmModel = zero();
        refused!(xsfm_prepare(; &raw const model; memory, n, &mut prepared, error));
        refused!(xsfm_prepare(&model; memory; n, &mut prepared, error));
        refused!(xsfm_prepare(&model, memory, n; &raw mut prepared; error));
        refused!(xsfm_scorer_new(; &raw mut scorer; &model, memory, n, error));
        refused!(xsfm_scorer_new(&mut scorer; &raw const model; memory, n, error));
        refused!(xsfm_scorer_new(&mut scorer, &model; memory; n, error));
        assert_eq!(xsfm_scorer_new(&mut scorer, &model, memory, n, error), XsfmStatus::Ok);
        refused!(xsfm_score(; &raw mut scorer; &one, &mut logit, error));
        refused!(xsfm_score(&mut scorer; &raw const one; &mut logit, error));
        refused!(xsfm_score(&mut scorer, &one; &raw mut logit; error));
        refused!(xsfm_score_batch(; &raw mut scorer; &one, 1, &mut logit, error));
        refused!(xsfm_score_batch(&mut scorer; &raw const one; 1, &mut logit, error));
        refused!(xsfm_score_batch(&mut scorer, &one, 1; &raw mut logit; error));
        refused!(xsfm_ranker_blocks(; &raw const model; fields.as_ptr(), 1, &mut found, error));
        refused!(xsfm_ranker_blocks(&model; fields.as_ptr(); 1, &mut found, error));
        refused!(xsfm_ranker_blocks(&model, fields.as_ptr(), 1; &raw mut found; error));
        refused!(xsfm_ranker_new(; &raw mut ranker; &model, fields.as_ptr(), 1, memory, n, error));
        refused!(xsfm_ranker_new(&mut ranker; &raw const model; fields.as_ptr(), 1, memory, n, error));
        refused!(xsfm_ranker_new(&mut ranker, &model; fields.as_ptr(); 1, memory, n, error));
        refused!(xsfm_ranker_new(&mut ranker, &model, fields.as_ptr(), 1; memory; n, error));
        let mut needed = 0;
        assert_eq!(xsfm_ranker_blocks(&model, fields.as_ptr(), 1, &mut needed, error), XsfmStatus::Ok);
        let mut memory = blocks(needed);
        let (memory, n) = (memory.as_mut_ptr(), needed);
        assert_eq!(xsfm_ranker_new(&mut ranker, &model, fields.as_ptr(), 1, memory, n, error), XsfmStatus::Ok);
        refused!(xsfm_ranker_set_context(; &raw mut ranker; &context, error));
        refused!(xsfm_ranker_set_context(&mut ranker; &raw const context; error));
        refused!(xsfm_ranker_score_batch(; &raw mut ranker; &one, 1, &mut logit, error));
        refused!(xsfm_ranker_top_k(; &raw mut ranker; &one, 1, best.as_mut_ptr(), 2, &mut found, error));
        refused!(xsfm_ranker_top_k(&mut ranker; &raw const one; 1, best.as_mut_ptr(), 2, &mut found, error));
        refused!(xsfm_ranker_top_k(&mut ranker, &one, 1; best.as_mut_ptr(); 2, &mut found, error));
        refused!(xsfm_ranker_top_k(&mut ranker, &one, 1, best.as_mut_ptr(), 2; &raw mut found; error));
        let mut place: XsfmError = zero();
        let off = (&raw mut place).wrapping_byte_add(1);
        assert_eq!(xsfm_verify_checksum(&model, off), XsfmStatus::MisalignedPointer);
        assert_eq!(xsfm_error_message(off, null_mut(), 0), "no error".len());
        assert_eq!(xsfm_error_message(null(), null_mut(), 10), "no error".len());
        let mut short = [1; 4];
        assert_eq!(xsfm_error_message(null(), short.as_mut_ptr(), 4), "no error".len());
        assert_eq!(CStr::from_ptr(short.as_ptr()), c"no ");
    }
}

#[test]
fn codes_have_the_headers_names() {
    let header = include_str!("../include/xsfm.h");
    for (code, name) in XsfmStatus::NAMES {
        let line = format!("    {} = {},", name.to_str().unwrap(), code as i32);
        assert!(header.lines().any(|l| l == line), "{line}");
        // SAFETY: names are ended.
        assert_eq!(unsafe { CStr::from_ptr(xsfm_status_name(code as i32)) }, name);
    }
    let lines = header.lines().filter(|line| line.starts_with("    XSFM_STATUS_"));
    assert_eq!(lines.count(), XsfmStatus::NAMES.len());
    // SAFETY: names are ended.
    assert_eq!(unsafe { CStr::from_ptr(xsfm_status_name(-1)) }, c"unknown status");
}

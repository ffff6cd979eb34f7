//! Catalogues as C uses them: the scores of whole rows, bit by bit, and the right words for what is wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(unsafe_code, reason = "it calls as C does")]

use std::ffi::CStr;
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::slice;

use xsfm_capi::catalogue::*;
use xsfm_capi::error::{XsfmError, xsfm_error_message};
use xsfm_capi::model::{XsfmBlock, XsfmModel, xsfm_load};
use xsfm_capi::ranker::XsfmRanked;
use xsfm_capi::row::XsfmRow;
use xsfm_capi::status::XsfmStatus;
use xsfm_runtime::{Aligned, Model, Row, Scorer, ScratchBlock};

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../tests/fixtures/movielens-student/model.xsfm"));
/// User, age, gender and occupation, in another order.
const CONTEXT_FIELDS: [usize; 4] = [4, 2, 3, 0];
const ITEMS: usize = 77;

/// All zeros, as C's `= {0}`.
fn zero<T>() -> T {
    // SAFETY: the structs of the interface are numbers and pointers, for which zeros are values.
    unsafe { zeroed() }
}

fn blocks(count: usize) -> Vec<XsfmBlock> {
    vec![XsfmBlock { bytes: [0xA5; 64] }; count]
}

fn row(indices: &[u32]) -> XsfmRow {
    XsfmRow { indices: indices.as_ptr(), num_indices: indices.len(), offsets: null(), num_offsets: 0 }
}

fn loaded(file: &[u8]) -> XsfmModel {
    let mut model = zero();
    // SAFETY: the file lives as long as the test.
    let status = unsafe { xsfm_load(&mut model, file.as_ptr(), file.len(), null_mut()) };
    assert_eq!(status, XsfmStatus::Ok);
    model
}

/// Item, release year and genre of each film.
fn films() -> Vec<[u32; 3]> {
    (0..ITEMS as u32).map(|film| [film, film % 7, film % 19]).collect()
}

/// The bits of whole rows.
fn expected() -> Vec<u32> {
    let model = Model::from_bytes(&FILE.0).unwrap();
    let mut scratch = vec![ScratchBlock::ZERO; model.scratch_blocks()];
    let mut scorer = Scorer::new(&model, &mut scratch).unwrap();
    let score = |[item, year, genre]: [u32; 3]| scorer.score(Row::new(&[7, item, 1, 1, 3, year, genre])).unwrap();
    films().into_iter().map(score).map(|score| score.logit.to_bits()).collect()
}

fn message(error: &XsfmError) -> String {
    let mut buffer = [1; 160];
    // SAFETY: the buffer is as long as stated.
    unsafe { xsfm_error_message(error, buffer.as_mut_ptr(), buffer.len()) };
    // SAFETY: the text is ended.
    unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_str().unwrap().to_owned()
}

/// A catalogue of all films, and the memory that it lies in.
fn built(model: &XsfmModel, parts: XsfmCatalogueParts) -> (XsfmCatalogue, Vec<XsfmBlock>) {
    let films = films();
    let rows: Vec<XsfmRow> = films.iter().map(|film| row(film)).collect();
    let (fields, count) = (CONTEXT_FIELDS.as_ptr(), CONTEXT_FIELDS.len());
    let (mut needed, mut working, mut catalogue) = (0, 0, zero());
    // SAFETY: lengths are right; the memory goes with the catalogue.
    unsafe {
        let parts = parts as i32;
        let status =
            xsfm_catalogue_blocks(model, fields, count, parts, ITEMS as u32, &mut needed, &mut working, null_mut());
        assert_eq!(status, XsfmStatus::Ok);
        let (mut scratch, mut memory) = (blocks(working), blocks(needed));
        let mut build = |rows: &[XsfmRow], working, needed, error: *mut XsfmError| {
            let (first, len) = (rows.as_ptr(), rows.len());
            let (scratch, memory) = (scratch.as_mut_ptr(), memory.as_mut_ptr());
            xsfm_catalogue_build(
                &mut catalogue,
                model,
                fields,
                count,
                parts,
                first,
                len,
                scratch,
                working,
                memory,
                needed,
                error,
            )
        };
        assert_eq!(build(&rows, working - 1, needed, null_mut()), XsfmStatus::ScratchTooSmall);
        assert_eq!(build(&rows, working, needed - 1, null_mut()), XsfmStatus::ScratchTooSmall);
        let mut wrong = rows.clone();
        wrong[40].indices = null();
        let mut error: XsfmError = zero();
        assert_eq!(build(&wrong, working, needed, &mut error), XsfmStatus::Null);
        assert_eq!(message(&error), "row 40: argument row.indices: NULL");
        wrong[40] = row(&[1, 99, 1]);
        assert_eq!(build(&wrong, working, needed, &mut error), XsfmStatus::IndexOutOfRange);
        assert_eq!(error.row, 40);
        assert_eq!(build(&rows, working, needed, null_mut()), XsfmStatus::Ok);
        (catalogue, memory)
    }
}

#[test]
fn items_have_the_bits_of_whole_rows() {
    let (model, want) = (loaded(&FILE.0), expected());
    for parts in [XsfmCatalogueParts::LayerSums, XsfmCatalogueParts::Vectors] {
        let (built, _bytes) = built(&model, parts);
        let (mut info, mut catalogue, mut ranker): (XsfmCatalogueInfo, XsfmCatalogue, XsfmCatalogueRanker) =
            (zero(), zero(), zero());
        let (mut logits, mut best, mut found) = ([0.0_f32; ITEMS], [zero::<XsfmRanked>(); 5], 0);
        let items: Vec<u32> = (0..ITEMS as u32).rev().collect();
        // SAFETY: everything lives until the end, and lengths are right.
        unsafe {
            assert_eq!(xsfm_catalogue_get_info(&built, &model, &mut info, null_mut()), XsfmStatus::Ok);
            assert_eq!((info.parts, info.num_items, info.num_context_fields), (parts, ITEMS, 4));
            // As a file in flash.
            let status = xsfm_catalogue_load(&mut catalogue, &model, info.bytes, info.num_bytes, null_mut());
            assert_eq!(status, XsfmStatus::Ok);
            let mut memory = blocks(info.ranker_blocks);
            let mut new =
                |len| xsfm_catalogue_ranker_new(&mut ranker, &model, &catalogue, memory.as_mut_ptr(), len, null_mut());
            assert_eq!(new(info.ranker_blocks - 1), XsfmStatus::ScratchTooSmall);
            assert_eq!(new(info.ranker_blocks), XsfmStatus::Ok);
            let mut score = |ranker: &mut XsfmCatalogueRanker, items: &[u32], error: *mut XsfmError| {
                let (first, len) = (items.as_ptr(), items.len());
                xsfm_catalogue_ranker_score_items(ranker, first, len, logits.as_mut_ptr(), error)
            };
            assert_eq!(score(&mut ranker, &items, null_mut()), XsfmStatus::NoContext);
            let context = row(&[7, 1, 1, 3]);
            assert_eq!(xsfm_catalogue_ranker_set_context(&mut ranker, &context, null_mut()), XsfmStatus::Ok);
            let mut beyond = items.clone();
            beyond[50] = ITEMS as u32;
            let mut error: XsfmError = zero();
            assert_eq!(score(&mut ranker, &beyond, &mut error), XsfmStatus::ItemOutOfRange);
            assert_eq!(error.row, 50);
            assert_eq!(score(&mut ranker, &items, null_mut()), XsfmStatus::Ok);
            let mut top =
                |most| xsfm_catalogue_ranker_top_k(&mut ranker, best.as_mut_ptr(), most, &mut found, null_mut());
            assert_eq!(top(5), XsfmStatus::Ok);
            // A context that C gave wrongly leaves none.
            assert_eq!(xsfm_catalogue_ranker_set_context(&mut ranker, null(), null_mut()), XsfmStatus::Null);
            let status = xsfm_catalogue_ranker_top_k(&mut ranker, best.as_mut_ptr(), 0, &mut found, null_mut());
            assert_eq!(status, XsfmStatus::NoContext);
        }
        let scored: Vec<u32> = logits.iter().rev().map(|logit| logit.to_bits()).collect();
        assert_eq!(scored, want, "{parts:?}");
        let mut order: Vec<usize> = (0..ITEMS).collect();
        order.sort_by(|&a, &b| f32::from_bits(want[b]).total_cmp(&f32::from_bits(want[a])).then(a.cmp(&b)));
        assert_eq!(best.map(|ranked| ranked.candidate).to_vec(), order[..5], "{parts:?}");
        assert!(best.iter().all(|ranked| ranked.logit.to_bits() == want[ranked.candidate]), "{parts:?}");
    }
}

#[test]
fn what_is_no_catalogue_of_the_model_is_refused() {
    let model = loaded(&FILE.0);
    let (built, _bytes) = built(&model, XsfmCatalogueParts::LayerSums);
    let mut info: XsfmCatalogueInfo = zero();
    // SAFETY: everything lives until the end, and lengths are right.
    unsafe {
        assert_eq!(xsfm_catalogue_get_info(&built, &model, &mut info, null_mut()), XsfmStatus::Ok);
        let file = slice::from_raw_parts(info.bytes, info.num_bytes);
        let refused = |bytes: &[u8], model: &XsfmModel| {
            // At a multiple of 64.
            let mut memory = blocks(bytes.len().div_ceil(64));
            let place = memory.as_mut_ptr().cast::<u8>();
            slice::from_raw_parts_mut(place, bytes.len()).copy_from_slice(bytes);
            let (mut catalogue, mut error): (XsfmCatalogue, XsfmError) = (zero(), zero());
            let status = xsfm_catalogue_load(&mut catalogue, model, place, bytes.len(), &mut error);
            let status_of_use = xsfm_catalogue_get_info(&catalogue, model, &mut zero(), null_mut());
            assert_eq!(status_of_use, XsfmStatus::NotReady);
            (status, message(&error))
        };
        let mut damaged = file.to_vec();
        damaged[100] ^= 1;
        assert_eq!(refused(&damaged, &model).0, XsfmStatus::Checksum);
        damaged[8] = 9;
        assert_eq!(refused(&damaged, &model).0, XsfmStatus::PrefixChecksum);
        assert_eq!(refused(&file[..file.len() - 1], &model).0, XsfmStatus::Truncated);
        let (status, words) = refused(&FILE.0, &model);
        assert_eq!((status, words.as_str()), (XsfmStatus::NotCatalogue, "not a catalogue (.xsfc)"));
        let other = Aligned(*include_bytes!("../../../tests/fixtures/raw-values/model.xsfm"));
        let other = loaded(&other.0);
        assert_eq!(refused(file, &other).0, XsfmStatus::OtherModel);
        let status = xsfm_catalogue_get_info(&built, &other, &mut zero(), null_mut());
        assert_eq!(status, XsfmStatus::OtherModel);
        // A ranker of both, too.
        let mut memory = blocks(256);
        let status =
            xsfm_catalogue_ranker_new(&mut zero(), &other, &built, memory.as_mut_ptr(), memory.len(), null_mut());
        assert_eq!(status, XsfmStatus::OtherModel);
        let (fields, mut error) = (CONTEXT_FIELDS.as_ptr(), zero());
        let status = xsfm_catalogue_blocks(&model, fields, 4, 7, 1, &mut 0, &mut 0, &mut error);
        assert_eq!(status, XsfmStatus::NoSuchKind);
        assert_eq!(message(&error), "argument parts: there are no parts of number 7");
    }
}

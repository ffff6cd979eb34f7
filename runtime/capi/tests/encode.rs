//! Raw values as C gives them: the runtime's rows and scores, and the right code and words for what is none.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(unsafe_code, reason = "it calls as C does")]

use std::ffi::{CStr, c_char};
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::slice::from_raw_parts;

use xsfm_capi::encoder::*;
use xsfm_capi::error::{XsfmError, xsfm_error_message};
use xsfm_capi::model::*;
use xsfm_capi::row::{XsfmRow, xsfm_weight};
use xsfm_capi::scorer::*;
use xsfm_capi::status::XsfmStatus;
use xsfm_capi::value::*;
use xsfm_runtime::format::vocabulary::EncoderRecord;
use xsfm_runtime::format::{FieldRecord, SectionKind};
use xsfm_runtime::{Aligned, LoadOptions, Model, Scorer, ScratchBlock, Value, Weight};

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../tests/fixtures/raw-values/model.xsfm"));
static STUDENT: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../tests/fixtures/movielens-student/model.xsfm"));
const TIME: &str = "2026-03-05T21:00:00";

/// All zeros, as C's `= {0}`.
fn zero<T>() -> T {
    // SAFETY: the structs of the interface are numbers and pointers, for which zeros are values.
    unsafe { zeroed() }
}

fn loaded(file: &'static [u8]) -> XsfmModel {
    let mut model = zero();
    // SAFETY: the file is static.
    assert_eq!(unsafe { xsfm_load(&mut model, file.as_ptr(), file.len(), null_mut()) }, XsfmStatus::Ok);
    model
}

fn encoder() -> XsfmEncoder {
    let mut encoder = zero();
    // SAFETY: the model's bytes are static.
    assert_eq!(unsafe { xsfm_encoder_new(&mut encoder, &loaded(&FILE.0), null_mut()) }, XsfmStatus::Ok);
    encoder
}

/// The words for an error.
fn message(error: &XsfmError) -> String {
    let mut buffer = [1; 160];
    // SAFETY: the buffer is as long as stated, and the text is ended.
    unsafe {
        xsfm_error_message(error, buffer.as_mut_ptr(), buffer.len());
        CStr::from_ptr(buffer.as_ptr()).to_str().unwrap().to_owned()
    }
}

fn text(text: &str) -> XsfmValue {
    xsfm_text_value(text.as_ptr().cast(), text.len())
}

/// A row's indices and offsets.
fn numbers(row: &XsfmRow) -> [Vec<u32>; 2] {
    // SAFETY: it was made by `xsfm_encode`, and its room is there.
    unsafe {
        [(row.indices, row.num_indices), (row.offsets, row.num_offsets)]
            .map(|(start, len)| if start.is_null() { Vec::new() } else { from_raw_parts(start, len).to_vec() })
    }
}

/// Encodes a row, with room for so many indices and offsets.
fn encoded(values: &[XsfmValue], room: [usize; 2], error: &mut XsfmError) -> (XsfmStatus, [Vec<u32>; 2]) {
    let (mut indices, mut offsets) = (vec![77; room[0]], vec![77; room[1]]);
    let room = XsfmRowRoom {
        indices: indices.as_mut_ptr(),
        num_indices: room[0],
        offsets: offsets.as_mut_ptr(),
        num_offsets: room[1],
    };
    let mut row = zero();
    // SAFETY: everything lives until the end, and lengths are right.
    let status = unsafe { xsfm_encode(&encoder(), values.as_ptr(), values.len(), &room, &mut row, error) };
    (status, numbers(&row))
}

#[test]
fn rows_have_the_runtimes_indices_and_scores() {
    let (model, encoder) = (loaded(&FILE.0), encoder());
    let runtime = Model::from_bytes(&FILE.0).unwrap();
    let of_runtime = runtime.encoder().unwrap().unwrap();
    let mut scratch = [ScratchBlock::ZERO; 64];
    let mut blocks = [XsfmBlock { bytes: [0; 64] }; 64];
    let mut scorer: XsfmScorer = zero();
    let mut info: XsfmEncoderInfo = zero();
    // SAFETY: everything lives until the end, and lengths are right.
    unsafe {
        assert_eq!(xsfm_encoder_get_info(&encoder, &mut info, null_mut()), XsfmStatus::Ok);
        assert_eq!((info.num_fields, info.max_offsets), (4, 5));
        assert_eq!(info.max_indices, of_runtime.max_indices());
        let status = xsfm_scorer_new(&mut scorer, &model, blocks.as_mut_ptr(), 64, null_mut());
        assert_eq!(status, XsfmStatus::Ok);
    }
    let tokens = ["comedy", "", "täg", "western"];
    let c_tokens = tokens.map(XsfmText::from);
    let genres = xsfm_tokens_value(c_tokens.as_ptr(), c_tokens.len());
    let long = "a".repeat(100);
    let mut distinct = std::collections::BTreeSet::new();
    for (user, c_user) in [
        (Value::Text("chloé"), text("chloé")),
        (Value::Text(&long), text(&long)),
        (Value::Integer(-17), xsfm_integer_value(-17)),
        (Value::Missing, zero()),
        (Value::Missing, xsfm_missing_value()),
    ] {
        for (genres, c_genres) in [
            (Value::Tokens(&tokens), genres),
            (Value::Text("drama|noir"), text("drama|noir")),
            (Value::Missing, xsfm_missing_value()),
            (Value::Tokens(&[]), xsfm_tokens_value(null(), 0)),
        ] {
            for (price, c_price) in [
                (Value::Real(7.75), xsfm_real_value(7.75)),
                (Value::Integer(30), xsfm_integer_value(30)),
                (Value::Text("2.25"), text("2.25")),
                (Value::Text(""), xsfm_text_value(null(), 0)),
            ] {
                let values = [user, genres, price, Value::Text(TIME)];
                let (mut indices, mut offsets) = ([0; 40], [0; 5]);
                let row = of_runtime.encode(&values, &mut indices, &mut offsets).unwrap();
                let logit = Scorer::new(&runtime, &mut scratch).unwrap().score(row).unwrap().logit;
                let fields: Vec<u32> = (0..4).flat_map(|f| row.field(f).unwrap()).copied().collect();
                let c_values = [c_user, c_genres, c_price, text(TIME)];
                let (mut c_indices, mut c_offsets) = (vec![77; info.max_indices], [77; 5]);
                let room = XsfmRowRoom {
                    indices: c_indices.as_mut_ptr(),
                    num_indices: c_indices.len(),
                    offsets: c_offsets.as_mut_ptr(),
                    num_offsets: 5,
                };
                let (mut row, mut c_logit): (XsfmRow, f32) = (zero(), f32::NAN);
                // SAFETY: everything lives until the end, and lengths are right.
                unsafe {
                    let status = xsfm_encode(&encoder, c_values.as_ptr(), 4, &room, &mut row, null_mut());
                    assert_eq!(status, XsfmStatus::Ok);
                    assert_eq!(xsfm_score(&mut scorer, &row, &mut c_logit, null_mut()), XsfmStatus::Ok);
                }
                assert_eq!(numbers(&row), [fields, offsets.to_vec()], "{values:?}");
                assert_eq!(c_logit.to_bits(), logit.to_bits(), "{values:?}");
                distinct.insert(logit.to_bits());
            }
        }
    }
    assert!(distinct.len() > 10, "{} scores", distinct.len());
}

#[test]
fn some_fields_and_one_are_parts_of_a_row() {
    let encoder = encoder();
    let values = [text("ada"), text("noir|drama"), xsfm_real_value(4.0), text(TIME)];
    let (status, [whole, offsets]) = encoded(&values, [16, 5], &mut zero());
    assert_eq!(status, XsfmStatus::Ok);
    let (mut indices, mut places) = ([77; 16], [77; 5]);
    let room =
        XsfmRowRoom { indices: indices.as_mut_ptr(), num_indices: 16, offsets: places.as_mut_ptr(), num_offsets: 5 };
    let mut row: XsfmRow = zero();
    // SAFETY: everything lives until the end, and lengths are right.
    unsafe {
        let (fields, side) = ([1, 3], [values[1], values[3]]);
        let status = xsfm_encode_fields(&encoder, fields.as_ptr(), side.as_ptr(), 2, &room, &mut row, null_mut());
        assert_eq!(status, XsfmStatus::Ok);
        let of = |f: usize| &whole[offsets[f] as usize..offsets[f + 1] as usize];
        assert_eq!(numbers(&row), [[of(1), of(3)].concat(), vec![0, 2, 3]]);
        for (f, value) in values.iter().enumerate() {
            let (mut one, mut found) = ([77; 16], 0);
            let status = xsfm_encode_field(&encoder, f, value, one.as_mut_ptr(), 16, &mut found, null_mut());
            assert_eq!((status, &one[..found]), (XsfmStatus::Ok, of(f)));
        }
        for (name, number) in [("user", 0), ("genres", 1), ("price", 2), ("hour", 3)] {
            let mut found = 77;
            let start = name.as_ptr().cast::<c_char>();
            assert_eq!(xsfm_encoder_find_field(&encoder, start, name.len(), &mut found, null_mut()), XsfmStatus::Ok);
            assert_eq!(found, number);
        }
    }
}

#[test]
fn wrong_values_are_named_by_their_field() {
    let good = [text("ada"), text(""), text("1"), text(TIME)];
    let tokens = [XsfmText::from("a"); 2];
    let several = xsfm_tokens_value(tokens.as_ptr(), 2);
    let torn = [XsfmText::from("a"), XsfmText { start: c"\xC3".as_ptr(), len: 1 }];
    let in_field = |f: usize, value| {
        let mut values = good;
        values[f] = value;
        values
    };
    let mut error: XsfmError = zero();
    for (f, value, status, words) in [
        (2, xsfm_real_value(f64::NAN), XsfmStatus::NotANumber, "field 2: not a number that it can have"),
        (2, text("seven"), XsfmStatus::NotANumber, "field 2: not a number that it can have"),
        (0, xsfm_real_value(1.5), XsfmStatus::NotANumber, "field 0: not a number that it can have"),
        (0, several, XsfmStatus::SeveralValues, "field 0: several values, but it takes one"),
        (2, several, XsfmStatus::SeveralValues, "field 2: several values, but it takes one"),
        (3, text("2026"), XsfmStatus::Cut, "field 3: the text has not the bytes that are taken of it"),
        (
            1,
            XsfmValue { kind: 6, ..zero() },
            XsfmStatus::NoSuchKind,
            "field 1: value.kind: there is no kind of number 6",
        ),
        (
            0,
            XsfmValue { kind: -1, ..zero() },
            XsfmStatus::NoSuchKind,
            "field 0: value.kind: there is no kind of number -1",
        ),
        (0, xsfm_text_value(null(), 1), XsfmStatus::Null, "field 0: value.text.start: NULL"),
        (
            0,
            xsfm_text_value(c"a\xFFb".as_ptr(), 3),
            XsfmStatus::NotUtf8,
            "field 0: value.text.start: not UTF-8 after 1 bytes",
        ),
        (1, xsfm_tokens_value(null(), 1), XsfmStatus::Null, "field 1: value.tokens.start: NULL"),
        (
            1,
            xsfm_tokens_value(torn.as_ptr(), 2),
            XsfmStatus::NotUtf8,
            "field 1: value.text.start: not UTF-8 after 0 bytes",
        ),
    ] {
        assert_eq!((encoded(&in_field(f, value), [16, 5], &mut error).0, message(&error).as_str()), (status, words));
    }
    assert_eq!(encoded(&good[..3], [16, 5], &mut error).0, XsfmStatus::FieldCount);
    assert_eq!(message(&error), "3 values for 4 fields");
    for room in [[3, 5], [16, 4], [16, 0], [0, 5]] {
        assert_eq!(encoded(&good, room, &mut error).0, XsfmStatus::RoomTooSmall, "{}", message(&error));
    }
    assert_eq!(encoded(&in_field(1, text("a|b|c")), [4, 5], &mut error).0, XsfmStatus::RoomTooSmall);
    assert_eq!(message(&error), "room for 4 numbers, at least 5 needed");
    assert_eq!(encoded(&good, [4, 5], &mut error).0, XsfmStatus::Ok);
}

#[test]
fn a_model_without_a_vocabulary_has_no_encoder() {
    let (mut encoder, mut error) = (encoder(), zero());
    let mut info = zero();
    // SAFETY: everything lives until the end.
    unsafe {
        let status = xsfm_encoder_new(&mut encoder, &loaded(&STUDENT.0), &mut error);
        assert_eq!(status, XsfmStatus::NoVocabulary);
        assert_eq!(message(&error), "argument model: packed without what raw values mean");
        assert_eq!(xsfm_encoder_get_info(&encoder, &mut info, &mut error), XsfmStatus::NotReady);
        assert_eq!(xsfm_encoder_new(&mut encoder, &zero(), null_mut()), XsfmStatus::NotReady);
    }
}

/// Each pointer that must not be NULL, in turn NULL and off by a byte.
#[test]
fn pointers_are_checked() {
    let (model, mut encoder) = (loaded(&FILE.0), encoder());
    let values = [text("ada"), text(""), text("1"), text(TIME)];
    let fields = [0_usize, 1, 2, 3];
    let (mut indices, mut offsets, mut found) = ([0; 16], [0; 5], 0_usize);
    let (mut info, mut row, error): (XsfmEncoderInfo, XsfmRow, _) = (zero(), zero(), null_mut());
    let place = indices.as_mut_ptr();
    let room = XsfmRowRoom { indices: place, num_indices: 16, offsets: offsets.as_mut_ptr(), num_offsets: 5 };
    let name = c"user".as_ptr();
    // SAFETY: everything lives until the end; what is wrong is refused before it is used.
    unsafe {
        macro_rules! refused {
            ($call:ident($($before:expr),*; $pointer:expr; $($after:expr),*)) => {{
                let pointer = $pointer;
                let status = $call($($before,)* pointer.wrapping_byte_add(1), $($after),*);
                assert_eq!(status, XsfmStatus::MisalignedPointer, "{}", stringify!($pointer));
                let status = $call($($before,)* pointer.with_addr(0), $($after),*);
                assert_eq!(status, XsfmStatus::Null, "{}", stringify!($pointer));
            }};
        }
        refused!(xsfm_encoder_new(&mut encoder; &raw const model; error));
        assert_eq!(xsfm_encoder_new(&mut encoder, &model, error), XsfmStatus::Ok);
        let made = &raw const encoder;
        refused!(xsfm_encoder_get_info(; made; &mut info, error));
        refused!(xsfm_encoder_get_info(made; &raw mut info; error));
        refused!(xsfm_encoder_find_field(; made; name, 4, &mut found, error));
        refused!(xsfm_encoder_find_field(made, name, 4; &raw mut found; error));
        assert_eq!(xsfm_encoder_find_field(made, null(), 4, &mut found, error), XsfmStatus::Null);
        let mut why: XsfmError = zero();
        for (name, len) in [(name, 3), (c"\xFF".as_ptr(), 1), (null(), 0)] {
            let status = xsfm_encoder_find_field(made, name, len, &mut found, &mut why);
            assert_eq!(status, XsfmStatus::NoSuchField);
        }
        assert_eq!(message(&why), "argument name: none of the model's 4 fields has that name");
        refused!(xsfm_encode(; made; values.as_ptr(), 4, &room, &mut row, error));
        refused!(xsfm_encode(made; values.as_ptr(); 4, &room, &mut row, error));
        refused!(xsfm_encode(made, values.as_ptr(), 4; &raw const room; &mut row, error));
        refused!(xsfm_encode(made, values.as_ptr(), 4, &room; &raw mut row; error));
        let without = XsfmRowRoom { indices: null_mut(), ..room };
        assert_eq!(xsfm_encode(made, values.as_ptr(), 4, &without, &mut row, error), XsfmStatus::Null);
        let without = XsfmRowRoom { offsets: null_mut(), ..room };
        assert_eq!(xsfm_encode(made, values.as_ptr(), 4, &without, &mut row, error), XsfmStatus::Null);
        refused!(xsfm_encode_fields(; made; fields.as_ptr(), values.as_ptr(), 4, &room, &mut row, error));
        refused!(xsfm_encode_fields(made; fields.as_ptr(); values.as_ptr(), 4, &room, &mut row, error));
        refused!(xsfm_encode_fields(made, fields.as_ptr(); values.as_ptr(); 4, &room, &mut row, error));
        let unknown = [9_usize, 1, 2, 3];
        let status = xsfm_encode_fields(made, unknown.as_ptr(), values.as_ptr(), 4, &room, &mut row, &mut why);
        assert_eq!((status, message(&why).as_str()), (XsfmStatus::NoSuchField, "field 9: the model has no such field"));
        refused!(xsfm_encode_field(; made; 0, values.as_ptr(), place, 16, &mut found, error));
        refused!(xsfm_encode_field(made, 0; values.as_ptr(); place, 16, &mut found, error));
        refused!(xsfm_encode_field(made, 0, values.as_ptr(); place; 16, &mut found, error));
        refused!(xsfm_encode_field(made, 0, values.as_ptr(), place, 16; &raw mut found; error));
    }
}

/// Blocks that a file has room in.
fn room() -> Vec<ScratchBlock> {
    vec![ScratchBlock::ZERO; FILE.0.len().div_ceil(ScratchBlock::LEN)]
}

/// The same model in `room`, whose genres have weights that raw values say.
fn weighted_file(room: &mut [ScratchBlock]) -> &[u8] {
    let file = &FILE.0;
    let model = Model::from_bytes(file).unwrap();
    let at = |kind| model.section(kind).unwrap().as_ptr() as usize - file.as_ptr() as usize;
    assert!(size_of_val(room) >= file.len());
    // SAFETY: blocks are bytes, and as many as the file has at least.
    let bytes = unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), file.len()) };
    bytes.copy_from_slice(file);
    let record = at(SectionKind::Fields) + size_of::<FieldRecord>();
    let features: [u8; 4] = bytes[record + 4..record + 8].try_into().unwrap();
    bytes[record + 4..record + 8].fill(0);
    bytes[record + 28..record + 32].copy_from_slice(&features);
    bytes[at(SectionKind::Encoders) + size_of::<EncoderRecord>() + 6] = 2;
    bytes
}

#[test]
fn weights_are_those_of_the_runtime() {
    let mut room = room();
    let file = weighted_file(&mut room);
    let runtime = Model::from_bytes_with(file, LoadOptions { skip_checksum: true, ..LoadOptions::default() }).unwrap();
    let of_runtime = runtime.encoder().unwrap().unwrap();
    let mut scratch = vec![ScratchBlock::ZERO; runtime.scratch_blocks()];
    let mut blocks = [XsfmBlock { bytes: [0; 64] }; 64];
    let (mut model, mut encoder, mut scorer): (XsfmModel, XsfmEncoder, XsfmScorer) = (zero(), zero(), zero());
    let mut field: XsfmField = zero();
    // SAFETY: everything lives until the end, and lengths are right.
    unsafe {
        assert_eq!(xsfm_load_skipping_checksum(&mut model, file.as_ptr(), file.len(), null_mut()), XsfmStatus::Ok);
        assert_eq!(xsfm_get_field(&model, 1, &mut field, null_mut()), XsfmStatus::Ok);
        assert_eq!(xsfm_encoder_new(&mut encoder, &model, null_mut()), XsfmStatus::Ok);
        let status = xsfm_scorer_new(&mut scorer, &model, blocks.as_mut_ptr(), 64, null_mut());
        assert_eq!((status, field.weighted, field.bag), (XsfmStatus::Ok, true, true));
    }
    let [half, less] = [0.5, -2.25].map(|number| Weight::nearest(number).unwrap());
    let tokens = [("comedy", half), ("täg", Weight::ONE), ("western", less)];
    let c_tokens = tokens.map(|(text, weight)| XsfmWeightedToken { text: text.into(), weight: weight.to_f32().into() });
    let genres = xsfm_weighted_value(c_tokens.as_ptr(), c_tokens.len());
    let (mut indices, mut offsets) = ([0; 16], [0; 5]);
    let (mut c_indices, mut c_offsets) = ([0; 16], [0; 5]);
    let values = [Value::Text("chloé"), Value::Weighted(&tokens), Value::Real(7.75), Value::Text(TIME)];
    let expected = of_runtime.encode(&values, &mut indices, &mut offsets).unwrap();
    let logit = Scorer::new(&runtime, &mut scratch).unwrap().score(expected).unwrap().logit;
    let c_values = [text("chloé"), genres, xsfm_real_value(7.75), text(TIME)];
    let room = XsfmRowRoom {
        indices: c_indices.as_mut_ptr(),
        num_indices: 16,
        offsets: c_offsets.as_mut_ptr(),
        num_offsets: 5,
    };
    let (mut row, mut c_logit, mut error): (XsfmRow, f32, XsfmError) = (zero(), 0.0, zero());
    let bad = XsfmWeightedToken { text: "comedy".into(), weight: 8.0 };
    // SAFETY: as above.
    unsafe {
        assert_eq!(xsfm_encode(&encoder, c_values.as_ptr(), 4, &room, &mut row, null_mut()), XsfmStatus::Ok);
        let words: Vec<u32> = (0..4).flat_map(|f| expected.field(f).unwrap()).copied().collect();
        assert_eq!(numbers(&row), [words.clone(), vec![0, 1, 7, 8, 9]]);
        assert_eq!((words[2], words[6]), (xsfm_weight(0.5), xsfm_weight(-2.25)));
        assert_eq!(xsfm_score(&mut scorer, &row, &mut c_logit, null_mut()), XsfmStatus::Ok);
        assert_eq!(c_logit.to_bits(), logit.to_bits());
        let with_bad = [c_values[0], xsfm_weighted_value(&bad, 1), c_values[2], c_values[3]];
        let status = xsfm_encode(&encoder, with_bad.as_ptr(), 4, &room, &mut row, &mut error);
        assert_eq!(status, XsfmStatus::NotAWeight);
        assert_eq!(message(&error), "field 1: a weight that it cannot have");
        let elsewhere = [genres, c_values[1], c_values[2], c_values[3]];
        let status = xsfm_encode(&encoder, elsewhere.as_ptr(), 4, &room, &mut row, null_mut());
        assert_eq!(status, XsfmStatus::SeveralValues);
        // What is no weight is not taken for one.
        let indices = [1, 1, xsfm_weight(f64::NAN), 1, 1];
        let row =
            XsfmRow { indices: indices.as_ptr(), num_indices: 5, offsets: [0, 1, 3, 4, 5].as_ptr(), num_offsets: 5 };
        assert_eq!(xsfm_score(&mut scorer, &row, &mut c_logit, null_mut()), XsfmStatus::MissingWeight);
        let indices = [1, 1, xsfm_weight(7.5), 1, 1];
        let row = XsfmRow { indices: indices.as_ptr(), ..row };
        assert_eq!(xsfm_score(&mut scorer, &row, &mut c_logit, null_mut()), XsfmStatus::Ok);
        let row = XsfmRow { offsets: [0, 2, 3, 4, 5].as_ptr(), ..row };
        assert_ne!(xsfm_score(&mut scorer, &row, &mut c_logit, null_mut()), XsfmStatus::Ok);
    }
    assert_eq!([xsfm_weight(8.0), xsfm_weight(-8.0), xsfm_weight(f64::INFINITY)], [0; 3]);
}

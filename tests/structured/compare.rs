//! One file, read and scored by all that claim to: the same errors, and the same bits.

use xsfm_convert::reference::integer_forward;
use xsfm_convert::target::{Target, retarget};
use xsfm_runtime::format::Layout;
use xsfm_runtime::{Backend, CatalogueParts, Int8Model, Mode, Model, Score, ScoreError};

use super::bases::Base;
use super::change::{records, sign};
use super::numbers::Numbers;
use super::wide::integers_of;
use crate::{Rows, batch_scores, catalogue_scores, memory, ranked_scores, scores};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// All that read it said why not.
    Refused,
    /// All scored alike.
    Scored {
        /// The first row's.
        logit: f32,
    },
}

/// A logit in steps of 2^-16.
fn steps(score: Score) -> i64 {
    (score.logit * 65_536.0) as i64
}

/// Loads `file`, a copy of the base's with other numbers, and scores rows with what it is loaded to.
///
/// # Panics
/// Where any two differ.
pub(super) fn compare(base: &Base, file: &mut [u8], numbers: &mut Numbers<'_>) -> Outcome {
    let target = numbers.pick(&[Target::Neutral, Target::X86_64, Target::CortexMDsp, Target::CortexMMve]);
    let laid_anew = (base.mode != Mode::F32 && numbers.one_in(8)).then(|| {
        sign(file);
        retarget(file, target)
    });
    let file = &*file;
    let loaded = Model::from_bytes_skipping_checksum(file);
    let has_weights = base.config.fields.iter().any(|field| field.weighted);
    if base.mode == Mode::Int8 {
        let small = Int8Model::from_bytes_skipping_checksum(file).err();
        if has_weights {
            assert!(small.is_some(), "Int8Model has no code for weights");
        } else {
            assert_eq!(small, loaded.err(), "Int8Model's word, and Model's");
        }
    }
    let model = match loaded {
        Ok(model) => model,
        Err(error) => {
            assert!(laid_anew.is_none_or(|laid| laid.is_err()), "refused here, laid anew there: {error}");
            return Outcome::Refused;
        }
    };
    let rows = numbers.pick_one(&base.rows);
    let plain = model.with_backend(Backend::Portable).expect("it is everywhere");
    if base.mode == Mode::F32 {
        return compare_reals(&model, rows, numbers);
    }
    let expected = scores(&plain, rows).expect("rows that were made for this model");
    let mut agrees = |model: &Model<'_>, name: &str| {
        for (way, found) in one_way(model, rows, numbers) {
            let found = found.expect("rows that were made for this model");
            assert_eq!(found, expected, "{name}, {way}: not what portable code gives");
        }
    };
    let wide = integers_of(file, &model, &base.config).expect("it was loaded");
    let row = rows.iter().count() - 1;
    let trace =
        integer_forward(&wide, rows.iter().nth(row).expect("a row")).expect("a row that was made for this model");
    assert_eq!(steps(expected[row]), trace.logit, "not what wide integers give");
    agrees(&model, "as changed");
    if base.mode == Mode::Int8 && !has_weights {
        let small = Int8Model::from_bytes_skipping_checksum(file).expect("it was loaded before");
        let mut scratch = memory(small.scratch_blocks());
        for (row, &expected) in rows.iter().zip(&expected) {
            let found = small.score(row, &mut scratch).expect("rows that were made for this model");
            assert_eq!(i64::from(found), steps(expected), "Int8Model differs");
        }
    }
    if let Some(laid) = laid_anew {
        match laid {
            Ok(laid) => agrees(&Model::from_bytes(&laid).expect("what was just written"), "laid anew"),
            // -128 has no place beside another weight; nothing else that is read in one layout is refused in another.
            Err(error) => {
                let is_dsp = base.mode == Mode::Int8 && target == Target::CortexMDsp;
                assert!(is_dsp && has_least_weight(base, file), "read here, refused in another layout: {error}");
            }
        }
    }
    Outcome::Scored { logit: expected[0].logit }
}

/// Whether a hidden layer has a weight of -128, which couples with none.
fn has_least_weight(base: &Base, file: &[u8]) -> bool {
    let weights = &file[base.section(xsfm_runtime::format::SectionKind::LayerWeights)];
    let hidden = records(base, file);
    let Some((output, _)) = hidden.split_last() else { return false };
    base.layout != Layout::Dsp && weights[..output.first_weight].contains(&0x80)
}

/// Scores in each of three ways, with its name.
type Ways = [(String, Result<Vec<Score>, ScoreError>); 3];

/// A random back end, prepared or not: one by one or in a batch, as candidates, and as items of a catalogue.
fn one_way(model: &Model<'_>, rows: &Rows, numbers: &mut Numbers<'_>) -> Ways {
    let here: Vec<Model<'_>> = Backend::ALL.into_iter().filter_map(|backend| model.with_backend(backend)).collect();
    let packed = numbers.pick_one(&here);
    let is_prepared = numbers.one_in(2);
    let mut tiles = memory(if is_prepared { packed.prepared_blocks() } else { 0 });
    let prepare = |tiles| packed.prepare(tiles).expect("as much room as it asks for");
    let model = if is_prepared { prepare(&mut tiles) } else { *packed };
    let in_batch = !numbers.one_in(3);
    let parts = numbers.pick(&[CatalogueParts::LayerSums, CatalogueParts::Vectors]);
    let layout = if is_prepared { "prepared" } else { "as packed" };
    let name = |way: &str| format!("{}, {layout}, {way}", model.backend().name());
    [
        if in_batch {
            (name("in a batch"), batch_scores(&model, rows))
        } else {
            (name("one by one"), scores(&model, rows))
        },
        (name("as candidates"), ranked_scores(&model, rows)),
        (name("as items"), catalogue_scores(&model, rows, parts)),
    ]
}

/// f32 mode: real numbers of any size, whose sums may be none; where they are, one row and a batch have the same bits.
fn compare_reals(model: &Model<'_>, rows: &Rows, numbers: &mut Numbers<'_>) -> Outcome {
    let here: Vec<Model<'_>> = Backend::ALL.into_iter().filter_map(|backend| model.with_backend(backend)).collect();
    let packed = numbers.pick_one(&here);
    let mut tiles = memory(packed.prepared_blocks());
    let prepared = packed.prepare(&mut tiles).expect("as much room as it asks for");
    let model = if numbers.one_in(2) { &prepared } else { packed };
    let singles = scores(model, rows);
    assert_eq!(batch_scores(model, rows), singles, "{}: a batch, and row by row", model.backend().name());
    let mut logit = 0.0;
    let items = catalogue_scores(model, rows, CatalogueParts::LayerSums);
    for found in [&items, &singles, &ranked_scores(model, rows)] {
        match found {
            Ok(scores) => {
                let is_score = |score: &Score| score.logit.is_finite() && (0.0..=1.0).contains(&score.probability());
                assert!(scores.iter().all(is_score), "{scores:?}");
                logit = scores[0].logit;
            }
            Err(error) => assert_eq!(*error, ScoreError::NotFinite, "rows that were made for this model"),
        }
    }
    Outcome::Scored { logit }
}

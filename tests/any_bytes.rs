//! Any bytes: a packed file cut at every length, with every byte changed, and random manifests. Never a panic, never a
//! read out of bounds; an error, or a finite score.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use proptest::prelude::*;
use xsfm_convert::model::{FloatModel, TableBits};
use xsfm_convert::pack::{pack_f32, pack_int8};
use xsfm_convert::target::{Target, retarget};
use xsfm_interchange::config::Interaction;
use xsfm_runtime::format::VERSION;
use xsfm_runtime::{Int8Model, LoadError, Mode, Model, ScoreError, ScratchBlock};
use xsfm_tests::structured::{Fuzzer, sign};
use xsfm_tests::{Rows, Shape, dynamic, every_way, float_model, quantized, with_factors};
use zerocopy::IntoBytes;

/// Small files that between them have every section.
fn files() -> Vec<Vec<u8>> {
    let shape = |seed, pruned| Shape {
        num_fields: 6,
        embed_dim: 4,
        feature_weight: true,
        field_vector: true,
        interaction: Interaction::FieldWeighted,
        pruned,
        hidden: Some(vec![5, 3]),
        seed,
    };
    let mut files = Vec::new();
    for (seed, pruned) in [(1, false), (2, true)] {
        let float = float_model(&shape(seed, pruned));
        let rows = Rows::for_config(&float.config, 8, seed);
        files.push(pack_int8(&quantized(&float, &rows)).unwrap().to_vec());
        files.push(pack_int8(&dynamic(&float, &rows)).unwrap().to_vec());
        files.push(pack_f32(&float).unwrap().to_vec());
    }
    let float = with_factors(float_model(&shape(3, false)), 3, 3);
    let float = FloatModel { table_bits: TableBits::Four, ..float };
    let rows = Rows::for_config(&float.config, 8, 3);
    for rows_of_weights in [pack_int8(&quantized(&float, &rows)), pack_int8(&dynamic(&float, &rows)), pack_f32(&float)]
    {
        files.push(retarget(&rows_of_weights.unwrap(), Target::X86_64).unwrap().to_vec());
    }
    for target in [Target::CortexMDsp, Target::CortexMMve] {
        let int8 = pack_int8(&quantized(&float, &rows)).unwrap();
        files.push(retarget(&int8, target).unwrap().to_vec());
    }
    files
}

/// Bytes at a multiple of 64.
struct AlignedCopy(Vec<ScratchBlock>, usize);

impl AlignedCopy {
    fn new(bytes: &[u8]) -> Self {
        let mut blocks = vec![ScratchBlock::ZERO; bytes.len().div_ceil(ScratchBlock::LEN)];
        blocks.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        AlignedCopy(blocks, bytes.len())
    }

    fn bytes(&self) -> &[u8] {
        &self.0.as_bytes()[..self.1]
    }
}

/// Loads without the checksum and scores in every way; says what came of it.
fn outcome(bytes: &[u8]) -> Result<(), LoadError> {
    let copy = AlignedCopy::new(bytes);
    let loaded = Model::from_bytes_skipping_checksum(copy.bytes());
    small_programs_agree(&loaded, copy.bytes());
    let model = loaded?;
    // Changed bytes may say that there are billions of features: rows are drawn from whatever the model says.
    let rows = Rows::for_model(&model, 3, 5);
    match every_way(&model, &rows) {
        Ok(ways) => {
            let (_, first) = &ways[0];
            for (way, scores) in &ways {
                assert!(scores.iter().all(|score| score.logit.is_finite()), "{way}");
                assert!(scores.iter().all(|score| (0.0..=1.0).contains(&score.probability())), "{way}");
                assert!(model.mode() == Mode::F32 || scores == first, "{way}: {scores:?} instead of {first:?}");
            }
        }
        // The rows fit the model by construction: nothing else can be wrong with them.
        Err(ScoreError::NotFinite) => assert_eq!(model.mode(), Mode::F32),
        Err(error) => panic!("{error}"),
    }
    assert!(model.statistics().scratch_bytes < 1 << 20);
    Ok(())
}

/// [`Int8Model`] refuses what [`Model`] refuses, but what is wrong with names alone, and scores what it accepts: with
/// the same bits, which `outcome` compares with those of all back ends.
fn small_programs_agree(loaded: &Result<Model<'_>, LoadError>, bytes: &[u8]) {
    match (loaded, Int8Model::from_bytes_skipping_checksum(bytes)) {
        (Ok(model), Ok(small)) => {
            assert_eq!(model.mode(), Mode::Int8);
            let rows = Rows::for_model(model, 3, 5);
            let mut scratch = vec![ScratchBlock::ZERO; small.scratch_blocks()];
            let found = rows.iter().map(|row| small.score(row, &mut scratch).unwrap() as f32 / 65_536.0);
            let expected = xsfm_tests::scores(model, &rows).unwrap();
            assert!(found.eq(expected.iter().map(|score| score.logit)));
        }
        (Ok(model), Err(error)) => {
            assert!(model.mode() != Mode::Int8 || model.fields().any(|field| field.weighted), "{error}");
        }
        // Producer, label, and names of fields, which a small program does not read.
        (Err(LoadError::Manifest | LoadError::Value { what: "number of field names", .. }), Ok(_)) => (),
        (Err(error), Ok(_)) => panic!("{error}: but a small program reads it"),
        (Err(_), Err(_)) => (),
    }
}

#[test]
fn cut_at_every_length_is_an_error() {
    for file in files() {
        for len in 0..file.len() {
            let copy = AlignedCopy::new(&file[..len]);
            let error = Model::from_bytes(copy.bytes()).unwrap_err();
            assert!(matches!(error, LoadError::Truncated { .. }), "{len} of {} bytes: {error}", file.len());
        }
        let mut longer = file.clone();
        longer.extend([0xAA; 100]);
        Model::from_bytes(AlignedCopy::new(&longer).bytes()).unwrap();
    }
}

#[test]
fn every_changed_byte_is_noticed_by_a_checksum() {
    for mut file in files() {
        for at in 0..file.len() {
            for flip in [0x01, 0x80, 0xFF] {
                file[at] ^= flip;
                assert!(Model::from_bytes(AlignedCopy::new(&file).bytes()).is_err(), "byte {at} flipped by {flip:#x}");
                file[at] ^= flip;
            }
        }
    }
}

#[test]
fn every_changed_byte_behind_a_right_checksum_is_an_error_or_scores() {
    let (mut refused, mut accepted) = (0, 0);
    for file in files() {
        for at in 8..file.len() {
            for flip in [0x01, 0x10, 0x7F, 0x80, 0xFF] {
                let mut changed = file.clone();
                changed[at] ^= flip;
                sign(&mut changed);
                match outcome(&changed) {
                    Ok(()) => accepted += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    // Weights may change, shapes may not: both kinds of outcome must occur, or the test tests nothing.
    assert!(refused > 1000 && accepted > 1000, "{refused} refused, {accepted} accepted");
}

/// The students that the project keeps are larger: every 61st byte of them, and every 61st length.
#[test]
fn a_real_model_cut_or_changed_is_an_error_or_scores() {
    let files: [&[u8]; 2] = [
        include_bytes!("fixtures/movielens-student/model.xsfm"),
        include_bytes!("fixtures/movielens-student-qr/model.xsfm"),
    ];
    for file in files {
        outcome(file).unwrap();
        for at in (8..file.len()).step_by(61) {
            let cut = AlignedCopy::new(&file[..at]);
            assert!(matches!(Model::from_bytes(cut.bytes()), Err(LoadError::Truncated { .. })), "{at} bytes");
            let mut changed = file.to_vec();
            changed[at] ^= 0xFF;
            assert!(Model::from_bytes(AlignedCopy::new(&changed).bytes()).is_err(), "byte {at}");
            sign(&mut changed);
            let _ = outcome(&changed);
        }
    }
}

#[test]
fn a_misplaced_file_is_an_error_that_says_so() {
    let file = files().remove(0);
    let mut bytes = vec![0; file.len() + 1];
    bytes[1..].copy_from_slice(&file);
    let copy = AlignedCopy::new(&bytes);
    assert!(matches!(Model::from_bytes(&copy.bytes()[1..]), Err(LoadError::Misaligned { .. })));
}

#[test]
fn another_version_is_an_error_that_says_which() {
    let mut file = files().remove(0);
    file[8] = 9;
    sign(&mut file);
    let error = Model::from_bytes(AlignedCopy::new(&file).bytes()).unwrap_err();
    assert_eq!(error, LoadError::Version { supported: VERSION, found: 9 });
}

/// Numbers at the ends of their ranges, padding that is not zero: what one reader refuses all do, and all score alike.
///
/// `XSFM_FUZZ_RUNS` is the number of cases, `XSFM_FUZZ_SEED` the first seed, `XSFM_FUZZ_THREADS` how many run at once:
/// `cargo xtask fuzz` sets them.
#[test]
fn valid_files_with_extreme_numbers_are_read_alike() {
    let variable = |name, default| std::env::var(name).map_or(default, |value| value.parse().unwrap());
    let (first, count) = (variable("XSFM_FUZZ_SEED", 1), variable("XSFM_FUZZ_RUNS", 20_000));
    let tally = Fuzzer::new(40).run_all(first, count, variable("XSFM_FUZZ_THREADS", 2) as usize);
    println!("{count} cases: {tally:?}");
    if count >= 1000 {
        let (refused, scored, telling) = (tally.refused, tally.scored, tally.telling);
        assert!(refused * 30 > count && scored * 2 > count && telling * 3 > scored, "little was compared: {tally:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn several_changes_are_an_error_or_score(
        which in 0..9_usize,
        changes in proptest::collection::vec((8..1000_usize, any::<u8>()), 1..6),
    ) {
        let mut file = FILES.with(|files| files[which].clone());
        for (at, value) in changes {
            let at = at % file.len();
            file[at.max(8)] = value;
        }
        sign(&mut file);
        let _ = outcome(&file);
    }

    #[test]
    fn random_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Model::from_bytes(AlignedCopy::new(&bytes).bytes()).is_err());
    }
}

thread_local! {
    static FILES: Vec<Vec<u8>> = files();
}

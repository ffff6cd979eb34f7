//! Damages a copy of the model and feeds it wrong rows: each must be refused with the right name, and nothing may panic.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m4f::{INDICES, MODEL, MODEL_BYTES, NUM_FIELDS, OFFSETS, SCRATCH, exit, rows};
use defmt::{error, info};
use static_cell::ConstStaticCell;
use xsfm_runtime::format::Prefix;
use xsfm_runtime::{Aligned, LoadError, Model, Row, ScoreError, Scorer};

/// The model in RAM with room to move it by one byte.
static COPY: ConstStaticCell<Aligned<[u8; MODEL_BYTES + 1]>> = ConstStaticCell::new(Aligned([0; MODEL_BYTES + 1]));

#[entry]
fn main() -> ! {
    loading(&mut COPY.take().0);
    scoring();
    exit(0)
}

fn loading(copy: &mut [u8; MODEL_BYTES + 1]) {
    let mut damaged = |at: usize| {
        copy[..MODEL_BYTES].copy_from_slice(&MODEL.0);
        copy[at] ^= 0x10;
        Model::from_bytes(&copy[..MODEL_BYTES]).err()
    };
    expect("first byte", damaged(0), |e| matches!(e, LoadError::NotXsfm));
    expect("last byte of the prefix", damaged(Prefix::LEN - 1), |e| matches!(e, LoadError::PrefixChecksum { .. }));
    expect("first byte of the manifest", damaged(Prefix::LEN), |e| matches!(e, LoadError::Checksum { .. }));
    expect("last byte", damaged(MODEL_BYTES - 1), |e| matches!(e, LoadError::Checksum { .. }));

    let half = Model::from_bytes(&MODEL.0[..MODEL_BYTES / 2]);
    expect("half of the file", half.err(), |e| matches!(e, LoadError::Truncated { .. }));
    expect("no byte", Model::from_bytes(&[]).err(), |e| matches!(e, LoadError::Truncated { .. }));

    copy[1..].copy_from_slice(&MODEL.0);
    let moved = Model::from_bytes(&copy[1..]);
    expect("an odd address", moved.err(), |e| matches!(e, LoadError::Misaligned { .. }));
}

fn scoring() {
    let (Ok(model), Some(good)) = (Model::from_bytes(&MODEL.0), rows().next()) else {
        error!("the model or the rows cannot be used: `score` says why");
        exit(1)
    };
    expect("no scratch", Scorer::new(&model, &mut []).err(), |e| matches!(e, ScoreError::ScratchTooSmall { .. }));

    let scratch = SCRATCH.take();
    let Ok(mut scorer) = Scorer::new(&model, scratch) else {
        error!("the scratch is too small");
        exit(1)
    };
    let mut refused = |what, row, right: fn(&ScoreError) -> bool| expect(what, scorer.score(row).err(), right);
    refused("a field too few", Row::with_bags(&INDICES, &OFFSETS[..NUM_FIELDS]), |e| {
        matches!(e, ScoreError::FieldCount { .. })
    });
    refused("an empty field", Row::with_bags(&INDICES, &[0; NUM_FIELDS + 1]), |e| {
        matches!(e, ScoreError::IndexCount { .. })
    });
    refused("unknown features", Row::new(&[u32::MAX; NUM_FIELDS]), |e| matches!(e, ScoreError::IndexOutOfRange { .. }));
    refused("offsets past the indices", Row::with_bags(&[], &OFFSETS[..=NUM_FIELDS]), |e| {
        matches!(e, ScoreError::Offsets { .. })
    });

    match scorer.score(good) {
        Ok(score) => info!("a good row after them: logit {:08x}", score.logit.to_bits()),
        Err(why) => {
            error!("a good row after them: {}", why);
            exit(1)
        }
    }
}

/// Logs a refusal; ends the program where there is none or it has the wrong name.
fn expect<E: defmt::Format>(what: &str, refusal: Option<E>, right: impl Fn(&E) -> bool) {
    match refusal {
        Some(why) if right(&why) => info!("{}: {}", what, why),
        Some(why) => {
            error!("{}: wrongly refused: {}", what, why);
            exit(1)
        }
        None => {
            error!("{}: accepted", what);
            exit(1)
        }
    }
}

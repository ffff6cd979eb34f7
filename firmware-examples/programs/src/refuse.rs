//! Damages a copy of the model and feeds it wrong rows and raw values: each must be refused with the right name, and
//! nothing may panic.

use defmt::info;
use example_input::encode_line;
use static_cell::ConstStaticCell;
use xsfm_runtime::format::{Prefix, VERSION};
use xsfm_runtime::{Aligned, EncodeError, LoadError, Model, Ranker, Row, ScoreError, Scorer, ScratchBlock, Value};
use zerocopy::FromBytes;

use crate::flash::{MODEL, MODEL_BYTES, RAW_FIELDS, RAW_INDICES, RAW_MODEL, SCRATCH, rows};
use crate::raw::Named as OfField;
use crate::{raw, stop};

/// The model in RAM with room to move it by one byte.
static COPY: ConstStaticCell<Aligned<[u8; MODEL_BYTES + 1]>> = ConstStaticCell::new(Aligned([0; MODEL_BYTES + 1]));

/// The model and the rows in flash.
pub fn main() {
    loading(&mut COPY.take().0);
    scoring(SCRATCH.take());
    encoding();
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

    let mut claiming = |change: fn(&mut Prefix)| {
        copy[..MODEL_BYTES].copy_from_slice(&MODEL.0);
        if let Ok((prefix, _)) = Prefix::mut_from_prefix(copy) {
            change(prefix);
            prefix.prefix_crc = prefix.checksum().into();
        }
        Model::from_bytes(&copy[..MODEL_BYTES]).err()
    };
    let newer = claiming(|prefix| prefix.version = (VERSION + 1).into());
    expect("a newer format", newer, |e| matches!(e, LoadError::Version { supported: VERSION, .. }));
    let larger = claiming(|prefix| prefix.file_len = (1 << 32).into());
    expect("larger than the flash", larger, |e| matches!(e, LoadError::Truncated { .. }));

    let half = Model::from_bytes(&MODEL.0[..MODEL_BYTES / 2]);
    expect("half of the file", half.err(), |e| matches!(e, LoadError::Truncated { .. }));
    expect("no byte", Model::from_bytes(&[]).err(), |e| matches!(e, LoadError::Truncated { .. }));

    copy[1..].copy_from_slice(&MODEL.0);
    let moved = Model::from_bytes(&copy[1..]);
    expect("an odd address", moved.err(), |e| matches!(e, LoadError::Misaligned { .. }));
}

fn scoring(scratch: &mut [ScratchBlock]) {
    let model = Model::from_bytes(&MODEL.0).unwrap_or_else(|why| stop("the model", why));
    let (Some(good), Some(fields)) = (rows().rows().next(), model.num_fields().checked_sub(1)) else {
        stop("rows", "none")
    };
    // How much is needed is the machine's affair, and not logged.
    let needs = |needed| move |e: &ScoreError| *e == ScoreError::ScratchTooSmall { needed, found: needed - 1 };
    let needed = model.scratch_blocks();
    let too_small = Scorer::new(&model, &mut scratch[..needed - 1]).err();
    expect("a scratch too small", too_small.map(Named), |e| needs(needed)(&e.0));
    let unknown = Ranker::new(&model, &[fields + 1], &mut []).err();
    expect("an unknown field in the context", unknown, |e| matches!(e, ScoreError::ContextField { .. }));
    let no_memory = Ranker::new(&model, &[0], &mut []).err();
    expect("no memory to rank", no_memory.map(Named), |e| matches!(e.0, ScoreError::ScratchTooSmall { found: 0, .. }));

    let mut scorer = Scorer::new(&model, scratch).unwrap_or_else(|why| stop("a scorer", why));
    let mut refused = |what, row, right: fn(&ScoreError) -> bool| expect(what, scorer.score(row).err(), right);
    let (zeros, places, unknown) =
        ([0; MOST + 1], core::array::from_fn::<_, { MOST + 1 }, _>(|n| n as u32), [u32::MAX; MOST]);
    let (Some(zeros), Some(places), Some(unknown)) =
        (zeros.get(..fields + 2), places.get(..fields + 2), unknown.get(..=fields))
    else {
        stop("fields", fields)
    };
    refused("a field too few", Row::new(&unknown[1..]), |e| matches!(e, ScoreError::FieldCount { .. }));
    refused("an empty field", Row::with_bags(unknown, zeros), |e| matches!(e, ScoreError::IndexCount { found: 0, .. }));
    refused("offsets past the indices", Row::with_bags(&[], places), |e| matches!(e, ScoreError::Offsets { .. }));
    refused("unknown features", Row::new(unknown), |e| matches!(e, ScoreError::IndexOutOfRange { .. }));

    match scorer.score(good) {
        Ok(score) => info!("a good row after them: logit {:08x}", score.logit.to_bits()),
        Err(why) => stop("a good row after them", why),
    }
}

/// Raw values that their fields cannot have.
fn encoding() {
    let model = Model::from_bytes(&RAW_MODEL.0).unwrap_or_else(|why| stop("the model of raw values", why));
    let encoder = raw::encoder(&model);
    let of_field = |why| OfField { encoder: &encoder, why };
    let (mut indices, mut offsets) = ([0; RAW_INDICES], [0; RAW_FIELDS + 1]);
    let mut refused = |what, line, room: usize, right: fn(&EncodeError) -> bool| {
        let why = encode_line(&encoder, line, &mut indices[..room], &mut offsets).err();
        expect(what, why.map(of_field), |e| right(&e.why));
    };
    let (price, hour) = ("ada\t\tseven\t2026-03-05T21:00:00", "ada\t\t7\t2026");
    let (bag, long) = ("ada\tnoir|drama\t7\t2026-03-05T21:00:00", "ada\t\t7\t2026-03-05T21:00:00\t");
    refused("a price that is no number", price, RAW_INDICES, |e| matches!(e, EncodeError::Number { .. }));
    refused("a time without its hour", hour, RAW_INDICES, |e| matches!(e, EncodeError::Cut { .. }));
    refused("a value too many", long, RAW_INDICES, |e| matches!(e, EncodeError::Field { .. }));
    refused("room for two of five indices", bag, 2, |e| matches!(e, EncodeError::Room { .. }));
    let fraction = encoder.encode_field(0, &Value::Real(0.5), &mut [0]).err();
    expect("a user that is a fraction", fraction.map(of_field), |e| matches!(e.why, EncodeError::Number { .. }));
    let several = encoder.encode_field(2, &Value::Tokens(&["1", "2"]), &mut [0]).err();
    expect("two prices", several.map(of_field), |e| matches!(e.why, EncodeError::Several { .. }));
}

/// Fields of the rows made here.
const MOST: usize = 128;

/// An error of which only the name is logged.
struct Named(ScoreError);

impl defmt::Format for Named {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.0 {
            ScoreError::ScratchTooSmall { .. } => defmt::write!(f, "ScratchTooSmall"),
            other => defmt::write!(f, "{}", other),
        }
    }
}

/// Logs a refusal; ends the program where there is none or it has the wrong name.
fn expect<E: defmt::Format>(what: &str, refusal: Option<E>, right: impl Fn(&E) -> bool) {
    match refusal {
        Some(why) if right(&why) => info!("{}: {}", what, why),
        Some(why) => {
            defmt::error!("wrongly refused: {}", why);
            stop("wrongly refused", what)
        }
        None => stop("accepted", what),
    }
}

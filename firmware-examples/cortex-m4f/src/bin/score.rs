//! Scores rows from flash on a Cortex-M4F and reports the bits of every score.
//!
//! The model, the rows and the size of the scratch come from `build.rs`. Exits with 0 when every row has a score; a panic,
//! a refused model or a refused row exit with 1 and say why.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m_semihosting::debug::{self, EXIT_FAILURE, EXIT_SUCCESS};
use defmt_semihosting as _;
use xsfm_runtime::{Aligned, Model, Row, Scorer, ScratchBlock};

include!(concat!(env!("OUT_DIR"), "/constants.rs"));

/// The model stays in flash; nothing of it is copied.
static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.xsfm")));

#[entry]
fn main() -> ! {
    match run() {
        Ok(()) => exit(EXIT_SUCCESS),
        Err(Failure::Load(error)) => defmt::error!("model refused: {}", error),
        Err(Failure::Score(error)) => defmt::error!("row refused: {}", error),
    }
    exit(EXIT_FAILURE)
}

/// What stops the run.
enum Failure {
    Load(xsfm_runtime::LoadError),
    Score(xsfm_runtime::ScoreError),
}

fn run() -> Result<(), Failure> {
    let model = Model::from_bytes(&MODEL.0).map_err(Failure::Load)?;
    defmt::println!("{}", model.statistics());
    let mut scratch = [ScratchBlock::ZERO; SCRATCH_BLOCKS];
    let mut scorer = Scorer::new(&model, &mut scratch).map_err(Failure::Score)?;
    // FNV-1a over the bits of every logit and probability: one number to compare between machines.
    let mut checksum = 0x811c_9dc5_u32;
    for offsets in OFFSETS.windows(NUM_FIELDS + 1).step_by(NUM_FIELDS) {
        let score = scorer.score(Row::with_bags(&INDICES, offsets)).map_err(Failure::Score)?;
        let (logit, probability) = (score.logit, score.probability());
        for byte in [logit, probability].into_iter().flat_map(f32::to_le_bytes) {
            checksum = (checksum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        defmt::println!("{=u32:08x} {=u32:08x} {} {}", logit.to_bits(), probability.to_bits(), logit, probability);
    }
    defmt::println!("checksum {=u32:08x}", checksum);
    Ok(())
}

fn exit(status: debug::ExitStatus) -> ! {
    debug::exit(status);
    // A debugger without semihosting comes back.
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    exit(EXIT_FAILURE)
}

//! What the programs share: the model and the rows in flash, the scratch in RAM, and how a program ends.
//!
//! Nothing here allocates. The scratch is as large as the model says (`build.rs` asks it).

#![no_std]

// The logger over semihosting, and the critical section that it needs, link themselves.
use cortex_m as _;
use defmt_semihosting as _;
use semihosting::process;
use static_cell::ConstStaticCell;
use xsfm_runtime::{Aligned, Row, ScratchBlock};

include!(concat!(env!("OUT_DIR"), "/constants.rs"));

/// The packed model, where the linker put it: in flash.
pub static MODEL: Aligned<[u8; MODEL_BYTES]> = Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.xsfm")));

/// All the RAM that scoring needs beside the stack; whoever takes it first has it.
pub static SCRATCH: ConstStaticCell<[ScratchBlock; SCRATCH_BLOCKS]> =
    ConstStaticCell::new([ScratchBlock::ZERO; SCRATCH_BLOCKS]);

/// The rows, in order.
pub fn rows() -> impl Iterator<Item = Row<'static>> {
    // The offsets of a row end where those of the next start.
    OFFSETS.windows(NUM_FIELDS + 1).step_by(NUM_FIELDS).map(|offsets| Row::with_bags(&INDICES, offsets))
}

/// Ends the program: QEMU takes over the code.
pub fn exit(code: i32) -> ! {
    process::exit(code)
}

/// Logs why the program cannot go on, and ends it with code 1.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    exit(1)
}

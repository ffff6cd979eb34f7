//! How a program ends where an emulator runs it.

// The logger over semihosting, and the critical section that it needs, link themselves.
#[cfg(target_arch = "arm")]
use cortex_m as _;
use defmt_semihosting as _;
#[cfg(target_arch = "riscv32")]
use riscv as _;
use semihosting::process;

/// Ends the program well.
pub fn done() -> ! {
    process::exit(0)
}

/// Ends the program with code 1: what is wrong has been logged.
pub(crate) fn fail() -> ! {
    process::exit(1)
}

/// The end of what defmt itself finds wrong.
#[defmt::panic_handler]
fn panicked() -> ! {
    fail()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    fail()
}

//! Scores rows from flash, of indices and of raw values.

#![no_std]
#![no_main]

#[programs::machine::entry]
fn main() -> ! {
    programs::score::main();
    programs::raw::main();
    programs::done()
}

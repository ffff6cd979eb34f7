//! Scores rows from flash.

#![no_std]
#![no_main]

#[programs::machine::entry]
fn main() -> ! {
    programs::score::main();
    programs::done()
}

//! Ranks candidates from flash.

#![no_std]
#![no_main]

#[programs::machine::entry]
fn main() -> ! {
    programs::rank::main();
    programs::done()
}

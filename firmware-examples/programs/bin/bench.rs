//! Counts the instructions of models that the host names.

#![no_std]
#![no_main]

#[programs::machine::entry]
fn main() -> ! {
    programs::bench::main();
    programs::done()
}

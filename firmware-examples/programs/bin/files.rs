//! Scores rows with a model, both from files of the host.

#![no_std]
#![no_main]

#[programs::machine::entry]
fn main() -> ! {
    programs::host::main();
    programs::done()
}

//! Measures the stack of the others.

#![no_std]
#![no_main]

#[programs::machine::entry]
fn main() -> ! {
    programs::stack::main();
    programs::done()
}

//! Refuses damaged models and wrong rows.

#![no_std]
#![no_main]

#[programs::machine::entry]
fn main() -> ! {
    programs::refuse::main();
    programs::done()
}

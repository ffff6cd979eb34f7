//! A panic that cannot be linked, for the smallest programs.

#![no_std]
#![allow(unsafe_code, reason = "a C boundary: a symbol that is nowhere")]

use core::panic::PanicInfo;

unsafe extern "C" {
    /// Defined nowhere: a program with a panic in it cannot be linked.
    fn a_panic_is_left_in_the_program() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called; the linker would have failed.
    unsafe { a_panic_is_left_in_the_program() }
}

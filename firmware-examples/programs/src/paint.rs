//! How much stack some work takes: the one place here that touches memory by address.

#![allow(unsafe_code, reason = "the stack below the present frame has no name in Rust")]

use core::arch::asm;
use core::hint::black_box;
use core::ptr;

use crate::stop;

/// What no program is likely to write to its stack.
const PAINT: u32 = 0xfeed_5eed;
/// Bytes that are painted at most: more than any work here takes.
const DEPTH: usize = 64 << 10;

unsafe extern "C" {
    /// The lowest address of the stack: the linker script's name of it is all that matters, there is no such variable.
    #[cfg_attr(target_arch = "arm", link_name = "_stack_end")]
    #[cfg_attr(target_arch = "riscv32", link_name = "__estack")]
    static STACK_END: u32;
}

/// Bytes of stack that `work` takes, its own frame and those of all that it calls.
#[inline(never)]
pub(crate) fn high_water(work: impl FnOnce()) -> usize {
    let top = stack_pointer();
    let bottom = (&raw const STACK_END).addr().max(top.saturating_sub(DEPTH)).next_multiple_of(size_of::<u32>());
    let words = || (bottom..top).step_by(size_of::<u32>());
    for address in words() {
        // SAFETY: from the stack's end to the stack pointer, nothing lives: this function calls nothing while it paints
        // (loops over a range are inlined in every optimised build, and the check below finds out if they were not),
        // and no interrupt is enabled in these programs.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(PAINT) };
    }
    apart(work);
    // SAFETY: as above; it was written just now, or by `work`, which has ended.
    let is_clean = |&address: &usize| unsafe { ptr::with_exposed_provenance::<u32>(address).read_volatile() } == PAINT;
    let deepest = words().find(|address| !is_clean(address)).unwrap_or(top);
    if deepest == bottom {
        stop("the stack", "all that was painted is used");
    }
    top - deepest
}

/// Keeps the work's variables out of the frame above the paint.
#[inline(never)]
fn apart(work: impl FnOnce()) {
    work();
    // A call in tail position could take over the caller's frame.
    black_box(());
}

#[inline(always)]
fn stack_pointer() -> usize {
    let address;
    // SAFETY: copies a register.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("mov {}, sp", out(reg) address, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "riscv32")]
        asm!("mv {}, sp", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    address
}

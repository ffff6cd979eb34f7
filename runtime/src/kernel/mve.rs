//! Cortex-M with the vector extension MVE (Helium): VMLADAVA adds sixteen products of i8 to a register.
#![allow(unsafe_code, reason = "a back end: instructions that Rust has no name for")]

use core::arch::asm;

use super::vector::FieldPair;

/// Inputs of a block.
pub(crate) const BLOCK: usize = 16;

/// x \[inputs / 16\]\[16\], w \[outputs / 4\]\[inputs / 16\]\[4\]\[16\], b and m \[outputs / 4\]: y_o =
/// clamp(requantize(acc_o + b_o, m_o), 0, 255)
///
/// One block of instructions for a whole layer: what a compiler does around a strip of 64 inputs costs more than the
/// strip. VRMULH is [`crate::quant::requantize`] in each lane.
pub(crate) fn layer(x: &[[i8; BLOCK]], w: &[[i8; 4 * BLOCK]], b: &[[i32; 4]], m: &[[i32; 4]], y: &mut [[u8; 4]]) {
    let blocks = x.len();
    let strips = w.len().checked_div(blocks).unwrap_or(0).min(b.len()).min(m.len()).min(y.len());
    if strips == 0 {
        return;
    }
    // SAFETY: `blocks` and `strips` are at least 1. In each of the outer loop's `strips` turns the inner one reads
    // `blocks` elements of `x`, from the first one on, and the next `blocks` elements of `w`, which has
    // `strips * blocks`; then four numbers each of `b` and `m` are read and four bytes of `y` written, which have
    // `strips` of them. Vector loads need the alignment of their elements alone. The sums are in registers with even
    // numbers, as VMLADAVA wants them; q0 to q3 and LR are clobbered with the C ABI's registers. The stack is not used.
    unsafe {
        asm!(
            "2:",
            "mov r0, #0",
            "mov r2, #0",
            "mov r4, #0",
            "mov r8, #0",
            "dls lr, r5",
            "3:",
            "vldrb.u8 q0, [r12], #16",
            "vldrb.u8 q1, [r3], #16",
            "vmladava.s8 r0, q0, q1",
            "vldrb.u8 q2, [r3], #16",
            "vmladava.s8 r2, q0, q2",
            "vldrb.u8 q3, [r3], #16",
            "vmladava.s8 r4, q0, q3",
            "vldrb.u8 q1, [r3], #16",
            "vmladava.s8 r8, q0, q1",
            "le lr, 3b",
            "vmov d0, r0, r2",
            "vmov d1, r4, r8",
            "vldrw.u32 q1, [r10], #16",
            "vadd.i32 q0, q0, q1",
            "vldrw.u32 q1, [r11], #16",
            "vrmulh.s32 q0, q0, q1",
            "vmov.i32 q1, #0",
            "vmax.s32 q0, q0, q1",
            "vmov.i32 q1, #255",
            "vmin.s32 q0, q0, q1",
            "vstrb.32 q0, [r1], #4",
            "sub.w r12, r12, r5, lsl #4",
            "subs.w r9, r9, #1",
            "bne 2b",
            out("r0") _, inout("r12") x.as_ptr() => _, out("r2") _, inout("r3") w.as_ptr() => _, out("r4") _,
            in("r5") blocks, out("r8") _, inout("r9") strips => _,
            inout("r10") b.as_ptr() => _, inout("r11") m.as_ptr() => _, inout("r1") y.as_mut_ptr() => _,
            clobber_abi("C"),
            options(nostack),
        );
    }
}

/// The same sums: start_o += acc_o
pub(crate) fn add(x: &[[i8; BLOCK]], w: &[[i8; 4 * BLOCK]], start: &mut [[i32; 4]]) {
    let blocks = x.len();
    if blocks == 0 {
        return;
    }
    for (w, start) in w.chunks_exact(blocks).zip(start) {
        let [a0, a1, a2, a3] = start;
        // SAFETY: both pointers start at the first of `blocks` elements of a slice, at least one, and advance by one
        // element in each of the loop's `blocks` turns; vector loads of bytes need no alignment. Nothing is written. q0
        // to q3 and LR are clobbered with the C ABI's registers.
        unsafe {
            asm!(
                "dls lr, r5",
                "2:",
                "vldrb.u8 q0, [r12], #16",
                "vldrb.u8 q1, [r3], #16",
                "vmladava.s8 r0, q0, q1",
                "vldrb.u8 q2, [r3], #16",
                "vmladava.s8 r2, q0, q2",
                "vldrb.u8 q3, [r3], #16",
                "vmladava.s8 r4, q0, q3",
                "vldrb.u8 q1, [r3], #16",
                "vmladava.s8 r8, q0, q1",
                "le lr, 2b",
                inout("r0") *a0, inout("r12") x.as_ptr() => _, inout("r2") *a1, inout("r3") w.as_ptr() => _,
                inout("r4") *a2, in("r5") blocks, inout("r8") *a3,
                clobber_abi("C"),
                options(nostack, readonly),
            );
        }
    }
}

/// e \[fields, dim\] and at least 16 bytes more, r upper triangle row by row: sum_{i<j} r_ij <e_i, e_j>
///
/// Sixteen dimensions of a field stay in a register while those behind it pass.
pub(crate) fn pairs(e: &[i8], r: &[i16], num_fields: usize, dim: usize, _: &mut [FieldPair]) -> i64 {
    let mut total = 0;
    for first in (0..dim).step_by(BLOCK) {
        let mut rest = r;
        for i in 0..num_fields.saturating_sub(1) {
            let count = num_fields - 1 - i;
            let (Some((row, after)), Some(own), Some(behind)) =
                (rest.split_at_checked(count), block(e, i * dim + first), e.get((i + 1) * dim + first..))
            else {
                break;
            };
            rest = after;
            let mut own = *own;
            // What lies behind `dim` are other fields' numbers: they meet zeros.
            own.get_mut(dim - first..).unwrap_or_default().fill(0);
            if (count - 1) * dim + BLOCK > behind.len() {
                break;
            }
            let (low, high): (u32, u32);
            // SAFETY: sixteen bytes are read at each multiple of `dim` in `behind`, `count` times, the last at
            // `(count - 1) * dim`, which leaves room, as was just seen; and `count` numbers of `row`, which has as
            // many. `count` is at least 1. Nothing is written. q0, q1 and LR are clobbered with the C ABI's registers.
            unsafe {
                asm!(
                    "vldrb.u8 q0, [r3]",
                    "dls lr, r5",
                    "2:",
                    "vldrb.u8 q1, [r1]",
                    "add.w r1, r1, r8",
                    "vmladav.s8 r2, q0, q1",
                    "ldrsh r0, [r12], #2",
                    "smlal r4, r9, r0, r2",
                    "le lr, 2b",
                    out("r0") _, inout("r1") behind.as_ptr() => _, out("r2") _, in("r3") own.as_ptr(),
                    inout("r4") 0_u32 => low, in("r5") count, in("r8") dim, inout("r9") 0_u32 => high,
                    inout("r12") row.as_ptr() => _,
                    clobber_abi("C"),
                    options(nostack, readonly),
                );
            }
            total += (u64::from(high) << 32 | u64::from(low)).cast_signed();
        }
    }
    total
}

/// Sixteen numbers from `at` on.
fn block(e: &[i8], at: usize) -> Option<&[i8; BLOCK]> {
    e.get(at..)?.first_chunk()
}

//! x86-64 with AMX: products of whole matrices, in eight registers of 16 rows of 64 bytes.
//!
//! A layer in tiles is made for it: sixteen quads of inputs of sixteen outputs are the rows of a register as they lie
//! in memory. The instructions are those of Intel's manual (Intel 64 and IA-32 Architectures Software Developer's
//! Manual, volume 2: LDTILECFG, TILELOADD, TDPBUSD, TILESTORED), written out, because Rust's functions for them are not
//! stable.

#![allow(unsafe_code, reason = "the instructions of one CPU extension")]

use core::arch::asm;

use super::vector::{LANES, Quad, RUN, WeightQuads};
use crate::Aligned;
use crate::format::layout::tile::DEPTH;

/// Tiles of a layer at once: the sums of one would wait for each product.
const TILES: usize = 4;

/// Exists only where CPU and system have AMX for bytes, and let this process use it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amx(());

/// What LDTILECFG reads.
#[derive(Default)]
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row of each register.
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Amx {
    #[cfg(all(feature = "std", target_os = "linux", not(miri)))]
    pub(super) fn new() -> Option<Self> {
        use core::arch::x86_64::{__cpuid, __cpuid_count};
        use std::sync::OnceLock;
        /// AMX-TILE and AMX-INT8 in EDX of leaf 7.
        const FEATURES: u32 = 1 << 24 | 1 << 25;
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        let has_features = || __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & FEATURES == FEATURES;
        // Once in a process: what is refused now, because of a signal stack, may be granted later, but the same
        // question has one answer.
        AVAILABLE.get_or_init(|| has_features() && is_permitted()).then_some(Amx(()))
    }

    /// Asking the system takes a system.
    #[cfg(not(all(feature = "std", target_os = "linux", not(miri))))]
    pub(super) fn new() -> Option<Self> {
        None
    }

    /// w \[tiles, depth\], x \[depth and more, R\] in [runs](super::vector::place), R at most 16: calls `each` with
    /// every tile and its sums.
    #[inline(always)]
    pub(super) fn layer<const R: usize>(
        self,
        w: &[WeightQuads],
        depth: usize,
        x: &[[Quad; R]],
        mut each: impl FnMut(usize, &[[i32; LANES]; R]),
    ) {
        const { assert!(R <= LANES) };
        let (runs, rest) = x.split_at(depth / RUN * RUN);
        // The run that is left may be longer than what is left of the inputs.
        let rest = (!depth.is_multiple_of(RUN)).then_some(&rest[..rest.len().min(RUN)]);
        self.configure(R, depth % RUN);
        let mut tile = 0;
        let mut sums = Aligned([[[0; LANES]; R]; TILES]);
        let mut four = w.chunks_exact(TILES * depth);
        for w in &mut four {
            let (a, b) = w.split_at(2 * depth);
            let ((w0, w1), (w2, w3)) = (a.split_at(depth), b.split_at(depth));
            self.products([w0, w1, w2, w3], runs, rest, &mut sums.0);
            for sums in &sums.0 {
                each(tile, sums);
                tile += 1;
            }
        }
        for w in four.remainder().chunks_exact(depth) {
            self.products([w; TILES], runs, rest, &mut sums.0);
            each(tile, &sums.0[0]);
            tile += 1;
        }
        self.release();
    }

    /// Registers 0 to 3: sums; 4 and 5: inputs and weights of a run; 6 and 7: of what is left, `rest` quads.
    #[inline(always)]
    fn configure(self, rows: usize, rest: usize) {
        let (rows, rest) = (rows as u8, rest.max(1) as u8);
        let mut config = Config { palette: 1, ..Config::default() };
        config.rows[..8].copy_from_slice(&[rows, rows, rows, rows, rows, RUN as u8, rows, rest]);
        config.row_bytes[..8].copy_from_slice(&[64, 64, 64, 64, 64, 64, 4 * u16::from(rest), 64]);
        // SAFETY: the token proves that CPU and system have the instruction. It reads 64 bytes, which `config` has;
        // shapes are within its limits: `rows` is at most 16, `rest` less.
        unsafe {
            asm!(
                "ldtilecfg [{config}]",
                config = in(reg) &raw const config,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags, readonly),
            );
        }
    }

    /// w 4 times \[depth\], runs \[depth / RUN * RUN, R\], rest \[at least depth % RUN, R\]: the sums of four tiles
    #[inline(always)]
    fn products<const R: usize>(
        self,
        w: [&[WeightQuads]; TILES],
        runs: &[[Quad; R]],
        rest: Option<&[[Quad; R]]>,
        sums: &mut [[[i32; LANES]; R]; TILES],
    ) {
        let (depth, left) = (w[0].len(), w[0].len() % RUN);
        assert!(w.iter().all(|w| w.len() == depth) && runs.len() == depth - left);
        assert!(rest.map_or(left == 0, |rest| rest.len() >= left));
        let [w0, w1, w2, w3] = w.map(<[WeightQuads]>::as_ptr);
        // SAFETY: the token proves that CPU and system have the instructions, and `configure` that registers have these
        // shapes. Each turn reads R rows of 64 bytes of `runs`, which has as many runs as there are turns, and 16 rows
        // of 64 bytes of each w, of which it has 16 for each run. In the end `left` rows of each w are read, which it
        // has more, and R rows of `left` quads of `rest`, whose rows are `rest.len()` quads apart, at least as many.
        // `sums` has four times R rows of 64 bytes.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "test {turns}, {turns}",
                "jz 3f",
                "2:",
                "tileloadd tmm4, [{x} + {line}]",
                "tileloadd tmm5, [{w0} + {line}]",
                "tdpbusd tmm0, tmm4, tmm5",
                "tileloadd tmm5, [{w1} + {line}]",
                "tdpbusd tmm1, tmm4, tmm5",
                "tileloadd tmm5, [{w2} + {line}]",
                "tdpbusd tmm2, tmm4, tmm5",
                "tileloadd tmm5, [{w3} + {line}]",
                "tdpbusd tmm3, tmm4, tmm5",
                "add {x}, {x_step}",
                "add {w0}, 1024",
                "add {w1}, 1024",
                "add {w2}, 1024",
                "add {w3}, 1024",
                "dec {turns}",
                "jnz 2b",
                "3:",
                "test {rest}, {rest}",
                "jz 4f",
                "tileloadd tmm6, [{rest} + {rest_line}]",
                "tileloadd tmm7, [{w0} + {line}]",
                "tdpbusd tmm0, tmm6, tmm7",
                "tileloadd tmm7, [{w1} + {line}]",
                "tdpbusd tmm1, tmm6, tmm7",
                "tileloadd tmm7, [{w2} + {line}]",
                "tdpbusd tmm2, tmm6, tmm7",
                "tileloadd tmm7, [{w3} + {line}]",
                "tdpbusd tmm3, tmm6, tmm7",
                "4:",
                "tilestored [{sums} + {line}], tmm0",
                "add {sums}, {x_step}",
                "tilestored [{sums} + {line}], tmm1",
                "add {sums}, {x_step}",
                "tilestored [{sums} + {line}], tmm2",
                "add {sums}, {x_step}",
                "tilestored [{sums} + {line}], tmm3",
                turns = inout(reg) runs.len() / RUN => _,
                x = inout(reg) runs.as_ptr() => _,
                x_step = const 64 * R,
                w0 = inout(reg) w0 => _,
                w1 = inout(reg) w1 => _,
                w2 = inout(reg) w2 => _,
                w3 = inout(reg) w3 => _,
                rest = in(reg) rest.map_or(core::ptr::null(), <[_]>::as_ptr),
                rest_line = in(reg) rest.map_or(0, <[_]>::len) * DEPTH,
                sums = inout(reg) sums.as_mut_ptr() => _,
                line = in(reg) 64_usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// Gives the registers back, so that the system need not keep them.
    #[inline(always)]
    fn release(self) {
        // SAFETY: the token proves that CPU and system have the instruction; it touches no memory.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags, nomem),
            );
        }
    }
}

/// Asks Linux to let this process use the registers: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`, of which a
/// system without them knows nothing (Linux, Documentation/arch/x86/xstate.rst). What it changes is told at
/// [`crate::Backend::Avx512Amx`].
#[cfg(all(feature = "std", target_os = "linux", not(miri)))]
fn is_permitted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: the call reads and writes no memory of this process; it changes what the process may do, not what it
    // does.
    unsafe {
        asm!(
            "syscall",
            inout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

//! The loops: where the time goes.
//!
//! A [`Task`] is a piece of work written once over [`Vector`], sixteen lanes with a handful of operations. A back end
//! is one file, `kernel/<isa>.rs`: those operations in the instructions of one extension, behind a token that exists
//! only where the CPU has them; NEON's loops in `asm!` are in a folder of its name. [`BackendToken::run`] compiles the
//! whole task for the instructions of the token, so that nothing is dispatched inside. These files are the only place
//! where `unsafe` is allowed. [`portable`] is plain Rust, always compiled.
//!
//! Microcontrollers have the portable back end; where the compiler was told of their instructions, `dsp*.rs` and
//! `mve.rs` add layers whose weights were packed for them ([`crate::format::Layout`]), pairs, and dot products.
//!
//! int8 sums are exact, so every back end gives the same bits. f32 sums run in the same order everywhere; back ends
//! with fused multiply-add round once where the others round twice.

/// Operations of a back end that are short, `self` being its token: `add(a: Self::I32, b: Self::I32) -> Self::I32 = …;`
macro_rules! operations {
    ($token:ident => $($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name($token, $($argument: $type),*) -> $result {
            $body
        }
    )*};
}

/// The same instruction for each of several registers, four where it is not said. Written out: `array::map` is not
/// always inlined, and then the closure is compiled without the extension.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
macro_rules! each {
    ($i:ident in [$($n:literal)*] => $call:expr) => {
        [$({
            let $i = $n;
            instruction!($call)
        }),*]
    };
    ($i:ident => $call:expr) => {
        each!($i in [0 1 2 3] => $call)
    };
}

/// Operations that fill several registers, each with so many numbers: `$at` is where they are.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
macro_rules! loads {
    ($registers:tt => $($name:ident($from:ty, $count:literal) -> $lanes:ty = $at:ident => $load:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, from: &$from) -> $lanes {
            let (parts, _) = from.as_chunks::<$count>();
            each!(i in $registers => {
                let $at = parts[i].as_ptr().cast();
                $load
            })
        }
    )*};
}

/// Operations that give the numbers of several registers, so many of each.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
macro_rules! stores {
    ($registers:tt => $($name:ident($lanes:ty) -> $to:ty, $count:literal = $store:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, lanes: $lanes) -> $to {
            let mut values = <$to>::default();
            let (parts, _) = values.as_chunks_mut::<$count>();
            each!(i in $registers => $store(parts[i].as_mut_ptr().cast(), lanes[i]));
            values
        }
    )*};
}

pub(crate) mod portable;
pub(crate) mod vector;

#[cfg(xsfm_dsp)]
pub(crate) mod dsp;
#[cfg(all(xsfm_dsp, not(xsfm_mve)))]
pub(crate) mod dsp_dots;
#[cfg(all(xsfm_dsp, not(xsfm_mve)))]
pub(crate) mod dsp_pairs;
#[cfg(xsfm_mve)]
pub(crate) mod mve;

// First, for the others have its `instruction!`.
#[cfg(target_arch = "x86_64")]
#[macro_use]
mod sse41;

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_feature = "simd128")]
mod simd128;

#[cfg(any(feature = "std", not(target_feature = "simd128")))]
use portable::Portable;
use vector::{Task, Vector};

/// The instructions that score a model: asked of the CPU once in a process, when the first model is loaded, or chosen
/// before ([`Model::from_bytes_with`](crate::Model::from_bytes_with)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Backend {
    /// Plain Rust for whatever the compiler was told to assume.
    Portable,
    /// x86-64 with SSE4.1.
    Sse41,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX2, FMA and AVX-VNNI.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    Avx512Vnni,
    /// The same with AMX for rows in groups: on Linux with `std`, which is asked once to let this process use the unit.
    ///
    /// That changes the process, all its threads, and those that it forks, for as long as it runs: the kernel sends
    /// signals with 8 KB more of registers, and refuses alternate signal stacks (`sigaltstack`) that have no room for
    /// them; where a thread has one already, permission is refused, and the back end is not there. It is the system
    /// call `arch_prctl(ARCH_REQ_XCOMP_PERM)`, which a seccomp filter must know. Linux is asked by [`Backend::detect`],
    /// by [`Backend::is_available`] of this back end, and by what loads or moves a model to it; never where another
    /// back end is chosen by name, or [`Backend::detect_without_amx`] chooses.
    Avx512Amx,
    /// AArch64 with its baseline NEON.
    Neon,
    /// AArch64 with NEON and the dot product (`sdot`).
    NeonDotprod,
    /// AArch64 with NEON, the dot product and i8mm (`smmla`).
    NeonI8mm,
    /// WebAssembly that was compiled with `-C target-feature=+simd128`; without `std` the only one there.
    Simd128,
}

impl Backend {
    /// All, from the plainest to the fastest of each architecture.
    pub const ALL: [Backend; 10] = [
        Backend::Portable,
        Backend::Sse41,
        Backend::Avx2,
        Backend::AvxVnni,
        Backend::Avx512Vnni,
        Backend::Avx512Amx,
        Backend::Neon,
        Backend::NeonDotprod,
        Backend::NeonI8mm,
        Backend::Simd128,
    ];

    /// The fastest that this CPU has, found once in a process; without `std`, that the compiler was told to assume.
    pub fn detect() -> Backend {
        BackendToken::detect().backend()
    }

    /// The fastest for which the system need not be asked: all but [`Backend::Avx512Amx`], which changes the process.
    pub fn detect_without_amx() -> Backend {
        BackendToken::fastest_but(Some(Backend::Avx512Amx)).backend()
    }

    /// Whether this CPU has it; without `std`, whether the compiler was told to assume it.
    pub fn is_available(self) -> bool {
        BackendToken::new(self).is_some()
    }

    /// As it is written on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Portable => "portable",
            Backend::Sse41 => "sse4.1",
            Backend::Avx2 => "avx2",
            Backend::AvxVnni => "avx-vnni",
            Backend::Avx512Vnni => "avx512-vnni",
            Backend::Avx512Amx => "avx512-amx",
            Backend::Neon => "neon",
            Backend::NeonDotprod => "neon-dotprod",
            Backend::NeonI8mm => "neon-i8mm",
            Backend::Simd128 => "simd128",
        }
    }
}

/// The back ends of each architecture, with the types of their tokens.
macro_rules! tokens {
    ($($architecture:meta: $($name:ident($token:ty)),*;)*) => {
        /// A back end with the proof that the CPU has it.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum BackendToken {
            $($(#[cfg($architecture)] $name($token),)*)*
        }

        impl BackendToken {
            /// `None` where the CPU lacks it.
            pub(crate) fn new(backend: Backend) -> Option<Self> {
                match backend {
                    $($(#[cfg($architecture)] Backend::$name => <$token>::new().map(BackendToken::$name),)*)*
                    // The others' back ends are not in this program.
                    #[allow(unreachable_patterns, reason = "an architecture has its own and none of the others'")]
                    _ => None,
                }
            }

            pub(crate) fn backend(self) -> Backend {
                match self {
                    $($(#[cfg($architecture)] BackendToken::$name(_) => Backend::$name,)*)*
                }
            }

            /// Does the work with this back end's instructions.
            #[inline]
            pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
                match self {
                    $($(#[cfg($architecture)] BackendToken::$name(v) => v.run(task),)*)*
                }
            }

            /// Does f32 work with this back end's instructions.
            #[inline]
            pub(crate) fn run_reals<T: Task>(self, task: T) -> T::Output {
                match self {
                    $($(#[cfg($architecture)] BackendToken::$name(v) => v.reals().run(task),)*)*
                }
            }
        }
    };
}

tokens! {
    // Where SIMD128 is, it is on every CPU: a page would load the other for nothing. With `std` it can be chosen.
    any(feature = "std", not(target_feature = "simd128")): Portable(Portable);
    target_arch = "x86_64":
        Sse41(sse41::Sse41),
        Avx2(avx2::Avx2<false>),
        AvxVnni(avx2::Avx2<true>),
        Avx512Vnni(avx512::Avx512<false>),
        Avx512Amx(avx512::Avx512<true>);
    target_arch = "aarch64":
        Neon(neon::Neon<{ neon::BASE }>),
        NeonDotprod(neon::Neon<{ neon::DOTPROD }>),
        NeonI8mm(neon::Neon<{ neon::I8MM }>);
    target_feature = "simd128":
        Simd128(simd128::Simd128);
}

impl BackendToken {
    #[cfg(any(feature = "std", not(target_feature = "simd128")))]
    const PLAINEST: Self = BackendToken::Portable(Portable);
    #[cfg(all(not(feature = "std"), target_feature = "simd128"))]
    const PLAINEST: Self = BackendToken::Simd128(simd128::Simd128::ALWAYS);

    /// The fastest that this CPU has.
    pub(crate) fn detect() -> Self {
        #[cfg(feature = "std")]
        {
            static FASTEST: std::sync::OnceLock<BackendToken> = std::sync::OnceLock::new();
            *FASTEST.get_or_init(|| Self::fastest_but(None))
        }
        #[cfg(not(feature = "std"))]
        Self::fastest_but(None)
    }

    fn fastest_but(unwanted: Option<Backend>) -> Self {
        let wanted = Backend::ALL.into_iter().rev().filter(|&backend| Some(backend) != unwanted);
        wanted.filter_map(Self::new).next().unwrap_or(Self::PLAINEST)
    }
}

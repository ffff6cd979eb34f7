//! The machines that wheels are built for, and what a wheel may ask of one.

use clap::ValueEnum;

use crate::targets::target::{AARCH64, Target, X86_64};

/// What a wheel may ask of a machine: N of glibc 2.N. That of 2012.
pub(super) const GLIBC: u32 = 17;

/// The same as tags of wheels have it.
pub(super) fn policy() -> String {
    format!("manylinux_2_{GLIBC}")
}

/// A machine that wheels are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Machine {
    #[value(name = "x86-64")]
    X86_64,
    #[value(name = "aarch64")]
    Aarch64,
}

impl Machine {
    pub(super) fn target(self) -> Target {
        match self {
            Machine::X86_64 => X86_64,
            Machine::Aarch64 => AARCH64,
        }
    }

    /// As tags of wheels have it.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Machine::X86_64 => "x86_64",
            Machine::Aarch64 => "aarch64",
        }
    }
}

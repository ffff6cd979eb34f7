//! The targets that there is a recipe for, with what compiling for each takes, and running.

/// A target, with what compiling for it and running it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    /// The crates that `-Zbuild-std` compiles; `None` where Debian has not what they are linked with.
    pub(super) crates: Option<&'static str>,
    /// What a Linux target needs.
    pub(super) linux: Option<Linux>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Linux {
    pub(super) packages: &'static [&'static str],
    pub(super) linker: &'static str,
    qemu: &'static str,
    /// Where the target's C library lies, for programs that load it.
    libraries: &'static str,
    /// CPUs to run on: the newest that QEMU has first, then older ones, each without some of the extensions that back
    /// ends use.
    pub(super) cpus: &'static [&'static str],
}

impl Linux {
    /// The words before a program that is to run on `cpu`.
    pub(super) fn on(self, cpu: &str) -> [&str; 5] {
        [self.qemu, "-cpu", cpu, "-L", self.libraries]
    }
}

/// A target without an operating system.
pub(crate) const fn bare(triple: &'static str) -> Target {
    Target { triple, crates: Some("core,alloc"), linux: None }
}

const fn gnu(triple: &'static str, linux: Linux) -> Target {
    Target { triple, crates: Some("std,panic_unwind"), linux: Some(linux) }
}

/// Programs that need no library. rustup's target brings musl along; GNU's linker will do.
const fn musl(triple: &'static str, linux: Linux) -> Target {
    Target { triple, crates: None, linux: Some(linux) }
}

const LINUX_64: Linux = Linux {
    packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"],
    linker: "aarch64-linux-gnu-gcc",
    qemu: "qemu-aarch64",
    libraries: "/usr/aarch64-linux-gnu",
    // With i8mm, with the dot product alone, with neither.
    cpus: &["max", "cortex-a76", "cortex-a53"],
};
const LINUX_32: Linux = Linux {
    packages: &["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross", "qemu-user"],
    linker: "arm-linux-gnueabihf-gcc",
    qemu: "qemu-arm",
    libraries: "/usr/arm-linux-gnueabihf",
    cpus: &["max", "cortex-a7"],
};

pub(crate) const CORTEX_M0PLUS: Target = bare("thumbv6m-none-eabi");
pub(crate) const CORTEX_M3: Target = bare("thumbv7m-none-eabi");
pub(crate) const CORTEX_M4F: Target = bare("thumbv7em-none-eabihf");
pub(crate) const CORTEX_M33: Target = bare("thumbv8m.main-none-eabihf");
pub(crate) const X86_64: Target = gnu(
    "x86_64-unknown-linux-gnu",
    Linux {
        packages: &["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross", "qemu-user"],
        linker: "x86_64-linux-gnu-gcc",
        qemu: "qemu-x86_64",
        libraries: "/usr/x86_64-linux-gnu",
        cpus: &["max"],
    },
);
pub(crate) const AARCH64: Target = gnu("aarch64-unknown-linux-gnu", LINUX_64);
pub(crate) const ARMV7: Target = gnu("armv7-unknown-linux-gnueabihf", LINUX_32);
/// The targets of ARM Linux whose C library is Debian's.
pub(crate) const ARM_LINUX: [Target; 2] = [AARCH64, ARMV7];
pub(crate) const WASM32: Target =
    Target { triple: "wasm32-unknown-unknown", crates: Some("std,panic_abort"), linux: None };
/// For programs: node runs them.
pub(crate) const WASIP1: Target = Target { triple: "wasm32-wasip1", crates: None, linux: None };

/// All that the runtime is built for.
pub(crate) const ALL: [Target; 12] = [
    AARCH64,
    ARMV7,
    musl("aarch64-unknown-linux-musl", LINUX_64),
    musl("armv7-unknown-linux-musleabihf", LINUX_32),
    CORTEX_M0PLUS,
    CORTEX_M3,
    bare("thumbv7em-none-eabi"),
    CORTEX_M4F,
    bare("thumbv8m.main-none-eabi"),
    CORTEX_M33,
    bare("riscv32imac-unknown-none-elf"),
    WASM32,
];

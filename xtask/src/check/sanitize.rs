//! The runtime's tests under AddressSanitizer and Miri, and valgrind, each where this machine has it.

use std::process::Command;

use anyhow::{Result, bail};
use xsfm_interchange::output;
use xsfm_runtime::Backend;

use crate::setup::debian;
use crate::{cargo, command, workspace};

/// AddressSanitizer wants the target named, so that build scripts and macros are built without it.
const TARGET: &str = "x86_64-unknown-linux-gnu";

pub(crate) fn run() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        bail!("the sanitizers are set up for {TARGET} alone");
    }
    address()?;
    miri()
}

/// Every back end that this CPU has.
fn address() -> Result<()> {
    command::heading("AddressSanitizer");
    let mut test = cargo::command(&["test", "--package", "xsfm-runtime", "--package", "xsfm-capi", "--target", TARGET]);
    test.args(["--lib", "--tests"]);
    // The stable compiler has the sanitizers, behind its own lock.
    test.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address").env("XSFM_CASES", "10");
    command::run_tests(test.env("CARGO_TARGET_DIR", workspace::target().join("sanitize")))
}

/// The back ends that valgrind can simulate: it answers for the CPU, and Debian's does not know AVX-512.
pub(super) fn memcheck() -> Result<()> {
    command::heading("valgrind");
    debian::provide("valgrind", "valgrind")?;
    let expected = [Backend::Sse41, Backend::Avx2].into_iter().filter(|backend| backend.is_available());
    let expected: Vec<&str> = expected.map(Backend::name).collect();
    let mut test = cargo::command(&["test", "--package", "xsfm-runtime", "--lib", "--tests"]);
    let valgrind = "valgrind --quiet --error-exitcode=1";
    test.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", valgrind).env("XSFM_CASES", "5");
    test.env("XSFM_BACKENDS", expected.join(","));
    command::run_tests(test.args(["--", "--nocapture", "--skip", SLOW]))
}

/// Minutes under valgrind; AddressSanitizer runs it.
const SLOW: &str = "extremes_fit_their_integers";

/// Portable code alone: Miri has no CPU to ask.
fn miri() -> Result<()> {
    command::heading("Miri");
    let nightly = || {
        let mut cargo = Command::new("rustup");
        cargo.args(["run", "nightly", "cargo"]).current_dir(workspace::root());
        cargo
    };
    let arguments = ["miri", "test", "--package", "xsfm-runtime", "--lib", "--test", "backends"];
    for cargo in [&|| cargo::command(&[]), &nightly as &dyn Fn() -> Command] {
        if command::succeeds(cargo().args(["miri", "--version"])) {
            return command::run(cargo().args(arguments));
        }
    }
    output::say("SKIPPED: no Miri here. `rustup +nightly component add miri` brings it, where that can be reached");
    Ok(())
}

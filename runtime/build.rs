//! Tells the compiler which of Arm's M-profile instructions there are, and whether the program shall be small: stable
//! Rust has no `cfg` for them.

use std::env;

/// CPUs with the DSP extension, SMLAD among it; `thumbv7em` has it by its name.
const WITH_DSP: [&str; 7] =
    ["cortex-m4", "cortex-m7", "cortex-m33", "cortex-m35p", "cortex-m52", "cortex-m55", "cortex-m85"];
/// CPUs with the vector extension for integers, MVE or Helium.
const WITH_MVE: [&str; 3] = ["cortex-m52", "cortex-m55", "cortex-m85"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(xsfm_dsp, xsfm_mve, xsfm_small)");
    println!("cargo::rerun-if-changed=build.rs");
    // Whether fewer bytes count for more than a shorter way.
    if matches!(env::var("OPT_LEVEL").as_deref(), Ok("s" | "z")) {
        println!("cargo::rustc-cfg=xsfm_small");
    }
    let target = env::var("TARGET").unwrap_or_default();
    if !target.starts_with("thumb") {
        return;
    }
    // `-C target-cpu=cortex-m55` in RUSTFLAGS or in a configuration of cargo.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let cpu = flags.rsplit_once("target-cpu=").map_or("", |(_, rest)| rest.split('\x1f').next().unwrap_or_default());
    if target.starts_with("thumbv7em") || WITH_DSP.contains(&cpu) {
        println!("cargo::rustc-cfg=xsfm_dsp");
    }
    if WITH_MVE.contains(&cpu) {
        println!("cargo::rustc-cfg=xsfm_mve");
    }
}

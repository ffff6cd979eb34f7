//! Other CPUs: what is built for each, and runs there.
//!
//! | module | does |
//! |---|---|
//! | [`target`] | the targets, with what compiling for each takes |
//! | [`toolchain`] | compiles for them: rustup's standard libraries, or Debian's sources |
//! | [`cross`] | the runtime for any of them, and the scorer for Linux |
//! | [`machines`] | the microcontrollers that QEMU has: builds programs for them, and runs them |
//! | [`rows`] | random rows for a model |
//! | [`firmware`] | runs the firmware examples, and compares what they print |
//! | [`boards`] | builds the programs of real boards |
//! | [`capi`] | the C interface: header, static libraries, examples |

pub(crate) mod boards;
pub(crate) mod capi;
pub(crate) mod cross;
pub(crate) mod firmware;
pub(crate) mod machines;
pub(crate) mod rows;
pub(crate) mod target;
pub(crate) mod toolchain;

use anyhow::Result;
use clap::Subcommand;

/// Commands that build for other CPUs.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Build the runtime for another target, and the scorer where it is Linux;
    /// installs what that takes; prints where it is.
    Cross(cross::Args),
    /// Run the bare-metal examples in QEMU and compare what they print with what is committed.
    Firmware(firmware::Args),
    /// Build the C library and its header for microcontrollers, AArch64 and x86-64; prints where they are.
    Capi(capi::Args),
    /// Write random valid rows for a packed model.
    Rows(rows::Args),
}

impl Task {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Task::Cross(args) => cross::run(&args),
            Task::Firmware(args) => firmware::run(&args),
            Task::Capi(args) => capi::run(&args),
            Task::Rows(args) => rows::run(&args),
        }
    }
}

//! Other CPUs: what is built for each, and runs there.
//!
//! | module | does |
//! |---|---|
//! | [`target`] | the targets, with what compiling for each takes |
//! | [`toolchain`] | compiles for them: rustup's standard libraries, or Debian's sources |
//! | [`web`] | modules of WebAssembly, without vectors and with |
//! | [`npm`], [`page`] | the npm package, and a page that ranks films by it |
//! | [`cross`] | the runtime for any of them, and the scorer for Linux |
//! | [`machines`] | the microcontrollers that QEMU has: builds programs for them, and runs them |
//! | [`rows`] | random rows for a model |
//! | [`firmware`] | runs the firmware examples, and compares what they print |
//! | [`boards`] | builds the programs of real boards |
//! | [`capi`] | the C interface: header, static libraries, examples |
//! | [`wheel`] | the Python package as wheels |

pub(crate) mod boards;
pub(crate) mod capi;
pub(crate) mod cross;
pub(crate) mod firmware;
pub(crate) mod machines;
pub(crate) mod npm;
pub(crate) mod page;
pub(crate) mod rows;
pub(crate) mod target;
pub(crate) mod toolchain;
pub(crate) mod web;
mod wheel;

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
    /// Build the npm package, a module of WebAssembly with vectors and one without; prints where the archive is.
    Npm,
    /// Build a page of static files that ranks films in the browser; prints where it is.
    Page(page::Args),
    /// Build the Python package's wheels for x86-64 and AArch64, check what they ask of a machine, and score with each;
    /// prints where they are.
    Wheel(wheel::Args),
    /// Write random valid rows for a packed model.
    Rows(rows::Args),
}

impl Task {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Task::Cross(args) => cross::run(&args),
            Task::Firmware(args) => firmware::run(&args),
            Task::Capi(args) => capi::run(&args),
            Task::Npm => npm::run(),
            Task::Page(args) => page::run(&args),
            Task::Wheel(args) => wheel::run(&args),
            Task::Rows(args) => rows::run(&args),
        }
    }
}

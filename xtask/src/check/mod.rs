//! Everything that must hold.
//!
//! | module | does |
//! |---|---|
//! | [`mod@test`] | every test, part by part |
//! | [`ci`] | format, lints, docs, then the tests |
//! | [`bits`] | scores the same rows on every target and compares the bits |
//! | [`programs`] | `xsfm-train` and `xsfm`, as tests run them |
//! | [`python`] | the Python package's tests, as the workspace builds it or as pip installs it |
//! | [`spark`] | the Python package on a cluster of Spark, against one machine |
//! | [`teachers`] | models of another library that teach students of ours |
//! | [`browser`] | WebAssembly in node, the npm package, the page in Chromium |
//! | [`readme`] | checks the commands that the README shows |
//! | [`tutorial`] | runs docs/tutorial.md |
//! | [`sanitize`] | the runtime's tests under AddressSanitizer, valgrind and Miri |
//! | [`fuzz`] | changes the numbers of valid files, and compares all that read them |

mod bits;
mod browser;
mod ci;
mod fuzz;
mod programs;
mod python;
mod readme;
mod sanitize;
mod spark;
mod teachers;
mod test;
mod tutorial;

use anyhow::Result;
use clap::Subcommand;

/// Commands that check.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run every test, installing what is missing; or some of them: `cargo xtask test host docs`.
    Test(test::Args),
    /// Check format, lints and docs.
    Check,
    /// `check`, then `test`: what continuous integration runs.
    Ci,
    /// Change the numbers of valid packed files, and compare all that read and score them: every back end, layout and
    /// mode.
    Fuzz(fuzz::Args),
}

impl Task {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Task::Test(args) => test::run(&args),
            Task::Check => ci::check(),
            Task::Ci => ci::run(),
            Task::Fuzz(args) => fuzz::run(&args),
        }
    }
}

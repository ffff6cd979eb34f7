//! What the tasks need beside cargo: installed once, checked each time.
//!
//! | module | does |
//! |---|---|
//! | [`mod@once`] | makes a folder, unless a whole one is there |
//! | [`debian`], [`python`] | packages, virtual environments |
//! | [`package`] | the Python package of the project |
//! | [`wheels`] | what builds wheels of it, and runs those of AArch64 |
//! | [`torch`] | libtorch |
//! | [`movielens`], [`tables`] | data sets: MovieLens-100K; the Adult census, reviews |
//! | [`spark`] | Apache Spark and Java |
//! | [`web`] | node, npm's packages, Chromium |
//! | [`peers`], [`accuracy`] | engines and libraries that ours are compared with |

pub(crate) mod accuracy;
pub(crate) mod debian;
pub(crate) mod movielens;
pub(crate) mod once;
pub(crate) mod package;
pub(crate) mod peers;
pub(crate) mod python;
pub(crate) mod spark;
pub(crate) mod tables;
pub(crate) mod torch;
pub(crate) mod web;
pub(crate) mod wheels;

use anyhow::Result;
use clap::Subcommand;
use xsfm_interchange::output;

/// Commands that install.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Install one thing that the other tasks would install when they need it.
    #[command(subcommand)]
    Setup(Thing),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Thing {
    /// libtorch, in a Python virtual environment under the cache folder; prints LIBTORCH.
    Torch,
    /// MovieLens-100K, under the cache folder; prints where.
    Movielens,
}

impl Task {
    pub(crate) fn run(self) -> Result<()> {
        let folder = match self {
            Task::Setup(Thing::Torch) => torch::set_up()?.folder,
            Task::Setup(Thing::Movielens) => movielens::set_up()?,
        };
        Ok(output::line(folder.display())?)
    }
}

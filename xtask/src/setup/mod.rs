//! What the tasks need beside cargo: installed once, checked each time.
//!
//! | module | does |
//! |---|---|
//! | [`mod@once`] | makes a folder, unless a whole one is there |
//! | [`debian`], [`python`] | packages, virtual environments |
//! | [`torch`] | libtorch |
//! | [`movielens`] | MovieLens-100K |
//! | [`peers`], [`accuracy`] | engines and libraries that ours are compared with |

pub(crate) mod accuracy;
pub(crate) mod debian;
pub(crate) mod movielens;
mod once;
pub(crate) mod peers;
mod python;
pub(crate) mod torch;

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

//! The Python package `xsfm`: what the crates convert and runtime do, for numpy's arrays and for frames.
//!
//! | module | does |
//! |---|---|
//! | `model` | `xsfm.Model` |
//! | `scoring` | a model that is loaded; its rows on several threads |
//! | `indices`, `values`, `arrow` | arrays of indices, dicts, frames as rows of indices |
//! | `rows` | any of these as one block |
//! | `rank`, `explain` | `xsfm.Catalogue`, `xsfm.Explanation` |
//! | `columns` | fields by the names of their columns |
//! | `packing` | packs checkpoints, models of other libraries, and arrays |
//! | `builder`, `arrays` | arrays as a model's parts; as the bytes of files |
//! | `files` | compares, lays out anew, writes code: what the program `xsfm` does |
//! | `metrics` | predictions beside clicks |
//! | `preparing` | preparation on Spark, by what the trainer's `pieces` do |
//! | `fields`, `html`, `json` | what a model tells of itself |
//! | `error` | what Python is told |
//!
//! Nothing is computed here. Python's own part is in `python/xsfm`.

mod arrays;
mod arrow;
mod builder;
mod columns;
mod error;
mod explain;
mod fields;
mod files;
mod html;
mod indices;
mod json;
mod metrics;
mod model;
mod packing;
mod preparing;
mod rank;
mod rows;
mod scoring;
mod values;

use pyo3::prelude::*;

/// The compiled part of `xsfm`.
#[pymodule]
fn _xsfm(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::add(module)?;
    packing::add(module)?;
    arrays::add(module)?;
    metrics::add(module)?;
    files::add(module)?;
    preparing::add(module)?;
    module.add_class::<model::PyModel>()?;
    module.add_class::<rank::Catalogue>()?;
    module.add_class::<explain::Explanation>()?;
    module.add_class::<fields::Field>()
}

//! Catalogues: items whose share of a score was computed once, in RAM, in a file or in flash.
//!
//! What an item adds whatever the context is its own sums, with what its fields add together; the vectors of its
//! fields,
//! which meet those of the context; and its share of the first layer.

mod build;
mod context;
mod file;
mod ranker;

pub use file::{Catalogue, CatalogueParts};
pub use ranker::CatalogueRanker;

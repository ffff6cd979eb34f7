//! Raw rows of click logs: text, Parquet and JSON lines of any columns, and the files of public data sets, read on all
//! cores.
//!
//! | module | does |
//! |---|---|
//! | [`by_schema`] | opens new rows as a schema says: where to begin |
//! | [`source`], [`raw`], [`error`] | a raw data set: its fields, blocks of rows, why it cannot be read |
//! | [`files`] | which files the rows come from: one, a folder's, a pattern's |
//! | [`criteo`], [`recsys`], [`movielens`], [`libffm`], [`csv`], [`parquet`], [`json`] | the data sets |
//! | [`mod@hashed`] | one of the first three with hashed fields |
//! | [`open`], `magic`, [`lines`], [`records`], `header` | text and what is none, lines, records and columns of a CSV |
//! | [`description`], `label`, [`time`] | what columns are; labels; times |
//! | [`pass`], [`parallel`] | all rows, on all cores, in order; the policy for malformed ones |
//! | [`piece`] | the rows of a piece of a file, for machines that share the work |
//! | [`encoder`], [`report`] | from a row to the indices of a schema; what the schema does not have |
//! | [`reading`] | flags of reading |
//!
//! `trainer` makes vocabularies of these rows, and `convert` scores them: both read them here. This crate knows the
//! files of `interchange`, neither models nor how rows are split, and never needs libtorch.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic; `xsfm_interchange::output` does not")]

pub mod by_schema;
pub mod criteo;
pub mod csv;
pub mod description;
pub mod encoder;
pub mod error;
pub mod files;
pub mod hashed;
mod header;
pub mod json;
mod label;
pub mod libffm;
pub mod lines;
mod magic;
pub mod movielens;
pub mod open;
pub mod parallel;
pub mod parquet;
pub mod pass;
pub mod piece;
pub mod raw;
pub mod reading;
pub mod records;
pub mod recsys;
pub mod report;
pub mod source;
pub mod time;

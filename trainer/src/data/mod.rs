//! From raw click logs to encoded rows, and from encoded rows to batches.
//!
//! | module | does |
//! |---|---|
//! | [`source`], [`raw`], [`error`] | a raw data set: its fields, blocks of rows, why it cannot be read |
//! | [`files`] | which files the rows come from: one, a folder's, a pattern's |
//! | [`criteo`], [`recsys`], [`movielens`], [`csv`], [`parquet`] | the data sets |
//! | `open`, `magic`, `lines`, `records`, `header` | text and what is none, lines, records of a CSV and their columns |
//! | `description`, `label`, [`time`] | what columns are; labels; times |
//! | [`describe`] | what columns probably are |
//! | [`split`], `plan` | which rows are for training, validation and test |
//! | [`pass`], [`parallel`] | all rows, on all cores, in order; the policy for malformed ones |
//! | `checks` | what makes rows useless though each is well: one class, one bucket |
//! | [`prepare`], [`report`], [`command`] | vocabularies of the training rows, `schema.json`, three files of rows |
//! | [`mod@encode`], `encoder`, `reading` | new rows by an old schema; a row's indices; flags of reading |
//! | [`dataset`] | opens a folder of encoded rows |
//! | [`same`] | whether two folders have the same rows |
//! | [`fold`] | the same rows with smaller vocabularies |
//! | [`generate`] | rows of a planted truth |
//! | [`classes`] | whether there are rows of both classes |
//! | [`batches`] | encoded rows, shuffled in a bounded window |
//! | [`unknown`] | tokens that are taken for unknown ones in training |
//! | [`mod@ahead`] | the same on a thread of its own |
//! | [`candidates`], [`export`] | rows as text: a user's unseen films; any encoded rows |

pub mod ahead;
pub mod batches;
pub mod candidates;
mod checks;
pub mod classes;
pub mod command;
pub mod criteo;
pub mod csv;
pub mod dataset;
pub mod describe;
mod description;
pub mod encode;
mod encoder;
pub mod error;
pub mod export;
pub mod files;
pub mod fold;
pub mod generate;
mod header;
mod label;
mod lines;
mod magic;
pub mod movielens;
mod open;
pub mod parallel;
pub mod parquet;
pub mod pass;
mod plan;
mod planted;
pub mod prepare;
pub mod raw;
mod reading;
mod records;
pub mod recsys;
pub mod report;
pub mod same;
pub mod source;
pub mod split;
pub mod time;
pub mod unknown;

//! From raw click logs to encoded rows, and from encoded rows to batches.
//!
//! | module | does |
//! |---|---|
//! | [`source`] | the interface of a raw data set: its fields, and blocks of rows |
//! | [`criteo`], [`recsys`], [`movielens`], [`csv`], [`parquet`] | the data sets; `description` says what columns are, `lines` reads text |
//! | [`split`] | which rows are for training, validation and test |
//! | [`pass`], [`parallel`] | all rows, on all cores, in order; the policy for malformed ones |
//! | [`prepare`], [`report`], [`command`] | vocabularies from the training rows, then `schema.json` and three files of encoded rows |
//! | [`fold`] | the same rows with smaller vocabularies |
//! | [`generate`] | rows of a planted truth |
//! | [`classes`] | whether there are rows of both classes |
//! | [`batches`] | encoded rows, shuffled in a bounded window |
//! | [`mod@ahead`] | the same on a thread of its own |
//! | [`candidates`], [`export`] | rows as text: a user's unseen films; any encoded rows |

pub mod ahead;
pub mod batches;
pub mod candidates;
pub mod classes;
pub mod command;
pub mod criteo;
pub mod csv;
mod description;
pub mod export;
pub mod fold;
pub mod generate;
mod lines;
pub mod movielens;
pub mod parallel;
pub mod parquet;
pub mod pass;
mod planted;
pub mod prepare;
pub mod recsys;
pub mod report;
pub mod source;
pub mod split;

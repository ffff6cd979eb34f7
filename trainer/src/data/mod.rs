//! From raw click logs to encoded rows, and from encoded rows to batches.
//!
//! | module | does |
//! |---|---|
//! | [`source`] | the interface of a raw data set: its fields, and a pass over its rows |
//! | [`movielens`], [`csv`] | the data sets |
//! | [`split`] | which rows are for training, validation and test |
//! | [`prepare`] | vocabularies from the training rows, then `schema.json` and three files of encoded rows |
//! | [`batches`] | encoded rows, shuffled in a bounded window |
//! | [`mod@ahead`] | the same on a thread of its own |
//! | [`candidates`], [`export`] | rows as text: a user's unseen films; any encoded rows |

pub mod ahead;
pub mod batches;
pub mod candidates;
pub mod csv;
pub mod export;
pub mod movielens;
pub mod prepare;
pub mod source;
pub mod split;

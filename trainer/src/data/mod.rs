//! From raw click logs to encoded rows, and from encoded rows to batches.
//!
//! | module | does |
//! |---|---|
//! | [`describe`] | what columns probably are |
//! | [`split`], `plan` | which rows are for training, validation and test |
//! | `checks` | what makes rows useless though each is well: one class, one bucket |
//! | `count`, `counter` | tokens and numbers of training rows |
//! | `encoded` | rows as indices, and what is told of them |
//! | `extend` | vocabularies that go on from those of a day before |
//! | [`prepare`], [`report`], [`command`] | vocabularies of the training rows, `schema.json`, three files of rows |
//! | [`pieces`] | the same bytes by many machines |
//! | [`mod@encode`] | new rows by an old schema |
//! | [`dataset`] | opens a folder of encoded rows |
//! | [`same`] | whether two folders have the same rows |
//! | [`fold`] | the same rows with smaller vocabularies |
//! | [`generate`], `planted`, `clicks` | rows of a planted truth; as a click log |
//! | [`classes`] | whether there are rows of both classes |
//! | [`batches`] | encoded rows, shuffled in a bounded window |
//! | [`unknown`] | tokens that are taken for unknown ones in training |
//! | [`mod@ahead`] | the same on a thread of its own |
//! | [`candidates`], [`export`] | rows as text: a user's unseen films; any encoded rows |
//!
//! Raw rows are read by the crate `xsfm-readers`, which `convert` shares.

pub mod ahead;
pub mod batches;
pub mod candidates;
mod checks;
pub mod classes;
mod clicks;
pub mod command;
mod count;
mod counter;
pub mod dataset;
pub mod describe;
pub mod encode;
mod encoded;
pub mod export;
mod extend;
pub mod fold;
pub mod generate;
pub mod pieces;
mod plan;
mod planted;
pub mod prepare;
pub mod report;
pub mod same;
pub mod split;
pub mod unknown;

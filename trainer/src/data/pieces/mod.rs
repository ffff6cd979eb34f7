//! Preparation by many machines: the bytes that [`prepare`](super::prepare) writes, whatever the number of machines and
//! however rows are divided among them.
//!
//! | module | does |
//! |---|---|
//! | `job` | what is prepared, as a file that all machines read; a task |
//! | [`driver`] | on one machine: which tasks come next, and what their results add up to |
//! | [`worker`] | on all machines: a task |
//! | `join` | from files of pieces to those of the parts |
//! | `counts` | counts as bytes, in shares that can be added up apart |
//!
//! A stage is a list of tasks, in any order and on any machines; a task may run several times.
//!
//! | stage | a task | its results |
//! |---|---|---|
//! | spans | divides a file in pieces | where they begin, and their rows |
//! | times | counts the times of pieces, for a chronological split | counts; malformed rows |
//! | count | counts the tokens and numbers of pieces' training rows | counts; labels; malformed rows |
//! | labels, numbers | look at pieces again, where something is suspicious | for messages |
//! | encode | encodes a piece | three files of rows; malformed rows |
//! | join | joins pieces' files, where parts stay in several | a file of rows |
//!
//! Counts go a way of their own: bytes of each share to one place, where they are added up and rare tokens left out
//! ([`worker::Sums`]), and from there to the driver.
//!
//! What goes through a machine's memory: a block of rows, the vocabularies, and counts up to a number of tokens. All
//! machines see the raw files, and the folder that is written to, by the same paths.

mod counts;
pub mod driver;
mod job;
mod join;
pub mod worker;

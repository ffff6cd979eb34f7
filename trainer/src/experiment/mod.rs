//! Experiments: one TOML file per row of a table, trained where missing, then tables and figures.
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`row`] | `experiments/DATASET/*.toml` | [`Row`](row::Row)s: what is trained, from what, and how it is packed |
//! | [`plan`] | rows, seeds | every (row, seed) with those that it needs |
//! | [`tools`] | a (row, seed) | a user's commands: `xsfm-train train`, `xsfm pack`, `xsfm evaluate` |
//! | [`run`] | a plan | `OUT/ROW/seed-N/`: checkpoint, packed model, [`outcome`], [`predictions`] |
//! | [`latency`] | packed models | time of a call on this CPU, batches 1 to 1024 |
//! | [`budget`] | a number of bytes, a space of settings | the best student that fits, and the frontier |
//! | [`tune`] | minutes | the settings of a training that matter |
//! | [`report`] | outcomes | tables in Markdown and CSV, figures in SVG, all of it in one page |

pub mod budget;
pub mod latency;
pub mod outcome;
pub mod plan;
pub mod predictions;
pub mod report;
pub mod row;
pub mod run;
pub mod tools;
pub mod tune;

//! Prepares click logs and trains DeepFwFM teachers and distilled, int8, quotient-remainder students.
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`data`] | raw rows | `schema.json`, encoded rows, shuffled batches |
//! | [`settings`] | flags, settings files | what to train and how |
//! | [`model`] | batches | logits in real numbers |
//! | `cpu` | layers, pairs and parameters on a CPU | a training step in parts that stay in its cache |
//! | [`qat`], [`quantized`] | a trained model | its integers, trained further; logits in int8 |
//! | [`teacher`] | teachers' checkpoints, training rows | their mean logits, kept for the next student |
//! | [`teacher_logits`] | a file of another system | its logits of the training rows |
//! | [`distill`] | logits of student and teachers | the loss |
//! | [`training_loop`], [`report`], [`schedule`], [`average`] | model, loss, batches | the best epoch |
//! | [`losses`], [`prune`] | batches, weights | their mean loss; what becomes 0 |
//! | [`optimizer`], `adam` | gradients | a step of Adam, lazy or dense |
//! | [`state`], [`lock`] | a run between two epochs | a file to go on from; one run at a time |
//! | [`divergence`] | an epoch's losses | whether there is any use in going on |
//! | [`checkpoint`], [`tensors`] | a trained model | its folder, and back |
//! | [`warm`] | a checkpoint of another vocabulary | the model that goes on with today's |
//! | [`evaluate`], [`evaluation`] | a checkpoint, rows | logits; figures, by groups too |
//! | [`mod@bench`] | a checkpoint, rows | the time of calls in libtorch |
//! | [`commands`], [`device`], [`allocator`] | a command line | a run |
//! | [`cuda`], [`devices`] | a machine | its GPUs, or why there is none to compute on |
//! | [`experiment`] | a file for each row of a table | models, figures, tables |
//!
//! All but [`data`], [`lock`] and [`settings`] need libtorch: the cargo feature `torch`.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic; `xsfm_interchange::output` does not")]

pub mod data;

#[cfg(feature = "torch")]
mod adam;
#[cfg(feature = "torch")]
pub mod allocator;
#[cfg(feature = "torch")]
pub mod average;
#[cfg(feature = "torch")]
pub mod bench;
#[cfg(feature = "torch")]
pub mod checkpoint;
#[cfg(feature = "torch")]
pub mod commands;
#[cfg(feature = "torch")]
mod cpu;
#[cfg(feature = "torch")]
pub mod cuda;
#[cfg(feature = "torch")]
pub mod device;
#[cfg(feature = "torch")]
pub mod devices;
#[cfg(feature = "torch")]
pub mod distill;
#[cfg(feature = "torch")]
pub mod divergence;
#[cfg(feature = "torch")]
pub mod evaluate;
#[cfg(feature = "torch")]
pub mod evaluation;
#[cfg(feature = "torch")]
pub mod experiment;
pub mod lock;
#[cfg(feature = "torch")]
pub mod losses;
#[cfg(feature = "torch")]
pub mod model;
#[cfg(feature = "torch")]
pub mod optimizer;
#[cfg(feature = "torch")]
pub mod prune;
#[cfg(feature = "torch")]
pub mod qat;
#[cfg(feature = "torch")]
pub mod quantized;
#[cfg(feature = "torch")]
pub mod report;
pub mod schedule;
pub mod settings;
#[cfg(feature = "torch")]
pub mod state;
#[cfg(feature = "torch")]
pub mod teacher;
#[cfg(feature = "torch")]
pub mod teacher_logits;
#[cfg(feature = "torch")]
pub mod tensors;
#[cfg(feature = "torch")]
pub mod training_loop;
#[cfg(feature = "torch")]
pub mod warm;

#![no_std]
//! Scores DeepFwFM click models on small and large CPUs: `no_std`, no allocator, the same bits everywhere in int8 mode.

pub mod row;

//! GPUs: what there is and why not, and what their training does other than a CPU's.
//!
//! | module | |
//! |---|---|
//! | [`seen`] | what libtorch, the driver and this machine show of GPUs, and why none can be used |
//! | `driver` | the boundary to libraries that are opened when a GPU is asked for |
//! | `libtorch` | the boundary to libtorch: copies that nobody waits for, a fused Adam, TF32 |
//! | `adam` | a step of Adam by it |
//!
//! Nothing is linked against CUDA. `libtorch_cuda`, half a gigabyte, is opened where a GPU is asked for, before
//! libtorch is asked anything: it looks for its part for GPUs once.

pub(crate) mod adam;
mod driver;
pub(crate) mod libtorch;
pub mod seen;

pub(crate) use libtorch::{Tf32, upload};

//! What an engine is.

use anyhow::Result;

/// A model that is ready to score batches of one size, on one thread.
pub(crate) trait Engine {
    /// Scores `indices`, `[batch, num_fields]`, to `logits`, `[batch]`.
    fn run(&mut self, indices: &[u32], logits: &mut [f32]) -> Result<()>;
}

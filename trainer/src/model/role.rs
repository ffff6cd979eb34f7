//! Which parameters learn, and how.

/// What an optimiser may do to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A matrix of a layer: weight decay applies.
    Matrix,
    /// Trained without weight decay.
    Other,
    /// Not trained by gradients.
    Statistic,
}

//! What a class may have that no packed file holds.

pub(super) const ATTENTION: &str = "attention";
pub(super) const CROSS: &str = "cross layers";
pub(super) const CIN: &str = "a compressed interaction network";
pub(super) const FIELD_AWARE: &str = "vectors for each pair of fields";
pub(super) const HIGH_ORDER: &str = "interactions of three and more fields";
pub(super) const PRODUCTS: &str = "products of vectors among the inputs of its layers";
pub(super) const GATES: &str = "gates, which multiply what depends on the row";
pub(super) const CONVOLUTION: &str = "convolutions";
pub(super) const GRAPH: &str = "a network over a graph of fields";
pub(super) const SEQUENCE: &str = "a network over the order of a sequence";
pub(super) const TOWERS: &str = "two towers of layers";
pub(super) const TASKS: &str = "several outputs";
pub(super) const TANH: &str = "hidden layers with tanh";

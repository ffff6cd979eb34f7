//! Second-order term: `sum_{i<j} r_ij <v_i, v_j>` (FwFM: Pan et al. 2018, arXiv:1806.03514; FM has all `r_ij = 1`).

use crate::kernel::imp as kernel;

/// The pairs of fields that interact. `C` is i16 or f32.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldInteraction<'a, C> {
    /// None.
    None,
    /// Every pair: the upper triangle, row by row.
    Dense(&'a [C]),
    /// The pairs that pruning left (DeepLight: Deng et al. 2021, arXiv:2002.06987), in ascending order.
    Pruned(&'a [[u8; 2]], &'a [C]),
}

impl FieldInteraction<'_, i16> {
    /// e \[num_fields, dim\]: sum_{i<j} r_ij <e_i, e_j>
    pub(crate) fn accumulate(&self, e: &[i8], dim: usize) -> i64 {
        match self {
            FieldInteraction::None => 0,
            FieldInteraction::Dense(r) => kernel::pairs_int8(e, r, dim),
            FieldInteraction::Pruned(pairs, r) => kernel::listed_pairs_int8(e, pairs, r, dim),
        }
    }
}

impl FieldInteraction<'_, f32> {
    /// e \[num_fields, dim\]: sum_{i<j} r_ij <e_i, e_j>
    pub(crate) fn accumulate(&self, e: &[f32], dim: usize) -> f32 {
        match self {
            FieldInteraction::None => 0.0,
            FieldInteraction::Dense(r) => kernel::pairs_f32(e, r, dim),
            FieldInteraction::Pruned(pairs, r) => kernel::listed_pairs_f32(e, pairs, r, dim),
        }
    }
}

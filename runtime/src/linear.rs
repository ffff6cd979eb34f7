//! First-order terms: one scalar per feature (`FeatureWeight`, "LW") and one vector per field (`FieldVector`, "FwLW").

use crate::format::{FieldRecord, limit};
#[cfg(all(xsfm_dsp, not(xsfm_mve)))]
use crate::kernel::dsp_dots::dot_coefficients_int8;
#[cfg(not(all(xsfm_dsp, not(xsfm_mve))))]
use crate::kernel::portable::dot_coefficients_int8;
use crate::kernel::vector::{LANES, Vector, widen_i8, widen_i16};
use crate::weight::{FRACTION_BITS, Weight};

/// One scalar per feature: `sum_f lw_f[i_f]`. `W` is i8 with an i16 coefficient per field, or f32 without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeatureWeight<'a, W> {
    pub(crate) weights: &'a [W],
    /// \[num_fields\]; empty in f32 mode.
    pub(crate) coefficients: &'a [i16],
}

impl<W: Copy> FeatureWeight<'_, W> {
    /// The scalars of a field's indices, which are in range.
    #[inline(always)]
    fn of<'i>(&self, record: &FieldRecord, indices: &'i [u32]) -> impl Iterator<Item = W> + use<'i, '_, W> {
        let weights = self.of_field(record);
        indices.iter().filter_map(move |&index| weights.get(index as usize).copied())
    }

    /// The scalars of a field, and of those behind it.
    #[inline(always)]
    fn of_field(&self, record: &FieldRecord) -> &[W] {
        self.weights.get(record.feature_offset.get() as usize..).unwrap_or_default()
    }
}

impl FeatureWeight<'_, i8> {
    /// c_f * sum_i lw_f\[i\] for field `field`
    #[inline(always)]
    pub(crate) fn accumulate(&self, record: &FieldRecord, field: usize, indices: &[u32]) -> i64 {
        i64::from(self.coefficients.get(field).copied().unwrap_or(0))
            * self.of(record, indices).map(i64::from).sum::<i64>()
    }

    /// clamp((c_f * sum_i w_i lw_f\[i\] + 2^11) >> 12, ±2^32), where indices have weights
    pub(crate) fn accumulate_weighted(
        &self,
        record: &FieldRecord,
        field: usize,
        indices: impl Iterator<Item = (u32, Weight)>,
    ) -> i64 {
        let weights = self.of_field(record);
        let of_index = |(index, weight): (u32, Weight)| {
            i64::from(i32::from(weights.get(index as usize).copied().unwrap_or(0)) * i32::from(weight.steps()))
        };
        let sum = i64::from(self.coefficients.get(field).copied().unwrap_or(0)) * indices.map(of_index).sum::<i64>();
        let sum = (sum + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS;
        sum.clamp(-limit::FEATURE_WEIGHTS, limit::FEATURE_WEIGHTS)
    }
}

impl FeatureWeight<'_, f32> {
    /// sum_i lw_f\[i\]
    #[inline(always)]
    pub(crate) fn accumulate(&self, record: &FieldRecord, indices: &[u32]) -> f32 {
        self.of(record, indices).sum()
    }

    /// sum_i w_i lw_f\[i\], where indices have weights
    pub(crate) fn accumulate_weighted(
        &self,
        record: &FieldRecord,
        indices: impl Iterator<Item = (u32, Weight)>,
    ) -> f32 {
        let weights = self.of_field(record);
        indices.map(|(index, weight)| weight.to_f32() * weights.get(index as usize).copied().unwrap_or(0.0)).sum()
    }
}

/// One vector per field, `sum_f <v_f, w_f>` (Deng et al. 2021, arXiv:2002.06987, eq. 6): \[num_fields, dim\], i16 or
/// f32.
///
/// In f32 mode it is summed with the pairs: [`crate::interaction::FieldInteraction::accumulate`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldVector<'a, C>(pub(crate) &'a [C]);

/// What the sums of field vectors and pairs begin with in f32 mode.
#[derive(Clone, Copy)]
pub(crate) struct FirstOrder<'a> {
    /// \[num_fields, dim\]: the field vectors, and what a context's fields add to them.
    pub(crate) w: Option<&'a [f32]>,
    /// \[dim\], or empty: the sums of fields that were scored before.
    pub(crate) carry: &'a [f32],
}

impl FieldVector<'_, i16> {
    /// e \[num_fields, dim\]: sum_fd e_fd u_fd; the loader has checked that it fits: `128 * sum|u| < 2^31`
    #[inline(always)]
    pub(crate) fn accumulate<V: Vector>(&self, v: V, e: &[i8]) -> i64 {
        if !V::WIDE {
            return i64::from(dot_coefficients_int8(e, self.0));
        }
        let mut sum = v.splat(0);
        for at in (0..self.0.len()).step_by(LANES) {
            // What `e` has beyond its end meets zeros.
            sum = v.add(sum, v.mul(widen_i8(v, e, at), widen_i16(v, self.0, at)));
        }
        v.store(sum).into_iter().map(i64::from).sum()
    }
}

//! First-order terms: one scalar per feature (`FeatureWeight`, "LW") and one vector per field (`FieldVector`, "FwLW").

use crate::format::FieldRecord;
use crate::kernel::imp as kernel;

/// One scalar per feature: `sum_f lw_f[i_f]`. `W` is i8 with an i16 coefficient per field, or f32 without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeatureWeight<'a, W> {
    pub(crate) weights: &'a [W],
    /// \[num_fields\]; empty in f32 mode.
    pub(crate) coefficients: &'a [i16],
}

impl<W: Copy> FeatureWeight<'_, W> {
    /// The scalars of a field's indices, which are in range.
    fn of<'i>(&self, record: &FieldRecord, indices: &'i [u32]) -> impl Iterator<Item = W> + use<'i, '_, W> {
        let weights = &self.weights[record.feature_offset.get() as usize..];
        indices.iter().map(move |&index| weights[index as usize])
    }
}

impl FeatureWeight<'_, i8> {
    /// c_f * sum_i lw_f\[i\] for field `field`
    pub(crate) fn accumulate(&self, record: &FieldRecord, field: usize, indices: &[u32]) -> i64 {
        i64::from(self.coefficients[field]) * self.of(record, indices).map(i64::from).sum::<i64>()
    }
}

impl FeatureWeight<'_, f32> {
    /// sum_i lw_f\[i\]
    pub(crate) fn accumulate(&self, record: &FieldRecord, indices: &[u32]) -> f32 {
        self.of(record, indices).sum()
    }
}

/// One vector per field, `sum_f <v_f, w_f>` (Deng et al. 2021, arXiv:2002.06987, eq. 6): \[num_fields, dim\], i16 or f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldVector<'a, C>(pub(crate) &'a [C]);

impl FieldVector<'_, i16> {
    /// e \[num_fields, dim\]: sum_fd e_fd u_fd
    pub(crate) fn accumulate(&self, e: &[i8]) -> i64 {
        i64::from(kernel::dot_coefficients_int8(e, self.0))
    }
}

impl FieldVector<'_, f32> {
    /// e \[num_fields, dim\]: sum_fd e_fd w_fd
    pub(crate) fn accumulate(&self, e: &[f32]) -> f32 {
        kernel::dot_f32(e, self.0)
    }
}

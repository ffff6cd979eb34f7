//! One sample: the indices of its features, field by field.

/// One sample: for every field one index, or for bags several.
///
/// An index is local to its field: `0..features`, where 0 is the out-of-vocabulary row of models that this project trained.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    indices: &'a [u32],
    /// `num_fields + 1` positions in `indices`; empty when every field has one index.
    offsets: &'a [u32],
}

impl<'a> Row<'a> {
    /// A row with one index per field.
    pub const fn new(indices: &'a [u32]) -> Self {
        Row { indices, offsets: &[] }
    }

    /// A row with bags: field `f` has `indices[offsets[f]..offsets[f + 1]]`.
    ///
    /// `offsets` has `num_fields + 1` entries and may be a window of a larger array over many rows.
    pub const fn with_bags(indices: &'a [u32], offsets: &'a [u32]) -> Self {
        Row { indices, offsets }
    }

    /// Number of fields in the row.
    pub const fn num_fields(&self) -> usize {
        if self.offsets.is_empty() { self.indices.len() } else { self.offsets.len() - 1 }
    }

    /// The indices of field `f`; `None` where the offsets do not fit the indices.
    pub fn field(&self, f: usize) -> Option<&'a [u32]> {
        if self.offsets.is_empty() {
            return self.indices.get(f..f + 1);
        }
        let (from, to) = (*self.offsets.get(f)?, *self.offsets.get(f + 1)?);
        self.indices.get(from as usize..to as usize)
    }
}

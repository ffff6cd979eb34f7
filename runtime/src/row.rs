//! One sample: the indices of its features, field by field.

/// One sample: for every field one index, or for bags several.
///
/// An index is local to its field: `0..features`, where 0 is the out-of-vocabulary row of models that this project
/// trained. In a field whose indices have weights, each has its [`Weight`](crate::Weight) as a word behind it, and is
/// counted with it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    indices: &'a [u32],
    /// `num_fields + 1` positions in `indices`; none when every field has one index.
    offsets: Option<&'a [u32]>,
}

impl<'a> Row<'a> {
    /// A row with one index per field.
    pub const fn new(indices: &'a [u32]) -> Self {
        Row { indices, offsets: None }
    }

    /// A row with bags, or weights: field `f` has `indices[offsets[f]..offsets[f + 1]]`.
    ///
    /// `offsets` has `num_fields + 1` entries and may be a window of a larger array over many rows.
    pub const fn with_bags(indices: &'a [u32], offsets: &'a [u32]) -> Self {
        Row { indices, offsets: Some(offsets) }
    }

    /// Number of fields in the row.
    #[inline]
    pub const fn num_fields(&self) -> usize {
        match self.offsets {
            None => self.indices.len(),
            Some(offsets) => offsets.len().saturating_sub(1),
        }
    }

    /// One index for every field, where the row is of that kind.
    #[inline]
    pub(crate) const fn single(&self) -> Option<&'a [u32]> {
        if self.offsets.is_none() { Some(self.indices) } else { None }
    }

    /// The indices of field `f`, with their weights where it has them; `None` where the offsets do not fit the indices.
    #[inline]
    pub fn field(&self, f: usize) -> Option<&'a [u32]> {
        let Some(offsets) = self.offsets else {
            return self.indices.get(f).map(std::slice::from_ref);
        };
        let (&from, &to) = (offsets.get(f)?, offsets.get(f.checked_add(1)?)?);
        self.indices.get(from as usize..to as usize)
    }
}

//! Rows of indices.

use xsfm_runtime::Row;

use crate::failure::Error;
use crate::pointer;

/// One sample: the indices of its features, field by field, in the model's order.
///
/// An index counts from 0 within its field; in models that this project trained, 0 stands for features that are not in
/// the vocabulary.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct XsfmRow {
    /// The indices of all fields.
    pub indices: *const u32,
    /// How many there are; with offsets, how many may be reached.
    pub num_indices: usize,
    /// NULL where every field has one index. Otherwise field f has the indices from `offsets[f]` to before
    /// `offsets[f + 1]`.
    pub offsets: *const u32,
    /// Number of offsets: one more than fields; 0 where offsets is NULL.
    pub num_offsets: usize,
}

impl XsfmRow {
    /// The row as the runtime borrows it.
    ///
    /// # Safety
    /// As [`pointer::array`], of both arrays.
    pub(crate) unsafe fn borrow<'r>(&self) -> Result<Row<'r>, Error> {
        // SAFETY: the caller's promise.
        let indices = unsafe { pointer::array("row.indices", self.indices, self.num_indices) }?;
        if self.offsets.is_null() && self.num_offsets == 0 {
            return Ok(Row::new(indices));
        }
        // SAFETY: the caller's promise.
        let offsets = unsafe { pointer::array("row.offsets", self.offsets, self.num_offsets) }?;
        Ok(Row::with_bags(indices, offsets))
    }
}

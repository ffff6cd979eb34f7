//! Rows of indices.

use xsfm_runtime::{Row, Weight};

use crate::failure::Error;
use crate::pointer;

/// One sample: the indices of its features, field by field, in the model's order.
///
/// An index counts from 0 within its field; in models that this project trained, 0 stands for features that are not in
/// the vocabulary. In a field that xsfm_get_field says to be weighted each has its xsfm_weight behind it, and is
/// counted with it.
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

/// What stands behind an index of a field with weights: the word of the nearest multiple of 1/4096. 0, which is the
/// word of none and refused by scores, where `weight` is not a number from -7.9998 to 7.9998.
#[unsafe(no_mangle)]
pub extern "C" fn xsfm_weight(weight: f64) -> u32 {
    Weight::nearest(weight).map_or(0, Weight::word)
}

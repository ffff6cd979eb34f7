//! A row whose fields are written one after another.

use super::error::EncodeError;
use crate::row::Row;

/// A row whose fields are written one after another, in the caller's buffers; made by
/// [`Encoder::writer`](super::Encoder::writer).
#[derive(Debug)]
pub struct RowWriter<'b> {
    indices: &'b mut [u32],
    /// None where no field is a bag.
    offsets: Option<&'b mut [u32]>,
    found: usize,
    fields: usize,
}

impl<'b> RowWriter<'b> {
    pub(super) fn new(
        indices: &'b mut [u32],
        offsets: &'b mut [u32],
        has_bags: bool,
    ) -> Result<RowWriter<'b>, EncodeError> {
        let offsets = if has_bags {
            *offsets.first_mut().ok_or(EncodeError::Room { needed: 1, found: 0 })? = 0;
            Some(offsets)
        } else {
            None
        };
        Ok(RowWriter { indices, offsets, found: 0, fields: 0 })
    }

    /// Adds a field, whose indices `write` puts at the beginning of what room is left; it says how many they are.
    ///
    /// # Errors
    /// What `write` gives, and [`EncodeError::Room`], which counts what lies before.
    pub fn push(&mut self, write: impl FnOnce(&mut [u32]) -> Result<usize, EncodeError>) -> Result<(), EncodeError> {
        let (before, room) = (self.found, self.indices.len());
        let rest = self.indices.get_mut(before..).unwrap_or_default();
        let written = write(rest).map_err(|error| match error {
            EncodeError::Room { needed, .. } => EncodeError::Room { needed: before + needed, found: room },
            other => other,
        })?;
        self.found = room.min(before + written);
        self.fields += 1;
        if let Some(offsets) = &mut self.offsets {
            let room = offsets.len();
            let end = offsets.get_mut(self.fields);
            *end.ok_or(EncodeError::Room { needed: self.fields + 1, found: room })? = self.found as u32;
        }
        Ok(())
    }

    /// Indices written.
    pub fn num_indices(&self) -> usize {
        self.found
    }

    /// Offsets written: one more than fields, or 0 where no field is a bag.
    pub fn num_offsets(&self) -> usize {
        if self.offsets.is_some() { self.fields + 1 } else { 0 }
    }

    /// The row of the fields that were written.
    pub fn row(self) -> Row<'b> {
        let indices = self.indices.get(..self.found).unwrap_or_default();
        match self.offsets {
            None => Row::new(indices),
            Some(offsets) => Row::with_bags(indices, offsets.get(..=self.fields).unwrap_or_default()),
        }
    }
}

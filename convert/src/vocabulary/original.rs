//! Which index of the schema an index of a packed file was, where tables have been numbered anew.

use xsfm_interchange::fingerprint::Vocabulary;
use xsfm_interchange::rows::RowBlock;
use xsfm_interchange::schema::Schema;
use xsfm_runtime::format::SectionKind;
use xsfm_runtime::format::vocabulary::EncoderRecord;
use xsfm_runtime::{Model, Weight};
use zerocopy::FromBytes;

use crate::error::Error;
use crate::input;

/// By field, what each index of the file was in the schema.
#[derive(Clone, Debug)]
pub struct Original(Vec<Vec<u32>>);

impl Original {
    /// By the schema that a model was packed with; `None` where no field has other indices than the schema.
    ///
    /// # Errors
    /// It was packed with another; a file that contradicts itself.
    pub fn of(model: &Model<'_>, schema: &Schema) -> Result<Option<Self>, Error> {
        let records = model.section(SectionKind::Encoders).unwrap_or_default();
        let records = <[EncoderRecord]>::ref_from_bytes(records).unwrap_or_default();
        let encoder = model.encoder().map_err(|error| Error::Input(error.to_string()))?;
        let Some(encoder) = encoder.filter(|_| records.iter().any(EncoderRecord::is_numbered_anew)) else {
            return Ok(None);
        };
        let other = || Error::Input("the packed model was not packed with the checkpoint's schema.json".to_owned());
        if records.len() != schema.fields.len() {
            return Err(other());
        }
        let (mut packed, mut original) = (schema.clone(), Vec::new());
        for (f, (field, record)) in packed.fields.iter_mut().zip(records).enumerate() {
            let mut indices: Vec<u32> = (0..field.features()).collect();
            if record.is_numbered_anew() {
                let before = field.vocabulary.clone();
                for (token, index) in before.into_iter().zip(1..) {
                    let now = encoder.index_of(f, &token).unwrap_or(0) as usize;
                    let place = now.checked_sub(1).and_then(|place| field.vocabulary.get_mut(place));
                    *place.ok_or_else(other)? = token;
                    indices[now] = index;
                }
            }
            original.push(indices);
        }
        // Tokens that took others' places would leave their own to those.
        match input::vocabulary(model) == Some(Vocabulary::of(&packed)) {
            true => Ok(Some(Original(original))),
            false => Err(other()),
        }
    }

    /// The rows that a model has scored, with the indices of the schema.
    pub(crate) fn rows(&self, block: &RowBlock) -> RowBlock {
        let mut rows = RowBlock::new(self.0.len(), true);
        for i in 0..block.len() {
            let row = block.row(i);
            for (f, original) in self.0.iter().enumerate() {
                // Weights, which no index is as large as, stay.
                let word = |&word: &u32| match original.get(word as usize) {
                    Some(&index) => Some(index),
                    None => Weight::of_word(word).map(Weight::word),
                };
                let words: Vec<u32> = row.field(f).unwrap_or_default().iter().filter_map(word).collect();
                rows.push_field(&words);
            }
        }
        rows
    }
}

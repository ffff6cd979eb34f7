//! Raw values of fields whose indices have weights, each as a word behind its index.

use super::Encoder;
use super::check::valid;
use super::error::EncodeError;
use super::value::{Digits, Parts, Value, cut, is_finite};
use crate::format::FieldRecord;
use crate::format::vocabulary::{EncoderRecord, Step, of_order, order, order_of_integer, weights};
use crate::weight::{OneOrTwo, Weight, interpolated};

impl<const SMALL: bool> Encoder<'_, SMALL> {
    /// As [`Encoder::encode_tokens`], with a weight for each token, of a bag whose data say them.
    ///
    /// # Errors
    /// [`EncodeError`]: [`EncodeError::Several`] where the field is no bag, [`EncodeError::Weight`] where its weights
    /// are not the data's to say, unless they are 1 and the tokens' mean is wanted.
    pub fn encode_weighted<'t>(
        &self,
        field: usize,
        tokens: impl Iterator<Item = (&'t str, Weight)> + Clone,
        words: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let (record, _) = self.record(field)?;
        match (record.is_bag(), record.is_weighted()) {
            (true, true) => {
                self.weighted_bag(field, tokens.map(|(token, weight)| (token.as_bytes(), Some(weight))), words)
            }
            (true, false) => Err(EncodeError::Weight { field }),
            (false, _) => Err(EncodeError::Several { field }),
        }
    }

    /// The indices of a field whose texts were cut already, with their weights, as readers of files give them: one
    /// text, or the tokens of a bag with the weights that their data say, or 1.
    ///
    /// # Errors
    /// Those of [`Encoder::encode_field`].
    pub fn encode_cut<'t>(
        &self,
        field: usize,
        mut texts: impl Iterator<Item = (&'t str, Weight)> + Clone,
        words: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let (record, features) = self.record(field)?;
        match (record.is_bag(), record.is_weighted()) {
            (true, true) => return self.encode_weighted(field, texts, words),
            (true, false) => return self.encode_tokens(field, texts.map(|(text, _)| text), words),
            (false, _) => {}
        }
        let text = texts.next().map_or("", |(text, _)| text).as_bytes();
        if record.is_weighted() {
            return self.number(field, Self::order_of(field, text)?, words);
        }
        *words.first_mut().ok_or(EncodeError::Room { needed: 1, found: 0 })? =
            self.uncut(field, record, features, text)?;
        Ok(1)
    }

    /// [`Encoder::encode_field`] of such a field, which is a bag or has numbers.
    pub(super) fn weighted_field(
        &self,
        field: usize,
        value: &Value<'_>,
        words: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let (record, _) = self.record(field)?;
        if !record.is_bag() {
            return self.number(field, Self::order_of_value(field, record, value)?, words);
        }
        match *value {
            Value::Tokens(tokens) => self.encode_tokens(field, tokens.iter().copied(), words),
            Value::Weighted(tokens) => self.encode_weighted(field, tokens.iter().copied(), words),
            Value::Real(_) => Err(EncodeError::Number { field }),
            Value::Missing | Value::Text(_) | Value::Bytes(_) | Value::Integer(_) => {
                let mut digits = Digits::default();
                let text = cut(record, value.text(&mut digits)).ok_or(EncodeError::Cut { field })?;
                let [len, separator @ ..] = &record.separator;
                let separator = separator.get(..usize::from(*len)).unwrap_or_default();
                let parts = Parts { rest: Some(text), separator };
                self.weighted_bag(field, parts.map(|part| of_part(record, part)), words)
            }
        }
    }

    /// The [`order`] of a number; `None` where there is none.
    fn order_of_value(field: usize, record: &EncoderRecord, value: &Value<'_>) -> Result<Option<u64>, EncodeError> {
        let is_whole = record.cut_to.get() == 0;
        match *value {
            Value::Tokens(_) | Value::Weighted(_) => Err(EncodeError::Several { field }),
            Value::Integer(number) if is_whole => Ok(Some(order_of_integer(number))),
            Value::Real(number) if is_whole && is_finite(number) => Ok(Some(order(number))),
            Value::Real(_) => Err(EncodeError::Number { field }),
            Value::Missing | Value::Text(_) | Value::Bytes(_) | Value::Integer(_) => {
                let mut digits = Digits::default();
                Self::order_of(field, cut(record, value.text(&mut digits)).ok_or(EncodeError::Cut { field })?)
            }
        }
    }

    fn order_of(field: usize, text: &[u8]) -> Result<Option<u64>, EncodeError> {
        if text.is_empty() { Ok(None) } else { Self::parse(text).ok_or(EncodeError::Number { field }).map(Some) }
    }

    /// A number by its [`order`]; one that is missing is the index 0 alone.
    fn number(&self, field: usize, number: Option<u64>, words: &mut [u32]) -> Result<usize, EncodeError> {
        let (record, _) = self.record(field)?;
        let features = self.fields.get(field).map_or(0, FieldRecord::num_features);
        let steps = self.steps(record);
        let (first, second) = match number {
            None => ((0, Weight::ONE), None),
            Some(number) if record.weights.get() == weights::VALUE => {
                let scale = [0, 1].map(|n| steps.get(n).map_or(0.0, |step| of_order(step.from.get())));
                ((1, Weight::of_number(of_order(number), scale)), None)
            }
            Some(number) => between(steps, number),
        };
        let mut found = 0;
        for (index, weight) in [first].into_iter().chain(second) {
            found = push(words, found, valid(index, features), weight)?;
        }
        Ok(found)
    }

    fn weighted_bag<'t>(
        &self,
        field: usize,
        tokens: impl Iterator<Item = (&'t [u8], Option<Weight>)> + Clone,
        words: &mut [u32],
    ) -> Result<usize, EncodeError> {
        let (record, features) = self.record(field)?;
        let features = self.fields.get(field).map_or(features, FieldRecord::num_features);
        let tokens = tokens.filter(|(token, _)| !token.is_empty());
        let most = usize::from(record.max_bag.get());
        let left_out = if record.keep_last == 1 { tokens.clone().count().saturating_sub(most) } else { 0 };
        let is_given = record.weights.get() == weights::GIVEN;
        let mut found = 0;
        for (token, weight) in tokens.skip(left_out).take(most) {
            let weight = weight.filter(|&weight| is_given || weight == Weight::ONE);
            let index = self.lookup(field, record, features, token);
            found = push(words, found, index, weight.ok_or(EncodeError::Weight { field })?)?;
        }
        if found == 0 {
            // What is not there adds nothing, where weights are added.
            return push(words, 0, 0, if is_given { Weight::ZERO } else { Weight::ONE });
        }
        if record.weights.get() == weights::MEAN {
            let word = Weight::of_mean(found / 2).word();
            words.iter_mut().take(found).skip(1).step_by(2).for_each(|weight| *weight = word);
        }
        Ok(found)
    }
}

/// The indices of a number, given its [`order`], between the field's bounds.
fn between(steps: &[Step], number: u64) -> OneOrTwo {
    let below = steps.partition_point(|step| step.from.get() <= number);
    let bound = |n: usize| steps.get(n).map(|step| of_order(step.from.get()));
    interpolated(of_order(number), below as u32, [below.checked_sub(1).and_then(bound), bound(below)])
}

/// A token, and behind the last colon its weight where the data say them; without one it is 1.
fn of_part<'t>(record: &EncoderRecord, part: &'t [u8]) -> (&'t [u8], Option<Weight>) {
    let colon = part.iter().rposition(|&byte| byte == b':').filter(|_| record.weights.get() == weights::GIVEN);
    match colon.and_then(|colon| part.split_at_checked(colon)) {
        None => (part, Some(Weight::ONE)),
        Some((token, weight)) => {
            let number = str::from_utf8(weight.get(1..).unwrap_or_default()).ok().and_then(|text| text.parse().ok());
            (token, number.and_then(Weight::nearest))
        }
    }
}

/// Writes an index and its weight behind `found` words; gives the number of words then.
fn push(words: &mut [u32], found: usize, index: u32, weight: Weight) -> Result<usize, EncodeError> {
    let (needed, room) = (found + 2, words.len());
    let place = words.get_mut(found..).and_then(|rest| rest.first_chunk_mut());
    *place.ok_or(EncodeError::Room { needed, found: room })? = [index, weight.word()];
    Ok(needed)
}

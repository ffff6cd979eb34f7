//! Rows as JavaScript writes them: little-endian, without gaps.
//!
//! ```text
//! u32 fields, u32 of each its number in the model, u32 rows; then of each row, of each field a value:
//! u8 0                                    missing
//! u8 1, u32 bytes, UTF-8                  text
//! u8 2, f64                               an integer
//! u8 3, f64                               a real number
//! u8 4, u32 tokens, of each u32 bytes, …  the tokens of a bag
//! u8 5, u32 indices, of each u32          indices
//! ```

use xsfm_runtime::{EncodeError, Encoder, Row, Value};

/// Room for the indices of a value, each with its weight; a longer bag is what the encoder says.
const ROOM: usize = 2 * 1024;

/// Rows of some of a model's fields, as indices.
pub(crate) struct Rows {
    /// By number, in the order of the rows.
    pub(crate) fields: Vec<usize>,
    count: usize,
    indices: Vec<u32>,
    /// `[rows * fields + 1]`: where the indices of each field of each row begin; empty where each has one.
    offsets: Vec<u32>,
}

/// Why there are no rows.
pub(crate) enum Error {
    /// A value has no indices.
    Encode { row: usize, error: EncodeError },
    /// A raw value, but the file does not say what those mean.
    NoVocabulary { row: usize, field: usize },
    /// The bytes are not rows, which `index.js` does not write.
    Malformed,
}

impl Rows {
    pub(crate) fn read(bytes: &[u8], encoder: Option<&Encoder<'_>>) -> Result<Self, Error> {
        let mut input = Input(bytes);
        let fields = input.numbers()?;
        let count = input.u32()?;
        let mut rows = Rows { fields, count, indices: Vec::new(), offsets: vec![0] };
        let mut room = [0; ROOM];
        for row in 0..count {
            for &field in &rows.fields {
                let failed = |error| Error::Encode { row, error };
                let encoder = || encoder.ok_or(Error::NoVocabulary { row, field });
                let mut encode = |value: Value<'_>| encoder()?.encode_field(field, &value, &mut room).map_err(failed);
                let found = match input.u8()? {
                    0 => encode(Value::Missing)?,
                    1 => encode(Value::Bytes(input.bytes()?))?,
                    // JavaScript writes integers that are exact.
                    2 => encode(Value::Integer(input.f64()? as i64))?,
                    3 => encode(Value::Real(input.f64()?))?,
                    4 => {
                        let tokens = (0..input.u32()?).map(|_| input.bytes()).collect::<Result<Vec<_>, _>>()?;
                        let tokens = tokens.into_iter().map(|token| str::from_utf8(token).unwrap_or_default());
                        encoder()?.encode_tokens(field, tokens, &mut room).map_err(failed)?
                    }
                    5 => {
                        for _ in 0..input.u32()? {
                            rows.indices.push(input.u32()? as u32);
                        }
                        0
                    }
                    _ => return Err(Error::Malformed),
                };
                rows.indices.extend_from_slice(room.get(..found).unwrap_or_default());
                rows.offsets.push(rows.indices.len() as u32);
            }
        }
        if rows.offsets.iter().enumerate().all(|(place, &offset)| place == offset as usize) {
            rows.offsets.clear();
        }
        Ok(rows)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn row(&self, number: usize) -> Row<'_> {
        let fields = self.fields.len();
        let first = number * fields;
        if self.offsets.is_empty() {
            return Row::new(self.indices.get(first..first + fields).unwrap_or_default());
        }
        Row::with_bags(&self.indices, self.offsets.get(first..=first + fields).unwrap_or_default())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.count).map(|number| self.row(number))
    }

    /// At most `most` rows, from `first` on.
    pub(crate) fn chunk(&self, first: usize, most: usize) -> Vec<Row<'_>> {
        (first..self.count).take(most).map(|number| self.row(number)).collect()
    }
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Error::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| Error::Malformed)
    }

    fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<usize, Error> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn f64(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_le_bytes)
    }

    fn numbers(&mut self) -> Result<Vec<usize>, Error> {
        (0..self.u32()?).map(|_| self.u32()).collect()
    }

    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let count = self.u32()?;
        self.take(count)
    }
}

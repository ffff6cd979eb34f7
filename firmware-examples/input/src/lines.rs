//! Rows of raw values as lines of text: what a program gets from a file, a socket or a serial port.

use xsfm_runtime::{EncodeError, Encoder, Row, Value};

/// The row of a line: a value for each field in the model's order, a tab between, as the training data have them.
///
/// # Errors
/// [`EncodeError`]; more values than fields are [`EncodeError::Field`], fewer the scorer's to refuse.
pub fn encode_line<'b>(
    encoder: &Encoder<'_>,
    line: &str,
    indices: &'b mut [u32],
    offsets: &'b mut [u32],
) -> Result<Row<'b>, EncodeError> {
    let mut row = encoder.writer(indices, offsets)?;
    for (field, text) in line.split('\t').enumerate() {
        row.push(|room| encoder.encode_field(field, &Value::Text(text), room))?;
    }
    Ok(row.row())
}

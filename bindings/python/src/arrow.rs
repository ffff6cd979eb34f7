//! Frames: whatever gives Arrow's arrays by its stream interface, column by column into indices.

mod cells;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::RecordBatchStreamReader;
use arrow_array::{AnyDictionaryArray, Array, RecordBatch, RecordBatchReader};
use arrow_pyarrow::FromPyArrow;
use arrow_schema::Schema;
use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use xsfm_interchange::rows::RowBlock;

use crate::columns::Reader;
use crate::error::Problem;
use crate::scoring::Rows;

/// Batches of rows, one after another.
pub(crate) enum Frame {
    Stream(RecordBatchStreamReader),
    One(RecordBatch),
}

impl Frame {
    /// The frame that an object is; `None` where it is none.
    pub(crate) fn of(data: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = data.py();
        if data.hasattr(intern!(py, "__arrow_c_stream__"))? {
            let stream = RecordBatchStreamReader::from_pyarrow_bound(data);
            return match stream {
                Err(error) if error.is_instance_of::<PyImportError>(py) => {
                    let what = "frames of pandas are read by pyarrow: install it, or give dicts (`to_dict`)";
                    Err(PyImportError::new_err(format!("{what}: {error}")))
                }
                stream => Ok(Some(Frame::Stream(stream?))),
            };
        }
        if data.hasattr(intern!(py, "__arrow_c_array__"))? {
            return Ok(Some(Frame::One(RecordBatch::from_pyarrow_bound(data)?)));
        }
        Ok(None)
    }

    /// Columns that are no index of pandas.
    pub(crate) fn columns(&self) -> HashSet<String> {
        columns(&match self {
            Frame::Stream(stream) => stream.schema(),
            Frame::One(batch) => batch.schema(),
        })
    }

    /// Calls `each` with the rows of each batch, in order.
    pub(crate) fn each(
        self,
        reader: &Reader<'_>,
        mut each: impl FnMut(&dyn Rows) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        reader.check(None, &self.columns())?;
        match self {
            Frame::One(batch) => each(&Batch::new(reader, &batch)?),
            Frame::Stream(stream) => stream
                .map(|batch| batch.map_err(|error| Problem::of_all(error.to_string())))
                .try_for_each(|batch| each(&Batch::new(reader, &batch?)?)),
        }
    }
}

/// The names of the columns, but for those that pandas keeps an index in, which are none of the frame's.
fn columns(schema: &Arc<Schema>) -> HashSet<String> {
    let pandas = schema.metadata().get("pandas").and_then(|text| serde_json::from_str(text).ok());
    let pandas: serde_json::Value = pandas.unwrap_or_default();
    let of_index: HashSet<&str> =
        pandas["index_columns"].as_array().into_iter().flatten().filter_map(|column| column.as_str()).collect();
    let names = schema.fields().iter().map(|field| field.name());
    names.filter(|name| !of_index.contains(name.as_str())).cloned().collect()
}

/// A field's values.
struct Column<'a> {
    field: usize,
    array: &'a dyn Array,
    /// Of a dictionary with fewer values than rows: each value's index, where it has one.
    of_values: Option<Vec<Option<u32>>>,
}

impl<'a> Column<'a> {
    fn new(reader: &Reader<'_>, field: usize, array: &'a dyn Array) -> Self {
        let values = array.as_any_dictionary_opt().map(AnyDictionaryArray::values);
        let is_index = !reader.encoder.is_bag(field) && !reader.encoder.is_weighted(field);
        let few = values.filter(|values| values.len() <= array.len() && is_index);
        let of_values = few.map(|values| {
            let (mut found, mut room) = (vec![None; values.len()], reader.room());
            for (value, place) in found.iter_mut().enumerate() {
                // What has no index is an error of the row that has it, which is told there.
                let encoded = cells::each(values, value..value + 1, reader.is_clock(field), &mut |_, value| {
                    reader.encode(0, field, &value, &mut room).map(|_| *place = room.first().copied())
                });
                if encoded.is_err() {
                    *place = None;
                }
            }
            found
        });
        Column { field, array, of_values }
    }

    /// Calls `each` with each row of `range`, and its indices.
    fn encode(
        &self,
        reader: &Reader<'_>,
        range: Range<usize>,
        room: &mut [u32],
        each: &mut impl FnMut(usize, &[u32]),
    ) -> Result<(), Problem> {
        let Column { field, array, of_values } = self;
        let is_clock = reader.is_clock(*field);
        let mut encode = |range: Range<usize>, each: &mut dyn FnMut(usize, &[u32])| {
            let encoded = cells::each(*array, range, is_clock, &mut |row, value| {
                let count = reader.encode(row, *field, &value, room)?;
                each(row, room.get(..count).unwrap_or_default());
                Ok(())
            });
            encoded.map_err(|problem| problem.in_field(reader.name(*field)))
        };
        let keys = array.as_any_dictionary_opt().map(AnyDictionaryArray::keys);
        let (Some(of_values), Some(keys)) = (of_values, keys) else { return encode(range, each) };
        for row in range {
            let index = cells::key(keys, row).and_then(|key| *of_values.get(key)?);
            match index {
                Some(index) => each(row, &[index]),
                None => encode(row..row + 1, each)?,
            }
        }
        Ok(())
    }
}

/// A batch that has the columns of the reader's fields.
struct Batch<'b, 'a> {
    reader: &'b Reader<'a>,
    columns: Vec<Column<'b>>,
    rows: usize,
    has_bags: bool,
}

impl<'b, 'a> Batch<'b, 'a> {
    fn new(reader: &'b Reader<'a>, batch: &'b RecordBatch) -> Result<Self, Problem> {
        let schema = batch.schema();
        let columns = reader.fields.iter().map(|&field| {
            let name = reader.column(field);
            let mut places = schema.fields().iter().enumerate().filter(|(_, column)| column.name() == name);
            match (places.next(), places.next()) {
                (Some((place, _)), None) => Ok(Column::new(reader, field, batch.column(place))),
                (None, _) => Err(Problem::of_all(format!("missing columns: {name:?}"))),
                (Some(_), Some(_)) => Err(Problem::of_all(format!("two columns are named {name:?}"))),
            }
        });
        let columns = columns.collect::<Result<_, _>>()?;
        Ok(Batch { reader, columns, rows: batch.num_rows(), has_bags: reader.has_bags() })
    }
}

impl Rows for Batch<'_, '_> {
    fn len(&self) -> usize {
        self.rows
    }

    fn has_bags(&self) -> bool {
        self.has_bags
    }

    /// Column by column: what makes indices of a field stays in the cache.
    fn fill(&self, range: Range<usize>, block: &mut RowBlock) -> Result<(), Problem> {
        let (reader, fields, first) = (self.reader, self.columns.len(), range.start);
        let mut room = reader.room();
        if !self.has_bags {
            block.indices.resize(range.len() * fields, 0);
            for (place, column) in self.columns.iter().enumerate() {
                column.encode(reader, range.clone(), &mut room, &mut |row, indices| {
                    if let (Some(to), Some(&index)) =
                        (block.indices.get_mut((row - first) * fields + place), indices.first())
                    {
                        *to = index;
                    }
                })?;
            }
            return Ok(());
        }
        // Of each field the indices of all rows, and where those of each row end.
        let mut found = Vec::with_capacity(fields);
        for column in &self.columns {
            let (mut indices, mut ends) = (Vec::new(), vec![0]);
            column.encode(reader, range.clone(), &mut room, &mut |_, of_row| {
                indices.extend_from_slice(of_row);
                ends.push(indices.len());
            })?;
            found.push((indices, ends));
        }
        for row in 0..range.len() {
            for (indices, ends) in &found {
                let of_row = ends.get(row).zip(ends.get(row + 1)).and_then(|(&from, &to)| indices.get(from..to));
                block.push_field(of_row.unwrap_or_default());
            }
        }
        Ok(())
    }
}

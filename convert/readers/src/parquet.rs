//! Any Parquet file, described by the small TOML file that describes a CSV too: columns by name, lists as bags.
//!
//! A value that does not fit its field makes its row malformed. What contradicts the file's own types makes the file
//! damaged.

mod time_unit;

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::{ReaderIter, TreeBuilder};
use parquet::record::{Field, Row};
use parquet::schema::types::{SchemaDescriptor, Type};
use xsfm_interchange::input::{ColumnName, Input, Table};

use self::time_unit::TimeUnit;
use crate::description::{Cell, Description};
use crate::error::DataError;
use crate::files::Files;
use crate::magic::{GZIP, PARQUET, foreign};
use crate::open::{head, open_file};
use crate::raw::{Block, Blocks, Place, RawField, RawRow};
use crate::source::Source;

/// Rows that a thread takes at a time.
const BLOCK_ROWS: usize = 2048;

/// Rows of Parquet, of one file or several, with their description.
#[derive(Debug)]
pub struct ParquetSource {
    files: Files,
    schema: PathBuf,
    description: Description,
    /// Of each file.
    layouts: Vec<Layout>,
}

/// Where the columns of a file are.
#[derive(Debug)]
struct Layout {
    /// The columns that are read, in the order of the file.
    projection: Type,
    /// Places in the projection.
    label: Option<usize>,
    time: Option<usize>,
    weight: Option<usize>,
    fields: Vec<usize>,
    /// Of each field that is the hour or the weekday of a time whose type says its unit.
    units: Vec<Option<TimeUnit>>,
    /// Columns that are not read.
    unread: Vec<String>,
}

impl ParquetSource {
    /// Reads the description, and checks that the files have its columns.
    ///
    /// # Errors
    /// The files cannot be read, the description is not one, a file lacks a column, or has it with another type than
    /// the first.
    pub fn open(files: impl Into<Files>, schema: &Path) -> Result<Self, DataError> {
        Self::new(files.into(), schema, Description::load(schema)?, true)
    }

    /// Rows of a description that `schema` has, with or without labels.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn of_table(files: Files, schema: &Path, table: Table, labels: bool) -> Result<Self, DataError> {
        let description = Description::new(table).map_err(|what| DataError::file(schema, what))?;
        Self::new(files, schema, description, labels)
    }

    fn new(files: Files, schema: &Path, description: Description, labels: bool) -> Result<Self, DataError> {
        let layout = |path: &PathBuf| Layout::of(path, schema, &description, labels);
        let layouts = files.parts().iter().map(layout).collect::<Result<Vec<_>, _>>()?;
        let (Some((first, others)), Some(first_path)) = (layouts.split_first(), files.parts().first()) else {
            return Err(DataError::file(files.name(), "no file"));
        };
        for (layout, path) in others.iter().zip(&files.parts()[1..]) {
            layout.check_same(path, first, first_path)?;
        }
        description
            .check_columns(first.label, first.weight, &first.fields)
            .map_err(|what| DataError::file(schema, what))?;
        Ok(ParquetSource { files, schema: schema.to_owned(), description, layouts })
    }
}

impl Layout {
    fn of(path: &Path, schema: &Path, description: &Description, labels: bool) -> Result<Self, DataError> {
        let reader = reader(path)?;
        let root = reader.metadata().file_metadata().schema();
        let name = |column: &ColumnName| match column {
            ColumnName::Name(name) if root.get_fields().iter().any(|f| f.name() == name) => Ok(name.clone()),
            ColumnName::Name(name) => {
                let found = root.get_fields().iter().map(|f| format!("{:?}", f.name())).collect::<Vec<_>>().join(", ");
                Err(DataError::file(path, format!("there is no column {name:?}; there is {found}")))
            }
            ColumnName::Position(position) => {
                Err(DataError::file(schema, format!("column {position}: columns of Parquet files have names")))
            }
        };
        let label = labels.then(|| name(&description.label_column)).transpose()?;
        let time = description.time_column.as_ref().map(name).transpose()?;
        let weight = description.weight_column.as_ref().map(name).transpose()?;
        let fields = description.field_columns.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        let read = || label.iter().chain(&time).chain(&weight).chain(&fields);
        let is_read = |name: &str| read().any(|read| read == name);
        let (columns, others): (Vec<_>, Vec<_>) = root.get_fields().iter().cloned().partition(|f| is_read(f.name()));
        let place = |name: &String| columns.iter().position(|c| c.name() == name).unwrap_or_default();
        let (label, time, weight) = (label.as_ref().map(place), time.as_ref().map(place), weight.as_ref().map(place));
        let fields: Vec<usize> = fields.iter().map(place).collect();
        let unit = |(f, &place): (usize, &usize)| {
            if description.is_clock(f) { TimeUnit::of(&columns[place]) } else { None }
        };
        let units = fields.iter().enumerate().map(unit).collect();
        let projection = Type::group_type_builder(root.name()).with_fields(columns).build();
        let projection = projection.map_err(|e| DataError::file(path, e.to_string()))?;
        let unread = others.iter().map(|other| other.name().to_owned()).collect();
        Ok(Layout { projection, label, time, weight, fields, units, unread })
    }

    /// Checks that the columns have the types that they have in the first file: a time in other units would be another
    /// time.
    fn check_same(&self, path: &Path, first: &Layout, first_path: &Path) -> Result<(), DataError> {
        for column in self.projection.get_fields() {
            let name = column.name();
            let Some(other) = first.projection.get_fields().iter().find(|other| other.name() == name) else { continue };
            if !same_type(column, other) {
                let what = format!("column {name:?} has another type here than in {}", first_path.display());
                return Err(DataError::file(path, what));
            }
        }
        Ok(())
    }
}

/// Whether values mean the same, be they required or not.
fn same_type(a: &Type, b: &Type) -> bool {
    let meaning = |t: &Type| (t.get_basic_info().converted_type(), t.get_basic_info().logical_type_ref().cloned());
    meaning(a) == meaning(b)
        && match (a.is_primitive(), b.is_primitive()) {
            (true, true) => a.get_physical_type() == b.get_physical_type() && a.get_scale() == b.get_scale(),
            (false, false) => {
                let (a, b) = (a.get_fields(), b.get_fields());
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_type(a, b))
            }
            _ => false,
        }
}

/// Whether a file is Parquet, by its first bytes.
///
/// # Errors
/// Those of the file system.
pub fn is_parquet(path: &Path) -> io::Result<bool> {
    Ok(head(&mut File::open(path)?)?.starts_with(PARQUET))
}

/// A file, checked where the library would take its word.
///
/// # Errors
/// A file that cannot be opened, is not Parquet, or contradicts itself.
pub fn reader(path: &Path) -> Result<SerializedFileReader<File>, DataError> {
    let mut file = open_file(path)?;
    let head = head(&mut file).map_err(DataError::io(path))?;
    if !head.starts_with(PARQUET) {
        let what = match foreign(&head) {
            _ if head.is_empty() => "an empty file".to_owned(),
            _ if head.starts_with(GZIP) => "this is gzip: unpack it first".to_owned(),
            Some(what) => what,
            None if str::from_utf8(&head).map_or_else(|e| e.error_len().is_none(), |_| !head.contains(&0)) => {
                "not a Parquet file: this looks like text, which `xsfm-train prepare csv` reads".to_owned()
            }
            None => "not a Parquet file: it does not begin with PAR1".to_owned(),
        };
        return Err(DataError::file(path, what));
    }
    let reader = guarded(|| SerializedFileReader::new(file));
    let reader = reader.map_err(|what| DataError::file(path, format!("not a Parquet file: {what}")))?;
    for (g, group) in reader.metadata().row_groups().iter().enumerate() {
        for column in group.columns() {
            let (offset, bytes) = (column.data_page_offset(), column.compressed_size());
            let dictionary = column.dictionary_page_offset().unwrap_or(0);
            if offset < 0 || bytes < 0 || dictionary < 0 {
                let name = column.column_path();
                let what =
                    format!("row group {g}, column {name}: {bytes} bytes at {offset}, dictionary at {dictionary}");
                return Err(DataError::file(path, what));
            }
        }
    }
    Ok(reader)
}

/// The library checks most of what it reads, but some damaged files make it panic: that is an error like any other.
///
/// # Errors
/// What the library says, or that the file is damaged.
pub fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("it is damaged".to_owned()),
    }
}

struct ParquetBlocks<'a> {
    path: &'a Path,
    description: &'a Description,
    layout: &'a Layout,
    reader: SerializedFileReader<File>,
    progress: ProgressBar,
    /// Bytes of the file, and those that the bar has counted.
    bytes: u64,
    counted: u64,
    row_group: usize,
    rows: Option<ReaderIter>,
    rows_read: u64,
    ended: bool,
}

/// Rows of a row group of a Parquet file.
struct ParquetBlock<'a> {
    path: &'a Path,
    description: &'a Description,
    layout: &'a Layout,
    rows: Vec<Row>,
    first_row: u64,
}

impl ParquetBlocks<'_> {
    /// Rows of one row group; none where the file has no more.
    fn read(&mut self) -> Result<Vec<Row>, ParquetError> {
        let mut rows = Vec::new();
        while rows.len() < BLOCK_ROWS {
            if let Some(row) = self.rows.as_mut().and_then(Iterator::next) {
                rows.push(row?);
                continue;
            }
            // A block ends where its row group does, wherever reading began.
            self.rows = None;
            if !rows.is_empty() {
                break;
            }
            if self.row_group == self.reader.num_row_groups() {
                self.ended = true;
                break;
            }
            let columns = Arc::new(SchemaDescriptor::new(Arc::new(self.layout.projection.clone())));
            let group = self.reader.get_row_group(self.row_group)?;
            self.rows = Some(TreeBuilder::new().as_iter(columns, &*group)?);
            self.row_group += 1;
        }
        Ok(rows)
    }
}

impl<'a> Iterator for ParquetBlocks<'a> {
    type Item = Result<Box<dyn Block + 'a>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let first_row = self.rows_read;
        let rows = match guarded(|| self.read()) {
            Ok(rows) => rows,
            Err(what) => {
                self.ended = true;
                let what = format!("behind row {first_row}: {what}");
                return Some(Err(DataError::file(self.path, what)));
            }
        };
        self.rows_read += rows.len() as u64;
        // Bytes are not known by row; the bar moves as the rows do.
        let all = self.reader.metadata().file_metadata().num_rows().unsigned_abs().max(1);
        let share = self.rows_read as f64 / all as f64;
        let now = (share * self.bytes as f64) as u64;
        self.progress.inc(now.saturating_sub(self.counted));
        self.counted = now;
        let &mut ParquetBlocks { path, description, layout, .. } = self;
        (!rows.is_empty())
            .then(|| Ok(Box::new(ParquetBlock { path, description, layout, rows, first_row }) as Box<dyn Block>))
    }
}

impl Block for ParquetBlock<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn line(&self, i: usize) -> u64 {
        self.first_row + i as u64 + 1
    }

    fn fill(&self, i: usize, row: &mut RawRow) -> Result<(), String> {
        let cells: Vec<&Field> = self.rows[i].get_column_iter().map(|(_, field)| field).collect();
        let Layout { label, time, weight, fields, units, .. } = self.layout;
        let optional = |place: &Option<usize>| place.map(|place| cell(cells[place]));
        let of_field = |f: usize| {
            let field = cells[fields[f]];
            let seconds = units[f].and_then(|unit| unit.seconds(field));
            seconds.map_or_else(|| cell(field), |seconds| Ok(Cell::Text(Cow::Owned(seconds.to_string()))))
        };
        self.description.fill(row, optional(label), optional(time), optional(weight), of_field)
    }
}

/// A value as the text that a CSV would have; a missing one is empty.
///
/// # Errors
/// What the value is that no CSV has.
pub fn cell(field: &Field) -> Result<Cell<'_>, String> {
    let text = |text: String| Ok(Cell::Text(Cow::Owned(text)));
    match field {
        Field::Null => Ok(Cell::Text(Cow::Borrowed(""))),
        Field::Str(value) => Ok(Cell::Text(Cow::Borrowed(value))),
        Field::Bytes(bytes) => {
            let value = str::from_utf8(bytes.data()).map_err(|e| format!("not UTF-8: {e}"))?;
            Ok(Cell::Text(Cow::Borrowed(value)))
        }
        Field::Bool(value) => text(u8::from(*value).to_string()),
        Field::Byte(v) => text(v.to_string()),
        Field::Short(v) => text(v.to_string()),
        Field::Int(v) | Field::Date(v) | Field::TimeMillis(v) => text(v.to_string()),
        Field::Long(v) | Field::TimeMicros(v) | Field::TimestampMillis(v) | Field::TimestampMicros(v) => {
            text(v.to_string())
        }
        Field::UByte(v) => text(v.to_string()),
        Field::UShort(v) => text(v.to_string()),
        Field::UInt(v) => text(v.to_string()),
        Field::ULong(v) => text(v.to_string()),
        Field::Float16(v) => text(v.to_string()),
        Field::Float(v) => text(v.to_string()),
        Field::Double(v) => text(v.to_string()),
        // The library asserts this.
        Field::Decimal(v) if v.scale() < 0 || v.precision() < v.scale() => {
            Err(format!("a decimal of {} digits, {} behind the point", v.precision(), v.scale()))
        }
        // Exactly as it is; without digits behind the point the library leaves the point.
        Field::Decimal(_) => text(field.to_string().trim_end_matches('.').to_owned()),
        Field::ListInternal(list) => {
            let tokens = list.elements().iter().map(|element| match cell(element)? {
                Cell::Text(text) => Ok(text),
                Cell::List(_) | Cell::Weights(_) => Err("a list of lists".to_owned()),
            });
            Ok(Cell::List(tokens.collect::<Result<_, String>>()?))
        }
        other => Err(format!("{other}: neither text, a number, nor a list of them")),
    }
}

impl Source for ParquetSource {
    fn fields(&self) -> &[RawField] {
        &self.description.fields
    }

    fn label(&self) -> &str {
        &self.description.label
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn inputs(&self) -> Vec<PathBuf> {
        self.files.parts().iter().chain([&self.schema]).cloned().collect()
    }

    fn has_time(&self) -> bool {
        self.description.time_column.is_some()
    }

    fn input(&self) -> Input {
        self.description.input()
    }

    fn has_labels(&self) -> bool {
        self.layouts.iter().all(|layout| layout.label.is_some())
    }

    fn has_weights(&self) -> bool {
        self.description.weight_column.is_some()
    }

    fn unread(&self) -> &[String] {
        self.layouts.first().map_or(&[], |first| &first.unread)
    }

    fn open(&self, file: usize, from: Option<Place>, progress: &ProgressBar) -> Result<Blocks<'_>, DataError> {
        let path = self.files.part(file)?;
        let Some(layout) = self.layouts.get(file) else { return Ok(Box::new(std::iter::empty())) };
        let (row_group, rows_read) = from.map_or((0, 0), |place| (place.offset as usize, place.line - 1));
        Ok(Box::new(ParquetBlocks {
            path,
            description: &self.description,
            layout,
            reader: reader(path)?,
            progress: progress.clone(),
            bytes: fs::metadata(path).map_err(DataError::io(path))?.len(),
            counted: 0,
            row_group,
            rows: None,
            rows_read,
            ended: false,
        }))
    }

    /// By what the file says of its row groups.
    fn spans(&self, file: usize, rows: u64) -> Result<Vec<(Option<Place>, u64)>, DataError> {
        let reader = reader(self.files.part(file)?)?;
        let (mut spans, mut from, mut count, mut line) = (Vec::new(), None, 0, 1);
        for (offset, group) in (1..).zip(reader.metadata().row_groups()) {
            count += group.num_rows().unsigned_abs();
            line += group.num_rows().unsigned_abs();
            if count >= rows {
                spans.push((from.replace(Place { offset, line }), std::mem::take(&mut count)));
            }
        }
        if count > 0 || spans.is_empty() {
            spans.push((from, count));
        }
        Ok(spans)
    }
}

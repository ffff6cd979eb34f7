//! JSON lines: an object a line, whose keys are the columns. Lists are bags, and `null` is a missing value.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use xsfm_interchange::input::{ColumnName, Input, Table};

use crate::description::{AN_OBJECT, Cell, Description};
use crate::error::DataError;
use crate::files::Files;
use crate::header::Columns;
use crate::lines::{self, Buffer, LineParser, without_end};
use crate::open::open;
use crate::raw::{Blocks, Place, RawField, RawRow};
use crate::source::Source;

/// How many keys a message names.
const SHOWN: usize = 10;

/// JSON lines, of one file or several, with their description.
#[derive(Debug)]
pub struct JsonSource {
    files: Files,
    schema: PathBuf,
    objects: Objects,
    unread: Vec<String>,
}

/// How an object becomes a row.
#[derive(Debug)]
struct Objects {
    description: Description,
    /// The keys that are read, and which of `keys` each is.
    places: HashMap<String, usize>,
    keys: Vec<String>,
    columns: Columns,
}

impl JsonSource {
    /// Reads the description. Keys are looked for in each row.
    ///
    /// # Errors
    /// The files cannot be read, or the description is not one, or tells columns by their places.
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
        let bad = |what: String| DataError::file(schema, what);
        let (mut places, mut keys) = (HashMap::new(), Vec::new());
        let mut place = |column: &ColumnName| match column {
            ColumnName::Position(position) => Err(bad(format!("column {position}: columns of JSON lines have names"))),
            ColumnName::Name(name) => Ok(*places.entry(name.clone()).or_insert_with(|| {
                keys.push(name.clone());
                keys.len() - 1
            })),
        };
        let label = labels.then(|| place(&description.label_column)).transpose()?;
        let time = description.time_column.as_ref().map(&mut place).transpose()?;
        let weight = description.weight_column.as_ref().map(&mut place).transpose()?;
        let fields = description.field_columns.iter().map(&mut place).collect::<Result<Vec<_>, _>>()?;
        description.check_columns(label, weight, &fields).map_err(bad)?;
        let columns = Columns { label, time, weight, fields, width: keys.len() };
        let Some(first) = files.parts().first() else {
            return Err(DataError::file(files.name(), "no file"));
        };
        let mut unread = Vec::new();
        each_object(first, 1, |object| {
            let keys = object.into_iter().flatten().map(|(key, _)| key.to_owned());
            unread.extend(keys.filter(|key| !places.contains_key(key)));
        })?;
        let objects = Objects { description, places, keys, columns };
        Ok(JsonSource { files, schema: schema.to_owned(), objects, unread })
    }
}

/// Whether a file is one of JSON lines: by its name, or because it begins as an object does.
///
/// # Errors
/// The file cannot be read, or is no text.
pub fn is_json_lines(path: &Path) -> Result<bool, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    if name.ends_with(".jsonl") || name.ends_with(".ndjson") {
        return Ok(true);
    }
    let mut head = Vec::new();
    // What breaks off so early does so again, where it is read.
    let _ = open(path, &ProgressBar::hidden())?.take(64).read_to_end(&mut head);
    let object = head.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    Ok(object.is_some_and(|rest| rest.starts_with(b"\"")))
}

/// Visits the first lines of a file, at most `most`: keys and values of an object, or what is wrong with the line.
///
/// # Errors
/// The file cannot be read, or has a line of more than 16 MiB.
pub fn each_object(
    path: &Path,
    most: u64,
    mut visit: impl FnMut(Result<Vec<(&str, Cell<'_>)>, String>),
) -> Result<(), DataError> {
    let mut buffer = Buffer::open(path, &ProgressBar::hidden())?;
    let (line_end, mut rest) = (buffer.line_end(), most);
    loop {
        let end = buffer.whole_lines()?;
        let text = buffer.take(end, 0);
        for line in text.split_inclusive(|&byte| byte == line_end) {
            let Some(less) = rest.checked_sub(1) else { return Ok(()) };
            rest = less;
            let object = Object::parse(without_end(line, line_end));
            visit(match &object {
                Ok(object) => object.0.iter().map(|(key, value)| Ok((&**key, plain(value)?))).collect(),
                Err(what) => Err(what.clone()),
            });
        }
        if buffer.ended() && buffer.rest().is_empty() {
            return Ok(());
        }
    }
}

/// The values of a line by their keys, not yet taken apart.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A string, copied only where it has escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Object<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, String> {
        let line = str::from_utf8(line).map_err(|e| format!("not UTF-8: {e}"))?;
        serde_json::from_str(line).map_err(|error| {
            let what = error.to_string();
            let what = what.rsplit_once(" at line ").map_or(&*what, |(what, _)| what);
            format!("not an object of JSON in one line: {what}, at byte {}", error.column())
        })
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                let mut values = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    values.push((key, value));
                }
                Ok(Object(values))
            }
        }
        deserializer.deserialize_map(Values)
    }
}

impl Objects {
    /// What is told of a row without a key.
    fn missing(&self, key: &str, found: &Object<'_>) -> String {
        let others = found.0.iter().map(|(key, _)| &**key).filter(|key| !self.places.contains_key(*key));
        let others: Vec<String> = others.take(SHOWN).map(|key| format!("{key:?}")).collect();
        let beside = if others.is_empty() { String::new() } else { format!("; not read are {}", others.join(", ")) };
        format!("no key {key:?}, which may be null but not absent{beside}")
    }
}

impl LineParser for Objects {
    fn parse(&self, line: &[u8], row: &mut RawRow) -> Result<(), String> {
        let Objects { description, places, keys, columns } = self;
        let object = Object::parse(line)?;
        let mut values = vec![None; keys.len()];
        for (key, value) in &object.0 {
            let Some(&place) = places.get(&**key) else { continue };
            if values[place].replace(*value).is_some() {
                return Err(format!("key {key:?} is there twice"));
            }
        }
        if let Some(place) = values.iter().position(Option::is_none) {
            return Err(self.missing(&keys[place], &object));
        }
        let cell = |place: usize| values[place].map_or(Ok(Cell::Text(Cow::Borrowed(""))), cell);
        let optional = |place: Option<usize>| place.map(cell);
        let Columns { label, time, weight, fields, .. } = columns;
        description.fill(row, optional(*label), optional(*time), optional(*weight), |f| cell(fields[f]))
    }
}

/// A [`cell`] that is no object.
fn plain(value: &RawValue) -> Result<Cell<'_>, String> {
    match cell(value)? {
        Cell::Weights(_) => Err(AN_OBJECT.to_owned()),
        other => Ok(other),
    }
}

/// A value as the text that a CSV would have: a number as it is written, `true` and `false` as a Parquet file's.
///
/// # Errors
/// What the value is that no CSV has.
fn cell(value: &RawValue) -> Result<Cell<'_>, String> {
    let json = value.get();
    let bad = |error: serde_json::Error| error.to_string();
    Ok(match json.as_bytes().first() {
        Some(b'"') => Cell::Text(serde_json::from_str::<Text<'_>>(json).map_err(bad)?.0),
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(json).map_err(bad)?;
            let token = |value| match cell(value)? {
                Cell::Text(text) => Ok(text),
                Cell::List(_) => Err("a list of lists".to_owned()),
                Cell::Weights(_) => Err(AN_OBJECT.to_owned()),
            };
            Cell::List(values.into_iter().map(token).collect::<Result<_, String>>()?)
        }
        Some(b'{') => {
            let object: Object<'_> = serde_json::from_str(json).map_err(bad)?;
            let token = |(token, value)| match cell(value)? {
                Cell::Text(value) => Ok((token, value)),
                Cell::List(_) | Cell::Weights(_) => Err(AN_OBJECT.to_owned()),
            };
            Cell::Weights(object.0.into_iter().map(token).collect::<Result<_, String>>()?)
        }
        Some(b't') => Cell::Text(Cow::Borrowed("1")),
        Some(b'f') => Cell::Text(Cow::Borrowed("0")),
        Some(b'n') => Cell::Text(Cow::Borrowed("")),
        _ => Cell::Text(Cow::Borrowed(json)),
    })
}

impl Source for JsonSource {
    fn fields(&self) -> &[RawField] {
        &self.objects.description.fields
    }

    fn label(&self) -> &str {
        &self.objects.description.label
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn inputs(&self) -> Vec<PathBuf> {
        self.files.parts().iter().chain([&self.schema]).cloned().collect()
    }

    fn has_time(&self) -> bool {
        self.objects.columns.time.is_some()
    }

    fn input(&self) -> Input {
        self.objects.description.input()
    }

    fn has_labels(&self) -> bool {
        self.objects.columns.label.is_some()
    }

    fn has_weights(&self) -> bool {
        self.objects.columns.weight.is_some()
    }

    fn unread(&self) -> &[String] {
        &self.unread
    }

    fn open(&self, file: usize, from: Option<Place>, progress: &ProgressBar) -> Result<Blocks<'_>, DataError> {
        lines::blocks(&self.files, (file, from), 0, &self.objects, progress)
    }
}

//! Encoded rows: integer indices per field, streamed in blocks, so that memory does not grow with the number of rows.
//!
//! | file | reader | writer |
//! |---|---|---|
//! | Arrow: `label` UInt8, `sample_weight` Float32, then UInt32, or List of UInt32 | [`RowsReader`] | [`RowsWriter`] |
//! | several of these, which a manifest lists | the same | [`Manifest`] |
//! | TSV: one row per line, a tab between fields, a bar inside a bag, no label | [`TsvReader`] | [`write_tsv_row`] |
//!
//! Where the indices of a field have weights, its lists have the word of a [`Weight`](xsfm_runtime::Weight) behind each
//! index (the column says so: `xsfm.weights` in its metadata); a TSV has `index:weight`.
//!
//! An Arrow file has label and weight where rows have them, then a column for each field, lists for a bag. It says
//! which vocabulary its indices mean (`xsfm.vocabulary` in the metadata of its schema), and which rows they are
//! (`xsfm.rows` in the metadata of its footer): [`fingerprint`](crate::fingerprint).
//!
//! Record batches have at most [`BLOCK_ROWS`] rows and can be read in any order. Index 0 is the out-of-vocabulary row;
//! a bag has 1 to [`MAX_BAG`] indices.

mod arrow;
mod tsv;
pub mod variety;

use std::io;
use std::path::{Path, PathBuf};

use xsfm_runtime::row::Row;
use xsfm_runtime::weight;

pub use self::arrow::{Beside, Manifest, ManifestFile, RowsReader, RowsWriter};
pub use self::tsv::{TsvReader, write_tsv_row};
use crate::config::{FieldConfig, ModelConfig};
use crate::fingerprint::Vocabulary;
use crate::schema::Schema;

/// Most rows in a block.
pub const BLOCK_ROWS: usize = 65_536;
/// A block is closed at this many indices, so that long bags do not make large blocks.
const BLOCK_INDICES: usize = 1 << 22;
/// Most indices in a bag: what the runtime's 32-bit accumulators hold (`docs/quantization.md`).
pub const MAX_BAG: usize = 1024;
/// Name of the label's column in an Arrow file.
pub const LABEL_COLUMN: &str = "label";

/// Name of the weights' column in an Arrow file, where rows have weights.
pub const WEIGHT_COLUMN: &str = "sample_weight";

/// A column of indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The field's name.
    pub name: String,
    /// Whether a row has several indices in it.
    pub bag: bool,
    /// Whether each index has a weight; a column that has them is a bag.
    pub weighted: bool,
}

/// What a model or a schema expects of a file of rows: its columns, and the number of features of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The columns, in the order of a row.
    pub columns: Vec<Column>,
    /// Valid indices of column `f` are `0..features[f]`.
    pub features: Vec<u32>,
    /// What the indices mean, where that is known.
    pub vocabulary: Option<Vocabulary>,
}

impl From<&FieldConfig> for Column {
    fn from(field: &FieldConfig) -> Self {
        Column { name: field.name.clone(), bag: field.bag, weighted: field.weighted }
    }
}

impl Column {
    /// How many indices a row has of these words.
    fn count(&self, words: &[u32]) -> usize {
        if self.weighted { words.len().div_ceil(2) } else { words.len() }
    }

    /// What a row has in it, for messages.
    fn kind(&self) -> &'static str {
        match (self.bag, self.weighted) {
            (_, true) => "a bag with weights",
            (true, false) => "a bag",
            (false, false) => "one index per row",
        }
    }
}

impl From<&ModelConfig> for Bounds {
    fn from(config: &ModelConfig) -> Self {
        Bounds {
            columns: config.fields.iter().map(Column::from).collect(),
            features: config.fields.iter().map(|f| f.features).collect(),
            vocabulary: config.vocabulary.clone(),
        }
    }
}

impl From<&Schema> for Bounds {
    fn from(schema: &Schema) -> Self {
        let column =
            |f: &crate::schema::Field| Column { name: f.name.clone(), bag: f.has_several(), weighted: f.is_weighted() };
        Bounds {
            columns: schema.fields.iter().map(column).collect(),
            features: schema.fields.iter().map(crate::schema::Field::features).collect(),
            vocabulary: Some(Vocabulary::of(schema)),
        }
    }
}

impl Bounds {
    /// Checks that a file has these columns.
    ///
    /// # Errors
    /// [`RowsError::Columns`] names the file, the field and both values.
    pub fn check_columns(&self, path: &Path, columns: &[Column]) -> Result<(), RowsError> {
        let differ = |what: String| Err(RowsError::Columns { path: path.to_owned(), what });
        if columns.len() != self.columns.len() {
            return differ(format!("has {} fields, {} expected", columns.len(), self.columns.len()));
        }
        for (f, (found, wanted)) in columns.iter().zip(&self.columns).enumerate() {
            if found.name != wanted.name {
                return differ(format!("field {f} is {:?}, {:?} expected", found.name, wanted.name));
            }
            if found.kind() != wanted.kind() {
                return differ(format!("field {:?} is {}, {} expected", found.name, found.kind(), wanted.kind()));
            }
        }
        Ok(())
    }

    /// Checks that rows were made with this vocabulary, where both are known.
    ///
    /// # Errors
    /// [`RowsError::Vocabulary`] names the file and the first field that differs.
    pub fn check_vocabulary(&self, path: &Path, found: Option<&Vocabulary>) -> Result<(), RowsError> {
        let (Some(wanted), Some(found)) = (&self.vocabulary, found) else { return Ok(()) };
        if wanted == found {
            return Ok(());
        }
        let column = wanted.first_difference(found).and_then(|f| self.columns.get(f));
        let field = column.map(|column| column.name.clone());
        Err(RowsError::Vocabulary { path: path.to_owned(), field, found: found.clone(), wanted: wanted.clone() })
    }

    /// Checks that a block's indices are within the tables. `first_row`: the number of its first row in the file, from
    /// 0.
    ///
    /// # Errors
    /// [`RowsError::Index`] names the file, row, field, and both values.
    pub fn check_indices(&self, path: &Path, first_row: u64, block: &RowBlock) -> Result<(), RowsError> {
        let num_fields = self.columns.len();
        for i in 0..block.len() {
            let row = block.row(i);
            for f in 0..num_fields {
                let words = row.field(f).unwrap_or_default();
                let mut indices = weight::entries(words, self.columns[f].weighted).map(|(index, _)| index);
                if let Some(index) = indices.find(|&index| index >= self.features[f]) {
                    return Err(RowsError::Index {
                        path: path.to_owned(),
                        row: first_row + i as u64,
                        field: self.columns[f].name.clone(),
                        index,
                        features: self.features[f],
                    });
                }
            }
        }
        Ok(())
    }

    /// The number of the field by whose indices rows are grouped.
    ///
    /// # Errors
    /// [`RowsError::Columns`], of `path`: it has no such field, or it is a bag.
    pub fn group_field(&self, path: &Path, name: &str) -> Result<usize, RowsError> {
        let differ = |what: String| RowsError::Columns { path: path.to_owned(), what };
        let Some(f) = self.columns.iter().position(|column| column.name == name) else {
            let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            return Err(differ(format!("no field {name:?} to group by; it has {}", names.join(", "))));
        };
        if self.columns[f].bag {
            return Err(differ(format!("field {name:?} is a bag: a row with several indices is of no single group")));
        }
        Ok(f)
    }

    fn has_bag(&self) -> bool {
        self.columns.iter().any(|c| c.bag)
    }
}

/// Consecutive rows in memory, all indices in one array.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowBlock {
    /// `[rows]`, 0 or 1; empty where the file has no labels.
    pub labels: Vec<u8>,
    /// `[rows]`, how much each counts: finite and not negative; empty where the file has no weights.
    pub weights: Vec<f32>,
    /// `[rows * num_fields]` without bags.
    pub indices: Vec<u32>,
    /// `[rows * num_fields + 1]`: field `f` of row `i` has
    /// `indices[offsets[i * num_fields + f]..offsets[i * num_fields + f + 1]]`. Empty when no field is a bag.
    pub offsets: Vec<u32>,
    /// Number of fields of a row.
    pub num_fields: usize,
}

impl RowBlock {
    /// An empty block to push rows on.
    pub fn new(num_fields: usize, has_bag: bool) -> Self {
        let offsets = if has_bag { vec![0] } else { Vec::new() };
        RowBlock { labels: Vec::new(), weights: Vec::new(), indices: Vec::new(), offsets, num_fields }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        let cells = if self.offsets.is_empty() { self.indices.len() } else { self.offsets.len() - 1 };
        cells.checked_div(self.num_fields).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row `i`.
    ///
    /// # Panics
    /// Where `i >= len()`.
    pub fn row(&self, i: usize) -> Row<'_> {
        let (from, to) = (i * self.num_fields, (i + 1) * self.num_fields);
        if self.offsets.is_empty() {
            Row::new(&self.indices[from..to])
        } else {
            Row::with_bags(&self.indices, &self.offsets[from..=to])
        }
    }

    /// The indices of field `f`, which is no bag, `[rows]`.
    ///
    /// # Panics
    /// Where `f` is not below the number of fields.
    pub fn column(&self, f: usize) -> impl Iterator<Item = u32> + '_ {
        (0..self.len()).map(move |i| match self.offsets.is_empty() {
            true => self.indices[i * self.num_fields + f],
            false => self.indices[self.offsets[i * self.num_fields + f] as usize],
        })
    }

    /// Label of row `i`; `None` where the file has no labels.
    pub fn label(&self, i: usize) -> Option<u8> {
        self.labels.get(i).copied()
    }

    /// Weight of row `i`; `None` where the file has no weights.
    pub fn weight(&self, i: usize) -> Option<f32> {
        self.weights.get(i).copied()
    }

    /// Appends one field of the row that is being built. Exactly one index where the block has no bags.
    pub fn push_field(&mut self, indices: &[u32]) {
        self.indices.extend_from_slice(indices);
        if !self.offsets.is_empty() {
            // Blocks are closed at `BLOCK_INDICES`, and a reader refuses a block of 2^32.
            self.offsets.push(u32::try_from(self.indices.len()).unwrap_or(u32::MAX));
        }
    }

    /// Appends a whole row of another block, without its weight.
    pub fn push_row(&mut self, label: Option<u8>, row: &Row<'_>) {
        self.labels.extend(label);
        for f in 0..self.num_fields {
            self.push_field(row.field(f).unwrap_or_default());
        }
    }

    /// Appends row `i` of a block with the same fields.
    pub fn push_row_of(&mut self, block: &RowBlock, i: usize) {
        self.weights.extend(block.weight(i));
        if self.offsets.is_empty() && block.offsets.is_empty() {
            self.labels.extend(block.label(i));
            self.indices.extend_from_slice(&block.indices[i * block.num_fields..][..block.num_fields]);
        } else {
            self.push_row(block.label(i), &block.row(i));
        }
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.weights.clear();
        self.indices.clear();
        self.offsets.truncate(1);
    }
}

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// The file system.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it reported.
        source: io::Error,
    },
    /// Not an Arrow file of rows.
    #[error("{path}: not a file of encoded rows: {what}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the values that disagree.
        what: String,
    },
    /// The fields are not those of the model.
    #[error("{path}: {what}")]
    Columns {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The indices mean other tokens than the model's.
    #[error(
        "{path}: encoded with another vocabulary ({found}) than is expected ({wanted}): {} has other tokens, or \
         another order of \
         them; prepare the rows with the vocabulary that the model was trained with, or train it anew",
        field.as_ref().map_or("a field".to_owned(), |name| format!("field {name:?}"))
    )]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// The first field that differs, where that is known.
        field: Option<String>,
        /// The vocabulary of the file.
        found: Vocabulary,
        /// The model's, or the schema's.
        wanted: Vocabulary,
    },
    /// An index outside its table.
    #[error(
        "{path}: row {row}, field {field:?}: index {index}, but the field has {features} features (valid: \
         0..{features})"
    )]
    Index {
        /// The file.
        path: PathBuf,
        /// Number of the row, from 0.
        row: u64,
        /// The field's name.
        field: String,
        /// The index.
        index: u32,
        /// Number of features of the field.
        features: u32,
    },
    /// A value that no row may have.
    #[error("{path}: row {row}, field {field:?}: {what}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Number of the row, from 0.
        row: u64,
        /// The field's name.
        field: String,
        /// What is wrong.
        what: String,
    },
    /// A line of a TSV.
    #[error("{path}:{line}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong, with the field's name.
        what: String,
    },
}

impl RowsError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> RowsError + '_ {
        move |source| RowsError::Io { path: path.to_owned(), source }
    }

    fn malformed(path: &Path, what: impl Into<String>) -> RowsError {
        RowsError::Malformed { path: path.to_owned(), what: what.into() }
    }
}

/// Refuses a bag that is empty or longer than [`MAX_BAG`], several indices where one belongs, and words that are no
/// indices with weights.
fn cell_problem(column: &Column, words: &[u32]) -> Option<String> {
    let count = column.count(words);
    if let Some(what) = count_problem(column.bag, count) {
        return Some(what);
    }
    let at = column.weighted.then(|| weight::pairs(words).position(|pair| pair.is_none())).flatten()?;
    let words = &words[2 * at..words.len().min(2 * at + 2)];
    Some(format!("{words:?} in place of index {at} and its weight"))
}

/// Refuses a bag that is empty or longer than [`MAX_BAG`], and several indices where one belongs.
fn count_problem(bag: bool, count: usize) -> Option<String> {
    match (bag, count) {
        (true, 1..=MAX_BAG) | (false, 1) => None,
        (true, 0) => Some("an empty bag; write 0, the out-of-vocabulary row, for a bag without features".to_owned()),
        (true, _) => Some(format!("a bag of {count} indices, at most {MAX_BAG} allowed")),
        (false, _) => Some(format!("{count} indices in a field that is not a bag")),
    }
}

/// Refuses a weight that is no weight.
fn weight_problem(weight: f32) -> Option<String> {
    let is_weight = weight.is_finite() && weight >= 0.0;
    (!is_weight).then(|| format!("weight {weight}, a finite number that is not negative expected"))
}

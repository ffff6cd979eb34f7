//! A folder of encoded rows: `schema.json`, `train.arrow`, `valid.arrow` and, where there are test rows, `test.arrow`;
//! or in the place of an Arrow file a manifest of several, `train.parts`.

use std::path::{Path, PathBuf};

use crate::fingerprint::{Fingerprint, Vocabulary};
use crate::rows::{Bounds, RowsError, RowsReader};
use crate::schema::{Schema, SchemaError};

pub use crate::part::Part;

/// The fields and their vocabularies, in a folder of rows and in a checkpoint.
pub const SCHEMA: &str = "schema.json";

/// A folder of encoded rows that belong together.
#[derive(Clone, Debug)]
pub struct Dataset {
    folder: PathBuf,
    schema: Schema,
    bounds: Bounds,
    fingerprint: Fingerprint,
    /// Files that say nothing of what they are.
    unmarked: Vec<&'static str>,
}

/// Why a folder is no data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// Its schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A file of rows: damaged, or of another vocabulary than the schema has.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The file system.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it reported.
        source: std::io::Error,
    },
}

impl Dataset {
    /// Reads the schema, and of each part that is there what it says of itself; no rows.
    ///
    /// # Errors
    /// A file cannot be read or is damaged, or was not made with the schema beside it.
    pub fn open(folder: &Path) -> Result<Self, DatasetError> {
        let schema = Schema::load(&folder.join(SCHEMA))?;
        let bounds = Bounds::from(&schema);
        let vocabulary = Vocabulary::of(&schema);
        let (mut rows, mut unmarked) = ([None; 3], Vec::new());
        for part in Part::ALL {
            let path = part.path(folder);
            if !path.try_exists().map_err(|source| DatasetError::Io { path: path.clone(), source })? {
                continue;
            }
            let reader = RowsReader::open(&path)?.expecting(bounds.clone())?;
            rows[part as usize] = reader.fingerprint();
            if reader.vocabulary().is_none() || reader.fingerprint().is_none() {
                unmarked.push(part.file());
            }
        }
        let [train, valid, test] = rows;
        let fingerprint = Fingerprint { vocabulary, train, valid, test };
        Ok(Dataset { folder: folder.to_owned(), schema, bounds, fingerprint, unmarked })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The fields.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What every reader of its rows checks them against.
    pub fn bounds(&self) -> Bounds {
        self.bounds.clone()
    }

    /// What tells it from other data sets.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// A part's file, or the manifest of its files; whether it is there or not.
    pub fn path(&self, part: Part) -> PathBuf {
        part.path(&self.folder)
    }

    /// Whether a part is there.
    pub fn has(&self, part: Part) -> bool {
        self.path(part).exists()
    }

    /// Opens a part.
    ///
    /// # Errors
    /// It cannot be read, or does not fit the schema.
    pub fn rows(&self, part: Part) -> Result<RowsReader, RowsError> {
        RowsReader::open(&self.path(part))?.expecting(self.bounds())
    }

    /// What to tell the user of files that an older program wrote: nobody can say whether their rows are the right
    /// ones.
    pub fn note(&self) -> Option<String> {
        let files = self.unmarked.join(", ");
        (!self.unmarked.is_empty()).then(|| {
            format!(
                "{}: {files} without a fingerprint, written by an older program: nothing can tell them from other \
                 rows; prepare them anew",
                self.folder.display()
            )
        })
    }

    /// Why another vocabulary is not this one, in words: the field, and the first token that differs; `None` where they
    /// are the same.
    ///
    /// `owner` is whose it is, for example a checkpoint's folder.
    pub fn vocabulary_problem(&self, other: &Schema, owner: &Path) -> Option<String> {
        self.schema.difference(other, &self.folder.display().to_string(), &owner.display().to_string())
    }

    /// Why what was recorded of a data set is not this one's: another vocabulary or, by the part, other rows; `None`
    /// where both are the same as far as is known. `owner` is what recorded it.
    pub fn problem(&self, recorded: &Fingerprint, owner: &Path) -> Option<String> {
        let (ours, owner) = (&self.fingerprint, owner.display());
        if ours.vocabulary != recorded.vocabulary {
            let field = ours.vocabulary.first_difference(&recorded.vocabulary).and_then(|f| self.schema.fields.get(f));
            let field = field.map_or("the vocabulary".to_owned(), |field| format!("field {:?}", field.name));
            return Some(format!("{}: {field} has other tokens than when {owner} was made", self.folder.display()));
        }
        let (part, now, then) = ours.other_rows(recorded)?;
        Some(format!(
            "{}: other rows (fingerprint {now}) than when {owner} was made ({then})",
            self.path(part).display()
        ))
    }
}

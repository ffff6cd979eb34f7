//! Which files the rows come from: one, those of a folder, or those of a pattern, in the order of their names.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::raw::Blocks;

/// The files that the rows of a data set come from, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// What was asked for, to be shown.
    name: PathBuf,
    parts: Vec<PathBuf>,
}

impl Files {
    /// Finds the files: those that are named, all of a folder, or all that a pattern with `*`, `?` or `[…]` fits. Those
    /// of one folder or pattern are in the order of their names, in which numbers count as numbers. Names that begin
    /// with a dot or `_` (as `_SUCCESS`) are no rows.
    ///
    /// # Errors
    /// A folder or pattern without a file, a folder in it, or a file that comes twice.
    pub fn find(given: &[PathBuf]) -> Result<Self, DataError> {
        let mut parts = Vec::new();
        for path in given {
            if path.is_dir() {
                parts.extend(in_folder(path)?);
            } else if !path.exists() && path.to_string_lossy().contains(['*', '?', '[']) {
                parts.extend(of_pattern(path)?);
            } else {
                parts.push(path.clone());
            }
        }
        let mut seen = HashSet::new();
        for part in &parts {
            if !seen.insert(fs::canonicalize(part).unwrap_or_else(|_| part.clone())) {
                return Err(DataError::file(part, "this file is named twice, and its rows would be read twice"));
            }
        }
        let name = match given {
            [] => PathBuf::new(),
            [one] => one.clone(),
            [first, others @ ..] => PathBuf::from(format!("{} and {} more", first.display(), others.len())),
        };
        Ok(Files { name, parts })
    }

    /// What was asked for: a file, a folder, a pattern, or several.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The files.
    pub fn parts(&self) -> &[PathBuf] {
        &self.parts
    }

    /// Their bytes.
    ///
    /// # Errors
    /// One cannot be read.
    pub(crate) fn bytes(&self) -> Result<u64, DataError> {
        self.parts.iter().map(|part| Ok(fs::metadata(part).map_err(DataError::io(part))?.len())).sum()
    }

    /// The file of this number.
    ///
    /// # Errors
    /// There is none.
    pub fn part(&self, file: usize) -> Result<&Path, DataError> {
        let none = || DataError::file(&self.name, format!("no file {file}; there are {}", self.parts.len()));
        self.parts.get(file).map(PathBuf::as_path).ok_or_else(none)
    }

    /// The blocks of one file after the other; `open` begins with a file, by its number, when those before have ended.
    pub(crate) fn blocks<'a>(
        &'a self,
        mut open: impl FnMut(usize) -> Result<Blocks<'a>, DataError> + Send + 'a,
    ) -> Blocks<'a> {
        let mut parts = 0..self.parts.len();
        let mut current: Option<Blocks<'a>> = None;
        Box::new(std::iter::from_fn(move || {
            loop {
                if let Some(block) = current.as_mut().and_then(Iterator::next) {
                    return Some(block);
                }
                match open(parts.next()?) {
                    Ok(blocks) => current = Some(blocks),
                    Err(error) => {
                        (parts, current) = (0..0, None);
                        return Some(Err(error));
                    }
                }
            }
        }))
    }
}

/// One file.
impl From<&Path> for Files {
    fn from(path: &Path) -> Self {
        Files { name: path.to_owned(), parts: vec![path.to_owned()] }
    }
}

/// One file.
impl From<&PathBuf> for Files {
    fn from(path: &PathBuf) -> Self {
        Files::from(path.as_path())
    }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let path = entry.map_err(DataError::io(folder))?.path();
        if !is_hidden(&path) {
            parts.push(path);
        }
    }
    if parts.is_empty() {
        return Err(DataError::file(folder, "a folder without files"));
    }
    in_order(parts)
}

fn of_pattern(pattern: &Path) -> Result<Vec<PathBuf>, DataError> {
    let bad = |what: String| DataError::file(pattern, what);
    let Some(text) = pattern.to_str() else { return Err(bad("a pattern that is not UTF-8".to_owned())) };
    let paths = glob::glob(text).map_err(|e| bad(format!("no pattern: {e}")))?;
    let wants_hidden = is_hidden(pattern);
    let mut parts = Vec::new();
    for path in paths {
        let path = path.map_err(|e| DataError::Io { path: e.path().to_owned(), source: e.into() })?;
        if wants_hidden || !is_hidden(&path) {
            parts.push(path);
        }
    }
    if parts.is_empty() {
        return Err(bad("neither a file, nor a pattern that a file fits".to_owned()));
    }
    in_order(parts)
}

/// Hadoop's and Spark's notes beside their files of rows have such names too.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']))
}

fn in_order(mut parts: Vec<PathBuf>) -> Result<Vec<PathBuf>, DataError> {
    if let Some(folder) = parts.iter().find(|part| part.is_dir()) {
        return Err(DataError::file(folder, "a folder among the files: name each folder, or a pattern for its files"));
    }
    parts.sort_by_cached_key(|path| (words(&path.to_string_lossy()), path.clone()));
    Ok(parts)
}

/// A piece of a name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    /// Digits without leading zeros, the fewer the smaller.
    Number(usize, String),
    Letter(char),
}

fn words(name: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            words.push(Word::Letter(first));
            rest = &rest[first.len_utf8()..];
        } else {
            let number = rest[..digits].trim_start_matches('0');
            words.push(Word::Number(number.len(), number.to_owned()));
            rest = &rest[digits..];
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let ordered = [
            "a",
            "day_0.gz",
            "day_2.gz",
            "day_02b.gz",
            "day_10.gz",
            "day_100.gz",
            "day_99999999999999999999999.gz",
            "day_x",
            "é",
        ];
        for pair in ordered.windows(2) {
            assert!(words(pair[0]) < words(pair[1]), "{pair:?}");
        }
    }
}

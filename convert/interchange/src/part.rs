//! The parts of a data set.

use std::path::{Path, PathBuf};

/// What a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Training.
    Train,
    /// Validation: early stopping, calibration.
    Valid,
    /// Test.
    Test,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

    /// The part's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "training",
            Part::Valid => "validation",
            Part::Test => "test",
        }
    }

    /// The part's name on command lines and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Valid => "valid",
            Part::Test => "test",
        }
    }

    /// The name of its file.
    pub fn file(self) -> &'static str {
        match self {
            Part::Train => "train.arrow",
            Part::Valid => "valid.arrow",
            Part::Test => "test.arrow",
        }
    }

    /// The name of the manifest that is in its place where there are several files.
    pub fn manifest(self) -> &'static str {
        match self {
            Part::Train => "train.parts",
            Part::Valid => "valid.parts",
            Part::Test => "test.parts",
        }
    }

    /// Its file in a folder, or the manifest of its files; whether it is there or not.
    pub fn path(self, folder: &Path) -> PathBuf {
        let (file, manifest) = (folder.join(self.file()), folder.join(self.manifest()));
        if !file.exists() && manifest.exists() { manifest } else { file }
    }
}

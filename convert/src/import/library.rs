//! The libraries whose models are read, and their classes that are not.

use std::fmt;
use std::str::FromStr;

use super::keys::Keys;
use crate::error::Error;

/// A library whose models are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// pintonos/xsDeepFwFM, the original Python implementation.
    XsDeepFwFm,
    /// reczoo/FuxiCTR.
    FuxiCtr,
    /// shenweichen/DeepCTR-Torch.
    DeepCtrTorch,
    /// rixwew/pytorch-fm, whose package is `torchfm`.
    PyTorchFm,
    /// RUCAIBox/RecBole.
    RecBole,
    /// WayneDW/DeepLight.
    DeepLight,
}

impl Library {
    /// All of them.
    pub const ALL: [Library; 6] = [
        Library::XsDeepFwFm,
        Library::FuxiCtr,
        Library::DeepCtrTorch,
        Library::PyTorchFm,
        Library::RecBole,
        Library::DeepLight,
    ];

    /// Its name, as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Library::XsDeepFwFm => "xsDeepFwFM",
            Library::FuxiCtr => "FuxiCTR",
            Library::DeepCtrTorch => "DeepCTR-Torch",
            Library::PyTorchFm => "pytorch-fm",
            Library::RecBole => "RecBole",
            Library::DeepLight => "DeepLight",
        }
    }

    /// All names, with commas between.
    pub fn names() -> String {
        Library::ALL.map(Library::name).join(", ")
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Library {
    type Err = String;

    /// By its name, that of its package or that of its repository; a remark may follow: "xsDeepFwFM (the seed)".
    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.split_whitespace().next().unwrap_or_default();
        let name = word.rsplit('/').next().unwrap_or_default().to_ascii_lowercase().replace('_', "-");
        let is_named = |&library: &Library| match library {
            Library::PyTorchFm => ["pytorch-fm", "torchfm"].contains(&name.as_str()),
            // The repository is called DeepLight_Deep-Lightweight-Feature-Interactions.
            Library::DeepLight => name.split('-').next() == Some("deeplight"),
            _ => name == library.name().to_ascii_lowercase(),
        };
        Library::ALL
            .into_iter()
            .find(is_named)
            .ok_or_else(|| format!("models of `{text}` are not read; those of {} are", Library::names()))
    }
}

/// Classes by name: those that are read, and what the others have.
pub(super) struct Classes<T: 'static> {
    pub(super) library: Library,
    pub(super) read: &'static [(&'static str, T)],
    pub(super) refused: &'static [(&'static str, &'static str)],
}

impl<T: Copy> Classes<T> {
    /// By the key `class`, which may have its module's name before it.
    pub(super) fn of(&self, keys: &Keys<'_>) -> Result<T, Error> {
        let text: String = keys.required("class", &format!("a model of {}", self.library))?;
        let name = text.rsplit('.').next().unwrap_or_default();
        if let Some((_, class)) = self.read.iter().find(|(read, _)| read.eq_ignore_ascii_case(name)) {
            return Ok(*class);
        }
        let why = match self.refused.iter().find(|(refused, _)| refused.eq_ignore_ascii_case(name)) {
            Some((_, what)) => format!("has {what}, which no packed file holds"),
            None => "is not known".to_owned(),
        };
        let read: Vec<&str> = self.read.iter().map(|(read, _)| *read).collect();
        let message = format!("`{text}` of {} {why}; read are {}", self.library, read.join(", "));
        Err(keys.error("class", message))
    }
}

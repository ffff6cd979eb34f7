//! Figures that are kept in a file: instructions, bytes of stack. They may become smaller, and a little larger.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use serde::Deserialize;
use xsfm_interchange::output;

use crate::command;

/// Figures: subject, then what was counted.
pub(crate) type Figures = BTreeMap<String, BTreeMap<String, u64>>;

/// A file of figures, and how they are judged.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) path: PathBuf,
    /// Comments above them.
    pub(crate) header: &'static str,
    /// A figure may grow by this share.
    pub(crate) tolerance: f64,
    /// What makes new figures known.
    pub(crate) bless: &'static str,
}

#[derive(Debug, Deserialize)]
struct Contents {
    /// The compiler that made the counted programs.
    rustc: String,
    figures: Figures,
}

impl Record {
    /// Prints the figures beside the known ones, and complains of those that have grown too much; or makes them known.
    ///
    /// Known figures of other subjects do not matter, and are kept.
    pub(crate) fn judge(&self, found: &Figures, bless: bool) -> Result<()> {
        let rustc = command::quiet_output(Command::new("rustc").arg("--version"))?.trim().to_owned();
        let known = if bless && !self.path.exists() { None } else { Some(self.read()?) };
        if bless {
            let mut all = known.map(|known| known.figures).unwrap_or_default();
            all.extend(found.clone());
            fs::write(&self.path, self.written(&rustc, &all))?;
            output::print(table(found, found))?;
            return Ok(());
        }
        let Some(known) = known else { bail!("{} cannot be read", self.path.display()) };
        output::print(table(&known.figures, found))?;
        let grown = self.grown(&known.figures, found)?;
        if grown.is_empty() {
            return Ok(());
        }
        if known.rustc != rustc {
            output::say(format_args!("NOTE: counted with {rustc}, recorded with {}: not judged", known.rustc));
            return Ok(());
        }
        let percent = self.tolerance * 100.0;
        bail!("more than {percent} % more: {}. If that is right, `{}` records it", grown.join(", "), self.bless);
    }

    fn read(&self) -> Result<Contents> {
        let text = fs::read_to_string(&self.path)?;
        toml::from_str(&text).with_context(|| self.path.display().to_string())
    }

    /// The figures that have grown too much.
    ///
    /// # Errors
    /// Other things are known than were found.
    fn grown(&self, known: &Figures, found: &Figures) -> Result<Vec<String>> {
        let mut grown = Vec::new();
        for (subject, figures) in found {
            let same = known.get(subject).filter(|known| known.keys().eq(figures.keys()));
            ensure!(
                same.is_some(),
                "{}: not these figures of {subject}: `{}` records them",
                self.path.display(),
                self.bless
            );
            for (what, &figure) in figures {
                let before = known[subject][what];
                if figure as f64 > before as f64 * (1.0 + self.tolerance) {
                    grown.push(format!("{subject} {what} ({before} -> {figure})"));
                }
            }
        }
        Ok(grown)
    }

    fn written(&self, rustc: &str, figures: &Figures) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}rustc = {rustc:?}", self.header);
        for (subject, figures) in figures {
            let _ = writeln!(text, "\n[figures.{subject:?}]");
            for (what, figure) in figures {
                let _ = writeln!(text, "{what:?} = {figure}");
            }
        }
        text
    }
}

fn table(known: &Figures, found: &Figures) -> String {
    let lines =
        found.iter().flat_map(|(subject, figures)| figures.iter().map(move |(what, &now)| (subject, what, now)));
    let width = |name: &str, longest: usize| longest.max(name.len());
    let subjects = lines.clone().map(|(subject, ..)| subject.len()).fold(0, usize::max);
    let whats = lines.clone().map(|(_, what, _)| what.len()).fold(0, usize::max);
    let (subjects, whats) = (width("subject", subjects), width("what", whats));
    let mut text =
        format!("{:<subjects$} {:<whats$} {:>10} {:>10} {:>8}\n", "subject", "what", "known", "now", "change");
    for (subject, what, now) in lines {
        let before = known.get(subject).and_then(|figures| figures.get(what)).copied();
        let change = before.map(|before| format!("{:+.1} %", 100.0 * (now as f64 / before as f64 - 1.0)));
        let (before, change) = (before.map(|n| n.to_string()).unwrap_or_default(), change.unwrap_or_default());
        let _ = writeln!(text, "{subject:<subjects$} {what:<whats$} {before:>10} {now:>10} {change:>8}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record = Record { path: PathBuf::new(), header: "# figures\n", tolerance: 0.03, bless: "bless" };

    fn figures(single: u64) -> Figures {
        let of = BTreeMap::from([("single".to_owned(), single), ("batch".to_owned(), 50)]);
        BTreeMap::from([("int8-none".to_owned(), of)])
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let contents: Contents = toml::from_str(&RECORD.written("rustc 1.2", &figures(100))).expect("TOML");
        assert_eq!((contents.rustc.as_str(), contents.figures), ("rustc 1.2", figures(100)));
    }

    #[test]
    fn growth_beyond_the_tolerance_is_named() {
        assert_eq!(RECORD.grown(&figures(100), &figures(103)).expect("the same subjects"), Vec::<String>::new());
        let found = RECORD.grown(&figures(100), &figures(104)).expect("the same subjects");
        assert_eq!(found, ["int8-none single (100 -> 104)"]);
        assert!(RECORD.grown(&Figures::new(), &figures(100)).is_err());
    }
}

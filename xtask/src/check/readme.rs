//! The commands that the README, CONTRIBUTING and the docs show must exist, with the flags that they show.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use fs_err as fs;
use xsfm_interchange::output;

use crate::setup::torch;
use crate::{cargo, workspace};

/// A command line in a document.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    document: String,
    line: usize,
    program: &'static str,
    /// `pack`, or `prepare movielens`.
    words: Vec<String>,
    flags: Vec<String>,
}

/// How the programs are written, and what each is called.
const PROGRAMS: [(&str, &str); 3] = [("cargo xtask ", THIS), ("xsfm ", "xsfm"), ("xsfm-train ", "xsfm-train")];
const THIS: &str = "xtask";

pub(crate) fn check() -> Result<()> {
    let mut documents: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "benches/README.md"].map(|name| workspace::root().join(name)).into();
    let docs = workspace::root().join("docs");
    for entry in fs::read_dir(docs)? {
        documents.push(entry?.path());
    }
    let mut shown = Vec::new();
    for document in documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(document)?;
        shown.extend(commands(&document.display().to_string(), &text));
    }
    if shown.is_empty() {
        bail!("README.md and docs show no command");
    }
    let mut problems = Vec::new();
    for (_, program) in PROGRAMS {
        let uses: Vec<&Shown> = shown.iter().filter(|shown| shown.program == program).collect();
        if uses.is_empty() {
            continue;
        }
        let binary = build(program)?;
        for shown in uses {
            if let Some(problem) = shown.problem(&binary) {
                problems.push(format!("{}, line {}: {program} {problem}", shown.document, shown.line));
            }
        }
    }
    if !problems.is_empty() {
        bail!("commands that do not exist:\n{}", problems.join("\n"));
    }
    output::say(format_args!("{} commands in README.md and docs exist", shown.len()));
    Ok(())
}

fn build(program: &str) -> Result<PathBuf> {
    if program == THIS {
        return Ok(env::current_exe()?);
    }
    let mut build = cargo::workspace("build");
    if program == "xsfm-train" {
        torch::set_up()?.use_in(&mut build);
    }
    cargo::built(build.args(["--bin", program]), program)
}

/// The commands in a document's indented or fenced lines.
fn commands(document: &str, text: &str) -> Vec<Shown> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let code: Vec<&str> = if fenced || line.starts_with("    ") {
            vec![line.trim().trim_start_matches("$ ")]
        } else {
            // Between single backquotes.
            line.split('`').skip(1).step_by(2).collect()
        };
        for code in code {
            let Some((start, program)) = PROGRAMS.iter().find(|(start, ..)| code.starts_with(start)) else {
                continue;
            };
            let command = code[start.len()..].split(['#', '|', '>']).next().unwrap_or_default();
            let plain = |word: &&str| {
                word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                    && word.starts_with(|c: char| c.is_ascii_lowercase())
            };
            let words: Vec<String> = command.split_whitespace().take_while(plain).map(str::to_owned).collect();
            let flags = command.split_whitespace().filter(|word| word.starts_with("--"));
            let flags = flags.map(|flag| flag.split('=').next().unwrap_or(flag).to_owned()).collect();
            if !words.is_empty() {
                found.push(Shown { document: document.to_owned(), line: number + 1, program, words, flags });
            }
        }
    }
    found
}

impl Shown {
    /// What is wrong with the command, if anything.
    fn problem(&self, binary: &Path) -> Option<String> {
        // The longest chain of words that has a help: what follows may be an argument, such as a part of `test`.
        let help = |used: usize| {
            let mut help = Command::new(binary);
            help.args(&self.words[..used]).arg("--help").stderr(Stdio::null());
            Some((used, help.output().ok().filter(|output| output.status.success())?))
        };
        let Some((used, help)) = (1..=self.words.len()).rev().find_map(help) else {
            return Some(format!("{} does not exist", self.words.join(" ")));
        };
        let help = String::from_utf8_lossy(&help.stdout);
        let words = self.words[..used].join(" ");
        let missing = self.flags.iter().find(|flag| !has_flag(&help, flag));
        missing.map(|flag| format!("{words} has no flag {flag}"))
    }
}

/// Whether a help text lists a flag.
fn has_flag(help: &str, flag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    help.split(|c| !is_word(c)).any(|word| word == flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_code_and_not_in_prose() {
        let text = "xsfm is a program.\n\n    cargo xtask demo --seed 2   # --not-a-flag\n\n\
                    Run `xsfm pack DIR --mode=f32 -o M`.\n```\n$ xsfm-train prepare recsys2020 --out D | cat\n```\n";
        let found = commands("R", text);
        let found: Vec<_> = found.iter().map(|s| (s.line, s.program, s.words.join(" "), s.flags.join(" "))).collect();
        let expected = [
            (3, "xtask", "demo", "--seed"),
            (5, "xsfm", "pack", "--mode"),
            (7, "xsfm-train", "prepare recsys2020", "--out"),
        ];
        assert_eq!(found, expected.map(|(line, program, words, flags)| (line, program, words.into(), flags.into())));
    }

    #[test]
    fn a_flag_is_a_whole_word() {
        assert!(has_flag("  --rows <FILE>  rows", "--rows"));
        assert!(!has_flag("  --rows-file <FILE>", "--rows"));
    }
}

//! Programs, each printed before it runs, in a form that can be pasted into a shell.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use xsfm_interchange::output;

use crate::workspace;

/// What the announced commands took.
static TOOK: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

/// What failing tests printed.
static FAILURES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The commands that took the longest until now, of those that took `least` or more; the longest first.
pub(crate) fn slowest(number: usize, least: Duration) -> Vec<(Duration, String)> {
    let mut took = TOOK.lock().unwrap_or_else(PoisonError::into_inner).clone();
    took.retain(|(time, _)| *time >= least);
    took.sort_by_key(|(time, _)| Reverse(*time));
    took.truncate(number);
    took
}

/// Lines of what the tests that failed until now printed.
pub(crate) fn failures() -> Vec<String> {
    FAILURES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Announces a command, runs it, and remembers what it took.
fn timed<T>(command: &mut Command, run: impl FnOnce(&mut Command) -> T) -> T {
    announce(command);
    let (text, start) = (shown(command), Instant::now());
    let result = run(command);
    TOOK.lock().unwrap_or_else(PoisonError::into_inner).push((start.elapsed(), text));
    result
}

/// Runs a command; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    timed(command, finish)
}

/// Runs tests, and remembers what those that fail print: of a long run nobody finds it.
pub(crate) fn run_tests(command: &mut Command) -> Result<()> {
    timed(command, |command| {
        let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| cannot_start(command))?;
        let lines = child.stdout.take().context("no standard output")?;
        let mut failing = false;
        for line in BufReader::new(lines).lines() {
            let line = line?;
            failing = tells_of_failures(failing, &line);
            output::line(format_args!("{line}"))?;
            if failing {
                FAILURES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }
        succeeded(&shown(command), child.wait()?)
    })
}

/// Whether a harness tells of failures in this line, where `before` says so of the line before.
fn tells_of_failures(before: bool, line: &str) -> bool {
    (before || line == "failures:") && !line.starts_with("test result:")
}

/// Runs a command whose standard output is for people: ours is kept for results.
pub(crate) fn run_to_stderr(command: &mut Command) -> Result<()> {
    run(command.stdout(Stdio::from(io::stderr())))
}

/// As [`run_to_stderr`], with a name before each line, for commands that run at the same time.
pub(crate) fn run_named(name: &str, mut command: Command) -> Result<()> {
    announce(&command);
    let (lines, ours) = io::pipe()?;
    let mut child = command
        .stdout(ours.try_clone()?)
        .stderr(ours)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| cannot_start(&command))?;
    let text = shown(&command);
    // It has our end of the pipe, which would never end.
    drop(command);
    for line in BufReader::new(lines).lines() {
        output::say(format_args!("{name}: {}", line?));
    }
    succeeded(&text, child.wait()?)
}

/// Runs a command and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    timed(command, quiet_output)
}

/// Runs a command that may fail, and gives all that it has to say.
pub(crate) fn outcome(command: &mut Command) -> Result<Output> {
    timed(command, |command| command.output().with_context(|| cannot_start(command)))
}

/// As [`output()`], for questions that nobody needs to see.
pub(crate) fn quiet_output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!("{} failed: {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{}: output is not UTF-8", shown(command)))
}

/// Whether a command can be started and succeeds; it prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// What `run` gives for each item, in the order of the items, as many at the same time as
/// there are cores: an emulator has one thread.
pub(crate) fn side_by_side<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    run: impl Fn(I) -> Result<T> + Send + Sync,
) -> Result<Vec<T>> {
    let items: Vec<I> = items.into_iter().collect();
    // They take seconds: none is to wait behind another in one thread's share.
    items.into_par_iter().with_max_len(1).map(run).collect()
}

/// A heading between steps.
pub(crate) fn heading(text: &str) {
    // Nothing to be done where standard error is closed.
    let _ = writeln!(io::stderr(), "\n== {text}");
}

/// Prints a command.
pub(crate) fn announce(command: &Command) {
    let _ = writeln!(io::stderr(), "$ {}", shown(command));
}

fn finish(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    succeeded(&shown(command), status)
}

fn succeeded(command: &str, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{command} failed: {status}");
    }
    Ok(())
}

/// What is wrong when a command does not start.
pub(crate) fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", command.get_program().to_string_lossy())
}

/// The command as one would type it at the project's root.
fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    let root = workspace::root();
    if let Some(folder) = command.get_current_dir().and_then(|folder| folder.strip_prefix(root).ok())
        && !folder.as_os_str().is_empty()
    {
        words.push(format!("cd {} &&", folder.display()));
    }
    for (name, value) in command.get_envs() {
        // The search path is only lengthened by what the project installed.
        if let (Some(value), true) = (value, name != "PATH") {
            words.push(format!("{}={}", name.to_string_lossy(), quoted(value)));
        }
    }
    let program = command.get_program();
    let is_cargo = program == workspace::cargo_program();
    words.push(if is_cargo { "cargo".to_owned() } else { quoted(program) });
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let root = format!("{}/", workspace::root().display());
    let word = word.strip_prefix(&root).unwrap_or(&word);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'two words'"]).env("MODEL", workspace::root().join("m.xsfm"));
        assert_eq!(shown(&command), r"MODEL=m.xsfm sh -c 'echo '\''two words'\'''");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program-here")).expect_err("not there");
        assert!(format!("{error:#}").contains("no-such-program-here"));
    }

    #[test]
    fn what_took_long_is_known() {
        run(Command::new("sleep").arg("0.31")).expect("a command");
        let slowest = slowest(usize::MAX, Duration::from_millis(300));
        assert!(slowest.iter().any(|(_, command)| command == "sleep 0.31"), "{slowest:?}");
        assert!(slowest.is_sorted_by_key(|(time, _)| Reverse(*time)), "{slowest:?}");
    }

    #[test]
    fn what_failing_tests_print_is_known() {
        let lines =
            ["test a ... FAILED", "", "failures:", "---- a stdout ----", "1 is not 2", "test result: FAILED", "b"];
        let mut telling = false;
        let told = lines.map(|line| {
            telling = tells_of_failures(telling, line);
            telling
        });
        assert_eq!(told, [false, false, true, true, true, false, false]);
        assert!(run_tests(&mut Command::new("false")).is_err());
        assert!(run_tests(&mut Command::new("true")).is_ok());
    }

    #[test]
    fn a_failing_program_is_an_error() {
        assert!(run(&mut Command::new("false")).is_err());
        assert!(run_named("false", Command::new("false")).is_err());
        assert!(!succeeds(&mut Command::new("false")));
        assert!(succeeds(&mut Command::new("true")));
    }
}

//! Commands that end in time: a rented machine costs by the minute, and nobody watches it.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::command;

/// How often a command is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Time for everything.
#[derive(Debug)]
pub(crate) struct Budget {
    begun: Instant,
    all: Duration,
}

impl Budget {
    /// It begins now.
    pub(crate) fn new(all: Duration) -> Self {
        Budget { begun: Instant::now(), all }
    }

    /// What was spent.
    pub(crate) fn spent(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Runs a command that has at most `limit`, and what is left of all; gives its standard output.
    ///
    /// # Errors
    /// It fails, or its time is over: it is ended then.
    pub(crate) fn output(&self, command: &mut Command, limit: Duration) -> Result<String> {
        let left = self.all.saturating_sub(self.spent());
        ensure!(!left.is_zero(), "the {} s for everything are over", self.all.as_secs());
        command::announce(command);
        let start = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| command::cannot_start(command))?;
        // A full pipe would stop the command.
        let mut stdout = child.stdout.take().context("standard output of a command")?;
        let reader = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        let what = name(command);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if start.elapsed() > limit.min(left) {
                end(&mut child)?;
                bail!(
                    "{what} was ended after {:.0} s: {} s are its own, {:.0} s were left of all",
                    start.elapsed().as_secs_f64(),
                    limit.as_secs(),
                    left.as_secs_f64()
                );
            }
            thread::sleep(LOOK);
        };
        ensure!(status.success(), "{what} failed: {status}");
        match reader.join() {
            Ok(text) => text.context("standard output of a command"),
            Err(_) => bail!("standard output of a command could not be read"),
        }
    }
}

/// The program and its command.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let word = command.get_args().next().unwrap_or_default().to_string_lossy();
    format!("{program} {word}")
}

fn end(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended() {
        let budget = Budget::new(Duration::from_secs(60));
        let minute = Duration::from_secs(60);
        assert_eq!(budget.output(&mut sh("printf 'as it is'"), minute).unwrap(), "as it is");
        // More than a pipe holds.
        let long = budget.output(&mut sh("head -c 300000 /dev/zero | tr '\\0' x"), minute).unwrap();
        assert_eq!(long.len(), 300_000);
        let error = budget.output(&mut sh("exit 3"), minute).unwrap_err().to_string();
        assert!(error.contains("sh -c failed: exit status: 3"), "{error}");
        let begun = Instant::now();
        let error = budget.output(&mut sh("exec sleep 30"), Duration::from_millis(200)).unwrap_err().to_string();
        assert!(error.contains("sh -c was ended after") && begun.elapsed() < Duration::from_secs(20), "{error}");
    }

    #[test]
    fn no_command_begins_when_the_time_for_all_is_over() {
        let budget = Budget::new(Duration::ZERO);
        let error = budget.output(&mut sh("true"), Duration::from_secs(9)).unwrap_err().to_string();
        assert!(error.contains("for everything are over"), "{error}");
    }
}

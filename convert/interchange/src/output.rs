//! What programs say: results on standard output, everything else on standard error, and what happens where that cannot
//! be written.
//!
//! | | nobody reads any more: `… \| head -1` | anything else: a full disk |
//! |---|---|---|
//! | results | are dropped; the command does the rest; its exit status tells | an error that names standard output |
//! | rows without end ([`stream`]) | their command ends early and quietly, exit status 0 | the same error |
//! | messages, bars, errors | are dropped; the exit status stays what it is | are dropped |
//!
//! `println!` and `eprintln!` panic instead, so the programs may not use them (`clippy::print_stdout`,
//! `clippy::print_stderr`).

use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};
use std::process::ExitCode;

use serde::Serialize;

/// Prints a text as it is.
///
/// # Errors
/// It cannot be written, for another reason than that nobody reads it.
pub fn print(text: impl Display) -> io::Result<()> {
    stream(|output| write!(output, "{text}"))
}

/// Prints a text and ends the line.
///
/// # Errors
/// Those of [`print()`].
pub fn line(text: impl Display) -> io::Result<()> {
    stream(|output| writeln!(output, "{text}"))
}

/// Prints a value as indented JSON.
///
/// # Errors
/// Those of [`print()`]; the value has a key that is no text.
pub fn json(value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// Lets `write` print what may be much. Where nobody reads any more its writing fails, and whatever error it then gives
/// is dropped.
///
/// # Errors
/// Those of `write`; the output cannot be written, for another reason than that nobody reads it.
pub fn stream<E: From<io::Error>>(write: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<(), E> {
    let mut output = BufWriter::new(Output { stdout: io::stdout().lock(), is_closed: false });
    let result = write(&mut output).and_then(|()| Ok(output.flush()?));
    // What is left after an error is not tried again.
    let (output, _) = output.into_parts();
    if output.is_closed { Ok(()) } else { result }
}

/// Writes a message and ends the line, on standard error.
pub fn say(text: impl Display) {
    // In one piece, which other processes' lines do not divide. A message that cannot be written is no reason to end
    // the work.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// How a program ends whose command line was answered with a text (`--help`, `--version`, or what is wrong with it):
/// `printed` is how printing that went, `code` the exit status.
pub fn answered(printed: io::Result<()>, code: u8) -> ExitCode {
    match printed.and_then(|()| io::stdout().flush()) {
        Err(error) if code == 0 && error.kind() != ErrorKind::BrokenPipe => {
            say(format_args!("error: {}", named(&error)));
            ExitCode::FAILURE
        }
        _ => ExitCode::from(code),
    }
}

/// Standard output, whose errors have its name.
struct Output<'a> {
    stdout: StdoutLock<'a>,
    /// Nobody reads any more.
    is_closed: bool,
}

impl Output<'_> {
    fn judge<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| match error.kind() {
            // Tried again by whoever writes.
            ErrorKind::Interrupted => error,
            kind => {
                self.is_closed |= kind == ErrorKind::BrokenPipe;
                named(&error)
            }
        })
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.stdout.write(bytes);
        self.judge(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.stdout.flush();
        self.judge(result)
    }
}

fn named(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output: {error}"))
}

//! Widths of hidden layers, on a command line.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Widths of hidden layers as written on a command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Widths(pub Vec<usize>);

impl Widths {
    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Widths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        let widths: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&widths.join(","))
    }
}

impl FromStr for Widths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Widths(Vec::new()));
        }
        let width = |part: &str| match part.trim().parse() {
            Ok(width) if width > 0 => Ok(width),
            _ => Err(format!("`{part}` is not a width; write for example `400,400`, or `none`")),
        };
        text.split(',').map(width).collect::<Result<_, _>>().map(Widths)
    }
}

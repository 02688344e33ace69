//! Why a script failed, as a value and as a report for people.

use std::fmt;

use serde_json::{Value, json};

/// The longest line of a report; JSON has the whole lines.
const LONGEST: usize = 400;

/// A script that did not go as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub line: usize,
    pub message: String,
    /// Lines that begin with `-` (expected), `+` (came) or a space.
    pub difference: Vec<String>,
    /// The last lines of the conversation.
    pub tail: Vec<String>,
    /// The end of the agent's error stream.
    pub stderr: String,
}

impl Failure {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
            difference: Vec::new(),
            tail: Vec::new(),
            stderr: String::new(),
        }
    }

    pub fn to_json(&self) -> Value {
        json!({
            "line": self.line,
            "message": self.message,
            "difference": self.difference,
            "tail": self.tail,
            "stderr": self.stderr,
        })
    }
}

impl fmt::Display for Failure {
    /// What stands behind the name of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.line, self.message)?;
        if self.difference.is_empty() {
            block(f, "the last lines were", self.tail.iter().map(String::as_str))?;
        }
        block(f, "expected (-) and came (+)", self.difference.iter().map(String::as_str))?;
        block(f, "the agent wrote to its error stream", self.stderr.lines())
    }
}

fn block<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    lines: impl Iterator<Item = &'a str>,
) -> fmt::Result {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        writeln!(f, "  {title}:")?;
    }
    lines.try_for_each(|line| {
        let cut = if line.chars().nth(LONGEST).is_some() { "…" } else { "" };
        writeln!(f, "    {}{cut}", line.chars().take(LONGEST).collect::<String>())
    })
}

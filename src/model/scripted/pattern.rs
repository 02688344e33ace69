//! Texts with `*` in them, which match and capture. How is in `wildcard`.

use crate::wildcard;

/// A pattern: `*` stands for any text, also none and also several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
}

/// What the stars of a pattern stood for, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Captures(pub(super) Vec<String>);

impl Pattern {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn captures(&self, text: &str) -> Option<Captures> {
        let captures = wildcard::captures(&self.text, text)?;
        Some(Captures(captures.into_iter().map(str::to_owned).collect()))
    }
}

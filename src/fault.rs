//! What a user may be told when something goes wrong: kind, message, hint.
//! It is made at the edges and in `session`; nothing branches on its text.

use std::fmt;

/// Whose turn it is to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request was wrong: a bad argument, an unknown id.
    User,
    /// The configuration is wrong.
    Config,
    /// Credentials are missing or were refused.
    Auth,
    /// The model's provider failed.
    Provider,
    /// A defect of ours.
    Internal,
}

/// An error as a user sees it.
///
/// `message` is a lower-case fragment without a full stop; `hint` says what to do, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The fragment as a sentence, with the hint behind it. A name at its beginning stays as it is.
    pub fn sentence(&self) -> String {
        let first = self.message.split_whitespace().next().unwrap_or_default();
        let mut text = if first.contains(['.', '/', '\\', ':', '_']) {
            self.message.clone()
        } else {
            let mut letters = self.message.chars();
            let capital = letters.next().into_iter().flat_map(char::to_uppercase);
            capital.chain(letters).collect()
        };
        if !text.ends_with(['.', '!', '?']) {
            text.push('.');
        }
        if let Some(hint) = &self.hint {
            text.push(' ');
            text.push_str(hint);
        }
        text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::{Fault, Kind};

    #[test]
    fn a_message_becomes_a_sentence() {
        for (message, sentence) in [
            ("the model is gone", "The model is gone."),
            ("écoutez!", "Écoutez!"),
            ("`bad` is no model", "`bad` is no model."),
            ("bad.script:1: no statement", "bad.script:1: no statement."),
            ("src/a is gone", "src/a is gone."),
            ("max_tokens is 0", "max_tokens is 0."),
            ("", "."),
        ] {
            assert_eq!(Fault::new(Kind::User, message).sentence(), sentence);
        }
        let fault = Fault::new(Kind::User, "no key").with_hint("Set one.");
        assert_eq!(fault.sentence(), "No key. Set one.");
    }
}

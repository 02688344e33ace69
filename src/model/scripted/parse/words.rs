//! The words of one line of a script.

use std::str::FromStr;
use std::time::Duration;

pub(super) struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line.trim() }
    }

    /// The next word; empty at the end of the line.
    pub(super) fn word(&mut self) -> &'a str {
        let (word, rest) = self.rest.split_once(char::is_whitespace).unwrap_or((self.rest, ""));
        self.rest = rest.trim_start();
        word
    }

    /// All that is left of the line.
    pub(super) fn rest(&mut self) -> &'a str {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn is_string(&self) -> bool {
        self.rest.starts_with('"')
    }

    /// A text in double quotes, with the escapes of JSON.
    pub(super) fn string(&mut self) -> Result<String, String> {
        if !self.is_string() {
            return Err(format!("expected a text in double quotes, found `{}`", self.rest));
        }
        let mut strings = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        let text = match strings.next() {
            Some(Ok(text)) => text,
            Some(Err(error)) => return Err(format!("expected a text in double quotes: {error}")),
            None => String::new(),
        };
        self.rest = self.rest.get(strings.byte_offset()..).unwrap_or("").trim_start();
        Ok(text)
    }

    /// A text in double quotes, or a bare word.
    pub(super) fn text(&mut self) -> Result<String, String> {
        if self.is_string() {
            return self.string();
        }
        match self.word() {
            "" => Err("expected a word or a text in double quotes".to_owned()),
            word => Ok(word.to_owned()),
        }
    }

    /// The word after `<<`, where the line goes on with such a block.
    pub(super) fn block_end(&mut self) -> Option<&'a str> {
        let end = self.rest.strip_prefix("<<")?.trim();
        (!end.is_empty() && !end.contains(char::is_whitespace)).then(|| {
            self.rest = "";
            end
        })
    }

    /// Nothing may be left.
    pub(super) fn end(&mut self) -> Result<(), String> {
        if self.is_done() {
            Ok(())
        } else {
            Err(format!("expected the end of the line, found `{}`", self.rest))
        }
    }
}

pub(super) fn number<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("expected a number, found `{word}`"))
}

/// `20ms` or `2s`.
pub(super) fn duration(word: &str) -> Result<Duration, String> {
    let millis =
        word.strip_suffix("ms").and_then(|count| count.parse().ok()).map(Duration::from_millis);
    let parsed = millis.or_else(|| {
        word.strip_suffix('s').and_then(|count| count.parse().ok()).map(Duration::from_secs)
    });
    parsed.ok_or_else(|| format!("expected a time such as `20ms` or `2s`, found `{word}`"))
}

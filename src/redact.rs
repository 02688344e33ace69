//! Takes secrets out of text before it is written: the configured keys wherever they occur, and what has
//! the unmistakable shape of a well-known kind of secret. What is only likely to be one stays.

mod pem;
mod shapes;

use std::borrow::Cow;
use std::ops::Range;

use crate::config::Secret;

/// A shorter key is a stand-in such as `none` for a server that wants any.
const SHORTEST_KEY: usize = 8;
/// Words of ours in JSON are no longer.
const LONGEST_WORD: usize = 16;
/// What stands where a configured key was.
const KEY: &str = "(key)";
/// What stands where something of a secret's shape was.
const SECRET: &str = "(secret)";

/// Hides secrets.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    /// The keys as they are in a text, and as they are in JSON that a text quotes.
    in_text: Vec<Secret>,
    /// The same, one level of escapes further.
    in_json: Vec<Secret>,
}

impl Mask {
    /// A mask for these keys and for every well-known shape.
    pub fn new(keys: &[Secret]) -> Self {
        let plain: Vec<String> = keys
            .iter()
            .map(|key| key.reveal().trim())
            .filter(|key| key.len() >= SHORTEST_KEY)
            .map(str::to_owned)
            .collect();
        let once: Vec<String> = plain.iter().map(|key| escaped(key)).collect();
        let twice: Vec<String> = once.iter().map(|key| escaped(key)).collect();
        Self {
            in_text: longest_first(plain.iter().chain(&once)),
            in_json: longest_first(once.iter().chain(&twice)),
        }
    }

    /// The text without secrets; the same text where there are none.
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = hide_keys(text, &self.in_text, |_, _| true);
        hide_shapes(text)
    }

    /// The same for serialised JSON without white space, which is as valid as before. Names of fields are
    /// hidden like texts, but for what is `spared`.
    pub fn hide_in_json<'a>(&self, json: &'a str, spared: Spared) -> Cow<'a, str> {
        let json = hide_keys(json, &self.in_json, |json, found| {
            !is_in_escape(json, found.start) && !is_spared(json, found, spared)
        });
        hide_shapes(json)
    }
}

/// Which small words are left alone where they stand alone: they may be words of ours, such as the kind of
/// a record, and a key that is such a word is a stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spared {
    /// Names of fields.
    Names,
    /// Texts, too.
    Words,
}

/// The key as it is inside of a JSON string.
fn escaped(key: &str) -> String {
    let quoted = serde_json::Value::from(key).to_string();
    quoted.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(&quoted).to_owned()
}

/// One key may be the beginning of another.
fn longest_first<'a>(keys: impl Iterator<Item = &'a String>) -> Vec<Secret> {
    let mut keys: Vec<&str> = keys.map(String::as_str).collect();
    keys.sort_by_key(|key| (std::cmp::Reverse(key.len()), *key));
    keys.dedup();
    keys.into_iter().map(Secret::new).collect()
}

fn hide_keys<'a>(
    text: &'a str,
    keys: &[Secret],
    is_hidden: impl Fn(&str, &Range<usize>) -> bool,
) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for key in keys {
        let found: Vec<Range<usize>> = text
            .match_indices(key.reveal())
            .map(|(at, key)| at..at + key.len())
            .filter(|found| is_hidden(&text, found))
            .collect();
        if !found.is_empty() {
            text = Cow::Owned(replaced(&text, &found, KEY));
        }
    }
    text
}

fn hide_shapes(text: Cow<'_, str>) -> Cow<'_, str> {
    let found = shapes::find(&text);
    if found.is_empty() { text } else { Cow::Owned(replaced(&text, &found, SECRET)) }
}

/// `found` is in order and does not overlap.
fn replaced(text: &str, found: &[Range<usize>], by: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut end = 0;
    for range in found {
        result.push_str(text.get(end..range.start).unwrap_or_default());
        result.push_str(by);
        end = range.end;
    }
    result.push_str(text.get(end..).unwrap_or_default());
    result
}

fn is_spared(json: &str, found: &Range<usize>, spared: Spared) -> bool {
    let json = json.as_bytes();
    let is_letter = |letter: &u8| letter.is_ascii_lowercase() || matches!(letter, b'_' | b'-');
    let is_word = found.len() <= LONGEST_WORD
        && json.get(found.clone()).is_some_and(|word| word.iter().all(is_letter));
    let begins = json.get(..found.start).is_some_and(|before| before.ends_with(b"\""));
    let end: &[u8] = if spared == Spared::Names { b"\":" } else { b"\"" };
    is_word && begins && json.get(found.end..).is_some_and(|behind| behind.starts_with(end))
}

/// Whether the byte at `at` belongs to an escape that begins before it, such as the `n` of `\n`.
fn is_in_escape(json: &str, at: usize) -> bool {
    let before = json.as_bytes().get(..at).unwrap_or_default();
    if ends_in_escape_sign(before) {
        return true;
    }
    let digits = before.iter().rev().take_while(|byte| byte.is_ascii_hexdigit()).take(4).count();
    (0..=digits.min(3)).any(|digits| {
        before
            .get(..before.len() - digits)
            .and_then(|before| before.strip_suffix(b"u"))
            .is_some_and(ends_in_escape_sign)
    })
}

/// Whether the last byte is a backslash that is not itself escaped.
fn ends_in_escape_sign(bytes: &[u8]) -> bool {
    bytes.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests;

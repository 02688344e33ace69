//! What the model knows of a file: which content it last saw, and which lines of it it was not shown.
//! It reads nothing.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What the model knows of files, by their path (absolute, links resolved).
pub type Seen = Arc<HashMap<PathBuf, Known>>;

/// What the model knows of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Of the whole content, as bytes.
    #[serde(with = "hexadecimal")]
    hash: u128,
    /// The lines that it was not shown, counted from 0, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Range<usize>>,
}

impl Known {
    pub fn whole(text: &str) -> Self {
        Self::without(text, Vec::new())
    }

    /// It was shown `text` without these lines, counted from 0, in order.
    pub fn without(text: &str, missing: Vec<Range<usize>>) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_128(text.as_bytes());
        Self { hash, missing: missing.into_iter().filter(|lines| !lines.is_empty()).collect() }
    }

    /// It knows that this is the content, and maybe no line of it.
    pub fn nothing_of(text: &str) -> Self {
        let lines = 0..text.lines().count();
        Self::without(text, vec![lines])
    }

    /// Whether the content that it knows is `text`.
    pub fn is(&self, text: &str) -> bool {
        self.hash == xxhash_rust::xxh3::xxh3_128(text.as_bytes())
    }

    /// The first lines that it was not shown, counted from 1, both inclusive.
    pub fn missing(&self) -> Option<(usize, usize)> {
        self.missing.first().map(|lines| (lines.start + 1, lines.end))
    }

    /// This, with what was known of the same content before.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let Some(before) = before.filter(|before| before.hash == self.hash) else { return self };
        let both = |one: &Range<usize>, other: &Range<usize>| {
            one.start.max(other.start)..one.end.min(other.end)
        };
        let missing = self
            .missing
            .iter()
            .flat_map(|lines| before.missing.iter().map(|other| both(lines, other)))
            .filter(|lines| !lines.is_empty())
            .collect();
        Self { missing, ..self }
    }
}

/// JSON has no integers of 128 bits.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{hash:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::Known;

    #[test]
    fn parts_make_a_whole() {
        let text = "line\n".repeat(10);
        let without = |missing: &[Range<usize>]| Known::without(&text, missing.to_vec());
        let begin = without(&[4..10, 10..10]);
        assert_eq!(begin.missing(), Some((5, 10)));
        let middle = without(&[0..3, 5..6, 8..10]).after(Some(&begin));
        assert_eq!(middle, without(&[5..6, 8..10]));
        assert_eq!(begin.after(Some(&middle)), middle);
        let end = without(&[0..5, 9..9]).after(Some(&middle));
        assert_eq!((&end, end.missing()), (&without(&[]), None));
        assert_eq!(end, Known::whole(&text));
        // Of another content nothing is known.
        assert_eq!(Known::nothing_of("a\nb").after(Some(&end)).missing(), Some((1, 2)));
        assert!(end.is(&text) && !end.is("a\nb"));
    }
}

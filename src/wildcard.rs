//! Patterns with `*` in them, for permissions and for the scripted model. It knows nothing of either.

/// What the stars of `pattern` stand for in `text`, in order; `None` if it does not match the whole
/// text. A star stands for any text, also none and also several lines; each takes as little as it can,
/// the last one the rest.
pub fn captures<'text>(pattern: &str, text: &'text str) -> Option<Vec<&'text str>> {
    let Some((first, others)) = pattern.split_once('*') else {
        return (text == pattern).then(Vec::new);
    };
    let mut rest = text.strip_prefix(first)?;
    let (middle, last) =
        others.rsplit_once('*').map_or((None, others), |(middle, last)| (Some(middle), last));
    let mut captures = Vec::new();
    for piece in middle.into_iter().flat_map(|middle| middle.split('*')) {
        let (between, after) = rest.split_once(piece)?;
        captures.push(between);
        rest = after;
    }
    captures.push(rest.strip_suffix(last)?);
    Some(captures)
}

/// Whether `pattern` is the whole of `text`.
pub fn matches(pattern: &str, text: &str) -> bool {
    captures(pattern, text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_capture() {
        for (pattern, text, expected) in [
            ("fix", "fix", Some(vec![])),
            ("fix", "fix it", None),
            ("fix *", "fix it", Some(vec!["it"])),
            ("*", "", Some(vec![""])),
            ("*b*", "abcb", Some(vec!["a", "cb"])),
            ("a*a", "a", None),
            ("a*a", "aa", Some(vec![""])),
            ("*é*ß", "xéyß", Some(vec!["x", "y"])),
            ("*\n*", "a\nb\nc", Some(vec!["a", "b\nc"])),
            ("**", "ab", Some(vec!["", "ab"])),
        ] {
            assert_eq!(captures(pattern, text), expected, "{pattern} on {text}");
            assert_eq!(matches(pattern, text), expected.is_some(), "{pattern} on {text}");
        }
    }
}

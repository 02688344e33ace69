//! New expected lines written into the text of a script.

/// Replaces lines of a script, counted from 1; `last` before `first` inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub first: usize,
    pub last: usize,
    pub lines: Vec<String>,
}

/// The script with all edits made.
pub fn apply(text: &str, edits: &[Edit]) -> String {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| edit.first);
    let old: Vec<&str> = text.lines().collect();
    let mut new: Vec<&str> = Vec::new();
    let mut place = 0;
    for edit in edits {
        let first = edit.first.saturating_sub(1);
        new.extend(old.iter().take(first).skip(place));
        new.extend(edit.lines.iter().map(String::as_str));
        place = edit.last;
    }
    new.extend(old.iter().skip(place));
    let mut text = new.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_replace_lines() {
        let edits = [
            Edit { first: 4, last: 4, lines: vec!["D".to_owned(), "E".to_owned()] },
            Edit { first: 2, last: 3, lines: vec!["B".to_owned()] },
        ];
        assert_eq!(apply("a\nb\nc\nd\ne\n", &edits), "a\nB\nD\nE\ne\n");
        assert_eq!(apply("a\n", &[]), "a\n");
    }
}

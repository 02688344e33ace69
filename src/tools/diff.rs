//! How a change of a text is counted and shown. It reads and writes no files.

use std::path::Path;
use std::time::Duration;

use crate::difference::Difference;
use crate::event::CallContent;

/// Old and new text together are shown whole up to this many bytes; above it only what changed is.
const WHOLE_LIMIT: usize = 256 * 1024;
/// Unchanged lines around a change where only what changed is shown.
const CONTEXT_LINES: usize = 3;
/// A comparison that takes longer gets coarse instead of slow.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a change of a text comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Lines.
    pub(super) added: usize,
    /// Lines.
    pub(super) removed: usize,
    /// The first changed line of the new text, counted from 1.
    pub(super) line: u32,
    pub(super) show: Vec<CallContent>,
}

/// Compares two texts of the file at `path`; `old` is absent for a new file.
pub(super) fn compare(path: &Path, old: Option<&str>, new: &str) -> Change {
    let before = old.unwrap_or_default();
    let difference = Difference::of_texts(before, new, Some(PATIENCE));
    let (mut added, mut removed, mut line) = (0, 0, None);
    for stretch in difference.stretches().filter(|stretch| !stretch.kept) {
        added += stretch.new.len();
        removed += stretch.old.len();
        line = line.or_else(|| u32::try_from(stretch.new.start + 1).ok());
    }
    let whole = before.len() + new.len() <= WHOLE_LIMIT;
    let show = if whole || old.is_none() {
        let text = if whole { new.to_owned() } else { head(new) };
        vec![CallContent::Diff { path: path.to_owned(), old: old.map(str::to_owned), new: text }]
    } else {
        hunks(path, &difference)
    };
    Change { added, removed, line: line.unwrap_or(1), show }
}

/// The changed places, each with some lines around it, as many as fit.
fn hunks(path: &Path, difference: &Difference<'_>) -> Vec<CallContent> {
    let mut left = WHOLE_LIMIT;
    let mut show = Vec::new();
    for place in difference.places(CONTEXT_LINES) {
        let (Some(first), Some(last)) = (place.first(), place.last()) else { continue };
        let old = difference.old_lines(&(first.old.start..last.old.end)).concat();
        let new = difference.new_lines(&(first.new.start..last.new.end)).concat();
        let Some(rest) = left.checked_sub(old.len() + new.len()) else {
            if show.is_empty() {
                let (old, new) = (Some(head(&old)), head(&new));
                show.push(CallContent::Diff { path: path.to_owned(), old, new });
            }
            break;
        };
        left = rest;
        show.push(CallContent::Diff { path: path.to_owned(), old: Some(old), new });
    }
    show
}

/// The beginning of a text that is too long to show.
fn head(text: &str) -> String {
    let mut end = WHOLE_LIMIT / 2;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match text.get(..end) {
        Some(head) => format!("{head}\n… the rest is not shown …\n"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, compare};
    use crate::event::CallContent;
    use std::path::Path;

    fn lines(count: usize) -> String {
        (1..=count).map(|line| format!("this is line number {line}")).collect::<Vec<_>>().join("\n")
            + "\n"
    }

    #[test]
    fn small_texts_are_shown_whole() {
        let change = compare(Path::new("/f"), Some("a\nb\nc\n"), "a\nx\ny\nc\n");
        assert_eq!((change.added, change.removed, change.line), (2, 1, 2));
        let whole = CallContent::Diff {
            path: "/f".into(),
            old: Some("a\nb\nc\n".into()),
            new: "a\nx\ny\nc\n".into(),
        };
        assert_eq!(change.show, vec![whole]);
    }

    #[test]
    fn large_texts_are_shown_where_they_changed() {
        let old = lines(20_000);
        let new = old
            .replace("number 9000\n", "number nine thousand\n")
            .replace("number 12\n", "dozen\n");
        let Change { added, removed, line, show } = compare(Path::new("/f"), Some(&old), &new);
        assert_eq!((added, removed, line, show.len()), (2, 2, 12, 2));
        for content in show {
            let CallContent::Diff { old: Some(old), new, .. } = content else {
                panic!("not a diff")
            };
            assert_eq!((old.lines().count(), new.lines().count()), (7, 7));
        }
    }

    #[test]
    fn a_large_new_file_is_cut() {
        let change = compare(Path::new("/f"), None, &lines(20_000));
        let Some(CallContent::Diff { old: None, new, .. }) = change.show.first() else {
            panic!("no diff")
        };
        assert!(new.ends_with("… the rest is not shown …\n"));
        assert_eq!((change.added, change.removed, change.line), (20_000, 0, 1));
    }
}

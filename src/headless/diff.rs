//! Differences of two texts, counted and as lines.

use similar::{ChangeTag, TextDiff};

/// A line of a difference, without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) tag: ChangeTag,
    pub(crate) text: String,
}

/// How many lines were added and removed.
pub(crate) fn counts(old: &str, new: &str) -> (usize, usize) {
    let diff = TextDiff::from_lines(old, new);
    let count =
        |tag: ChangeTag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    (count(ChangeTag::Insert), count(ChangeTag::Delete))
}

/// The changed places with `context` unchanged lines around each; `None` stands between two places.
pub(crate) fn changes(old: &str, new: &str, context: usize) -> Vec<Option<Change>> {
    let diff = TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(context).iter().enumerate() {
        if index > 0 {
            lines.push(None);
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let text = change.value().trim_end_matches(['\n', '\r']).to_owned();
            lines.push(Some(Change { tag: change.tag(), text }));
        }
    }
    lines
}

/// The sign at the start of a line.
pub(crate) fn sign(tag: ChangeTag) -> char {
    match tag {
        ChangeTag::Insert => '+',
        ChangeTag::Delete => '-',
        ChangeTag::Equal => ' ',
    }
}

//! Differences of two texts, counted and as lines.

use crate::difference::{Difference, Fate};

/// A line of a difference, without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) fate: Fate,
    pub(crate) text: String,
}

/// How many lines were added and removed.
pub(crate) fn counts(old: &str, new: &str) -> (usize, usize) {
    let difference = Difference::of_texts(old, new, None);
    let changed = difference.stretches().filter(|stretch| !stretch.kept);
    changed.fold((0, 0), |(added, removed), stretch| {
        (added + stretch.new.len(), removed + stretch.old.len())
    })
}

/// The changed places with `context` unchanged lines around each; `None` stands between two places.
pub(crate) fn changes(old: &str, new: &str, context: usize) -> Vec<Option<Change>> {
    let difference = Difference::of_texts(old, new, None);
    let mut lines = Vec::new();
    for (index, place) in difference.places(context).enumerate() {
        if index > 0 {
            lines.push(None);
        }
        for (fate, line) in place.iter().flat_map(|stretch| difference.lines(stretch)) {
            let text = line.trim_end_matches(['\n', '\r']).to_owned();
            lines.push(Some(Change { fate, text }));
        }
    }
    lines
}

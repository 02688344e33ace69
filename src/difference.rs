//! What differs between two texts, line by line, and which names come near another. It compares and does not show.
//!
//! Everything is compared as numbers, so that there is one compiled copy of the algorithm: `similar` has one for each
//! type it is given.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::{DiffOp, group_diff_ops};

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Kept,
    Removed,
    Added,
}

impl Fate {
    /// The sign at the start of a line.
    pub fn sign(self) -> char {
        match self {
            Self::Kept => ' ',
            Self::Removed => '-',
            Self::Added => '+',
        }
    }
}

/// Lines that lie side by side, counted from 0: kept ones, or removed ones and what was added in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    pub kept: bool,
    pub old: Range<usize>,
    pub new: Range<usize>,
}

impl From<&DiffOp> for Stretch {
    fn from(op: &DiffOp) -> Self {
        let kept = matches!(op, DiffOp::Equal { .. });
        Self { kept, old: op.old_range(), new: op.new_range() }
    }
}

/// Two lists of lines and how one becomes the other.
#[derive(Debug, Clone)]
pub struct Difference<'a> {
    old: Vec<&'a str>,
    new: Vec<&'a str>,
    ops: Vec<DiffOp>,
}

impl<'a> Difference<'a> {
    /// Of two texts, whose lines keep their ends. With a patience, what takes longer gets coarse instead of slow.
    pub fn of_texts(old: &'a str, new: &'a str, patience: Option<Duration>) -> Self {
        Self::of_lines(lines(old), lines(new), patience)
    }

    /// The same of lines that are compared as they are.
    pub fn of_lines(old: Vec<&'a str>, new: Vec<&'a str>, patience: Option<Duration>) -> Self {
        let mut known = HashMap::new();
        let mut numbers = |lines: &[&'a str]| -> Vec<usize> {
            let mut number = |line: &&'a str| {
                let next = known.len();
                *known.entry(*line).or_insert(next)
            };
            lines.iter().map(&mut number).collect()
        };
        let both = Numbers { old: numbers(&old), new: numbers(&new) };
        let ops = both.compared(patience);
        Self { old, new, ops }
    }

    /// From the first line to the last.
    pub fn stretches(&self) -> impl Iterator<Item = Stretch> {
        self.ops.iter().map(Stretch::from)
    }

    /// The changed places with at most `context` kept lines around each.
    pub fn places(&self, context: usize) -> impl Iterator<Item = Vec<Stretch>> {
        let groups = group_diff_ops(self.ops.clone(), context);
        groups.into_iter().map(|group| group.iter().map(Stretch::from).collect())
    }

    /// The lines of a stretch; what was removed comes before what was added.
    pub fn lines<'s>(
        &'s self,
        stretch: &Stretch,
    ) -> impl Iterator<Item = (Fate, &'a str)> + use<'s, 'a> {
        let (old, new) = (self.old_lines(&stretch.old), self.new_lines(&stretch.new));
        let (old_fate, new) =
            if stretch.kept { (Fate::Kept, &[][..]) } else { (Fate::Removed, new) };
        let old = old.iter().map(move |line| (old_fate, *line));
        old.chain(new.iter().map(|line| (Fate::Added, *line)))
    }

    /// All lines.
    pub fn all_lines(&self) -> impl Iterator<Item = (Fate, &'a str)> {
        self.stretches().flat_map(|stretch| self.lines(&stretch))
    }

    pub fn old_lines(&self, lines: &Range<usize>) -> &[&'a str] {
        self.old.get(lines.clone()).unwrap_or_default()
    }

    pub fn new_lines(&self, lines: &Range<usize>) -> &[&'a str] {
        self.new.get(lines.clone()).unwrap_or_default()
    }
}

/// The names that share with `word`, in order, at least three of five letters; at most `most`, the nearest first.
pub fn near<'a>(word: &str, names: &[&'a str], most: usize) -> Vec<&'a str> {
    let letters =
        |text: &str| -> Vec<usize> { text.chars().map(|letter| letter as usize).collect() };
    let enough = |shared: usize, all: usize| shared * 10 >= all * 3;
    let word = letters(word);
    let mut found = Vec::new();
    for name in names {
        let both = Numbers { old: word.clone(), new: letters(name) };
        let all = both.old.len() + both.new.len();
        if !enough(both.old.len().min(both.new.len()), all) {
            continue;
        }
        let ops = both.compared(None);
        let kept = ops.iter().filter(|op| matches!(op, DiffOp::Equal { .. }));
        let shared: usize = kept.map(|op| op.old_range().len()).sum();
        if enough(shared, all) {
            found.push((shared, all, *name));
        }
    }
    // The larger share first: one / two > three / four.
    found.sort_by(|(one, two, name), (three, four, other)| {
        (three * two).cmp(&(one * four)).then_with(|| name.cmp(other))
    });
    found.into_iter().take(most).map(|(_, _, name)| name).collect()
}

/// With their ends, of which `\r\n` is one, and `\r`.
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = match rest.find(['\n', '\r']) {
            Some(at) if rest.get(at..).is_some_and(|end| end.starts_with("\r\n")) => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (line, after) = rest.split_at(end);
        lines.push(line);
        rest = after;
    }
    lines
}

/// Equal things have equal numbers.
struct Numbers {
    old: Vec<usize>,
    new: Vec<usize>,
}

impl Numbers {
    /// The only call of the algorithm. Its lists are `Vec<usize>`, as the crate's own are: what is generic over the
    /// lists alone is shared.
    #[expect(
        clippy::disallowed_methods,
        reason = "the algorithm wants this type, and waits for nothing"
    )]
    fn compared(&self, patience: Option<Duration>) -> Vec<DiffOp> {
        let Self { old, new } = self;
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        let mut found = Compact::new(Replace::new(Capture::new()), old, new);
        let Ok(()) =
            myers::diff_deadline(&mut found, old, 0..old.len(), new, 0..new.len(), deadline);
        found.into_inner().into_inner().into_ops()
    }
}

#[cfg(test)]
mod tests {
    use super::{Difference, lines, near};
    use proptest::prelude::*;

    #[test]
    fn lines_keep_their_ends() {
        assert_eq!(lines("a\r\nb\rc\n\nd"), ["a\r\n", "b\r", "c\n", "\n", "d"]);
        assert!(lines("").is_empty());
    }

    #[test]
    fn the_nearest_names_come_first() {
        let names = ["maim.rs", "main.rc", "other.md", "mains.rs", "main.rs.orig", "man.rs"];
        assert_eq!(near("main.rs", &names, 3), ["mains.rs", "man.rs", "maim.rs"]);
        // Three of five letters are enough, less are not.
        assert_eq!(near("abcde", &["abcxy", "abxyz"], 3), ["abcxy"]);
    }

    proptest! {
        #[test]
        fn the_lines_of_both_texts_are_there(old in "[ab\n\r]{0,40}", new in "[ab\n\r]{0,40}") {
            let difference = Difference::of_texts(&old, &new, None);
            let side = |leave: char| -> String {
                let lines = difference.all_lines().filter(|(fate, _)| fate.sign() != leave);
                lines.map(|(_, line)| line).collect()
            };
            prop_assert_eq!(side('+'), old.clone());
            prop_assert_eq!(side('-'), new.clone());
            let changed = difference.places(0).count();
            prop_assert_eq!(changed == 0, old == new);
        }
    }
}

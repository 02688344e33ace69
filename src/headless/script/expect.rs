//! Expected lines laid beside the lines that came: what a difference shows, and what `--update` writes.
//! Both are pure; `script::play` decides when.

use super::lines::Line;
use super::pattern;
use super::pattern::{Captures, Pattern};
use crate::difference::Difference;

/// One expected line of a script; `...` skips any number of lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expected {
    Skip,
    Line(Pattern),
}

impl Expected {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Skip => "...",
            Self::Line(pattern) => &pattern.text,
        }
    }
}

/// What stands in the place of each expectation, and of each line, when both are laid side by side.
struct Aligned {
    /// The script's lines where they still hold, else the lines that came.
    merged: Vec<String>,
    /// The expectations, those that hold replaced by what they matched.
    wanted: Vec<String>,
}

fn align(expected: &[Expected], came: &[Line]) -> Aligned {
    let mut captures = Captures::new();
    let mut holds = |expected: &Expected, line: &Line| match expected {
        Expected::Skip => false,
        Expected::Line(pattern) => pattern.matches(&line.head, &line.message, &mut captures),
    };
    let mut aligned = Aligned { merged: Vec::new(), wanted: Vec::new() };
    let mut rest = expected;
    let mut place = 0;
    while let Some(line) = came.get(place) {
        if let Some((Expected::Skip, after)) = rest.split_first() {
            let end = match after.first() {
                None => Some(came.len()),
                Some(next) => (place..came.len())
                    .find(|at| came.get(*at).is_some_and(|line| holds(next, line))),
            };
            rest = after;
            if let Some(end) = end {
                aligned.merged.push("...".to_owned());
                aligned.wanted.extend(came.iter().take(end).skip(place).map(Line::text));
                place = end;
            }
            continue;
        }
        if let Some(found) = rest.iter().position(|expected| holds(expected, line)) {
            let (missing, matched) = rest.split_at(found);
            aligned.wanted.extend(missing.iter().map(|expected| expected.text().to_owned()));
            aligned.wanted.push(line.text());
            aligned.merged.extend(matched.first().map(|expected| expected.text().to_owned()));
            rest = matched.get(1..).unwrap_or_default();
        } else {
            aligned.merged.push(pattern::escape(&line.text()));
        }
        place += 1;
    }
    aligned
        .wanted
        .extend(rest.iter().filter(|e| **e != Expected::Skip).map(|e| e.text().to_owned()));
    aligned
}

/// What the script should say so that it holds.
pub(crate) fn merged(expected: &[Expected], came: &[Line]) -> Vec<String> {
    align(expected, came).merged
}

/// Expected and came as lines that begin with `-`, `+` or a space.
pub(crate) fn difference(expected: &[Expected], came: &[Line]) -> Vec<String> {
    let wanted = align(expected, came).wanted;
    let came: Vec<String> = came.iter().map(Line::text).collect();
    line_difference(&wanted, &came)
}

/// The same of lines that are compared as they are.
pub(crate) fn line_difference(wanted: &[String], came: &[String]) -> Vec<String> {
    let wanted = wanted.iter().map(String::as_str).collect();
    let came = came.iter().map(String::as_str).collect();
    Difference::of_lines(wanted, came, None)
        .all_lines()
        .map(|(fate, line)| format!("{} {line}", fate.sign()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::lines::Kind;
    use super::*;

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| Line::new(Kind::Other, (*text).to_owned(), Value::Null)).collect()
    }

    fn expected(texts: &[&str]) -> Vec<Expected> {
        let one = |text: &&str| match *text {
            "..." => Expected::Skip,
            text => Expected::Line(Pattern::new(text)),
        };
        texts.iter().map(one).collect()
    }

    #[test]
    fn wildcards_that_hold_are_kept() {
        let script = expected(&["← say \"*\"", "← old", "= end_turn"]);
        let came = lines(&["← say \"Hi\"", "← new * line", "= end_turn"]);
        assert_eq!(merged(&script, &came), ["← say \"*\"", "← new \\* line", "= end_turn"]);
        assert_eq!(
            difference(&script, &came),
            ["  ← say \"Hi\"", "- ← old", "+ ← new * line", "  = end_turn"]
        );
    }

    #[test]
    fn a_skip_is_kept_where_its_end_comes() {
        let came = lines(&["a", "b", "= end_turn"]);
        assert_eq!(merged(&expected(&["...", "= end_turn"]), &came), ["...", "= end_turn"]);
        assert_eq!(merged(&expected(&["...", "= other"]), &came), ["a", "b", "= end_turn"]);
        assert_eq!(merged(&expected(&["a", "..."]), &came), ["a", "..."]);
    }

    #[test]
    fn an_empty_place_is_filled() {
        assert_eq!(merged(&[], &lines(&["a"])), ["a"]);
        assert_eq!(difference(&expected(&["a"]), &[]), ["- a"]);
    }
}

//! Exact replacements in a text, as a pure function. Where the line endings of the text and of the model
//! differ, it is the text's that count; nothing outside the replaced places changes.

use std::ops::Range;

use super::missing;

/// Where a text is found more often, counting stops.
const COUNT_LIMIT: usize = 1000;
/// The most line numbers in a message.
const LINES_SHOWN: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replacement {
    pub(super) old: String,
    pub(super) new: String,
    /// Everywhere, instead of at the one place.
    pub(super) all: bool,
}

/// `text` after all `edits`, each on the result of those before. The error is for the model.
pub(super) fn apply(text: &str, edits: &[Replacement]) -> Result<String, String> {
    let mut result = text.to_owned();
    for (at, edit) in edits.iter().enumerate() {
        result = apply_one(&result, edit).map_err(|error| match edits.len() {
            1 => error,
            count => format!("edit {} of {count}: {error}", at + 1),
        })?;
    }
    if result == text {
        return Err("the edits change nothing".to_owned());
    }
    Ok(result)
}

fn apply_one(text: &str, edit: &Replacement) -> Result<String, String> {
    if edit.old.is_empty() {
        return Err(
            "`old_text` is empty: give the text to replace, or use `write` for a whole file"
                .to_owned(),
        );
    }
    if edit.old == edit.new {
        return Err("`old_text` and `new_text` are equal".to_owned());
    }
    let places =
        if edit.all { all_places(text, &edit.old) } else { vec![one_place(text, &edit.old)?] };
    if places.is_empty() {
        return Err(missing::explain(text, &edit.old));
    }
    let mut result = String::with_capacity(text.len() + edit.new.len());
    let mut done = 0;
    for place in places {
        result.push_str(text.get(done..place.start).unwrap_or_default());
        result.push_str(&fitted(text, &place, edit));
        done = place.end;
    }
    result.push_str(text.get(done..).unwrap_or_default());
    Ok(result)
}

/// The only place of `old`: as it is, else with line endings taken as equal.
fn one_place(text: &str, old: &str) -> Result<Range<usize>, String> {
    let mut places = overlapping(text, old);
    if places.is_empty() {
        let flat = Flat::of(text);
        places = overlapping(&flat.text, &unix(old))
            .into_iter()
            .map(|place| flat.origin(&place))
            .collect();
    }
    let lines: Vec<String> = places
        .iter()
        .take(LINES_SHOWN)
        .map(|place| line_at(text, place.start).to_string())
        .collect();
    match (places.len(), places.pop()) {
        (1, Some(place)) => Ok(place),
        (0, _) | (_, None) => Err(missing::explain(text, old)),
        (count, Some(_)) => {
            let more = if count > lines.len() { ", …" } else { "" };
            let many = if count >= COUNT_LIMIT { "at least " } else { "" };
            Err(format!(
                "`old_text` is there {many}{count} times, at lines {}{more}: add lines around it to say \
                 which one, or set `replace_all`",
                lines.join(", ")
            ))
        }
    }
}

fn all_places(text: &str, old: &str) -> Vec<Range<usize>> {
    let (flat, old) = (Flat::of(text), unix(old));
    flat.text.match_indices(&old).map(|(at, _)| flat.origin(&(at..at + old.len()))).collect()
}

/// Every place of `old`, those that overlap included: each is one that could be meant.
fn overlapping(text: &str, old: &str) -> Vec<Range<usize>> {
    let step = old.chars().next().map_or(1, char::len_utf8);
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(old)).map(|at| from + at) {
        places.push(at..at + old.len());
        if places.len() >= COUNT_LIMIT {
            break;
        }
        from = at + step;
    }
    places
}

/// The new text of `place`, with the line endings that are usual there.
fn fitted(text: &str, place: &Range<usize>, edit: &Replacement) -> String {
    if edit.new.contains('\r') && text.get(place.clone()) == Some(edit.old.as_str()) {
        // The model says itself which endings it means.
        return edit.new.clone();
    }
    let new = unix(&edit.new);
    let inside = text.get(place.clone()).unwrap_or_default();
    let after = text.get(place.end..).unwrap_or_default();
    let before = text.get(..place.start).unwrap_or_default();
    let windows = first_ending(inside).or_else(|| first_ending(after)).or_else(|| {
        before.rfind('\n').map(|at| before.get(..at).unwrap_or_default().ends_with('\r'))
    });
    if windows == Some(true) { new.replace('\n', "\r\n") } else { new }
}

/// Whether the first line of `text` ends as on Windows; `None` without an ending.
fn first_ending(text: &str) -> Option<bool> {
    text.find('\n').map(|at| text.get(..at).unwrap_or_default().ends_with('\r'))
}

fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn line_at(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// A text with `\n` for every line ending, and the way back.
struct Flat {
    text: String,
    /// Where, in `text`, a `\r` was taken from before a `\n`. Ascending.
    removed: Vec<usize>,
}

impl Flat {
    fn of(text: &str) -> Self {
        let removed =
            text.match_indices("\r\n").enumerate().map(|(count, (at, _))| at - count).collect();
        Self { text: unix(text), removed }
    }

    /// The range of the original text that became `range`.
    fn origin(&self, range: &Range<usize>) -> Range<usize> {
        let back = |at: usize| at + self.removed.partition_point(|removed| *removed < at);
        back(range.start)..back(range.end)
    }
}

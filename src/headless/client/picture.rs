//! A screen as text that is the same each time: no durations, no ids, long things cut.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::screen::{Author, Call, Dialog, DialogState, Entry, Screen, piece, text};
use crate::headless::{diff, policy};
use crate::letters::cut;

/// Lines and characters of a line that are shown of a call's content.
const MOST_LINES: usize = 14;
const LONGEST_LINE: usize = 160;

/// What a user sees of one session.
pub(super) fn lines(screen: &Screen, marks_late: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in &screen.entries {
        match entry {
            Entry::Message(message) => {
                let who = match message.author {
                    Author::User => "user",
                    Author::Agent => "agent",
                    Author::Thought => "thought",
                };
                lines.extend(block(
                    &(who.to_owned() + late(marks_late && message.is_late)),
                    &message.text,
                ));
            }
            Entry::Call(call) => lines.extend(of_call(call, marks_late && call.is_late)),
            Entry::Note(text) => lines.extend(block("note", text)),
        }
    }
    if !screen.plan.is_empty() {
        lines.push("plan:".to_owned());
        let entry = |(content, status): &(String, String)| format!("  [{status}] {content}");
        lines.extend(screen.plan.iter().map(entry));
    }
    lines.push(format!("prompt: {}", if screen.is_busy() { "busy" } else { "free" }));
    lines.extend(screen.typed.iter().map(|text| format!("  typed, not sent: {text}")));
    lines.into_iter().map(|line| masked(&line)).collect()
}

fn late(is_marked: bool) -> &'static str {
    if is_marked { " (above the prompt)" } else { "" }
}

/// `who: first line`, and the others below it.
fn block(who: &str, text: &str) -> Vec<String> {
    let mut lines = text.trim_matches('\n').lines();
    let first = format!("{who}: {}", lines.next().unwrap_or_default());
    let below = lines.map(|line| if line.is_empty() { String::new() } else { format!("  {line}") });
    std::iter::once(first.trim_end().to_owned()).chain(below).collect()
}

fn of_call(call: &Call, is_marked: bool) -> Vec<String> {
    let words = ["call", &call.kind, &call.title].into_iter().filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    let head = format!("{} [{}]{}", words.join(" "), call.status, late(is_marked));
    let mut lines = vec![head];
    let content: Vec<String> = call.content.iter().flat_map(shown).collect();
    // How far a task is when somebody looks is a matter of chance: only its state counts.
    let is_over = call.is_over();
    let most = if call.is_card && !is_over { 1 } else { MOST_LINES };
    let left_out = content.len().saturating_sub(most);
    for line in content.iter().take(most) {
        let line = if call.is_card && !is_over { standing(line) } else { line };
        lines.push(format!("  | {}", cut(line, LONGEST_LINE)).trim_end().to_owned());
    }
    if left_out > 0 && !call.is_card {
        lines.push(format!("  | … {left_out} lines more"));
    }
    lines.extend(call.dialog.as_ref().map(of_dialog));
    lines
}

/// `running` of `running · 3 steps`.
fn standing(line: &str) -> &str {
    line.split(" · ").next().unwrap_or_default()
}

fn shown(part: &Value) -> Vec<String> {
    match text(part, "type") {
        "content" => {
            let content = piece(part.get("content").unwrap_or(&Value::Null));
            content.lines().map(str::to_owned).collect()
        }
        "diff" => {
            let (added, removed) = diff::counts(text(part, "oldText"), text(part, "newText"));
            vec![format!("diff {} +{added} -{removed}", text(part, "path"))]
        }
        other => vec![other.to_owned()],
    }
}

fn of_dialog(dialog: &Dialog) -> String {
    let state = match dialog.state {
        DialogState::Open => "open".to_owned(),
        DialogState::Answered(answer) => policy::word(answer).to_owned(),
        DialogState::Withdrawn => "withdrawn".to_owned(),
        DialogState::Closed => "closed by an update, unanswered".to_owned(),
    };
    format!("  ? {} [{}]: {state}", dialog.title, dialog.options.join(" "))
}

/// Without what time makes of it: how long something took, and whether it took long enough to be said.
fn masked(line: &str) -> String {
    static TIMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let time = r"\b\d+ (?:s|min|h)\b(?: \d+ (?:s|min)\b)?";
        Regex::new(&format!(
            r#"{time}(?:(?: ·|,) waited {time})?|\b\d\d:\d\d(?: UTC)?\b|(_seconds":)\d+"#
        ))
        .ok()
    });
    TIMES
        .as_ref()
        .map_or_else(|| line.to_owned(), |times| times.replace_all(line, "${1}(time)").into_owned())
}

/// The lines of several sessions; with one there is no heading.
pub(super) fn all<'a>(
    screens: impl ExactSizeIterator<Item = (usize, &'a Screen)>,
    marks_late: bool,
) -> Vec<String> {
    let has_several = screens.len() > 1;
    screens
        .flat_map(|(number, screen)| {
            let heading = has_several.then(|| format!("session {number}:"));
            heading.into_iter().chain(lines(screen, marks_late))
        })
        .collect()
}

/// The text of a prompt as the user sees it.
pub(super) fn prompt(content: &Value) -> String {
    let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
    blocks.iter().map(piece).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_masked_and_numbers_are_not() {
        for (line, expected) in [
            ("completed · 0 s", "completed · (time)"),
            ("worked 1 min 12 s · 12 tokens", "worked (time) · 12 tokens"),
            ("worked 1 min 12 s · waited 2 s · 12 tokens", "worked (time) · 12 tokens"),
            ("worked 0 s, waited 1 s", "worked (time)"),
            ("since 09:17 UTC", "since (time)"),
            (r#"{"working_seconds":12}"#, r#"{"working_seconds":(time)}"#),
            ("3 sessions, 2 hats", "3 sessions, 2 hats"),
        ] {
            assert_eq!(masked(line), expected);
        }
    }

    #[test]
    fn further_lines_stand_below_the_first() {
        assert_eq!(block("agent", "a\n\nb\n"), ["agent: a", "", "  b"]);
        assert_eq!(block("agent", ""), ["agent:"]);
    }
}

//! The words in which slash commands of tasks are answered. They are sentences for a user.

use std::fmt::Write as _;

use crate::letters;
use crate::tasks::engine::State;
use crate::tasks::{
    Cancelled, Change, ChangedFile, Changes, Checked, Collected, Pending, Row, Started, Steered,
    TaskName, files_counted,
};
use crate::tools::fenced;

/// Characters of a goal in a list.
const GOAL_CHARS: usize = 80;
/// Characters of a diff.
const DIFF_CHARS: usize = 16_000;

pub(super) fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn started(started: &Started) -> String {
    let Started { task_id, state, place } = started;
    match place {
        Some(place) => format!("`{task_id}` is {state}, at place {place}."),
        None => format!("`{task_id}` is {state}. It reports by itself when it is done."),
    }
}

pub(super) fn listed(rows: &[Row], state: Option<State>) -> String {
    if rows.is_empty() {
        return match state {
            Some(state) => format!("No task of this session is {state}."),
            None => "This session has no tasks. `/task GOAL` starts one.".to_owned(),
        };
    }
    let row = |row: &Row| {
        let mut text = format!("- `{}` {}", row.task_id, row.state);
        if let Some(place) = row.place {
            write!(text, ", place {place}").ok();
        }
        write!(text, ", asked for {} ago: {}", duration(row.age_seconds), short(&row.goal)).ok();
        if let Some(question) = &row.question {
            write!(text, "\n  - {}", asks(&row.task_id, question)).ok();
        }
        text
    };
    lines(rows.iter().map(row))
}

fn asks(task: &str, question: &Pending) -> String {
    let since = duration(question.since_seconds);
    format!("asked {since} ago: {} (`/allow {task}`, `/deny {task}`)", question.call)
}

pub(super) fn checked(checked: &Checked) -> String {
    let mut text = format!("`{}` {}", checked.task_id, checked.state);
    if let Some(place) = checked.place {
        write!(text, ", place {place}").ok();
    }
    writeln!(text, ": {}", short(&checked.goal)).ok();
    write!(
        text,
        "- {} old, worked {}, waited {}\n- {}, {}, {}",
        duration(checked.age_seconds),
        duration(checked.working_seconds),
        duration(checked.waiting_seconds),
        counted(checked.steps, "request"),
        counted(checked.calls, "call"),
        counted(checked.tokens, "token"),
    )
    .ok();
    if let Some(cost) = checked.cost {
        write!(text, ", {cost:.4} USD").ok();
    }
    if let Some(question) = &checked.question {
        write!(text, "\n- {}", asks(&checked.task_id, question)).ok();
    }
    if let Some(quiet) = checked.quiet_seconds {
        write!(text, "\n- no sign of life for {}", duration(quiet)).ok();
    }
    if let Some(unread) = checked.unread_messages {
        write!(text, "\n- {} to it not seen yet", counted(unread, "message")).ok();
    }
    if let Some(error) = &checked.error {
        write!(text, "\n- {error}").ok();
    }
    if !checked.lines.is_empty() {
        write!(text, "\n\n{}", fenced(&checked.lines.join("\n"))).ok();
    }
    text
}

pub(super) fn steered(steered: &Steered) -> String {
    let Steered { task_id, receipt, state } = steered;
    match *receipt {
        "missed" => format!("`{task_id}` is {state}: it does not see the message."),
        "delivered" => format!("`{task_id}` has the message."),
        _ if *state == State::Interrupted => format!(
            "`{task_id}` is interrupted: it sees the message when `/resume {task_id}` lets it go on."
        ),
        _ => format!("`{task_id}` sees the message before its next request to the model."),
    }
}

pub(super) fn collected(collected: &Collected) -> String {
    let mut text =
        format!("`{}` {}: {}", collected.task_id, collected.state, short(&collected.goal));
    if let Some(place) = collected.place {
        write!(text, "\nIt is queued, at place {place}.").ok();
    }
    if collected.state == State::Interrupted {
        write!(text, "\n`/resume {}` lets it go on.", collected.task_id).ok();
    }
    if let Some(error) = &collected.error {
        write!(text, "\n{error}").ok();
    }
    if !collected.files_written.is_empty() {
        write!(text, "\nFiles written: {}", collected.files_written.join(", ")).ok();
    }
    if let Some(changes) = &collected.changes {
        let name = &collected.task_id;
        write!(text, "\n{}: `/diff {name}`, `/merge {name}`, `/discard {name}`", changes.summary())
            .ok();
        text.push_str(&uncommitted(changes));
    }
    for error in &collected.schema_errors {
        write!(text, "\n- {error}").ok();
    }
    match (&collected.report, &collected.partial) {
        (Some(report), _) => write!(text, "\n\n{report}").ok(),
        (None, Some(partial)) => write!(text, "\n\nSo far:\n\n{partial}").ok(),
        (None, None) => None,
    };
    text
}

pub(super) fn changed(name: &TaskName, state: State, changes: &Changes) -> String {
    let mut text = format!("`{name}` {state}, {}", changes.summary());
    text.push_str(&uncommitted(changes));
    if changes.diff.is_empty() {
        return text;
    }
    let (diff, is_cut) = changes.shown(DIFF_CHARS);
    write!(text, "\n\n{}", fenced(diff).replacen('\n', "diff\n", 1)).ok();
    if is_cut {
        let base = changes.base.get(..12).unwrap_or(&changes.base);
        let all = format!("`git diff {base} {}` shows what is committed of it", changes.branch);
        write!(text, "\n\nThe rest is left out; {all}.").ok();
    }
    text
}

fn uncommitted(changes: &Changes) -> String {
    match changes.uncommitted {
        0 => String::new(),
        count => format!(
            "\nIt did not have what was not committed when it began: {}.",
            files_counted(count)
        ),
    }
}

pub(super) fn merged(files: &[ChangedFile]) -> String {
    if files.is_empty() {
        return "There was nothing to merge: no file was changed.".to_owned();
    }
    let line = |file: &ChangedFile| {
        let change = match file.change {
            Change::Added => "added",
            Change::Modified => "modified",
            Change::Deleted => "deleted",
        };
        format!("- {change}: {}", file.path)
    };
    let count = files_counted(files.len());
    format!(
        "Merged into the working tree, not committed: {count}.\n{}",
        lines(files.iter().map(line))
    )
}

pub(super) fn cancelled(all: &[Cancelled]) -> String {
    if all.is_empty() {
        return "No task of this session runs or waits.".to_owned();
    }
    lines(all.iter().map(|Cancelled { task_id, state, .. }| format!("`{task_id}` is {state}.")))
}

fn short(goal: &str) -> String {
    letters::cut(&letters::one_line(goal), GOAL_CHARS)
}

fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

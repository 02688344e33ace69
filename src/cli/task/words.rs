//! What the answers of a server say in words, for people. Texts of models and files drive no terminal.

use std::fmt::Write as _;

use talaria_protocol::task::{
    AnswerTaskResponse, CancelledTask, Change, ChangedFile, CheckTaskResponse, CollectedTask,
    Receipt, StartedTask, SteerTaskResponse, TaskChanges, TaskQuestion, TaskState, TaskSummary,
};

use super::screen::fit;
use crate::headless::lines::Standing;
use crate::headless::print::without_control;
use crate::letters::{self, grouped};
use crate::tasks::card::{duration, how_it_ended, queued, waits};

/// Characters of a goal where it stands beside something.
const GOAL: usize = 60;

pub(super) const STATES: [TaskState; 7] = [
    TaskState::Queued,
    TaskState::Running,
    TaskState::Waiting,
    TaskState::Interrupted,
    TaskState::Completed,
    TaskState::Failed,
    TaskState::Cancelled,
];

pub(super) fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::Queued => "queued",
        TaskState::Running => "running",
        TaskState::Waiting => "waiting",
        TaskState::Interrupted => "interrupted",
        TaskState::Completed => "completed",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
    }
}

/// Text that may be shown on a terminal.
pub(super) fn shown(text: &str) -> String {
    without_control(text)
}

pub(super) fn seconds(seconds: u64) -> String {
    duration(std::time::Duration::from_secs(seconds))
}

/// `running`, `queued, place 2`.
fn standing(of: TaskState, place: Option<u64>) -> String {
    match place {
        Some(place) if of == TaskState::Queued => queued(place),
        _ => state(of).to_owned(),
    }
}

pub(super) fn started(task: &StartedTask) -> String {
    format!("{} {}", task.task_id, standing(task.state, task.place))
}

/// The title of a task's line, as its card has it.
pub(super) fn title(task: &str, goal: &str) -> String {
    format!("`{task}` · {}", letters::cut(&letters::one_line(goal), GOAL))
}

/// How a task stands, in the words of its card. How one ended is known from a check alone.
pub(super) fn told(task: &TaskSummary, ended: Option<&CheckTaskResponse>) -> Standing {
    let name = state(task.state);
    let details = match (&task.question, ended) {
        (Some(question), _) if task.state == TaskState::Waiting => {
            format!(
                "{} ({})",
                waits(&letters::one_line(&question.call)),
                how_to_answer(&task.task_id)
            )
        }
        (_, Some(ended)) => {
            let how = how_it_ended(name, ended.working_seconds, ended.tokens, ended.cost);
            let why = ended.error.as_ref().map(|why| format!(": {}", letters::one_line(why)));
            how + &why.unwrap_or_default()
        }
        _ if task.state == TaskState::Interrupted => {
            format!("interrupted (`talaria task resume {}`)", task.task_id)
        }
        _ => standing(task.state, task.place),
    };
    Standing { state: name.to_owned(), details }
}

fn how_to_answer(task: &str) -> String {
    format!("`talaria task answer {task} allow|always|deny`")
}

pub(super) fn checked(task: &CheckTaskResponse) -> String {
    let mut text = format!("{} {}", task.task_id, standing(task.state, task.place));
    write!(text, ": {}", letters::one_line(&task.goal)).ok();
    write!(
        text,
        "\n  {} old, worked {}, waited {}",
        seconds(task.age_seconds),
        seconds(task.working_seconds),
        seconds(task.waiting_seconds)
    )
    .ok();
    let counts = [(task.steps, "request"), (task.calls, "call"), (task.tokens, "token")];
    let counts = counts.map(|(number, noun)| counted(number, noun));
    write!(text, "\n  {}", counts.join(", ")).ok();
    if let Some(cost) = task.cost {
        write!(text, ", {cost:.4} USD").ok();
    }
    if let Some(question) = &task.question {
        write!(text, "\n  {}", asks(&task.task_id, question)).ok();
    }
    if let Some(quiet) = task.quiet_seconds {
        write!(text, "\n  no sign of life for {}", seconds(quiet)).ok();
    }
    if let Some(unread) = task.unread_messages {
        write!(text, "\n  {} to it not seen yet", counted(unread, "message")).ok();
    }
    if let Some(error) = &task.error {
        write!(text, "\n  {}", letters::one_line(error)).ok();
    }
    for line in &task.lines {
        write!(text, "\n    {line}").ok();
    }
    shown(&text)
}

fn asks(task: &str, question: &TaskQuestion) -> String {
    let call = letters::one_line(&question.call);
    format!("asks for {}: {call} ({})", seconds(question.since_seconds), how_to_answer(task))
}

pub(super) fn steered(answer: &SteerTaskResponse) -> String {
    let (task, state) = (&answer.task_id, state(answer.state));
    match answer.receipt {
        Receipt::Queued if answer.state == TaskState::Interrupted => format!(
            "{task} {state}: it sees the message when `talaria task resume {task}` lets it go on."
        ),
        Receipt::Queued => {
            format!("{task} {state}: it sees the message before its next request to the model.")
        }
        Receipt::Delivered => format!("{task} {state}: it has the message."),
        Receipt::Missed => format!("{task} {state}: it does not see the message."),
    }
}

pub(super) fn collected(task: &CollectedTask) -> String {
    let how = if task.state.is_final() {
        how_it_ended(state(task.state), task.working_seconds, task.tokens, task.cost)
    } else {
        standing(task.state, task.place)
    };
    let goal = letters::cut(&letters::one_line(&task.goal), GOAL);
    let mut text = format!("{} {how}: {goal}", task.task_id);
    if task.state == TaskState::Waiting {
        write!(text, "\n{}", how_to_answer(&task.task_id)).ok();
    }
    if task.state == TaskState::Interrupted {
        write!(text, "\n`talaria task resume {}`", task.task_id).ok();
    }
    if let Some(error) = &task.error {
        write!(text, "\n{error}").ok();
    }
    if !task.files_written.is_empty() {
        write!(text, "\nFiles written: {}", task.files_written.join(", ")).ok();
    }
    for error in &task.schema_errors {
        write!(text, "\n- {error}").ok();
    }
    if let Some(changes) = &task.changes {
        write!(text, "\n{}", summed(&task.task_id, changes)).ok();
    }
    match (&task.report, &task.partial) {
        (Some(report), _) => write!(text, "\n\n{}", report.trim_end()).ok(),
        (None, Some(partial)) => write!(text, "\n\nSo far:\n\n{}", partial.trim_end()).ok(),
        (None, None) => None,
    };
    shown(&text)
}

/// What there is to merge.
fn summed(task: &str, changes: &TaskChanges) -> String {
    let files = counted(changes.files.len() as u64, "file");
    let branch = &changes.branch;
    if changes.files.is_empty() {
        return format!("Changed nothing on branch `{branch}`.");
    }
    format!(
        "Changed {files} on branch `{branch}` (`talaria task diff {task}`, `merge {task}`, `discard {task}`)."
    )
}

pub(super) fn cancelled(tasks: &[CancelledTask]) -> String {
    if tasks.is_empty() {
        return "No task of this session runs or waits.".to_owned();
    }
    let lines: Vec<String> =
        tasks.iter().map(|task| format!("{} {}", task.task_id, state(task.state))).collect();
    lines.join("\n")
}

pub(super) fn resumed(tasks: &[StartedTask]) -> String {
    if tasks.is_empty() {
        return "No task of this session is interrupted.".to_owned();
    }
    tasks.iter().map(started).collect::<Vec<_>>().join("\n")
}

/// The tasks of a session, one a row, in so many columns; as long as they are, where nobody says how many.
pub(super) fn listed(tasks: &[TaskSummary], columns: Option<usize>) -> String {
    if tasks.is_empty() {
        return "This session has no such tasks. `talaria task spawn GOAL` starts one.".to_owned();
    }
    let cells = tasks.iter().map(|task| {
        let tokens = if task.tokens == 0 { String::new() } else { counted(task.tokens, "token") };
        let age = format!("{} old", seconds(task.age_seconds));
        [task.task_id.clone(), standing(task.state, task.place), age, tokens]
    });
    let cells: Vec<[String; 4]> = cells.collect();
    let widest = |column: usize| {
        let lengths =
            cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        lengths.max().unwrap_or_default()
    };
    let widths = [0, 1, 2, 3].map(widest);
    let mut lines = Vec::new();
    let mut push = |line: String| {
        let line = shown(line.trim_end());
        lines.push(columns.map_or(line.clone(), |columns| fit(&line, columns)));
    };
    for (task, row) in tasks.iter().zip(&cells) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        push(line + &letters::one_line(&task.goal));
        if let Some(question) = &task.question {
            push(format!("    {}", asks(&task.task_id, question)));
        }
    }
    lines.join("\n")
}

pub(super) fn answered(answer: &AnswerTaskResponse, is_shown: bool) -> String {
    let AnswerTaskResponse { task_id, state: now, question } = answer;
    let Some(question) = question else {
        let nothing = if is_shown { ": it asks for nothing" } else { "" };
        return format!("{task_id} {}{nothing}", state(*now));
    };
    let mut text = format!("{task_id} {}", asks(task_id, question));
    write!(text, "\n  question {}", question.id).ok();
    if let Some(detail) = &question.detail {
        write!(text, "\n\n{}", detail.trim_end()).ok();
    }
    shown(&text)
}

/// The files of a difference, one a line.
pub(super) fn files(files: &[ChangedFile]) -> String {
    let line = |file: &ChangedFile| {
        let letter = match file.change {
            Change::Added => 'A',
            Change::Modified => 'M',
            Change::Deleted => 'D',
        };
        let lines = match (file.added, file.removed) {
            (None, None) => "binary".to_owned(),
            (added, removed) => {
                format!("+{} -{}", added.unwrap_or_default(), removed.unwrap_or_default())
            }
        };
        format!("{letter}  {}  {lines}", letters::one_line(&file.path))
    };
    files.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn merged(tasks: &[String], changed: &[ChangedFile]) -> String {
    let tasks = letters::listed(tasks);
    if changed.is_empty() {
        return format!("{tasks} changed nothing.");
    }
    let number = counted(changed.len() as u64, "file");
    format!("{}\nMerged {tasks}: {number}. Nothing is staged or committed.", files(changed))
}

fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;

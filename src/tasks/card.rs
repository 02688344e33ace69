//! The card of a task: what the parent session's client sees of it, and how often. It is a picture of how
//! the task stands; it decides nothing of the task.

mod throttle;

use std::fmt;
use std::time::Duration;

use serde_json::json;

use crate::event::{CallContent, CallStatus, CallUpdate, TaskMark, ToolKind};
use crate::ids::CallId;
use crate::letters::{self, cut, grouped};
use crate::redact::Mask;
use crate::tasks::engine::State;
use crate::tasks::runner::Pulse;
use crate::tasks::{Collected, TaskName};
use crate::transcript::Content;

pub use throttle::Throttle;

/// The tool whose call a card looks like, whoever asked for the task.
const TOOL: &str = "delegate_task_async";
/// Characters of the goal in a title.
const TITLE: usize = 60;
const MOST_LINES: usize = 12;
const MOST_BYTES: usize = 2 * 1024;
/// Characters of a single line, but of a report.
const LONGEST_LINE: usize = 300;

/// Whose card it is.
#[derive(Debug, Clone, Copy)]
pub struct Face<'a> {
    /// As the card's session names it.
    pub name: &'a TaskName,
    /// From 1. Each has a card of its own.
    pub attempt: u64,
    pub goal: &'a str,
}

/// How the task stands.
#[derive(Debug, Clone, Copy)]
pub enum Picture<'a> {
    /// Its place, from 1.
    Queued {
        place: usize,
    },
    Running {
        pulse: &'a Pulse,
    },
    /// It, or a task below it, asks.
    Waiting {
        asker: &'a TaskName,
        title: &'a str,
        pulse: &'a Pulse,
    },
    Interrupted,
    /// Its state is final.
    Ended {
        collected: &'a Collected,
    },
}

impl Picture<'_> {
    pub fn state(self) -> State {
        match self {
            Self::Queued { .. } => State::Queued,
            Self::Running { .. } => State::Running,
            Self::Waiting { .. } => State::Waiting,
            Self::Interrupted => State::Interrupted,
            Self::Ended { collected } => collected.state,
        }
    }
}

/// The id of a task's card.
pub fn id(name: &TaskName, attempt: u64) -> CallId {
    let suffix = if attempt > 1 { format!("-{attempt}") } else { String::new() };
    CallId::new(format!("task-{name}{suffix}"))
}

/// The id under which a root session shows a call of a task that asks.
pub fn asked_id(name: &TaskName, call: &CallId) -> CallId {
    CallId::new(format!("task-{name}/{call}"))
}

/// The title of that call.
pub fn asked_title(name: &TaskName, title: &str) -> String {
    format!("`{name}` · {title}")
}

/// What the card of an interrupted task says.
pub fn interrupted(name: impl fmt::Display) -> String {
    format!("interrupted: the process that ran it ended\n`/resume {name}` lets it go on")
}

/// Whether a card says that its task was interrupted.
pub fn is_interrupted(card: &CallUpdate) -> bool {
    card.task.as_ref().is_some_and(|task| task.state == State::Interrupted.name())
}

/// What the card of a queued task says.
pub fn queued(place: impl fmt::Display) -> String {
    format!("queued, place {place}")
}

/// The first line of the card of a task that asks.
pub fn waits(title: &str) -> String {
    format!("waiting for permission: {title}")
}

/// The card, whole. It says the same for as long as nothing but time has passed.
pub fn card(face: Face<'_>, picture: Picture<'_>, mask: &Mask) -> CallUpdate {
    let goal = mask.hide(face.goal);
    let title = cut(&letters::one_line(&goal), TITLE);
    CallUpdate {
        tool: Some(TOOL.to_owned()),
        title: Some(asked_title(face.name, &title)),
        kind: Some(ToolKind::Think),
        input: Some(json!({ "task_id": face.name.to_string(), "goal": goal })),
        ..update(face, picture, mask)
    }
}

/// The card without what never changes in it.
pub fn update(face: Face<'_>, picture: Picture<'_>, mask: &Mask) -> CallUpdate {
    let state = picture.state();
    let status = match state {
        State::Queued => CallStatus::Pending,
        State::Running | State::Waiting => CallStatus::InProgress,
        State::Completed => CallStatus::Completed,
        State::Failed | State::Cancelled | State::Interrupted => CallStatus::Failed,
    };
    let text = text(face.name, picture, mask);
    CallUpdate {
        content: Some(vec![CallContent::Content(Content::text(text))]),
        task: Some(TaskMark { id: face.name.to_string(), state: state.name().to_owned() }),
        ..CallUpdate::new(id(face.name, face.attempt)).with_status(status)
    }
}

fn text(name: &TaskName, picture: Picture<'_>, mask: &Mask) -> String {
    match picture {
        Picture::Queued { place } => queued(place),
        Picture::Running { pulse } => {
            let mut head = vec![format!("running{}", work(pulse))];
            if pulse.is_stalled {
                let since = pulse.sign.rfc3339();
                let time = since.get(11..16).unwrap_or_default();
                head.push(format!(
                    "no sign of life since {time} UTC; it goes on, and `/cancel {name}` ends it"
                ));
            }
            with_tail(head, pulse, mask)
        }
        Picture::Waiting { asker, title, pulse } => {
            let title = cut(&letters::one_line(&mask.hide(title)), LONGEST_LINE);
            let head = vec![
                waits(&title),
                format!("answer the dialog, or `/allow {asker}`, `/deny {asker}`"),
            ];
            with_tail(head, pulse, mask)
        }
        Picture::Interrupted => interrupted(name),
        Picture::Ended { collected } => ended(name, collected, mask),
    }
}

/// " · 3 steps · 5 calls · 12 000 tokens": what there is of it.
fn work(pulse: &Pulse) -> String {
    let mut work = String::new();
    for (count, one, many) in [
        (pulse.steps, "step", "steps"),
        (pulse.calls, "call", "calls"),
        (pulse.tokens, "token", "tokens"),
    ] {
        if count > 0 {
            let noun = if count == 1 { one } else { many };
            work.push_str(&format!(" · {} {noun}", grouped(count)));
        }
    }
    work + &cost(pulse.cost)
}

fn with_tail(mut head: Vec<String>, pulse: &Pulse, mask: &Mask) -> String {
    // A fence has two lines of its own.
    let places = MOST_LINES - head.len() - 2;
    let mut left = MOST_BYTES - head.iter().map(|line| line.len() + 1).sum::<usize>();
    let mut lines = Vec::new();
    for line in pulse.tail.lines(places, mask).into_iter().rev() {
        let line = cut(&line, LONGEST_LINE);
        // The two lines of the fence are as long as the longest row of ticks asks for.
        let fence = 2 * (longest_ticks(&line).max(2) + 2);
        let Some(rest) = left.checked_sub(line.len() + 1 + fence) else { break };
        left = rest;
        lines.push(line);
    }
    if !lines.is_empty() {
        lines.reverse();
        let ticks = lines.iter().map(|line| longest_ticks(line)).max().unwrap_or_default();
        let fence = "`".repeat(ticks.max(2) + 1);
        head.extend([fence.clone()].into_iter().chain(lines).chain([fence]));
    }
    head.join("\n")
}

/// How it ended, and the report's head.
fn ended(name: &TaskName, collected: &Collected, mask: &Mask) -> String {
    let (state, seconds) = (collected.state.name(), collected.working_seconds);
    let mut text = how_it_ended(state, seconds, collected.tokens, collected.cost);
    if let Some(error) = &collected.error {
        text.push_str(&format!("\n{}", cut(&letters::one_line(&mask.hide(error)), LONGEST_LINE)));
    }
    if let Some(changes) = &collected.changes {
        text.push_str(&format!("\n{}", cut(&mask.hide(&changes.summary()), LONGEST_LINE)));
        if !changes.files.is_empty() {
            text.push_str(&format!(
                "\n`/diff {name}` shows it; `/merge {name}` or `/discard {name}`"
            ));
        }
    }
    let report = mask.hide(collected.report.as_deref().unwrap_or_default());
    let report = report.trim_end().trim_start_matches(['\n', '\r']);
    if report.is_empty() {
        return text;
    }
    text.push_str("\n\n");
    // Room for the end of a fence and for the last line.
    let last = format!("\n… `/collect {name}` shows all of it");
    let (lines, bytes) = (text.lines().count(), text.len());
    let whole = report.lines().count() + lines <= MOST_LINES && report.len() + bytes <= MOST_BYTES;
    if whole {
        return text + report;
    }
    let (mut lines, mut left) = (lines + 2, MOST_BYTES.saturating_sub(bytes + last.len() + 16));
    let mut fence: Option<usize> = None;
    for line in report.lines() {
        let part = if line.len() < left {
            line
        } else {
            line.get(..line.floor_char_boundary(left)).unwrap_or_default()
        };
        if lines >= MOST_LINES || left == 0 {
            break;
        }
        let ticks = part.trim_start().bytes().take_while(|byte| *byte == b'`').count();
        fence = match fence {
            Some(open) if ticks >= open => None,
            None if ticks >= 3 => Some(ticks),
            same => same,
        };
        text.push_str(part);
        text.push('\n');
        lines += 1;
        left = left.saturating_sub(part.len() + 1);
    }
    if let Some(ticks) = fence {
        text.push_str(&"`".repeat(ticks.min(16)));
    } else {
        text.pop();
    }
    text + &last
}

/// "completed · 12 s · 1 200 tokens": the first line of the card of a task that is over.
pub fn how_it_ended(state: &str, working_seconds: u64, tokens: u64, price: Option<f64>) -> String {
    let time = duration(Duration::from_secs(working_seconds));
    let tokens = match tokens {
        0 => String::new(),
        tokens => format!(" · {} tokens", grouped(tokens)),
    };
    format!("{state} · {time}{tokens}{}", cost(price))
}

/// " · $0.25"; nothing where the price is not known.
pub(super) fn cost(cost: Option<f64>) -> String {
    match cost {
        Some(cost) if cost >= 0.005 => format!(" · ${cost:.2}"),
        Some(cost) if cost > 0.0 => " · less than $0.01".to_owned(),
        _ => String::new(),
    }
}

fn longest_ticks(line: &str) -> usize {
    line.split(|letter| letter != '`').map(str::len).max().unwrap_or_default()
}

/// `2 min 5 s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests;

//! What a task leaves behind: its report as the engine keeps it, as `collect_task` gives it, and as the
//! frame in which the parent's model is given it. It decides nothing of the task.

mod fit;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::letters::{self, cut, grouped};
use crate::redact::Mask;
use crate::tasks::card::{cost, duration};
use crate::tasks::engine::{Outcome, Report, State, Task};
use crate::tasks::runner::Pulse;
use crate::tasks::{Changes, Collected, Details, TaskName, files_counted};

pub use fit::{fitted, fitted_text};

/// Characters of the goal and of the context in a frame.
const LONGEST_GOAL: usize = 500;
/// Files that a frame names; the rest is counted.
const MOST_FILES: usize = 50;
/// Characters of a diff in a frame.
const DIFF: usize = 8_000;

/// What the engine keeps of a report beside its text: `engine::Report::details`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    pub child: SessionId,
    pub steps: u64,
    pub calls: u64,
    /// In and out together.
    pub tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    pub working_ms: u64,
    pub waiting_ms: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files_written: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schema_errors: Vec<String>,
    /// Of an isolated task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Why the branch of an isolated task may lack some of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsealed: Option<String>,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            child: SessionId::new(""),
            steps: 0,
            calls: 0,
            tokens: 0,
            cost: None,
            working_ms: 0,
            waiting_ms: 0,
            files_written: Vec::new(),
            schema_errors: Vec::new(),
            changes: None,
            unsealed: None,
        }
    }
}

impl Work {
    /// What a task did until now.
    pub fn of(child: SessionId, pulse: &Pulse, now: Timestamp) -> Self {
        Self {
            child,
            steps: pulse.steps,
            calls: pulse.calls,
            tokens: pulse.tokens,
            cost: pulse.cost,
            working_ms: millis(pulse.working(now)),
            waiting_ms: millis(pulse.waiting(now)),
            files_written: pulse.files_written.clone(),
            ..Self::default()
        }
    }

    pub(super) fn of_child(child: SessionId) -> Self {
        Self { child, ..Self::default() }
    }

    /// What a report says of it; nothing where it was made without a worker.
    pub(super) fn read(report: &Report) -> Option<Self> {
        Self::deserialize(&report.details).ok()
    }
}

/// A task that nobody runs here: what the engine has of it. `outcome` is absent where it has not ended, and
/// `left` where nothing was left by attempts that were lost.
pub fn collected(
    name: &TaskName,
    task: &Task,
    outcome: Option<&Outcome>,
    left: Option<&Report>,
) -> Collected {
    let status = &task.status;
    let error = match outcome {
        None | Some(Outcome::Completed { .. }) => None,
        Some(Outcome::Failed { message: error, .. } | Outcome::Cancelled { reason: error, .. }) => {
            Some(error.clone())
        }
    };
    let report = outcome.map(Outcome::report);
    let text = |report: &Report| Some(report.text.clone()).filter(|text| !text.is_empty());
    let work = report.or(left).and_then(Work::read).unwrap_or_else(|| Work {
        tokens: status.usage.input.saturating_add(status.usage.output),
        cost: (status.cost > 0.0).then_some(status.cost),
        ..Work::default()
    });
    let error = match (error, work.unsealed) {
        (Some(error), Some(unsealed)) => Some(format!("{error}; {unsealed}")),
        (error, unsealed) => error.or(unsealed),
    };
    Collected {
        task_id: name.to_string(),
        goal: task.spec.goal.clone(),
        state: outcome.map_or(status.state, Outcome::state),
        place: None,
        report: report.and_then(text),
        partial: left.and_then(text),
        error,
        working_seconds: work.working_ms / 1_000,
        waiting_seconds: work.waiting_ms / 1_000,
        tokens: work.tokens,
        cost: work.cost,
        files_written: work.files_written,
        schema_errors: work.schema_errors,
        changes: work.changes,
        is_unread: false,
    }
}

/// A task that runs: what there is of it.
pub fn so_far(
    name: &TaskName,
    goal: &str,
    state: State,
    pulse: &Pulse,
    (now, mask): (Timestamp, &Mask),
) -> Collected {
    Collected {
        task_id: name.to_string(),
        goal: mask.hide(goal).into_owned(),
        state,
        place: None,
        report: None,
        partial: pulse.partial(mask),
        error: None,
        working_seconds: pulse.working(now).as_secs(),
        waiting_seconds: pulse.waiting(now).as_secs(),
        tokens: pulse.tokens,
        cost: pulse.cost,
        files_written: pulse.files_written.clone(),
        schema_errors: Vec::new(),
        changes: None,
        is_unread: false,
    }
}

/// The report for the parent's model. It makes sense late, and to who has forgotten the task. `age` is
/// since the task was asked for, `most` the characters of the report that are given.
pub fn frame(collected: &Collected, details: &Details, age: Duration, most: u32) -> String {
    let line = |text: &str| escaped(&cut(&letters::one_line(text), LONGEST_GOAL));
    let (name, state) = (&collected.task_id, collected.state);
    let mut text = format!("<task_report id=\"{name}\" state=\"{state}\">\n");
    text.push_str(&format!("goal: {}\n", line(&collected.goal)));
    if let Some(context) = &details.context {
        text.push_str(&format!("context: {}\n", line(context)));
    }
    let worked = duration(Duration::from_secs(collected.working_seconds));
    text.push_str(&format!("asked for {} ago · worked {worked}", duration(age)));
    if collected.waiting_seconds > 0 {
        let waited = duration(Duration::from_secs(collected.waiting_seconds));
        text.push_str(&format!(" · waited {waited}"));
    }
    let tokens = grouped(collected.tokens);
    text.push_str(&format!(" · {tokens} tokens{}\n", cost(collected.cost)));
    if let Some(changes) = &collected.changes {
        text.push_str(&format!("{}\n", escaped(&letters::one_line(&changes.summary()))));
        text.push_str(&match (changes.files.as_slice(), details.depth) {
            ([], _) => String::new(),
            (_, 0 | 1) => format!(
                "That is not in your working folder: the user decides with `/merge {name}` or `/discard {name}`.\n"
            ),
            (_, _) => "That is not in your working folder, only on the branch.\n".to_owned(),
        });
        if changes.uncommitted > 0 {
            text.push_str(&format!(
                "It did not have what was not committed when it began: {}.\n",
                files_counted(changes.uncommitted)
            ));
        }
    }
    let files = &collected.files_written;
    // Those of an isolated task are in its tree.
    if !files.is_empty() && collected.changes.is_none() {
        let names: Vec<String> = files.iter().take(MOST_FILES).map(|file| line(file)).collect();
        let more = files.len().saturating_sub(MOST_FILES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text.push_str(&format!("files written: {}{more}\n", names.join(", ")));
    }
    if let Some(error) = &collected.error {
        text.push_str(&format!("{state}: {}\n", line(error)));
    }
    for problem in &collected.schema_errors {
        text.push_str(&format!("against `output_schema`: {}\n", line(problem)));
    }
    let report = collected.report.as_deref().unwrap_or_default().trim();
    if report.is_empty() {
        text.push_str("\nIt said nothing.\n");
    } else {
        let what = if state == State::Completed { "" } else { "What it had said last:\n\n" };
        text.push_str(&format!("\n{what}{}\n", shortened(&escaped(report), most, name)));
    }
    if let Some(changes) = collected.changes.as_ref().filter(|changes| !changes.diff.is_empty()) {
        let (diff, is_cut) = changes.shown(DIFF);
        text.push_str(&format!("\nIts diff:\n{}", escaped(diff)));
        if !diff.ends_with('\n') {
            text.push('\n');
        }
        if is_cut {
            text.push_str(&format!(
                "[… the rest is left out; the branch has it, and `/diff {name}` …]\n"
            ));
        }
    }
    text + "</task_report>"
}

/// How the task ended that a frame is of; nothing where it is none.
pub fn state_of(frame: &str) -> Option<State> {
    let (head, _) = frame.strip_prefix("<task_report ")?.split_once('>')?;
    let (_, state) = head.split_once("state=\"")?;
    let (name, _) = state.split_once('"')?;
    State::ALL.into_iter().find(|state| state.is_final() && state.name() == name)
}

/// Head and tail of a report, with a line between.
fn shortened(report: &str, most: u32, name: &str) -> String {
    let (count, most) = (report.chars().count(), most as usize);
    if count <= most {
        return report.to_owned();
    }
    let head = most - most / 4;
    let head: String = report.chars().take(head).collect();
    let tail: String = report.chars().skip(count - most / 4).collect();
    let left_out = grouped((count - most) as u64);
    format!(
        "{head}\n[… {left_out} characters are left out here; `collect_task` with the task id `{name}` \
         gives all of it …]\n{tail}"
    )
}

/// The text without anything that looks like the beginning or the end of a report.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, part) in text.split('<').enumerate() {
        if at > 0 {
            let name =
                part.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '/');
            let is_marker =
                name.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("task_report"));
            escaped.push_str(if is_marker { "&lt;" } else { "<" });
        }
        escaped.push_str(part);
    }
    escaped
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

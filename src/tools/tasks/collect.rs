//! The tool `collect_task`: the whole reports of tasks, waited for. A user who speaks meanwhile ends the
//! wait, never the tasks.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

use super::input::{list, tasks};
use super::{Stop, door, prepared, shown};
use crate::event::ToolKind;
use crate::model::ToolSpec;
use crate::tasks::engine::State;
use crate::tasks::{Collected, Door, TaskError, TaskName, Wait};
use crate::tools::input::Fields;
use crate::tools::{Context, Effect, Prepared, Ran, Tool};

const DEFAULT_SECONDS: u64 = 300;
const MOST_SECONDS: u64 = 3_600;
/// Characters of the diff of an isolated task.
const DIFF: usize = 8_000;

/// What came of a wait.
pub(super) enum Over {
    Cancelled,
    With { tasks: Tasks, note: Option<String> },
}

/// The tasks that were waited for.
#[derive(Serialize)]
pub(super) struct Tasks {
    pub(super) tasks: Vec<Collected>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Tasks {
    pub(super) fn with(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }
}

/// Why a wait ended.
enum Ended {
    Cancelled,
    Over,
    Attention,
    PromptWaits,
    Timeout,
}

/// Waits for tasks, at most `limit`, and not when the user speaks. They go on whatever ends the wait.
pub(super) async fn wait(
    door: &Door,
    context: &Context,
    names: Vec<TaskName>,
    wait: Wait,
    limit: Option<Duration>,
) -> Result<Over, TaskError> {
    let begin = door.tasks.wait(names, wait);
    let mut waiting = tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Ok(Over::Cancelled),
        waiting = begin => waiting?,
    };
    let timeout = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        () = context.cancel.cancelled() => Ended::Cancelled,
        () = waiting.over() => Ended::Over,
        () = context.attention.cancelled() => Ended::Attention,
        () = context.prompt_waits.cancelled() => Ended::PromptWaits,
        () = timeout => Ended::Timeout,
    };
    if matches!(ended, Ended::Cancelled) {
        return Ok(Over::Cancelled);
    }
    // A task that waited takes its slot again for it.
    let tasks = tokio::select! {
        biased;
        () = context.cancel.cancelled() => return Ok(Over::Cancelled),
        tasks = waiting.collect() => tasks,
    };
    if tasks.is_empty() {
        return Err(TaskError::Closed);
    }
    let short = |task: Collected| {
        let changes = task.changes.map(|changes| changes.cut(DIFF));
        Collected { changes, ..task }
    };
    let tasks: Vec<Collected> = tasks.into_iter().map(short).collect();
    let note = note(&ended, &tasks);
    Ok(Over::With { tasks: Tasks { tasks, note: None }, note })
}

/// What to say of the tasks that have not ended.
fn note(ended: &Ended, tasks: &[Collected]) -> Option<String> {
    let names = |is_meant: fn(State) -> bool| -> Vec<&str> {
        let meant = tasks.iter().filter(|task| is_meant(task.state));
        meant.map(|task| task.task_id.as_str()).collect()
    };
    let interrupted = names(|state| state == State::Interrupted);
    let going = names(|state| !state.is_final() && state != State::Interrupted);
    let mut notes: Vec<String> = Vec::new();
    match ended {
        Ended::Attention => notes.push("the user has written to you, so the wait ended".to_owned()),
        Ended::PromptWaits => notes.push(
            "the user's next message waits for this turn to end, so the wait ended".to_owned(),
        ),
        Ended::Timeout => notes.push("the time is over".to_owned()),
        Ended::Over | Ended::Cancelled => {}
    }
    match going.as_slice() {
        [] => {}
        [one] => notes
            .push(format!("{one} goes on in the background, and its report will come by itself")),
        several => notes.push(format!(
            "{} go on in the background, and their reports will come by themselves",
            several.join(", ")
        )),
    }
    if !interrupted.is_empty() {
        notes.push(format!(
            "{}: interrupted, only the user can resume such tasks, with `/resume`",
            interrupted.join(", ")
        ));
    }
    let all_ended = going.is_empty() && interrupted.is_empty();
    (!all_ended).then(|| notes.join("; "))
}

/// Those whose whole report the answer has.
pub(super) fn gave(tasks: &[Collected]) -> Vec<u64> {
    let whole = |task: &&Collected| {
        let is_there = task.report.is_some() || task.error.is_some();
        task.state.is_final() && is_there && !task.is_unread
    };
    let names = tasks.iter().filter(whole).filter_map(|task| task.task_id.parse().ok());
    // Of the session's own tasks alone are there reports.
    let own = |name: TaskName| match name.path() {
        [number] => Some(*number),
        _ => None,
    };
    names.filter_map(own).collect()
}

pub(super) struct Collect;

struct Input {
    names: Vec<TaskName>,
    seconds: u64,
    wait: Wait,
}

impl Input {
    fn of(input: &Value) -> Result<Self, String> {
        let fields = Fields::of(input)?;
        let wait = match fields.optional_word(&["wait", "wait_for"])?.as_deref() {
            None | Some("all") => Wait::All,
            Some("any") => Wait::Any,
            Some(other) => {
                return Err(format!("the field `wait` is `{other}`: `all` or `any` is expected"));
            }
        };
        let seconds =
            fields.number_in(&["timeout_seconds", "timeout"], 0..=MOST_SECONDS, DEFAULT_SECONDS)?;
        Ok(Self { names: tasks(&fields)?, seconds, wait })
    }
}

impl Tool for Collect {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "collect_task".to_owned(),
            description: format!(
                "Wait for tasks and get their whole reports. At the timeout ({DEFAULT_SECONDS} s unless \
                 given, at most {MOST_SECONDS}): state and partial output; they go on."
            ),
            schema: json!({
                "type": "object",
                "properties": {
                    "task_ids": {"type": "array", "items": {"type": "string"}},
                    "timeout_seconds": {"type": "integer"},
                    "wait": {"enum": ["all", "any"], "description": "Default `all`"}
                },
                "required": ["task_ids"]
            }),
        }
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Read
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move { Ok(prepared(format!("Collect {}", list(&Input::of(input)?.names)))) }.boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move { collect(input, context).await.unwrap_or_else(Ran::from) }.boxed()
    }
}

async fn collect(input: &Value, context: &Context) -> Result<Ran, Stop> {
    let Input { names, seconds, wait: until } = Input::of(input)?;
    let door = door(context)?;
    let limit = Some(Duration::from_secs(seconds));
    match wait(door, context, names, until, limit).await? {
        Over::Cancelled => {
            let reason = "the turn was cancelled while it waited; the tasks go on".to_owned();
            Err(Stop::Cancelled(reason))
        }
        Over::With { tasks, note } => {
            let gave = gave(&tasks.tasks);
            let text = text(&tasks.tasks, note.as_deref());
            let mut ran = shown(&tasks.with(note), text)?;
            ran.gave = gave;
            Ok(ran)
        }
    }
}

/// For the user, who has the tasks' cards beside it.
fn text(tasks: &[Collected], note: Option<&str>) -> String {
    let line = |task: &Collected| match &task.error {
        Some(error) => format!("`{}` {}: {error}", task.task_id, task.state),
        None => format!("`{}` {}", task.task_id, task.state),
    };
    let mut lines: Vec<String> = tasks.iter().map(line).collect();
    lines.extend(note.map(str::to_owned));
    lines.join("  \n")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect;

    use super::{Collected, Ended, State, gave, note};

    fn collected(
        task_id: &str,
        state: State,
        report: Option<&str>,
        error: Option<&str>,
    ) -> Collected {
        Collected {
            task_id: task_id.to_owned(),
            goal: "goal".to_owned(),
            state,
            place: None,
            report: report.map(str::to_owned),
            partial: None,
            error: error.map(str::to_owned),
            working_seconds: 1,
            waiting_seconds: 0,
            tokens: 10,
            cost: None,
            files_written: Vec::new(),
            schema_errors: Vec::new(),
            changes: None,
            is_unread: false,
        }
    }

    #[test]
    fn what_goes_on_is_named() {
        let done = collected("t1", State::Completed, Some("report"), None);
        let running = collected("t2", State::Running, None, None);
        let waiting = collected("t3", State::Waiting, None, None);
        let interrupted = collected("t4", State::Interrupted, None, None);
        let mut text = String::new();
        for (ended, tasks) in [
            (Ended::Over, [&done, &done]),
            (Ended::Timeout, [&done, &done]),
            (Ended::Over, [&done, &running]),
            (Ended::Timeout, [&running, &waiting]),
            (Ended::Attention, [&running, &interrupted]),
            (Ended::PromptWaits, [&done, &running]),
            (Ended::Over, [&done, &interrupted]),
        ] {
            let tasks: Vec<Collected> = tasks.into_iter().cloned().collect();
            writeln!(text, "{:?}", note(&ended, &tasks)).unwrap();
        }
        expect![[r#"
            None
            None
            Some("t2 goes on in the background, and its report will come by itself")
            Some("the time is over; t2, t3 go on in the background, and their reports will come by themselves")
            Some("the user has written to you, so the wait ended; t2 goes on in the background, and its report will come by itself; t4: interrupted, only the user can resume such tasks, with `/resume`")
            Some("the user's next message waits for this turn to end, so the wait ended; t2 goes on in the background, and its report will come by itself")
            Some("t4: interrupted, only the user can resume such tasks, with `/resume`")
        "#]].assert_eq(&text);
    }

    #[test]
    fn whole_reports_are_given() {
        let tasks = [
            collected("t1", State::Completed, Some("report"), None),
            collected("t2", State::Running, None, None),
            collected("t3", State::Failed, None, Some("the model refused")),
            collected("t4", State::Interrupted, None, Some("its process ended")),
            collected("t5.1", State::Completed, Some("report"), None),
            collected("t6", State::Cancelled, Some(""), None),
            Collected {
                is_unread: true,
                ..collected("t7", State::Completed, None, Some("tasks cannot be reached now"))
            },
        ];
        assert_eq!(gave(&tasks), [1, 3, 6]);
    }
}

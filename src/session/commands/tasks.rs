//! The slash commands of tasks: how they are read, what they ask of the tasks, and the words of the answer.
//! They only translate: each is one operation of `tasks::TasksHandle`.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::event::CommandSpec;
use crate::letters;
use crate::permission::Answer;
use crate::tasks::engine::State;
use crate::tasks::{
    Caller, Cancelled, Checked, Collected, NewTask, Pending, Row, Started, Steered, TaskError,
    TaskName, TasksHandle, Wait, Which,
};
use crate::tools::fenced;
use crate::transcript::Content;

/// Lines that `/check` shows.
const LINES: usize = 10;
/// Characters of a goal in a list.
const GOAL_CHARS: usize = 80;

/// What clients list of them.
pub(super) const COMMANDS: [CommandSpec; 11] = [
    CommandSpec {
        name: "task",
        description: "Start a task in the background",
        hint: Some("what it is to do"),
    },
    CommandSpec {
        name: "tasks",
        description: "List the tasks of this session",
        hint: Some("a state, such as running"),
    },
    CommandSpec { name: "check", description: "Show how a task stands", hint: Some("t1") },
    CommandSpec {
        name: "steer",
        description: "Say something to a running task",
        hint: Some("t1 and the message"),
    },
    CommandSpec {
        name: "collect",
        description: "Show the report of a task, or what there is of it",
        hint: Some("t1"),
    },
    CommandSpec {
        name: "cancel",
        description: "Cancel a task",
        hint: Some("t1 and, if you like, why"),
    },
    CommandSpec { name: "stop", description: "Cancel all tasks", hint: None },
    CommandSpec {
        name: "allow",
        description: "Allow what a task asks for",
        hint: Some("t1, or t1 always"),
    },
    CommandSpec {
        name: "deny",
        description: "Refuse what a task asks for",
        hint: Some("t1 and, if you like, why"),
    },
    CommandSpec {
        name: "resume",
        description: "Let interrupted tasks go on",
        hint: Some("t1 or all"),
    },
    CommandSpec {
        name: "detach",
        description: "Do not wait for tasks: answer the prompt that waits for them",
        hint: None,
    },
];

/// A command of tasks, as it was typed.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::session) enum TaskCommand {
    Start(NewTask),
    List(Option<State>),
    Check(Vec<TaskName>),
    Steer(TaskName, String),
    Collect(Vec<TaskName>),
    Cancel(Vec<TaskName>, Option<String>),
    Stop,
    Answer(TaskName, Answer, Option<String>),
    Resume(Which),
    /// It cannot be read so: how it is typed.
    Misread(String),
}

/// Reads a command of tasks; nothing where `name` is none. `content` is the whole prompt: what a client
/// put before the typed text is context for a new task.
pub(super) fn parse(name: &str, rest: Option<&str>, content: &[Content]) -> Option<TaskCommand> {
    let rest = rest.unwrap_or_default().trim();
    Some(match name {
        "task" => start(rest, content),
        "tasks" => list(rest),
        "check" => names(rest, "check").map_or_else(misread, TaskCommand::Check),
        "collect" => names(rest, "collect").map_or_else(misread, TaskCommand::Collect),
        "steer" => match named(rest) {
            Some((task, text)) if !text.is_empty() => TaskCommand::Steer(task, text.to_owned()),
            _ => misread("`/steer t1 MESSAGE`".to_owned()),
        },
        "cancel" => cancel(rest),
        "stop" => TaskCommand::Stop,
        "allow" => match named(rest) {
            Some((task, "")) => TaskCommand::Answer(task, Answer::AllowOnce, None),
            Some((task, "always")) => TaskCommand::Answer(task, Answer::AllowAlways, None),
            _ => misread("`/allow t1`, or `/allow t1 always`".to_owned()),
        },
        "deny" => match named(rest) {
            Some((task, why)) => {
                let why = Some(why.to_owned()).filter(|why| !why.is_empty());
                TaskCommand::Answer(task, Answer::RejectOnce, why)
            }
            None => misread("`/deny t1`, with the reason behind it if you like".to_owned()),
        },
        "resume" => match rest {
            "all" | "" => TaskCommand::Resume(Which::All),
            name => match TaskName::from_str(name) {
                Ok(task) => TaskCommand::Resume(Which::One(task)),
                Err(()) => misread("`/resume t1`, or `/resume all`".to_owned()),
            },
        },
        _ => return None,
    })
}

fn misread(usage: String) -> TaskCommand {
    TaskCommand::Misread(usage)
}

fn start(goal: &str, content: &[Content]) -> TaskCommand {
    if goal.is_empty() {
        return misread("`/task GOAL`, such as `/task review src/main.rs`".to_owned());
    }
    let typed = content.iter().rposition(|content| matches!(content, Content::Text { .. }));
    let beside: Vec<String> = content
        .iter()
        .enumerate()
        .filter(|(at, _)| Some(*at) != typed)
        .filter_map(|(_, content)| match content {
            Content::Text { text } => Some(text.clone()),
            Content::Link { uri, name } => Some(format!("{name}: {uri}")),
            Content::Resource { uri, text } => Some(format!("{uri}:\n{text}")),
            // A task takes pictures as files.
            Content::Image { .. } => None,
        })
        .collect();
    TaskCommand::Start(NewTask {
        goal: goal.to_owned(),
        context: Some(beside.join("\n\n")).filter(|context| !context.trim().is_empty()),
        ..NewTask::default()
    })
}

fn list(state: &str) -> TaskCommand {
    if state.is_empty() {
        return TaskCommand::List(None);
    }
    if let Some(state) = State::ALL.into_iter().find(|known| known.name() == state) {
        return TaskCommand::List(Some(state));
    }
    let known: Vec<&str> = State::ALL.into_iter().map(State::name).collect();
    misread(format!("`/tasks`, with one of these behind it: {}", known.join(", ")))
}

/// The first word as a task, and what follows it.
fn named(rest: &str) -> Option<(TaskName, &str)> {
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some((TaskName::from_str(name.trim_end_matches([',', ':'])).ok()?, rest.trim()))
}

fn names(rest: &str, command: &str) -> Result<Vec<TaskName>, String> {
    let words = rest.split([',', ' ']).filter(|word| !word.is_empty());
    let names: Result<Vec<TaskName>, ()> = words.map(TaskName::from_str).collect();
    match names {
        Ok(names) if !names.is_empty() => Ok(names),
        _ => Err(format!("`/{command} t1`; `/tasks` lists them")),
    }
}

/// Names first, the reason behind them.
fn cancel(rest: &str) -> TaskCommand {
    let mut tasks = Vec::new();
    let mut rest = rest;
    while let Some((task, behind)) = named(rest) {
        tasks.push(task);
        rest = behind;
        // A reason may begin with a number.
        if !rest.starts_with(['t', 'T', '`']) {
            break;
        }
    }
    if tasks.is_empty() {
        return misread(
            "`/cancel t1`, with the reason behind it if you like; `/stop` cancels all".to_owned(),
        );
    }
    TaskCommand::Cancel(tasks, Some(rest.to_owned()).filter(|why| !why.is_empty()))
}

/// Does what a command says; the words of the answer.
pub(in crate::session) async fn run(
    command: TaskCommand,
    tasks: &TasksHandle,
    caller: Caller,
) -> String {
    match answer(command, tasks, caller).await {
        Ok(text) => text,
        Err(error) => error.fault().sentence(),
    }
}

async fn answer(
    command: TaskCommand,
    tasks: &TasksHandle,
    caller: Caller,
) -> Result<String, TaskError> {
    Ok(match command {
        TaskCommand::Start(task) => {
            lines(tasks.start(caller, vec![task]).await?.iter().map(started))
        }
        TaskCommand::List(state) => listed(&tasks.list(state).await?, state),
        TaskCommand::Check(names) => {
            let mut texts = Vec::new();
            for name in names {
                texts.push(checked(&tasks.check(&name, LINES).await?));
            }
            texts.join("\n\n")
        }
        TaskCommand::Steer(task, text) => steered(&tasks.steer(&task, text).await?),
        TaskCommand::Collect(names) => {
            // The chat stays free: what there is now is shown.
            let collected = tasks.wait(names, Wait::All).await?.collect().await;
            collected.iter().map(self::collected).collect::<Vec<_>>().join("\n\n")
        }
        TaskCommand::Cancel(names, why) => {
            let mut all = Vec::new();
            for name in names {
                all.extend(tasks.cancel(Which::One(name), why.clone()).await?);
            }
            cancelled(&all)
        }
        TaskCommand::Stop => {
            let reason = Some("the user stopped all tasks".to_owned());
            cancelled(&tasks.cancel(Which::All, reason).await?)
        }
        TaskCommand::Answer(task, answer, why) => answered(tasks, &task, answer, why).await?,
        TaskCommand::Resume(which) => match tasks.resume(which).await? {
            resumed if resumed.is_empty() => "No task of this session is interrupted.".to_owned(),
            resumed => lines(resumed.iter().map(started)),
        },
        TaskCommand::Misread(usage) => format!("Type it as {usage}."),
    })
}

async fn answered(
    tasks: &TasksHandle,
    task: &TaskName,
    answer: Answer,
    why: Option<String>,
) -> Result<String, TaskError> {
    let state = tasks.answer(task, answer).await?;
    if let Some(why) = why {
        tasks.steer(task, format!("The user refused that: {why}")).await?;
    }
    let done = match answer {
        Answer::AllowOnce => "may do that",
        Answer::AllowAlways => "may do that, and what is like it, in this session",
        Answer::RejectOnce | Answer::RejectAlways | Answer::Unanswered => "may not do that",
    };
    Ok(format!("`{task}` {done}. It is {state}."))
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn started(started: &Started) -> String {
    let Started { task_id, state, place } = started;
    match place {
        Some(place) => format!("`{task_id}` is {state}, at place {place}."),
        None => format!("`{task_id}` is {state}. It reports by itself when it is done."),
    }
}

fn listed(rows: &[Row], state: Option<State>) -> String {
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

fn checked(checked: &Checked) -> String {
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
    if let Some(error) = &checked.error {
        write!(text, "\n- {error}").ok();
    }
    if !checked.lines.is_empty() {
        write!(text, "\n\n{}", fenced(&checked.lines.join("\n"))).ok();
    }
    text
}

fn steered(steered: &Steered) -> String {
    let Steered { task_id, receipt, state } = steered;
    match *receipt {
        "missed" => format!("`{task_id}` is {state}: it does not see the message."),
        "delivered" => format!("`{task_id}` has the message."),
        _ => format!("`{task_id}` sees the message before its next request to the model."),
    }
}

fn collected(collected: &Collected) -> String {
    let mut text =
        format!("`{}` {}: {}", collected.task_id, collected.state, short(&collected.goal));
    if let Some(place) = collected.place {
        write!(text, "\nIt is queued, at place {place}.").ok();
    }
    if let Some(error) = &collected.error {
        write!(text, "\n{error}").ok();
    }
    if !collected.files_written.is_empty() {
        write!(text, "\nFiles written: {}", collected.files_written.join(", ")).ok();
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

fn cancelled(all: &[Cancelled]) -> String {
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

#[cfg(test)]
mod tests;

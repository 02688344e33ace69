//! The slash commands of tasks: how they are read, what they ask of the tasks, and the words of the answer.
//! They only translate: each is one operation of `tasks::TasksHandle`.

#[cfg(test)]
mod tests;
mod words;

use std::str::FromStr;

use crate::event::CommandSpec;
use crate::permission::Answer;
use crate::tasks::engine::State;
use crate::tasks::{Caller, NewTask, TaskError, TaskName, TasksHandle, Wait, Which};
use crate::transcript::Content;
use words::{cancelled, changed, checked, lines, listed, merged, started, steered};

/// Lines that `/check` shows.
const LINES: usize = 10;

/// What clients list of them.
pub(super) const COMMANDS: [CommandSpec; 14] = [
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
        name: "diff",
        description: "Show what a task with a worktree of its own changed",
        hint: Some("t1"),
    },
    CommandSpec {
        name: "merge",
        description: "Bring the changes of such tasks into the working tree: of all, or of none",
        hint: Some("t1 t2"),
    },
    CommandSpec {
        name: "discard",
        description: "Throw the changes of such tasks away",
        hint: Some("t1 t2"),
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
    Diff(Vec<TaskName>),
    Merge(Vec<TaskName>),
    Discard(Vec<TaskName>),
    /// It cannot be read so: how it is typed.
    Misread(String),
}

/// Reads a command of tasks; nothing where `name` is none. What the prompt has `beside` the typed text is
/// context for a new task.
pub(super) fn parse(name: &str, rest: Option<&str>, beside: &[&Content]) -> Option<TaskCommand> {
    let rest = rest.unwrap_or_default().trim();
    Some(match name {
        "task" => start(rest, beside),
        "tasks" => list(rest),
        "check" => names(rest, "check").map_or_else(misread, TaskCommand::Check),
        "collect" => names(rest, "collect").map_or_else(misread, TaskCommand::Collect),
        "diff" => names(rest, "diff").map_or_else(misread, TaskCommand::Diff),
        "merge" => names(rest, "merge").map_or_else(misread, TaskCommand::Merge),
        "discard" => names(rest, "discard").map_or_else(misread, TaskCommand::Discard),
        "steer" => match named(rest) {
            Some((task, text)) if !text.is_empty() => TaskCommand::Steer(task, text.to_owned()),
            _ => misread("`/steer t1 MESSAGE`".to_owned()),
        },
        "cancel" => cancel(rest),
        "stop" => TaskCommand::Stop,
        "allow" => match named(rest) {
            Some((task, "")) => TaskCommand::Answer(task, Answer::AllowOnce, None),
            Some((task, always)) if always.eq_ignore_ascii_case("always") => {
                TaskCommand::Answer(task, Answer::AllowAlways, None)
            }
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
            all if all.is_empty() || all.eq_ignore_ascii_case("all") => {
                TaskCommand::Resume(Which::All)
            }
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

fn start(goal: &str, beside: &[&Content]) -> TaskCommand {
    if goal.is_empty() {
        return misread("`/task GOAL`, such as `/task review src/main.rs`".to_owned());
    }
    let beside: Vec<String> = beside
        .iter()
        .filter_map(|content| match content {
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
    if let Some(state) =
        State::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(state))
    {
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
    let words = rest
        .split(|char: char| char == ',' || char.is_whitespace())
        .filter(|word| !word.is_empty());
    let names: Result<Vec<TaskName>, ()> = words.map(TaskName::from_str).collect();
    match names {
        Ok(names) if !names.is_empty() => Ok(names),
        _ => Err(format!("`/{command} t1`; `/tasks` lists them")),
    }
}

/// Names, or one of them and the reason behind it: this may name other tasks.
fn cancel(rest: &str) -> TaskCommand {
    if let Ok(tasks) = names(rest, "cancel") {
        return TaskCommand::Cancel(tasks, None);
    }
    match named(rest) {
        Some((task, why)) => {
            let why = Some(why.to_owned()).filter(|why| !why.is_empty());
            TaskCommand::Cancel(vec![task], why)
        }
        None => misread(
            "`/cancel t1`, with the reason behind it if you like; `/stop` cancels all".to_owned(),
        ),
    }
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
            collected.iter().map(words::collected).collect::<Vec<_>>().join("\n\n")
        }
        TaskCommand::Cancel(names, why) => {
            cancelled(&tasks.cancel(Which::Several(names), why).await?)
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
        TaskCommand::Diff(names) => {
            let mut texts = Vec::new();
            for name in names {
                let (state, changes) = tasks.diff(&name).await?;
                texts.push(changed(&name, state, &changes));
            }
            texts.join("\n\n")
        }
        TaskCommand::Merge(names) => merged(&tasks.merge(names).await?),
        TaskCommand::Discard(names) => {
            let discarded = tasks.discard(names).await?;
            lines(discarded.iter().map(|name| format!("The changes of `{name}` are discarded.")))
        }
        TaskCommand::Misread(usage) => format!("Type it as {usage}."),
    })
}

async fn answered(
    tasks: &TasksHandle,
    task: &TaskName,
    answer: Answer,
    why: Option<String>,
) -> Result<String, TaskError> {
    let state = tasks.answer(task, None, answer, why).await?;
    let done = match answer {
        Answer::AllowOnce => "may do that",
        Answer::AllowAlways => "may do that, and what is like it, in this session",
        Answer::RejectOnce | Answer::RejectAlways | Answer::Unanswered => "may not do that",
    };
    Ok(format!("`{task}` {done}. It is {state}."))
}

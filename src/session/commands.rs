//! Slash commands: the list, and how a prompt is read as one. They run without the model, also while a
//! turn runs.

mod tasks;

use crate::event::CommandSpec;
use crate::transcript::Content;

pub(super) use tasks::{TaskCommand, run};

/// Those that a session has whether it may have tasks or not.
const COMMANDS: [CommandSpec; 5] = [
    CommandSpec { name: "help", description: "List the commands and what they do", hint: None },
    CommandSpec {
        name: "model",
        description: "Show the model, or switch to another one",
        hint: Some("name of a model"),
    },
    CommandSpec {
        name: "mode",
        description: "Show the mode, or switch to another one",
        hint: Some("ask, accept-edits, plan or bypass"),
    },
    CommandSpec { name: "usage", description: "Show tokens and cost of this session", hint: None },
    CommandSpec { name: "version", description: "Show Talaria's version", hint: None },
];

/// A command with what follows its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Task(TaskCommand),
    Help,
    Detach,
    Model(Option<String>),
    Mode(Option<String>),
    Usage,
    Version,
}

/// Reads a prompt as a command. Clients put context before what the user typed, so the last text block
/// counts; a path such as `/usr/bin` is no command.
pub(super) fn parse(content: &[Content]) -> Option<Command> {
    let typed = content.iter().rev().find_map(|content| match content {
        Content::Text { text } => Some(text.trim()),
        Content::Image { .. } | Content::Link { .. } | Content::Resource { .. } => None,
    })?;
    let (name, rest) = match typed.strip_prefix('/')?.split_once(char::is_whitespace) {
        Some((name, rest)) => (name, Some(rest.trim().to_owned()).filter(|rest| !rest.is_empty())),
        None => (typed.strip_prefix('/')?, None),
    };
    match name {
        "help" => Some(Command::Help),
        "detach" => Some(Command::Detach),
        "model" => Some(Command::Model(rest)),
        "mode" => Some(Command::Mode(rest)),
        "usage" => Some(Command::Usage),
        "version" => Some(Command::Version),
        _ => tasks::parse(name, rest.as_deref(), content).map(Command::Task),
    }
}

/// What clients list.
pub(super) fn list(has_tasks: bool) -> Vec<CommandSpec> {
    let of_tasks = if has_tasks { &tasks::COMMANDS[..] } else { &[] };
    [&COMMANDS, of_tasks].concat()
}

/// The answer to `/help`.
pub(super) fn help(has_tasks: bool) -> String {
    let mut text = String::from("Commands:\n");
    for command in list(has_tasks) {
        let hint = command.hint.map(|hint| format!(" [{hint}]")).unwrap_or_default();
        text.push_str(&format!("- `/{}`{hint}: {}\n", command.name, command.description));
    }
    text
}

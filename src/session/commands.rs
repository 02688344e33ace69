//! Slash commands: the list, and how a prompt is read as one. They run without the model, also while a
//! turn runs.

mod tasks;
#[cfg(test)]
mod tests;

use std::ops::Range;

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

/// Reads a prompt as a command. Clients put context before what the user typed, so the last text counts; a
/// path such as `/usr/bin` is no command. A mention parts what was typed into several blocks: there the
/// first text counts, with all that is behind it.
pub(super) fn parse(content: &[Content]) -> Option<Command> {
    let has_words = |content: &Content| is_text(content, |text| !text.trim().is_empty());
    let last = content.iter().rposition(has_words)?;
    read(content, last..last + 1).or_else(|| {
        let first = content.iter().position(has_words)?;
        let is_parted = !is_text(content.get(first + 1)?, |_| true);
        is_parted.then(|| read(content, first..content.len()))?
    })
}

fn is_text(content: &Content, holds: impl Fn(&str) -> bool) -> bool {
    match content {
        Content::Text { text } => holds(text),
        Content::Image { .. } | Content::Link { .. } | Content::Resource { .. } => false,
    }
}

/// The same where it is known which blocks were typed.
fn read(content: &[Content], typed: Range<usize>) -> Option<Command> {
    let (Content::Text { text }, mentions) = content.get(typed.start..)?.split_first()? else {
        return None;
    };
    let text = text.trim_start().strip_prefix('/')?;
    let (name, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    let mut rest = rest.to_owned();
    // The last words of a message may be a mention as well.
    let behind = if name == "steer" { mentions.len() } else { typed.len() - 1 };
    // A goal is a title too, and what is mentioned is in the context of its task.
    let is_title = name == "task";
    rest.extend(mentions.iter().take(behind).map(|content| words(content, is_title)));
    let rest = Some(rest.trim().to_owned()).filter(|rest| !rest.is_empty());
    match name {
        "help" => Some(Command::Help),
        "detach" => Some(Command::Detach),
        "model" => Some(Command::Model(rest)),
        "mode" => Some(Command::Mode(rest)),
        "usage" => Some(Command::Usage),
        "version" => Some(Command::Version),
        _ => {
            let is_typed = |at, content| typed.contains(&at) && is_text(content, |_| true);
            let beside = content.iter().enumerate().filter(|(at, beside)| !is_typed(*at, beside));
            let beside: Vec<&Content> = beside.map(|(_, beside)| beside).collect();
            tasks::parse(name, rest.as_deref(), &beside).map(Command::Task)
        }
    }
}

/// What stands for a block within a text.
fn words(content: &Content, is_title: bool) -> String {
    match content {
        Content::Text { text } => text.clone(),
        Content::Link { name, .. } if is_title => name.clone(),
        Content::Link { uri, name } => format!("[{name}]({uri})"),
        Content::Resource { uri, .. } if is_title => {
            uri.rsplit('/').next().unwrap_or(uri).to_owned()
        }
        Content::Resource { uri, .. } => uri.clone(),
        Content::Image { .. } => String::new(),
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

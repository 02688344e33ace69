//! Slash commands: the list, and how a prompt is read as one. They run without the model, also while a
//! turn runs.

use crate::event::CommandSpec;
use crate::transcript::Content;

/// What clients list.
pub const COMMANDS: [CommandSpec; 5] = [
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Help,
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
        "model" => Some(Command::Model(rest)),
        "mode" => Some(Command::Mode(rest)),
        "usage" => Some(Command::Usage),
        "version" => Some(Command::Version),
        _ => None,
    }
}

/// The answer to `/help`.
pub(super) fn help() -> String {
    let mut text = String::from("Commands:\n");
    for command in COMMANDS {
        let hint = command.hint.map(|hint| format!(" [{hint}]")).unwrap_or_default();
        text.push_str(&format!("- `/{}`{hint}: {}\n", command.name, command.description));
    }
    text
}

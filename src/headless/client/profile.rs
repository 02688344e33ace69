//! The clients that `talaria drive --as` plays: one table of what each sends and what its rules are. It plays
//! nothing.
//!
//! Each fact was seen on the wire and on the client's own screen in November 2026, or read in its source: the
//! versions are in `editors/README.md`. Where nothing was seen, the row says what was taken.

use serde_json::{Value, json};

use crate::viewer::Late;

/// A client that scripts can be played as.
#[derive(Debug)]
pub struct Profile {
    /// Its name for `--as`.
    pub name: &'static str,
    /// `clientInfo`: name and version.
    pub(crate) info: Option<(&'static str, &'static str)>,
    capabilities: fn() -> Value,
    /// Its class: what an agent may count on.
    pub(crate) late: Late,
    /// What its screen makes of text, thoughts, calls and plans that come while no prompt is open.
    pub(crate) shows_late: ShowsLate,
    /// Which pieces of the agent's text are one bubble.
    pub(crate) joins: Joins,
    /// What it does with updates of a session that it does not know.
    pub(crate) foreign: Foreign,
    /// What the user's sending does while a prompt is open.
    pub(crate) sends: WhileBusy,
    rules: &'static [Rule],
}

/// What becomes of what comes while no prompt is open, on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShowsLate {
    /// It is shown like everything else.
    Plainly,
    /// It is shown above the input, with a busy mark.
    AbovePrompt,
    /// It is never seen, and nobody answers a question.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    /// Those of one message.
    Message,
    /// Those of one turn, and those between two turns. A bubble that came late is taken over by the next turn,
    /// which writes over it.
    Turn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    Dropped,
    /// It is shown in the session that is open.
    Merged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhileBusy {
    /// A second prompt, at once.
    Prompts,
    /// Cancel, the answer to the first, then the prompt.
    Cancels,
    /// Nothing until the first is answered; the text stays in the input.
    Waits,
}

/// Something that a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Stop marks every call that is not over as cancelled, of whatever turn.
    StopMarksCalls,
    /// Stop sends something also with no prompt open.
    StopsIdle,
    /// A status for a call with an open dialog closes the dialog, unanswered.
    StatusClosesDialog,
    /// A change of an unknown call is shown as a failed call "Tool call not found", else as a call of its own.
    MissesUnknownCalls,
    /// `refusal` takes the user's message and all behind it away.
    RefusalRemoves,
    /// A slash command that the agent did not list is not sent.
    OnlyListedCommands,
    /// `session/list` goes before and behind each prompt.
    PollsList,
    /// This kind of update is answered with an error.
    ComplainsOf(&'static str),
}

/// All of them; ours is the first.
pub static PROFILES: [Profile; 7] = [
    // Ours: `talaria drive` where it plays nobody else.
    Profile {
        name: "talaria",
        info: Some(("talaria", env!("CARGO_PKG_VERSION"))),
        capabilities: || json!({}),
        late: Late::Shown,
        shows_late: ShowsLate::Plainly,
        joins: Joins::Message,
        foreign: Foreign::Merged,
        sends: WhileBusy::Prompts,
        rules: &[Rule::StopsIdle],
    },
    // Read in its source, autumn of 2026: `agent_servers/src/acp.rs` and `acp_thread/src/acp_thread.rs`.
    Profile {
        name: "zed",
        info: Some(("zed", "0.999.0")),
        capabilities: || {
            json!({
                "fs": {"readTextFile": true, "writeTextFile": true},
                "terminal": true,
                "auth": {"terminal": true},
                "session": {"configOptions": {"boolean": {}}},
                "elicitation": {"form": {}, "url": {}},
                "_meta": {"terminal_output": true, "terminal-auth": true},
            })
        },
        late: Late::Shown,
        shows_late: ShowsLate::Plainly,
        joins: Joins::Message,
        foreign: Foreign::Dropped,
        sends: WhileBusy::Cancels,
        rules: &[
            Rule::StopMarksCalls,
            Rule::StatusClosesDialog,
            Rule::MissesUnknownCalls,
            Rule::RefusalRemoves,
            Rule::OnlyListedCommands,
        ],
    },
    // Toad 0.6.20, seen in tmux.
    Profile {
        name: "toad",
        info: Some(("toad", "0.6.20")),
        capabilities: files_and_terminals,
        late: Late::Shown,
        shows_late: ShowsLate::Plainly,
        joins: Joins::Message,
        foreign: Foreign::Merged,
        sends: WhileBusy::Prompts,
        rules: &[
            Rule::ComplainsOf("session_info_update"),
            Rule::ComplainsOf("config_option_update"),
        ],
    },
    // agent-shell 0.74.3 in Emacs, seen. What it does with a second message was not seen: taken to wait.
    Profile {
        name: "agent-shell",
        info: Some(("agent-shell", "0.74.3")),
        capabilities: files,
        late: Late::Shown,
        shows_late: ShowsLate::AbovePrompt,
        joins: Joins::Message,
        foreign: Foreign::Merged,
        sends: WhileBusy::Waits,
        rules: &[Rule::PollsList],
    },
    // VS Code with vscode-acp 0.2.0, seen. A second message: taken to wait.
    Profile {
        name: "vscode",
        info: Some(("vscode-acp-client", "0.2.0")),
        capabilities: files_and_terminals,
        late: Late::ShownTwice,
        shows_late: ShowsLate::Plainly,
        joins: Joins::Turn,
        foreign: Foreign::Dropped,
        sends: WhileBusy::Waits,
        rules: &[],
    },
    // CodeCompanion v19 in Neovim, seen.
    Profile {
        name: "codecompanion",
        info: Some(("CodeCompanion.nvim", "1.0.0")),
        capabilities: files,
        late: Late::Lost,
        shows_late: ShowsLate::Never,
        joins: Joins::Message,
        foreign: Foreign::Dropped,
        sends: WhileBusy::Waits,
        rules: &[],
    },
    // Nobody in particular: what an agent has to count on where it knows nothing. It says no name, advertises
    // nothing, has no lock on its input, and shows what comes of any session while its prompt is open.
    Profile {
        name: "unknown",
        info: None,
        capabilities: || json!({}),
        late: Late::Lost,
        shows_late: ShowsLate::Never,
        joins: Joins::Message,
        foreign: Foreign::Merged,
        sends: WhileBusy::Prompts,
        rules: &[Rule::StopsIdle],
    },
];

fn files() -> Value {
    json!({"fs": {"readTextFile": true, "writeTextFile": true}})
}

fn files_and_terminals() -> Value {
    json!({"fs": {"readTextFile": true, "writeTextFile": true}, "terminal": true})
}

/// Ours.
pub fn own() -> &'static Profile {
    let [own, ..] = &PROFILES;
    own
}

/// The client of that name.
pub fn named(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

impl Profile {
    /// What its `initialize` says of it.
    pub(crate) fn introduction(&self) -> Value {
        let mut introduction = json!({"clientCapabilities": (self.capabilities)()});
        if let (Some((name, version)), Some(fields)) = (self.info, introduction.as_object_mut()) {
            fields.insert("clientInfo".to_owned(), json!({"name": name, "version": version}));
        }
        introduction
    }

    pub(crate) fn has(&self, rule: Rule) -> bool {
        self.rules.contains(&rule)
    }

    /// Whether it answers updates of that kind with an error.
    pub(crate) fn complains_of(&self, update: &str) -> bool {
        self.rules.iter().any(|rule| matches!(rule, Rule::ComplainsOf(kind) if *kind == update))
    }

    /// Whether it shows, and answers, what comes while no prompt is open.
    pub(crate) fn sees_late(&self) -> bool {
        self.shows_late != ShowsLate::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_said_to_lose_nothing_shows_it() {
        for profile in &PROFILES {
            assert_eq!(profile.late != Late::Lost, profile.sees_late(), "{}", profile.name);
        }
        assert_eq!(own().name, "talaria");
        assert_eq!(named("codecompanion").map(|profile| profile.late), Some(Late::Lost));
        assert!(named("nobody").is_none());
    }

    #[test]
    fn a_client_without_a_name_says_none() {
        let of = |name: &str| named(name).expect("a profile").introduction();
        assert_eq!(of("unknown"), json!({"clientCapabilities": {}}));
        assert_eq!(of("agent-shell")["clientInfo"]["version"], "0.74.3");
    }
}

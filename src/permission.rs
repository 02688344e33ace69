//! The user's decisions on calls: modes, answers and remembered rules, as values.
//! It decides nothing (`tools::permission` does) and asks nobody (`session` does).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A named set of permission defaults.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Reads run; writes and commands are asked for.
    #[default]
    Ask,
    /// Reads and file edits run; commands are asked for.
    AcceptEdits,
    /// Reads run; nothing else does.
    Plan,
    /// Everything runs.
    Bypass,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Ask, Self::AcceptEdits, Self::Plan, Self::Bypass];

    /// The id on the wire, on the command line and in the configuration.
    pub fn id(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::AcceptEdits => "accept-edits",
            Self::Plan => "plan",
            Self::Bypass => "bypass",
        }
    }

    /// The one in which less may be done without the user.
    #[must_use]
    pub fn narrower(self, other: Self) -> Self {
        if self.width() <= other.width() { self } else { other }
    }

    fn width(self) -> u8 {
        match self {
            Self::Plan => 0,
            Self::Ask => 1,
            Self::AcceptEdits => 2,
            Self::Bypass => 3,
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Ask => "Ask",
            Self::AcceptEdits => "Accept edits",
            Self::Plan => "Plan",
            Self::Bypass => "Bypass",
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Self::Ask => "Reads files; asks before it edits a file or runs a command",
            Self::AcceptEdits => "Edits files in the project; asks before it runs a command",
            Self::Plan => "Reads files and plans; changes nothing",
            Self::Bypass => "Edits files and runs commands without asking",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.id() == text)
            .ok_or_else(|| format!("unknown mode `{text}`: use ask, accept-edits, plan or bypass"))
    }
}

/// What an "always" answer covers.
///
/// `key` is compared as a whole: `edit`, `terminal cargo test`, `outside read /etc`. `label` is the
/// same for a user: "edits of files in this project".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    pub key: String,
    pub label: String,
}

/// A remembered answer, good for its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub grant: Grant,
    pub allow: bool,
}

/// What the user said to a question (`event::Question`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    AllowOnce,
    AllowAlways,
    RejectOnce,
    RejectAlways,
    /// Nobody answered: the client cancelled, failed or went away. Nothing is permitted by it, and it
    /// is not a refusal.
    Unanswered,
}

impl Answer {
    /// The answers that a client is offered, in the order of the dialog.
    pub const OFFERED: [Self; 4] =
        [Self::AllowOnce, Self::AllowAlways, Self::RejectOnce, Self::RejectAlways];

    /// The option id on the wire.
    pub fn id(self) -> &'static str {
        match self {
            Self::AllowOnce => "allow_once",
            Self::AllowAlways => "allow_always",
            Self::RejectOnce => "reject_once",
            Self::RejectAlways => "reject_always",
            Self::Unanswered => "unanswered",
        }
    }

    /// The answer that a client chose by id; an id that was not offered permits nothing.
    pub fn from_id(id: &str) -> Self {
        Self::OFFERED.into_iter().find(|answer| answer.id() == id).unwrap_or(Self::Unanswered)
    }
}

#[cfg(test)]
mod tests {
    use super::Mode::{self, AcceptEdits, Ask, Bypass, Plan};

    #[test]
    fn the_narrower_mode_permits_less() {
        let by_width = [Plan, Ask, AcceptEdits, Bypass];
        for (at, narrow) in by_width.into_iter().enumerate() {
            for wide in by_width.into_iter().skip(at) {
                assert_eq!((narrow.narrower(wide), wide.narrower(narrow)), (narrow, narrow));
            }
        }
        assert_eq!(by_width.len(), Mode::ALL.len());
    }
}

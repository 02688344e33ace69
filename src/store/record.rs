//! What the journal of a session holds: one enum, a kind for each thing that must outlive the process.
//! Reading it back is `session::restore`'s and `session::replay`'s.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::event::{CallUpdate, PlanEntry, ThoughtLevel};
use crate::ids::{CallId, MessageId, SessionId};
use crate::known::Known;
use crate::permission::{Answer, Mode, Rule};
use crate::transcript::{Content, Outcome, Over, Prompt, Reply, Spent};

/// A record. The kind is the name in snake case; a reader leaves out kinds and versions that it does not
/// know, and keeps them where it copies a journal. As JSON it is an object with the kind as its only key:
/// a tag among the fields would have serde keep all of them until it has found it, which made up a quarter
/// of the cost of a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The session was made, or opened again: by the version of Talaria that is named, in these folders.
    Opened(Opened),
    /// The settings, whole.
    Settings {
        mode: Mode,
        model: String,
        thought: ThoughtLevel,
    },
    Title {
        title: String,
        by: TitleBy,
    },
    /// A prompt arrived; what becomes of it is said later, by its message.
    Prompt {
        prompt: Prompt,
    },
    /// A turn began on this prompt.
    Turn {
        prompt: MessageId,
    },
    /// No turn took this prompt.
    NotDelivered {
        prompt: MessageId,
    },
    /// A slash command and its answer.
    Aside {
        prompt: Prompt,
        message: MessageId,
        answer: String,
    },
    /// The model said this; a step begins. `spent` is absent where the reply broke off.
    Reply {
        reply: Reply,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<Spent>,
    },
    /// What a call of the open step shows before it has an outcome: title, places, change.
    Call {
        shown: CallUpdate,
    },
    /// What a call shows was answered so; an "always" made the rule.
    Permission {
        call: CallId,
        answer: Answer,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<Rule>,
    },
    /// A call that may change something begins now. Without an outcome behind it nobody knows what it did.
    Begun {
        call: CallId,
    },
    /// What the model knows of files from here on.
    Saw {
        files: Vec<(PathBuf, Known)>,
    },
    /// How a call ended, and what changed in what it shows.
    Outcome {
        call: CallId,
        outcome: Outcome,
        shown: CallUpdate,
        /// Tasks whose reports are in it: the model has been given them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gave: Vec<u64>,
    },
    /// The card of a task, or a call that a task asked for: whole when it came to be, then what changed
    /// when it became final.
    Card {
        card: CallUpdate,
    },
    /// A task's report came into the inbox. The model has been given it with the reply that names its
    /// message, or with the outcome that gave it.
    Report {
        report: Prompt,
    },
    /// The final cards of these tasks were told to a client that shows them.
    Shown {
        tasks: Vec<u64>,
    },
    /// Something that Talaria told the user; the model does not see it.
    Told {
        message: MessageId,
        content: Content,
    },
    /// The model's plan, whole.
    Plan {
        entries: Vec<PlanEntry>,
    },
    /// The turn is over.
    End {
        over: Over,
    },
}

/// Where a session works, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Absolute.
    pub cwd: PathBuf,
    /// Absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional: Vec<PathBuf>,
    /// Of Talaria.
    pub version: String,
    /// The session that this one is a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<SessionId>,
    /// The session whose task this one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SessionId>,
}

/// Who chose a title; a user's is never replaced by Talaria.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TitleBy {
    User,
    Talaria,
}

impl Record {
    /// The newest shape of any kind. It grows when the shape of a kind changes so that an older Talaria
    /// would misread it; a field that may be absent does not need it.
    pub const VERSION: u32 = 1;

    /// The name of the kind, as in the journal.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Opened(_) => "opened",
            Self::Settings { .. } => "settings",
            Self::Title { .. } => "title",
            Self::Prompt { .. } => "prompt",
            Self::Turn { .. } => "turn",
            Self::NotDelivered { .. } => "not_delivered",
            Self::Aside { .. } => "aside",
            Self::Reply { .. } => "reply",
            Self::Call { .. } => "call",
            Self::Permission { .. } => "permission",
            Self::Begun { .. } => "begun",
            Self::Saw { .. } => "saw",
            Self::Outcome { .. } => "outcome",
            Self::Card { .. } => "card",
            Self::Report { .. } => "report",
            Self::Shown { .. } => "shown",
            Self::Told { .. } => "told",
            Self::Plan { .. } => "plan",
            Self::End { .. } => "end",
        }
    }
}

//! What happened: the one thing the core says outward. Entities are put by id: a message, a call,
//! the plan, the session's settings. It carries no ACP type; `acp::project` makes updates of it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{CallId, MessageId, SessionId, TerminalId};
use crate::permission::{Grant, Mode};
use crate::transcript::Content;

/// Something that happened in a session.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "events are passed on one at a time, never kept")]
pub enum Event {
    /// A piece of a message. Pieces of one message carry the same id and follow each other.
    Said { message: MessageId, role: Role, content: Content },
    /// A call came to be or changed: the first event of an id creates it.
    Call(CallUpdate),
    /// The model's plan, whole.
    Plan(Vec<PlanEntry>),
    /// How full the context is, after a model request.
    Usage(UsageReport),
    /// The session's title.
    Title(String),
    /// The slash commands, whole.
    Commands(Vec<CommandSpec>),
    /// The settings changed: mode, model, thought level.
    Settings(Settings),
    /// A session that does a task of this one came to be or changed. For viewers with `subagents`.
    Subagent(Subagent),
    /// Words between this session and one that does a task of it; both show them. For the same viewers.
    Between(Between),
    /// Something that is no part of the conversation. For viewers with `notices`.
    Notice(Notice),
    /// The session's tasks as a plan, whole. For viewers with `plans`.
    Board(Vec<PlanEntry>),
    /// A turn begins that no prompt asked for; absent: it is over. What is said between is marked so.
    FollowUp(Option<FollowUpMark>),
}

/// A session that does a task. An absent field is unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subagent {
    pub child: SessionId,
    pub title: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether the client may cancel it.
    pub can_cancel: Option<bool>,
    pub state: Option<SubagentState>,
}

/// What a session that does a task is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubagentState {
    Running,
    /// The user is asked for something.
    Asks,
    /// Nothing, and nothing ended: it is yet to begin.
    Waits,
    Finished,
    Cancelled,
    Failed {
        message: String,
    },
}

/// Words between a session and one that does a task of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Between {
    /// In the transcript of the session that tells it.
    pub message: MessageId,
    pub child: SessionId,
    pub to_child: bool,
    pub text: String,
}

/// Something that the user may want to know, and that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub title: String,
    pub text: Option<String>,
    /// Something went wrong.
    pub is_warning: bool,
}

/// Which turn that no prompt asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUpMark {
    /// From 1: one more than that of the turn whose tasks reported.
    pub generation: u32,
    /// Whose reports it is about: `t1`.
    pub tasks: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    User,
    Agent,
    Thought,
}

/// What a call does, for an icon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    Read,
    Edit,
    Search,
    Execute,
    Think,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// Announced, or waiting for the user.
    Pending,
    InProgress,
    Completed,
    Failed,
}

impl CallStatus {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// What a call shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallContent {
    Content(Content),
    /// A change of one file; `old` is absent for a new file. Paths are absolute.
    Diff {
        path: PathBuf,
        old: Option<String>,
        new: String,
    },
    Terminal(TerminalId),
}

/// A place in a file; `line` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    pub path: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// A change of a call. An absent field is unchanged; a list replaces the whole list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallUpdate {
    pub id: CallId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ToolKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<CallStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<CallContent>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locations: Option<Vec<Location>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The task that it is the card of, or that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskMark>,
    /// It is kept and no client is shown it: cards stand for the call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// Which task a call is shown for; clients find it in `_meta.talaria.task`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskMark {
    /// `t1`.
    pub id: String,
    /// As in `tasks::engine::State`.
    pub state: String,
}

impl CallUpdate {
    /// A change of `id` that changes nothing yet.
    pub fn new(id: CallId) -> Self {
        Self {
            id,
            tool: None,
            title: None,
            kind: None,
            status: None,
            content: None,
            locations: None,
            input: None,
            output: None,
            task: None,
            hidden: false,
        }
    }

    /// Takes in a further change of the same call: what it says replaces what was said before.
    pub fn take_in(&mut self, change: Self) {
        let Self {
            id: _,
            tool,
            title,
            kind,
            status,
            content,
            locations,
            input,
            output,
            task,
            hidden,
        } = change;
        self.tool = tool.or(self.tool.take());
        self.title = title.or(self.title.take());
        self.kind = kind.or(self.kind);
        self.status = status.or(self.status);
        self.content = content.or(self.content.take());
        self.locations = locations.or(self.locations.take());
        self.input = input.or(self.input.take());
        self.output = output.or(self.output.take());
        self.task = task.or(self.task.take());
        self.hidden = hidden;
    }

    #[must_use]
    pub fn with_status(mut self, status: CallStatus) -> Self {
        self.status = Some(status);
        self
    }
}

/// A call that waits for the user's decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The call as the dialog shows it.
    pub call: CallUpdate,
    /// What "always" would mean for this call.
    pub grant: Grant,
    /// Whose call it is, where a task asks: a viewer with `subagents` is asked under these.
    pub of: Option<OfChild>,
}

/// A call of a session that does a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfChild {
    pub child: SessionId,
    pub call: CallId,
}

impl Question {
    /// One of the session's own.
    pub fn new(call: CallUpdate, grant: Grant) -> Self {
        Self { call, grant, of: None }
    }

    pub fn id(&self) -> &CallId {
        &self.call.id
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanStatus {
    Pending,
    InProgress,
    Completed,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PlanPriority {
    High,
    #[default]
    Medium,
    Low,
}

/// A line of the model's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEntry {
    pub content: String,
    pub status: PlanStatus,
    pub priority: PlanPriority,
}

/// How full the context is, in tokens, and what the session has cost so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsageReport {
    pub used: u64,
    pub size: u64,
    /// US dollars, cumulative; absent where the price is not configured.
    pub cost: Option<f64>,
}

/// A slash command as a client lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandSpec {
    pub name: &'static str,
    pub description: &'static str,
    /// What may follow the name.
    pub hint: Option<&'static str>,
}

/// How much the model should think before it answers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ThoughtLevel {
    /// The provider's default.
    #[default]
    Auto,
    Low,
    Medium,
    High,
}

impl ThoughtLevel {
    pub const ALL: [Self; 4] = [Self::Auto, Self::Low, Self::Medium, Self::High];

    pub fn id(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.id() == id)
    }
}

/// What a user can switch in a session, with what there is to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub mode: Mode,
    pub model: String,
    /// Never empty: it holds `model`.
    pub models: Vec<String>,
    pub thought: ThoughtLevel,
}

//! What the model has seen: turns, their steps, and calls with their outcomes. Append-only.
//! A step holds each call *with* its outcome, so an unpaired call cannot be written down.
//! It knows no provider's message shape and nothing of the editor.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{CallId, MessageId, PromptId};

/// A piece of what a user or a tool gives to the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    Text {
        text: String,
    },
    /// `data` is base64.
    Image {
        mime: String,
        data: String,
    },
    /// A file or page that the user pointed at, without its text.
    Link {
        uri: String,
        name: String,
    },
    /// A file or page that came with its text.
    Resource {
        uri: String,
        text: String,
    },
}

impl Content {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

/// What the user sent: answered once, shown under its message id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Known in the process that took the prompt; elsewhere a prompt is named by its message.
    #[serde(skip)]
    pub id: PromptId,
    pub message: MessageId,
    pub content: Vec<Content>,
    #[serde(default, skip_serializing_if = "Author::is_user")]
    pub from: Author,
}

/// Whose words a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    #[default]
    User,
    /// The session's task with this number: its report. Nobody waits for an answer to it, and a client is
    /// not shown it as a prompt.
    Task(u64),
    /// Talaria, which lets the model go on with reports. The same holds for it.
    FollowUp,
}

impl Author {
    fn is_user(&self) -> bool {
        *self == Self::User
    }
}

impl Prompt {
    /// All text of the prompt, links and resources left out.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self
            .content
            .iter()
            .filter_map(|content| match content {
                Content::Text { text } => Some(text.as_str()),
                Content::Image { .. } | Content::Link { .. } | Content::Resource { .. } => None,
            })
            .collect();
        texts.join("\n")
    }
}

/// A tool request by the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub id: CallId,
    pub tool: String,
    pub input: Value,
    /// Opaque proofs that some providers attach to a call and want back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<String>,
}

/// The one result of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// It ran; `content` is what the model sees.
    Done { content: Vec<Content> },
    /// It could not run or went wrong; `message` is written so that the model can act on it.
    Failed { message: String },
    /// The user or a rule refused it.
    Denied { reason: String },
    /// It was stopped, or never begun, because the turn ended.
    Cancelled { reason: String },
}

impl Outcome {
    pub fn done(text: impl Into<String>) -> Self {
        Self::Done { content: vec![Content::text(text)] }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into() }
    }

    /// The outcome as text for a model.
    pub fn text(&self) -> String {
        match self {
            Self::Done { content } => {
                let texts: Vec<&str> = content
                    .iter()
                    .map(|content| match content {
                        Content::Text { text } | Content::Resource { text, .. } => text.as_str(),
                        Content::Image { .. } => "[image below]",
                        Content::Link { uri, .. } => uri.as_str(),
                    })
                    .collect();
                texts.join("\n")
            }
            Self::Failed { message } => format!("error: {message}"),
            Self::Denied { reason } => format!("denied: {reason}"),
            Self::Cancelled { reason } => format!("cancelled: {reason}"),
        }
    }
}

/// A call with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    pub call: Call,
    pub outcome: Outcome,
}

/// Reasoning that the model showed, with the provider's proof of it where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thought {
    pub text: String,
    pub signature: Option<String>,
}

/// Tokens of one model request, as the provider counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// All tokens that went in, those from a cache included.
    pub input: u64,
    pub output: u64,
    /// The part of `input` that came from the provider's cache.
    pub cached: u64,
}

/// What the model wrote, shared: it may be long, and the turn, its session and the journal each have it.
#[derive(Clone, PartialEq, Eq, Default)]
#[expect(clippy::rc_buffer, reason = "it grows while only the turn has it")]
pub struct Text(Arc<String>);

impl Text {
    /// Copies what is there if anybody else has it by now.
    pub fn push_str(&mut self, more: &str) {
        Arc::make_mut(&mut self.0).push_str(more);
    }

    // `Deref` gives `is_empty` of `str`; serde wants a path.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Arc::new(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&**self, f)
    }
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// What a model request cost, next to its tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    pub model: String,
    /// The model's context, in tokens.
    pub window: u64,
    /// US dollars; absent where the price is not configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// What the model said to one request, before the calls that it asks for have outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reply {
    /// Prompts that reached the turn while it ran, seen by this request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steered: Vec<MessageId>,
    /// The reasoning as it was shown.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub thought: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thought_message: Option<MessageId>,
    /// The reasoning that the provider wants back with the next request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thoughts: Vec<Thought>,
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub text: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    #[serde(default)]
    pub usage: Usage,
}

impl Reply {
    /// The step that it becomes with the prompts that its request carried and the outcomes of its calls.
    pub fn into_step(self, steered: Vec<Prompt>, calls: Vec<Settled>) -> Step {
        let Self { steered: _, thought, thought_message, thoughts, text, message, calls: _, usage } =
            self;
        Step { steered, thought, thought_message, thoughts, text, message, calls, usage }
    }
}

/// One model request and the calls that it asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Prompts that reached the turn while it ran, seen by this step's request.
    pub steered: Vec<Prompt>,
    /// The reasoning as it was shown.
    pub thought: Text,
    pub thought_message: Option<MessageId>,
    /// The reasoning that the provider wants back with the next request.
    pub thoughts: Vec<Thought>,
    pub text: Text,
    pub message: Option<MessageId>,
    pub calls: Vec<Settled>,
    pub usage: Usage,
}

/// Why a turn is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum End {
    /// The model was done.
    Finished,
    /// The model reached its output limit.
    MaxTokens,
    /// The turn made as many model requests as one turn may.
    MaxSteps,
    /// The provider refused to answer.
    Refused,
    /// The user ended it.
    Cancelled,
}

/// How a turn is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Over {
    Ended {
        end: End,
    },
    /// The process that ran it ended.
    Interrupted,
    /// It could not go on; the text is what the user was told.
    Failed {
        message: String,
        /// The provider refused what the last request newly carried: later requests carry a note in
        /// its place, so that one picture or paste does not end the whole session.
        refused_input: bool,
    },
}

/// From starting on a prompt to its stop reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub prompt: Prompt,
    pub steps: Vec<Arc<Step>>,
    /// `None` while it runs.
    pub over: Option<Over>,
}

/// One thing in the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    Turn(Arc<Turn>),
    /// A slash command and its answer: shown, never part of what the model sees.
    Aside {
        prompt: Prompt,
        message: MessageId,
        answer: String,
    },
    /// A prompt that no step took before it was cancelled.
    NotDelivered(Prompt),
}

/// The conversation, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Transcript {
    pub entries: Vec<Entry>,
}

impl Transcript {
    /// The turns that the model sees, oldest first. Cheap: each turn is shared. A turn that the provider
    /// refused is no part of what it sees later (ACP, stop reason `refusal`).
    pub fn turns(&self) -> Vec<Arc<Turn>> {
        let refused = |turn: &Turn| turn.over == Some(Over::Ended { end: End::Refused });
        self.entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Turn(turn) if refused(turn) => None,
                Entry::Turn(turn) => Some(turn.clone()),
                Entry::Aside { .. } | Entry::NotDelivered(_) => None,
            })
            .collect()
    }

    /// The turn that runs now.
    pub fn open_turn(&mut self) -> Option<&mut Turn> {
        self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Turn(turn) if turn.over.is_none() => Some(Arc::make_mut(turn)),
            Entry::Turn(_) | Entry::Aside { .. } | Entry::NotDelivered(_) => None,
        })
    }
}

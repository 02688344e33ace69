//! Asking a model: a request in, a stream of deltas out. The wire formats of providers come from the
//! crate `genai`, used in `provider` alone. It knows neither tools nor sessions nor the editor.

mod failure;
pub mod retry;
pub mod pool;
mod text_calls;
pub mod provider;
pub mod scripted;
mod chain;
pub mod catalog;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use serde_json::Value;

use crate::event::ThoughtLevel;
use crate::fault::{Fault, Kind};
use crate::transcript::{Call, Content, Outcome, Thought, Usage};

/// What the model is asked: everything that it will see.
#[derive(Debug, Clone)]
pub struct Request {
    /// The model's name, as its provider knows it.
    pub model: String,
    pub thought: ThoughtLevel,
    pub system: String,
    pub tools: Arc<[ToolSpec]>,
    /// The conversation, oldest first. Two `User` items never follow each other.
    pub items: Vec<Item>,
    pub max_output_tokens: Option<u32>,
    /// The same for all requests of a session, so that a provider can find its cache.
    pub cache_key: String,
}

/// One thing in the conversation as a model sees it.
#[derive(Debug, Clone)]
pub enum Item {
    User(Vec<Content>),
    Assistant {
        thoughts: Vec<Thought>,
        text: String,
        calls: Vec<Call>,
    },
    /// The outcomes of the calls of the `Assistant` item before, in its order, all of them.
    Outcomes(Vec<(Call, Outcome)>),
}

/// A tool as a model is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// JSON Schema of the input, an object.
    pub schema: Value,
}

/// A piece of a reply as it streams. A stream that is whole ends with exactly one `End`; one that
/// ends otherwise yields `ModelError` as its last item.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    Text(String),
    Thought(String),
    /// A call was begun; its input is still being written. Said once for each call, in order.
    CallBegan {
        tool: String,
    },
    End(Reply),
}

/// What only the end of a stream knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub stop: Stop,
    pub usage: Usage,
    /// All calls whole, in the order in which they began.
    pub calls: Vec<RequestedCall>,
    /// Reasoning to hand back with the next request, where the provider wants that.
    pub thoughts: Vec<Thought>,
}

/// A call as a model asked for it.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestedCall {
    pub tool: String,
    /// The input, or the text that was not JSON.
    pub input: Result<Value, String>,
    pub signatures: Vec<String>,
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Finished,
    MaxTokens,
    Refused,
}

/// Why there is no (whole) reply. `message` holds the provider's own words, short and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    #[error("the provider limits the rate of requests: {message}")]
    RateLimited { after: Option<Duration>, message: String },
    #[error("the provider is overloaded or failed (status {status}): {message}")]
    Overloaded { status: u16, after: Option<Duration>, message: String },
    #[error("the conversation is longer than the model can read: {message}")]
    ContextFull { message: String },
    #[error("the provider refused the credentials: {message}")]
    Auth { message: String },
    #[error("the account has no credit left: {message}")]
    Payment { message: String },
    /// Of several keys. `after` is when the first can be used again; `message` says of each what is wrong.
    #[error("none of the {keys} keys can be used now: {message}; the first is tried again in {}", in_words(*.after))]
    NoKey { keys: usize, after: Duration, are_refused: bool, message: String },
    #[error("the provider does not know the model `{model}`: {message}")]
    UnknownModel { model: String, message: String },
    #[error("no model answers at `{address}` (status {status}): {message}")]
    WrongAddress { status: u16, address: String, message: String },
    #[error("the provider refused to answer: {message}")]
    Refused { message: String },
    #[error("the reply broke off before its end: {message}")]
    Dropped { message: String },
    #[error("the provider cannot be reached: {message}")]
    Unreachable { message: String },
    #[error("the provider did not answer in {} seconds", .after.as_secs())]
    TimedOut { after: Duration },
    #[error("the provider refused the request (status {status}): {message}")]
    Rejected { status: u16, message: String },
    #[error("the provider's answer could not be read: {message}")]
    Malformed { message: String },
}

impl ModelError {
    /// Whether the provider refused what the request carried, so that it would refuse it again.
    pub fn refuses_input(&self) -> bool {
        match self {
            Self::ContextFull { .. } => true,
            Self::Rejected { status, .. } => matches!(status, 400 | 413 | 415 | 422),
            Self::RateLimited { .. }
            | Self::Overloaded { .. }
            | Self::Auth { .. }
            | Self::Payment { .. }
            | Self::NoKey { .. }
            | Self::UnknownModel { .. }
            | Self::WrongAddress { .. }
            | Self::Refused { .. }
            | Self::Dropped { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Malformed { .. } => false,
        }
    }

    /// The same for a user, with what to do.
    pub fn fault(&self) -> Fault {
        let (kind, hint) = match self {
            Self::RateLimited { .. } => {
                (Kind::Provider, "Wait a little and send the prompt again.")
            }
            Self::Overloaded { .. } | Self::TimedOut { .. } => {
                (Kind::Provider, "Send the prompt again in a moment.")
            }
            Self::ContextFull { .. } => {
                (Kind::Provider, "Start a new session, or choose a model with a larger context.")
            }
            Self::Auth { .. } => (
                Kind::Auth,
                "Check the key in `TALARIA_API_KEY` or in `config.yaml` (with `TALARIA_BASE_URL` set, no other \
                 variable is used), then authenticate again.",
            ),
            Self::Payment { .. } => {
                (Kind::Provider, "Add credit at the provider, or use another key.")
            }
            Self::NoKey { are_refused: true, .. } => (
                Kind::Auth,
                "Check the keys where they are set: in `TALARIA_API_KEY`, in `config.yaml` or in the provider's \
                 own variable; then authenticate again.",
            ),
            Self::NoKey { are_refused: false, .. } => (
                Kind::Provider,
                "Send the prompt again then, or add a key to `TALARIA_API_KEY` or `model.api_key`.",
            ),
            Self::UnknownModel { .. } => {
                (Kind::Provider, "Choose another model with `/model`, or set `TALARIA_MODEL`.")
            }
            Self::WrongAddress { .. } => (
                Kind::Provider,
                "Check the address in `TALARIA_BASE_URL`: it is where the provider's API begins, such as \
                 `https://host/v1/`.",
            ),
            Self::Refused { .. } => (Kind::Provider, "Ask in other words."),
            Self::Dropped { .. } => {
                (Kind::Provider, "What arrived is kept; send a prompt such as `go on` to continue.")
            }
            Self::Unreachable { .. } => {
                (Kind::Provider, "Check the network and the address in `TALARIA_BASE_URL`.")
            }
            Self::Rejected { .. } => (Kind::Provider, "The log has the details."),
            Self::Malformed { .. } => (
                Kind::Provider,
                "Check that `TALARIA_PROVIDER` names the dialect that this server speaks, and that the server \
                 streams its answers.",
            ),
        };
        Fault::new(kind, self.to_string()).with_hint(hint)
    }
}

/// A time to wait, rounded up.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let (count, unit) = match seconds {
        0..=90 => (seconds, "second"),
        91..=5_400 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3_600), "hour"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The stream of a reply. Dropping it ends the request.
pub type Deltas = BoxStream<'static, Result<Delta, ModelError>>;

/// Something that answers requests. Cheap to clone.
#[derive(Clone)]
pub enum Model {
    Provider(provider::Provider),
    Scripted(scripted::Scripted),
    /// One of them, and others that take its place when it fails.
    Chain(chain::Chain),
}

impl Model {
    /// Starts a request. Nothing is sent before the stream is polled. A failure that another try can
    /// mend is tried again inside, as long as nothing of the reply was yielded.
    pub fn stream(&self, request: Request) -> Deltas {
        match self {
            Self::Provider(provider) => provider.stream(request),
            Self::Scripted(scripted) => scripted.stream(request),
            Self::Chain(chain) => chain.stream(request),
        }
    }
}

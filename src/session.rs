//! One conversation: its rules (`state`, pure), the actor that owns it, and the handle that others hold.
//! No ACP type and no I/O of its own; what it says goes out in one ordered queue, so that an answer
//! can never overtake an update.

mod actor;
mod child;
mod commands;
mod companions;
mod deletion;
pub mod directory;
mod flow;
mod handle;
mod ledger;
mod outbox;
mod patience;
mod questions;
mod opening;
pub mod reading;
pub mod restore;
mod state;
#[cfg(test)]
mod tests;
mod written;

use std::any::Any;

use crate::event::{Event, Question, Settings};
use crate::fault::Fault;
use crate::ids::{CallId, PromptId};
use crate::letters;
use crate::permission::Mode;
use crate::transcript::{End, Text, Usage};

pub use actor::start;
pub use child::{ChildStream, ChildStreams, Children, LiveSettings, Parent};
pub use deletion::delete;
pub use handle::{Inbox, SessionHandle, handle};
pub use opening::{Inherited, Opening};

/// Characters of a title that a user chose.
const USERS_TITLE_CHARS: usize = 200;

/// A title as it is kept, of an open session or of a stored one: one line, not too long; empty where the
/// given one shows nothing.
pub fn users_title(given: &str) -> String {
    let line: String = letters::one_line(given).chars().take(USERS_TITLE_CHARS).collect();
    line.trim_end().to_owned()
}

/// A prompt's answer.
pub type Answered = Result<End, Fault>;

/// Called once with the answer to a request, in its place among the session's events.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// Who waits for a prompt's answer.
pub struct PromptWaiter {
    /// Called with the answer in its place among the session's events.
    pub reply: Reply<Answered>,
    /// Dropped as soon as the answer is known, which may be long before it can be said to a client that
    /// reads slowly.
    pub open: Box<dyn Any + Send>,
}

/// What a session says outward, in order.
pub enum Outgoing {
    Event(Event),
    Answered {
        reply: Reply<Answered>,
        answer: Answered,
    },
    /// The settings after a change, or why there was none.
    Set {
        reply: Reply<Result<Settings, Fault>>,
        answer: Result<Settings, Fault>,
    },
    /// The title as it is kept now, or why it was not taken.
    Titled {
        reply: Reply<Result<String, Fault>>,
        answer: Result<String, Fault>,
    },
    /// What became of steering, or why it was not taken.
    Steered {
        reply: Reply<Result<Steering, Fault>>,
        answer: Result<Steering, Fault>,
    },
    /// These prompts are in the request that is sent now. Said by a child alone.
    Delivered(Vec<PromptId>),
    /// A reply of the model is whole. Said by a child alone.
    Replied {
        text: Text,
        usage: Usage,
        cost: Option<f64>,
    },
    /// The user is to decide.
    Ask(Question),
    /// The question is settled; nobody needs to answer it.
    Withdraw(CallId),
    /// The session is over; the last thing that is said.
    Closed(Option<Reply<()>>),
}

/// Where a session's words go: the edge's side of it. The actor calls it itself, since each task between
/// the model and the wire costs a piece of text a wake-up.
pub trait Outlet: Send + Sync + 'static {
    /// Whether all that is said waits until it is `ready`, and not events alone.
    const ALL_NEEDS_ROOM: bool = false;

    /// Waits until one more event may be said; false when nobody listens any more. What is no event is
    /// said without asking.
    fn ready(&self) -> impl Future<Output = bool> + Send;

    /// Says something, without waiting; false when nobody listens any more.
    fn say(&mut self, outgoing: Outgoing) -> bool;
}

/// What steering does where no turn runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// A turn begins on it.
    Begin,
    /// It is not taken.
    Refuse,
}

/// What became of steering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// The running turn has it, or a command was carried out beside it.
    Injected,
    /// Nothing ran: it was taken as a prompt.
    Began,
    /// Nothing ran: it was not taken.
    NothingRuns,
}

/// A change of a setting, by a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    Mode(Mode),
    Model(String),
    Thought(String),
}

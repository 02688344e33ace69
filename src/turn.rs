//! One turn: drain steered input, ask the model, run its calls, again, until there is a reason to end.
//! `state` is the rule, pure; `run` does what its effects say. It neither persists nor speaks to the
//! editor: everything goes to the session as `TurnSaid`.

mod calls;
mod go;
mod run;
mod spent;
mod state;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use crate::event::{CallUpdate, Event, Question, ThoughtLevel};
use crate::fault::Fault;
use crate::ids::{CallId, IdSource, MessageId};
use crate::known::Known;
use crate::model::catalog::Choice;
use crate::permission::{Answer, Mode, Rule};
use crate::tasks::Origin;
use crate::transcript::{End, Outcome, Prompt, Reply, Spent, Step, Turn};

pub use calls::Stopper;
pub use go::{Go, Gone};
pub use run::{Environment, Running, spawn};
pub use state::defect;

/// What a turn starts from.
#[derive(Debug)]
pub struct Start {
    pub prompt: Prompt,
    /// The turns before this one, oldest first.
    pub history: Vec<Arc<Turn>>,
    /// What the first request carries behind the prompt: reports that wait in the inbox.
    pub steered: Vec<Prompt>,
    pub ids: IdSource,
    /// What tasks that it starts go back to.
    pub origin: Origin,
    /// It is a task's: no user cancels it.
    pub is_task: bool,
    /// The widest mode that it may have, whatever the session's becomes.
    pub cap: Option<Mode>,
}

/// What can change while a turn runs; it takes the newest before each request and each judgement.
#[derive(Clone)]
pub struct Settings {
    pub mode: Mode,
    pub rules: Arc<[Rule]>,
    pub choice: Arc<Choice>,
    pub thought: ThoughtLevel,
}

/// What a session says to its running turn.
#[derive(Debug)]
pub enum TurnInput {
    /// A prompt that the turn sees before its next request.
    Steer(Prompt),
    /// A prompt that the turn does not see waits for its end.
    PromptWaits,
    Answer {
        call: CallId,
        answer: Answer,
    },
}

/// What a turn says to its session, in order.
#[derive(Debug)]
pub enum TurnSaid {
    Event(Event),
    Ask(Question),
    /// A question is settled without its answer.
    Withdraw(CallId),
    /// These prompts and reports are in the request that was sent now. By their messages: reports have no
    /// other names.
    Delivered(Vec<MessageId>),
    /// The model's words to a request are whole, or as whole as they become: then `spent` is absent.
    Replied {
        reply: Reply,
        spent: Option<Spent>,
    },
    /// What a call shows, before it is asked for or begins. One that is hidden is only written down.
    Described(CallUpdate),
    /// A call goes on when all that was said before is told: then its tool may ask the client for
    /// something.
    WhenTold(Go),
    /// A call that no client is told of, and whose tool asks the client for nothing, goes on when all that was said
    /// before is given to the journal: what it writes to the store is written behind that, or with it.
    WhenGiven(Go),
    /// The same for a call that may change something and begins then; that it does is written before.
    /// `outside`: it may reach beyond the session's folders.
    Begin {
        call: CallId,
        outside: bool,
        go: Go,
    },
    /// A call has its outcome, and shows this change. One that is hidden is only written down; one that
    /// was hidden and failed before there was a task is shown now, whole.
    Settled {
        call: CallId,
        outcome: Outcome,
        shown: CallUpdate,
        /// Tasks whose reports are in it.
        gave: Vec<u64>,
    },
    /// Something that the turn tells the user; the model does not see it.
    Told {
        message: MessageId,
        text: String,
    },
    /// Contents of files that the model knows from now on.
    Saw(Vec<(PathBuf, Known)>),
    /// A step is whole.
    Step(Arc<Step>),
    /// The last thing that a turn says.
    Ended(Ended),
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The reason, or what the user is told where the turn could not go on.
    pub result: Result<End, Fault>,
    /// See `transcript::Over`.
    pub refused_input: bool,
}

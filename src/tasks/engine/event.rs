//! What happens to a task: events, numbered without a gap, and pieces of text that pass. It says nothing
//! of what they add up to; `state` does.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::event::{CallStatus, PlanEntry};
use crate::ids::{CallId, TaskId};
use crate::tasks::engine::Checkpoint;
use crate::transcript::Usage;

/// The number of an event in its task, from 1; 0 is before the first.
pub type Seq = u64;

/// The number of a message in its task's inbox, from 1; 0 is before the first.
pub type Position = u64;

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum Heard {
    /// It is kept.
    Event(Event),
    /// It is not: pieces may be lost, and none is in the history.
    Passing(Passing),
}

/// Something that happened to a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub task: TaskId,
    pub seq: Seq,
    /// The attempt in which it happened; 0 before the first.
    pub epoch: u64,
    /// Never earlier than that of the event before.
    pub at: Timestamp,
    pub body: Body,
}

/// A piece of a message that is not whole yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passing {
    pub task: TaskId,
    pub epoch: u64,
    /// The event that it follows.
    pub after: Seq,
    pub text: String,
}

/// What happened. Who caused it follows from the kind: clients queue, send and ask for the end, workers
/// start, progress and end, and the engine finds attempts lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// It waits for a worker: it is new, or was resumed.
    Queued,
    /// An attempt began.
    Started { worker: String },
    /// A worker said what it does.
    Progress { progress: Progress },
    /// A message came into the inbox.
    Received { id: String, position: Position },
    /// A client asked for its end.
    CancelRequested { reason: String },
    /// The attempts from now on begin here.
    Checkpoint { checkpoint: Checkpoint },
    /// The worker died.
    AttemptLost,
    /// It ended: the last event.
    Ended {
        /// The inbox was read up to here.
        read: Position,
        outcome: Outcome,
    },
    /// A newer Talaria knows what it was.
    Unknown,
}

/// What a worker tells of its work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Progress {
    /// The model said this, whole.
    Message { text: String },
    /// A call began or changed; the first of an id creates it. `written` are the files that it changed.
    Call {
        call: CallId,
        tool: String,
        title: String,
        status: CallStatus,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        written: Vec<String>,
    },
    /// The model's plan, whole.
    Plan { entries: Vec<PlanEntry> },
    /// A request to the model took this; `cost` in US dollars, absent where the price is unknown.
    Usage { usage: Usage, cost: Option<f64> },
    /// It waits for an answer to this.
    NeedsInput { question: Value },
    /// It waits no more.
    InputTaken,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    Completed { report: Report },
    Failed { message: String, report: Report },
    Cancelled { reason: String, report: Report },
}

/// What a task's subagent leaves behind; what it had so far, where it did not come to an end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    pub text: String,
    /// What else is to be known of the work, such as the files that were written.
    pub details: Value,
}

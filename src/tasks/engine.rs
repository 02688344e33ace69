//! The boundary behind which tasks are kept: what a client asks of them, what a worker says of them, and
//! the events between the two. An engine keeps tasks and refuses what is stale; it runs nothing, decides
//! nothing, and reads none of what it keeps. Nothing but data crosses: no SQL, no transaction, no closure.

mod event;
mod hub;
mod listen;
mod memory;
mod rules;
mod sqlite;
mod state;

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::{Fault, Kind};
use crate::ids::{SessionId, TaskId};

pub use event::{Body, Event, Heard, Outcome, Passing, Position, Progress, Report, Seq};
pub use memory::MemoryEngine;
pub use sqlite::SqliteEngine;
pub use state::{State, Status};

/// The largest thing that an engine takes, in bytes of its JSON: a task's description, a message, an
/// event, a report. What is larger is kept elsewhere, and named.
pub const LARGEST: usize = 100_000;

/// What an engine answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, EngineError>>;

/// What happens to a task: see [`TaskClient::events`].
pub type Events = BoxStream<'static, Result<Heard, EngineError>>;

/// An engine, whole.
pub trait TaskEngine: TaskClient + TaskWorker {}

impl<T: TaskClient + TaskWorker> TaskEngine for T {}

/// What a session, a tool or a screen asks of tasks. A call that was begun is carried out even if nobody
/// waits for its answer any more.
pub trait TaskClient: Send + Sync {
    fn capabilities(&self) -> Capabilities;

    /// Adds tasks to a session, all of them or none; they are numbered in this order, behind those that
    /// it has and above `floor`. A key that the session knows adds nothing and answers with its task.
    fn submit(&self, session: SessionId, floor: u64, tasks: Vec<New>)
    -> Answer<'_, Vec<Submitted>>;

    /// Puts a message into a task's inbox. A worker gets it at least once and in order; a message with an
    /// id that the task knows is the same message.
    fn send(&self, task: TaskId, message: Message) -> Answer<'_, Receipt>;

    /// Asks for a task's end, and answers with its state now. A task that nobody runs is `Cancelled` at
    /// once; its worker ends one that runs, and where the worker dies first, the engine does. Asking
    /// twice is asking once; a final state stays.
    fn cancel(&self, task: TaskId, reason: String) -> Answer<'_, State>;

    /// Queues an interrupted task again, and answers with its state now; any other stays as it is.
    fn resume(&self, task: TaskId) -> Answer<'_, State>;

    fn get(&self, task: TaskId) -> Answer<'_, Task>;

    /// Tasks of a session, newest first.
    fn list(&self, filter: Filter) -> Answer<'_, Vec<Listed>>;

    /// How a task ended; nothing while it has not.
    fn result(&self, task: TaskId) -> Answer<'_, Option<Outcome>>;

    /// What happened to a task behind `after`, and what happens from now on: each event once, in order,
    /// without a gap. Ends behind the terminal event, or with an error. Dropping it changes nothing.
    fn events(&self, task: TaskId, after: Seq) -> Events;
}

/// What is asked by whoever runs an agent on a task. All but `claim` and `renew` refuse a lease that is not
/// the task's last one with [`EngineError::Lost`]: its worker stops without writing.
pub trait TaskWorker: Send + Sync {
    /// Takes the lease of a task that nobody runs, under the next epoch. Nothing where none is wanted.
    fn claim(&self, wanted: Wanted) -> Answer<'_, Option<Claimed>>;

    /// Says that the worker lives, and asks for what is new since the inbox's position `seen`. To be
    /// called within [`Capabilities::renew`], and before each request to a model.
    fn renew(&self, lease: Lease, seen: Position) -> Answer<'_, Renewed>;

    /// Adds to what happened, all of it or nothing; the number of the last event.
    fn append(&self, lease: Lease, progress: Vec<Progress>) -> Answer<'_, Seq>;

    /// Passes a piece of text on to who listens now. It is kept nowhere, and may be lost.
    fn say(&self, lease: Lease, text: String) -> Answer<'_, ()>;

    /// From here the next worker goes on, if this one dies. The messages up to the checkpoint's position
    /// count as delivered.
    fn checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> Answer<'_, Seq>;

    /// Ends the task for good; `read` is the inbox's position, as in a checkpoint. It survives a power cut
    /// when it is answered.
    fn finish(&self, lease: Lease, read: Position, outcome: Outcome) -> Answer<'_, Seq>;
}

/// What an engine can do. Nobody branches on its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether `say` reaches listeners; otherwise they see whole events alone.
    pub passing: bool,
    /// How long an event takes to a listener in another process, at most.
    pub latency: Duration,
    /// The largest thing that it takes, in bytes of its JSON.
    pub largest: usize,
    /// Whether tasks are there again after all processes have ended.
    pub survives_restart: bool,
    /// Whether a worker may live on another machine.
    pub remote_workers: bool,
    /// How often a lease must be renewed; absent where the engine sees by itself whether a worker lives.
    pub renew: Option<Duration>,
}

/// A task to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct New {
    /// Who asks again with it gets the same task. Unique within the session.
    pub key: String,
    pub spec: Spec,
}

/// What a task is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub goal: String,
    /// Everything else that its worker must know, such as context, model and limits.
    pub details: Value,
}

/// A task that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    pub task: TaskId,
    pub state: State,
}

/// Something for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Unique within the task.
    pub id: String,
    pub content: Content,
}

impl Message {
    pub(super) fn new(content: Content) -> Self {
        Self { id: uuid::Uuid::now_v7().simple().to_string(), content }
    }

    /// Refuses one that is larger than an engine takes.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        check_size("a message", self)
    }
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    /// To be seen before the next request to the model.
    Steer { text: String },
    /// The answer to what the task asked.
    Answer { answer: Value },
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Receipt {
    /// It is in the inbox.
    Queued { position: Position },
    /// A worker has taken it in, for good.
    Delivered { position: Position },
    /// The task ended without it.
    Missed { state: State },
}

/// A message in an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub position: Position,
    pub message: Message,
}

/// Which tasks to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub session: SessionId,
    /// Only those in one of these states; empty: in any.
    pub states: Vec<State>,
    /// Only those with a smaller number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

impl Filter {
    /// All tasks of a session.
    pub fn of(session: SessionId) -> Self {
        Self { session, states: Vec::new(), before: None, limit: usize::MAX }
    }
}

/// A task, as a list shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    pub task: TaskId,
    pub goal: String,
    pub status: Status,
}

/// A task, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub task: TaskId,
    pub spec: Spec,
    pub status: Status,
}

/// What a worker would run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// This task, queued or interrupted.
    Task(TaskId),
    /// The session's oldest queued one.
    Next(SessionId),
}

/// The right to write a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub task: TaskId,
    /// Which attempt at the task this is, from 1.
    pub epoch: u64,
}

/// A task to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claimed {
    pub lease: Lease,
    pub spec: Spec,
    /// Where the attempts before came to; absent: begin.
    pub checkpoint: Option<Checkpoint>,
    /// What the checkpoint does not know of, in order.
    pub unread: Vec<Received>,
    /// The number of the last event, which tells of this claim.
    pub last: Seq,
}

/// Where a worker has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Names the state that it can go on from; the state itself is kept elsewhere.
    pub state: String,
    /// The inbox was read up to here.
    pub read: Position,
}

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Renewed {
    /// Go on, with these messages.
    Continue { unread: Vec<Received> },
    /// End the task.
    Cancel { reason: String },
    /// Stop without writing: the task is someone else's, or has ended.
    Lost,
}

/// Why an engine refused something, or could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("there is no task `{0}`")]
    Unknown(TaskId),
    /// It was deleted, or never was: nobody would find its tasks.
    #[error("there is no session `{0}`")]
    NoSession(SessionId),
    /// A worker has it and lives.
    #[error("task `{task}` is run by {worker}")]
    Taken { task: TaskId, worker: String },
    #[error("task `{task}` is {state} for good")]
    Final { task: TaskId, state: State },
    #[error("attempt {} at task `{}` is over", lease.epoch, lease.task)]
    Lost { lease: Lease },
    #[error("{what} has {size} bytes, the most is {most}: keep it elsewhere and name it")]
    TooLarge { what: &'static str, size: usize, most: usize },
    /// A position that the inbox does not have, or one before what was read already.
    #[error(
        "position {given} is not between {read} and {received}, as the inbox was read and filled"
    )]
    Position { given: Position, read: Position, received: Position },
    /// What keeps the tasks failed.
    #[error("the tasks cannot be reached: {0}")]
    Unavailable(Fault),
}

/// Refuses what is larger than an engine takes.
fn check_size<T: Serialize>(what: &'static str, thing: &T) -> Result<(), EngineError> {
    // What cannot be written has no size; that is found where it is written.
    let size = serde_json::to_vec(thing).map_or(0, |json| json.len());
    if size > LARGEST {
        return Err(EngineError::TooLarge { what, size, most: LARGEST });
    }
    Ok(())
}

fn refused<T: Send + 'static>(error: EngineError) -> Answer<'static, T> {
    Box::pin(std::future::ready(Err(error)))
}

fn gone(message: &str) -> EngineError {
    EngineError::Unavailable(Fault::new(Kind::Internal, message))
}

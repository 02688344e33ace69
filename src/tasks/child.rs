//! The port to the sessions that do tasks: `session` fills it. A child is a session like any other; here
//! it is asked, steered and ended, and heard.

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Details, NewTask, TaskError, TasksHandle};
use crate::event::{CallUpdate, PlanEntry, Question};
use crate::fault::Fault;
use crate::ids::{CallId, PromptId, SessionId, TaskId};
use crate::permission::Answer;
use crate::tasks::worktree::{Place, Tree};
use crate::transcript::{Content, End, Text, Usage};

/// Brings children of one session to life.
pub trait Spawn: Send + Sync {
    /// Whether a task can be done as it is asked for: its toolsets, its model. Does no I/O.
    fn check(&self, task: &NewTask) -> Result<(), TaskError>;

    /// Where trees for its tasks are made, and what their changes are brought back to.
    fn place(&self) -> Place;

    /// Opens the session that does a task. Nothing runs in it until it is prompted.
    fn spawn(&self, order: Order) -> BoxFuture<'_, Result<Spawned, Fault>>;
}

/// What kind of child is wanted.
pub struct Order {
    pub task: TaskId,
    pub goal: String,
    pub details: Details,
    pub begin: Begin,
    /// Where it works, if that is not where its parent does.
    pub tree: Option<Tree>,
    /// For the child's own tasks; absent where it may have none.
    pub tasks: Option<TasksHandle>,
}

/// How a child's conversation begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    Fresh,
    /// With a copy of this session's.
    Copy(SessionId),
    /// Where its own journal ends.
    Resume,
}

/// A child that lives.
pub struct Spawned {
    pub child: Box<dyn Child>,
    /// In order; ends when the child has ended.
    pub said: mpsc::Receiver<ChildSaid>,
    /// What the prompt that begins the task is to hold: goal, context and pictures.
    pub prompt: Vec<Content>,
}

/// A child, from outside.
pub trait Child: Send + Sync {
    /// Prompts it; where a turn runs, that one takes it before its next request. Its number: what becomes
    /// of it is said under it.
    fn prompt(&self, content: Vec<Content>) -> PromptId;

    /// Answers a question that it asked, under the id that it has there.
    fn answer(&self, call: CallId, answer: Answer) -> BoxFuture<'_, ()>;

    /// Ends its turn, and answers all prompts.
    fn cancel(&self);

    /// Ends it, with all that runs in it; resolves when that is over.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What a child says.
#[derive(Debug)]
pub enum ChildSaid {
    /// A piece of what the model says aloud.
    Text(String),
    /// Its model thinks: a sign of life, and nothing else.
    Thinks,
    /// A call, or a task's card of its own, came to be or changed.
    Call(CallUpdate),
    Plan(Vec<PlanEntry>),
    /// These prompts are in the request that is sent now.
    Delivered(Vec<PromptId>),
    /// A reply of the model is whole: its text and what it took. `cost` in US dollars, where it is known.
    Replied {
        text: Text,
        usage: Usage,
        cost: Option<f64>,
    },
    Ask(Question),
    /// A question is settled without its answer.
    Withdraw(CallId),
    /// A prompt was answered; a turn may go on that others wait for.
    Answered {
        prompt: PromptId,
        answer: Result<End, Fault>,
    },
}

//! What tasks say to the session that started them.

use std::sync::Arc;

use crate::event::{CallUpdate, Question};
use crate::ids::{CallId, SessionId, TaskId};
use crate::permission::Answer;
use crate::tasks::engine::State;
use crate::tasks::{By, Origin};

/// Something that a session is told of its tasks, in order. Questions go to the root session, everything
/// else to the session whose task it is.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskSaid {
    Card(TaskCard),
    /// A task was sent this, secrets taken out; it was kept for the task, which may not have read it yet.
    Steered {
        child: SessionId,
        text: String,
    },
    /// A task, or one of its own tasks, asks. The question's call has the id and title of the root
    /// session: `task-t1/c3`, "`t1` · Edit src/main.rs".
    Ask(Question),
    /// A question is settled without an answer.
    Withdraw(CallId),
    /// A question was answered through another door than the dialog.
    Answer {
        call: CallId,
        answer: Answer,
    },
    /// A call that was asked for came to its end: what changed in it.
    Asked(CallUpdate),
    /// A task has ended: for the session's inbox. Said again until the session attaches and knows it.
    Report(TaskReport),
}

/// The card of a task, with what its session must know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskCard {
    /// Its number in the session.
    pub task: u64,
    pub about: Arc<About>,
    /// As the card shows it: `Waiting` also where a task below it asks.
    pub state: State,
    /// Whole, or what changed in it.
    pub card: CallUpdate,
    /// Whether it is what a replay shows: where it came to be, and its end.
    pub keep: bool,
}

/// What never changes of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// The session that does it.
    pub child: SessionId,
    pub by: By,
    pub origin: Origin,
    /// Secrets taken out.
    pub goal: String,
}

/// What a finished task says to its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    pub task: TaskId,
    pub state: State,
    pub by: By,
    pub origin: Origin,
    /// For the model: a `<task_report>` frame, cut to `delegation.max_summary_chars`.
    pub text: String,
    /// It ended while the session that is told of it was there. One is not that ended for a session that
    /// went before it was told, nor one that ended with its process and was told of, or ended, when the
    /// next one came.
    pub is_fresh: bool,
}

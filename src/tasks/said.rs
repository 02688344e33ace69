//! What tasks say to the session that started them.

use crate::event::{CallUpdate, Question};
use crate::ids::{CallId, TaskId};
use crate::permission::Answer;
use crate::tasks::engine::State;
use crate::tasks::{By, Origin};

/// Something that a session is told of its tasks, in order. Questions go to the root session, everything
/// else to the session whose task it is.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskSaid {
    /// A card, whole, or what changed in it. One that is to be kept is what a replay shows.
    Card { card: CallUpdate, keep: bool },
    /// A task, or one of its own tasks, asks. The question's call has the id and title of the root
    /// session: `task-t1/c3`, "`t1` · Edit src/main.rs".
    Ask(Question),
    /// A question is settled without an answer.
    Withdraw(CallId),
    /// A question was answered through another door than the dialog.
    Answer { call: CallId, answer: Answer },
    /// A call that was asked for came to its end: what changed in it.
    Asked(CallUpdate),
    /// A task has ended: for the session's inbox. Said again until the session attaches and knows it.
    Report(TaskReport),
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
}

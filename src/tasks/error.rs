//! Why an operation on tasks was refused: what is wrong, and what to do. The words are for the model and
//! for users alike.

use crate::fault::{Fault, Kind};
use crate::tasks::engine::{EngineError, State};

/// Files that an error names.
const NAMED: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    #[error(
        "there is no task `{name}` in this session; `list_tasks` or `/tasks` lists those that are"
    )]
    Unknown { name: String },
    #[error(
        "`{name}` belongs to the session that this one is a copy of ({session}), and is known only \
         there; start a task of this session for what is to be done here"
    )]
    Copied { name: String, session: String },
    #[error("the goal is empty; say in it what the task is to do")]
    EmptyGoal,
    #[error("no tasks are given; give a `goal` or at least one entry in `tasks`")]
    NoTasks,
    #[error(
        "tasks cannot start tasks this deep (`delegation.max_spawn_depth` is {limit}); do the work \
         yourself"
    )]
    Depth { limit: u32 },
    #[error(
        "{queued} tasks are queued and {wanted} more would be above `delegation.max_queued` ({limit}); \
         none was started: {}", room(*.wanted, *.limit)
    )]
    Full { queued: usize, wanted: usize, limit: u32 },
    #[error(
        "this prompt has led to {started} tasks and {wanted} more would be above \
         `tasks.max_per_prompt` ({limit}); none was started: go on with what there is, or let the user \
         ask again"
    )]
    PerPrompt { started: u32, wanted: usize, limit: u32 },
    #[error(
        "the tasks of this prompt have taken {spent} tokens, the most is {limit} \
         (`tasks.max_tokens_per_prompt`); none was started: go on with what there is, or let the user \
         ask again"
    )]
    Tokens { spent: u64, limit: u64 },
    #[error(
        "`{name}` was not resumed: the tasks of its prompt have taken {spent} tokens, the most is {limit} \
         (`tasks.max_tokens_per_prompt`); raise that and open the session again to resume it, or ask anew \
         for what is left to do"
    )]
    Overspent { name: String, spent: u64, limit: u64 },
    #[error("there is no toolset `{name}`; there are {known}")]
    Toolset { name: String, known: String },
    #[error("the model `{name}` cannot be used: {why}")]
    Model { name: String, why: String },
    #[error("the image `{name}` cannot be used: {why}")]
    Image { name: String, why: String },
    #[error("`output_schema` is no JSON Schema: {why}")]
    Schema { why: String },
    #[error("`{name}` is {state}; only a finished task can be continued: {}", finish(*.state))]
    NotFinished { name: String, state: State },
    #[error("`{name}` asks for nothing; it is {state}: `/tasks` shows which tasks ask")]
    AsksNothing { name: String, state: State },
    #[error(
        "`{name}` asks something else by now, and nothing was answered: look at what it asks, and answer that"
    )]
    OtherQuestion { name: String },
    #[error("what `{name}` asked for was refused, but the task could not be told why: {}", .why.message)]
    NotTold { name: String, why: Fault },
    #[error("`{name}` is {state}; only an interrupted task can be resumed: {}", go_on(*.state))]
    NotInterrupted { name: String, state: State },
    #[error(
        "`{name}` works in the folders of its session; only a task that was started with \
         `isolation: worktree` has changes of its own"
    )]
    NotIsolated { name: String },
    #[error(
        "`{name}` has no tree of its own any more: its changes were merged or discarded, or it never began"
    )]
    NoTree { name: String },
    #[error("`{name}` is {state}; wait until it has ended, or cancel it")]
    StillRuns { name: String, state: State },
    #[error(
        "the changes of `{name}` do not fit what is in the working tree, and nothing was touched: {}; \
         undo what was changed there and merge again, or merge the branch `{branch}` with git", named(.files)
    )]
    Conflict { name: String, branch: String, files: Vec<String> },
    /// There is no repository, no commit, or git said no.
    #[error("{0}")]
    Git(String),
    /// The task is larger than what an engine takes.
    #[error("{0}")]
    TooLarge(String),
    #[error("the message is empty; say in it what the task should know")]
    EmptyMessage,
    /// What keeps the tasks failed.
    #[error("tasks cannot be reached now: {}", .0.message)]
    Unavailable(Fault),
    /// It, or the task whose session it is, has ended or is ending.
    #[error("the session is closed and takes no more of this; open it again, and ask there")]
    Closed,
}

/// The first of them.
fn named(files: &[String]) -> String {
    let first: Vec<&str> = files.iter().take(NAMED).map(String::as_str).collect();
    match files.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// How there comes to be room for `wanted` tasks more where `limit` may be queued.
fn room(wanted: usize, limit: u32) -> &'static str {
    if usize::try_from(limit).is_ok_and(|limit| wanted > limit) {
        "start fewer at once, or when some have ended"
    } else {
        "wait for some, or cancel some"
    }
}

/// How a task in this state comes to its end.
fn finish(state: State) -> &'static str {
    match state {
        State::Interrupted => "the user can `/resume` it, or it can be cancelled",
        State::Queued
        | State::Running
        | State::Waiting
        | State::Completed
        | State::Failed
        | State::Cancelled => "steer it, or collect it first",
    }
}

/// How the work of a task in this state goes on.
fn go_on(state: State) -> &'static str {
    match state {
        State::Waiting => "answer what it asks",
        State::Queued | State::Running | State::Interrupted => "it goes on by itself",
        State::Completed | State::Failed | State::Cancelled => {
            "start a new one for what is left to do"
        }
    }
}

impl TaskError {
    /// The same for a user.
    pub fn fault(&self) -> Fault {
        if let Self::Unavailable(fault) = self {
            return fault.clone();
        }
        Fault::new(Kind::User, self.to_string())
    }
}

impl From<EngineError> for TaskError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable(fault) => Self::Unavailable(fault),
            EngineError::Unknown(task) => Self::Unknown { name: task.to_string() },
            EngineError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            EngineError::NoSession(_)
            | EngineError::Taken { .. }
            | EngineError::Final { .. }
            | EngineError::Lost { .. }
            | EngineError::Position { .. } => {
                Self::Unavailable(Fault::new(Kind::Internal, error.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::TaskError;
    use crate::tasks::engine::State;

    #[test]
    fn a_refusal_says_what_helps_in_this_state() {
        let name = || "t1".to_owned();
        let full = |queued, wanted| TaskError::Full { queued, wanted, limit: 3 };
        let mut errors = vec![full(0, 9), full(3, 1)];
        for state in [State::Interrupted, State::Running] {
            errors.push(TaskError::NotFinished { name: name(), state });
        }
        for state in [State::Running, State::Waiting, State::Completed] {
            errors.push(TaskError::NotInterrupted { name: name(), state });
        }
        errors.push(TaskError::AsksNothing { name: name(), state: State::Running });
        let texts: Vec<String> = errors.iter().map(TaskError::to_string).collect();
        expect![[r#"
            0 tasks are queued and 9 more would be above `delegation.max_queued` (3); none was started: start fewer at once, or when some have ended
            3 tasks are queued and 1 more would be above `delegation.max_queued` (3); none was started: wait for some, or cancel some
            `t1` is interrupted; only a finished task can be continued: the user can `/resume` it, or it can be cancelled
            `t1` is running; only a finished task can be continued: steer it, or collect it first
            `t1` is running; only an interrupted task can be resumed: it goes on by itself
            `t1` is waiting; only an interrupted task can be resumed: answer what it asks
            `t1` is completed; only an interrupted task can be resumed: start a new one for what is left to do
            `t1` asks for nothing; it is running: `/tasks` shows which tasks ask"#]].assert_eq(&texts.join("\n"));
    }
}

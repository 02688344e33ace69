//! What is asked of a task, who asks it, and what the engine keeps of that. Values only.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{MessageId, SessionId};
use crate::permission::Mode;

/// A task that is asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewTask {
    pub goal: String,
    /// What the subagent must know beside the goal: it knows nothing else of the conversation.
    pub context: Option<String>,
    /// Names of toolsets that it gets; empty: all that its parent has.
    pub toolsets: Vec<String>,
    /// The model that does it, where it is not the one of the configuration or the parent's.
    pub model: Option<String>,
    /// JSON Schema that its report must match.
    pub output_schema: Option<Value>,
    /// Absolute paths of pictures that it sees with the goal.
    pub images: Vec<PathBuf>,
    /// A finished task whose conversation it goes on from.
    pub continues: Option<TaskName>,
    pub isolation: Isolation,
}

/// Where a task works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// In the folders of its session.
    #[default]
    None,
    /// In a git worktree of its own, from the last commit.
    Worktree,
}

impl Isolation {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// How a task is named by a model or a user: `t1`, and for a user `t1.2` for the second task of `t1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskName(Vec<u64>);

impl TaskName {
    pub fn of(number: u64) -> Self {
        Self(vec![number])
    }

    /// The numbers, from the asking session downwards; never empty.
    pub fn path(&self) -> &[u64] {
        &self.0
    }

    /// The task with this number of the session that does this task.
    #[must_use]
    pub fn below(&self, number: u64) -> Self {
        let mut path = self.0.clone();
        path.push(number);
        Self(path)
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<String> = self.0.iter().map(u64::to_string).collect();
        write!(f, "t{}", path.join("."))
    }
}

impl FromStr for TaskName {
    type Err = ();

    /// Reads `t1`, `T1`, `1`, `task-t1` and `t1.2`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim().trim_matches('`');
        let text = text.strip_prefix("task-").unwrap_or(text);
        let text = text.strip_prefix(['t', 'T']).unwrap_or(text);
        let path: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
        let path = path.map_err(drop)?;
        if path.contains(&0) { Err(()) } else { Ok(Self(path)) }
    }
}

/// Who asks for a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    pub by: By,
    pub origin: Origin,
    /// The mode of the asking session now.
    pub mode: Mode,
    /// Who asks again under the same name gets the same tasks.
    pub key: String,
}

/// Whose wish a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Model,
    User,
}

/// What a task goes back to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The user's prompt in the root session; what it led to is counted together.
    pub prompt: MessageId,
    /// That of the turn that starts the task: 0 for a turn on the user's prompt.
    pub generation: u32,
}

/// What the engine keeps of a task beside its goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// The session that does the task.
    pub child: SessionId,
    pub by: By,
    pub origin: Origin,
    /// The mode of the parent when the task was asked for; it is never done in a wider one.
    pub mode: Mode,
    /// 1 for a task of the root session.
    pub depth: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub toolsets: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<PathBuf>,
    /// The session of the task that it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Isolation::is_none")]
    pub isolation: Isolation,
}
